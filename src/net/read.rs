//! Reads checkpoints from bytes and files.
//!
//! The rule: a tensor of real numbers is read whatever its precision; that it was converted, and
//! what a file is that is no checkpoint, is told.

use std::{collections::BTreeMap, fmt, path::Path};

use candle_core::{DType, Device, Tensor};
use itertools::Itertools;
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};

use super::{
    checkpoint::{ABOUT, Checkpoint, CheckpointError, StoredTensor},
    file_kind,
};

impl Checkpoint {
    /// Reads a checkpoint's bytes. Tensors in half and in double precision become single.
    ///
    /// # Errors
    /// Where they are not safetensors, or the description cannot be read.
    pub fn read(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let format = |why: &dyn fmt::Display| CheckpointError::Format(why.to_string());
        let file = SafeTensors::deserialize(bytes).map_err(|e| foreign(bytes, &e))?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| format(&e))?;
        let about = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(ABOUT))
            .map(|text| {
                serde_json::from_str(text)
                    .map_err(|e| format(&format_args!("its metadata `{ABOUT}`: {e}")))
            })
            .transpose()?;
        let mut read = Self {
            tensors: BTreeMap::new(),
            unread: BTreeMap::new(),
            converted: BTreeMap::new(),
            prefix: None,
            about,
        };
        for (name, view) in file.tensors() {
            let dtype = format!("{:?}", view.dtype());
            let Some(values) = single(&view)? else {
                read.unread.insert(name, dtype);
                continue;
            };
            if view.dtype() != Dtype::F32 {
                *read.converted.entry(dtype).or_default() += 1;
            }
            let shape = view.shape().to_vec();
            read.tensors.insert(name, StoredTensor { shape, values });
        }
        Ok(read)
    }

    /// Reads a checkpoint from a file.
    ///
    /// # Errors
    /// Where it cannot be read, or as [`Checkpoint::read`].
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        match std::fs::read(path) {
            Ok(bytes) => Self::read(&bytes),
            Err(error) => Err(CheckpointError::File(error)),
        }
    }

    /// Which tensors were converted to single precision: `92 tensors are F16`; `None` for none.
    pub fn converted(&self) -> Option<String> {
        let each = self.converted.iter();
        let each = each.map(|(dtype, count)| match count {
            1 => format!("1 tensor is {dtype}"),
            _ => format!("{count} tensors are {dtype}"),
        });
        (!self.converted.is_empty()).then(|| each.format(", ").to_string())
    }
}

/// A tensor's values in single precision; `None` for a type that is no real number.
fn single(view: &TensorView<'_>) -> Result<Option<Vec<f32>>, CheckpointError> {
    let dtype = match view.dtype() {
        Dtype::F32 => {
            let (words, _) = view.data().as_chunks::<4>();
            let values = words.iter().map(|word| f32::from_le_bytes(*word));
            return Ok(Some(values.collect()));
        }
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F64 => DType::F64,
        _ => return Ok(None),
    };
    let count = view.data().len() / dtype.size_in_bytes();
    let tensor = Tensor::from_raw_buffer(view.data(), dtype, &[count], &Device::Cpu)?;
    Ok(Some(tensor.to_dtype(DType::F32)?.to_vec1()?))
}

/// The error of bytes that are not safetensors: what they are instead, as far as that is known.
fn foreign(bytes: &[u8], error: &SafeTensorError) -> CheckpointError {
    CheckpointError::Format(match (file_kind::named(bytes), error) {
        (Some(what), _) => what,
        (
            None,
            SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength,
        ) => {
            format!("{error}: its end is missing, or more follows it; copy the file again")
        }
        (None, _) => format!("{error}; check that it is the file that was meant"),
    })
}
