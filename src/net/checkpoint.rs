//! Checkpoints: a network's parameters as safetensors, under segmentation_models_pytorch's names.
//!
//! Norm weights and biases are `[E, C]` over the experts' branches, `[C]` where there is one.
//! The rule: the same network gives the same bytes.

use std::{collections::HashMap, fmt};

use candle_core::{DType, Device};
use safetensors::{SafeTensors, tensor::TensorView};

use super::{
    UNet, init,
    parameters::{Parameter, Part},
};
use crate::{manifest::NetworkSpec, seed::Seed};

/// Parameters read from a file.
#[derive(Debug)]
pub struct Checkpoint {
    tensors: HashMap<String, (Vec<usize>, Vec<f32>)>,
}

/// Why a checkpoint does not serve.
#[derive(Debug)]
pub enum CheckpointError {
    /// The bytes are not a safetensors file.
    Format(String),
    /// A tensor is missing, or of another shape or type than the network's.
    Mismatch(String),
    /// Candle could not make or read a tensor.
    Tensor(candle_core::Error),
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(why) => write!(f, "not a safetensors checkpoint: {why}"),
            Self::Mismatch(why) => write!(f, "the checkpoint is of another network: {why}"),
            Self::Tensor(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for CheckpointError {}

impl From<candle_core::Error> for CheckpointError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

impl Checkpoint {
    /// A network's parameters as bytes; `about` goes into the file's metadata.
    ///
    /// # Errors
    /// Where a parameter cannot be read from its device.
    pub fn bytes(net: &UNet, about: &str) -> Result<Vec<u8>, CheckpointError> {
        let mut rows: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for Parameter { name, part, var } in net.parameters() {
            let values = var.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            let bytes = values.iter().flat_map(|v| v.to_le_bytes());
            match part {
                // The branches of one norm follow each other: the first makes the row.
                Part::Expert(e) if *e > 0 => {
                    if let Some(row) = rows.iter_mut().find(|row| row.0 == *name) {
                        row.2.extend(bytes);
                    }
                }
                Part::Expert(_) if net.experts() > 1 => {
                    let shape = vec![net.experts(), values.len()];
                    rows.push((name.clone(), shape, bytes.collect()));
                }
                Part::Shared | Part::Expert(_) => {
                    rows.push((name.clone(), var.dims().to_vec(), bytes.collect()));
                }
            }
        }
        let views = rows.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes)
                .expect("the bytes were made for this shape");
            (name, view)
        });
        // One entry only: the file's metadata is written in a hash map's order.
        let metadata = HashMap::from([("expertgrid".to_owned(), about.to_owned())]);
        safetensors::serialize(views, Some(metadata))
            .map_err(|e| CheckpointError::Format(e.to_string()))
    }

    /// Reads a checkpoint's bytes.
    ///
    /// # Errors
    /// Where they are not safetensors in single precision.
    pub fn read(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let file =
            SafeTensors::deserialize(bytes).map_err(|e| CheckpointError::Format(e.to_string()))?;
        let mut tensors = HashMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != safetensors::Dtype::F32 {
                return Err(CheckpointError::Mismatch(format!(
                    "tensor {name} holds {:?}, not F32",
                    view.dtype()
                )));
            }
            let (words, _) = view.data().as_chunks::<4>();
            let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
            tensors.insert(name, (view.shape().to_vec(), values));
        }
        Ok(Self { tensors })
    }

    /// The network for a new expert: the shared part is the checkpoint's, the one expert's part
    /// is initialised anew.
    ///
    /// # Errors
    /// Where the checkpoint is of another network.
    pub fn adapt(
        &self,
        spec: &NetworkSpec,
        seed: &Seed,
        device: &Device,
    ) -> Result<UNet, CheckpointError> {
        let mut missing = None;
        let net = UNet::with_values(spec, 1, device, DType::F32, &mut |name, part, shape| {
            let fresh = init::values(seed, spec.first_conv, name, part, shape);
            match (part, self.tensors.get(name)) {
                (Part::Expert(_), _) => Ok(fresh),
                (Part::Shared, Some((found, values))) if found == shape => Ok(values.clone()),
                (Part::Shared, found) => {
                    missing.get_or_insert_with(|| match found {
                        Some((found, _)) => {
                            format!("tensor {name} is {found:?}, the network's is {shape:?}")
                        }
                        None => format!("tensor {name} is missing"),
                    });
                    Ok(fresh)
                }
            }
        })?;
        match missing {
            Some(why) => Err(CheckpointError::Mismatch(why)),
            None => Ok(net),
        }
    }
}
