//! Checkpoints: a network's parameters as safetensors, under segmentation_models_pytorch's names.
//!
//! Norm weights and biases are `[E, C]` over the experts' branches, `[C]` for one branch. The
//! network's description is JSON in the file's metadata, under `expertgrid`. The rule: the same
//! network gives the same bytes, and a file is used whole or refused; only an
//! [import](super::Import) uses part of one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    path::Path,
};

use candle_core::{DType, Device};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    about::{About, NetworkSize},
    parameters::{Declaration, Parameter, Part, ValueSource},
    unet::UNet,
};
use crate::{
    key::{Digest, Keyed, Sink},
    manifest::NetworkSpec,
    seed::Seed,
};

/// The entry of the file's metadata that holds an [`About`].
const ABOUT: &str = "expertgrid";

/// Parameters read from a file.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(super) tensors: BTreeMap<String, StoredTensor>,
    /// The types of tensors that are not in single precision.
    pub(super) unread: BTreeMap<String, String>,
    about: Option<About>,
}

/// A tensor's shape and values, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    File(#[source] std::io::Error),
    /// The bytes are not a safetensors file.
    #[error("not a safetensors checkpoint: {0}")]
    Format(String),
    /// A tensor is missing, or of another shape or type than the network's.
    #[error("the checkpoint is of another network: {0}")]
    Mismatch(String),
    /// A tensor operation failed. Candle's error is no source: its text may hold a backtrace.
    #[error("{}", crate::engine::plain(.0))]
    Tensor(candle_core::Error),
}

impl From<candle_core::Error> for CheckpointError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// The digest is that of the tensors' content; the description is not part of it.
impl Keyed for Checkpoint {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            tensors,
            // Never used.
            unread: _,
            about: _,
        } = self;
        for (name, StoredTensor { shape, values }) in tensors {
            let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            sink.text("tensor", name);
            sink.numbers("shape", &shape);
            sink.digest("values", &Digest::of_bytes(&bytes));
        }
    }
}

impl Checkpoint {
    /// A network's parameters with its description.
    ///
    /// # Errors
    /// Where a parameter cannot be read from its device.
    pub fn of(net: &UNet, about: About) -> Result<Self, CheckpointError> {
        let mut tensors: BTreeMap<String, StoredTensor> = BTreeMap::new();
        for Parameter { name, part, var } in net.parameters() {
            let values = var.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            let shape = match part {
                Part::Expert(_) if net.experts() > 1 => vec![net.experts(), values.len()],
                Part::Shared | Part::Expert(_) => var.dims().to_vec(),
            };
            // The branches of one norm come in their order and make one tensor.
            let row = tensors.entry(name.clone()).or_insert(StoredTensor {
                shape,
                values: Vec::new(),
            });
            row.values.extend(values);
        }
        Ok(Self {
            tensors,
            unread: BTreeMap::new(),
            about: Some(about),
        })
    }

    /// As a file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let rows: Vec<(&String, &Vec<usize>, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, StoredTensor { shape, values })| {
                let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                (name, shape, bytes)
            })
            .collect();
        let views = rows.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, (*shape).clone(), bytes)
                .expect("the bytes were made for this shape");
            (name, view)
        });
        // One entry only: the file's metadata is written in a hash map's order.
        let metadata = self.about.as_ref().map(|about| {
            let text = serde_json::to_string(about).expect("a description is plain data");
            HashMap::from([(ABOUT.to_owned(), text)])
        });
        safetensors::serialize(views, metadata).expect("names are distinct")
    }

    /// Reads a checkpoint's bytes.
    ///
    /// # Errors
    /// Where they are not safetensors, or the description cannot be read.
    pub fn read(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let format = |why: &dyn fmt::Display| CheckpointError::Format(why.to_string());
        let file = SafeTensors::deserialize(bytes).map_err(|e| format(&e))?;
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
        let mut tensors = BTreeMap::new();
        let mut unread = BTreeMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                unread.insert(name, format!("{:?}", view.dtype()));
                continue;
            }
            let (words, _) = view.data().as_chunks::<4>();
            let values = StoredTensor {
                shape: view.shape().to_vec(),
                values: words.iter().map(|word| f32::from_le_bytes(*word)).collect(),
            };
            tensors.insert(name, values);
        }
        Ok(Self {
            tensors,
            unread,
            about,
        })
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

    /// The network's description; `None` for a file of another program.
    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// The same tensors with another description.
    pub fn with_about(self, about: About) -> Self {
        Self {
            about: Some(about),
            ..self
        }
    }

    /// The size of the network.
    ///
    /// # Errors
    /// Where the tensors that determine it are missing, or contradict the description.
    pub fn size(&self) -> Result<NetworkSize, CheckpointError> {
        let mismatch = |why: String| Err(CheckpointError::Mismatch(why));
        let shape = |name: &str| self.tensors.get(name).map(|found| found.shape.as_slice());
        let width = match shape("encoder.conv1.weight") {
            Some(&[width, 1, 7, 7]) => width,
            Some(found) => {
                return mismatch(format!(
                    "tensor encoder.conv1.weight is {found:?}, not [width, 1, 7, 7]"
                ));
            }
            None => return mismatch("tensor encoder.conv1.weight is missing".into()),
        };
        let experts = match shape("encoder.bn1.weight") {
            Some(&[_]) => 1,
            Some(&[experts, _]) if experts > 0 => experts,
            Some(found) => {
                return mismatch(format!(
                    "tensor encoder.bn1.weight is {found:?}, neither [width] nor [experts, width]"
                ));
            }
            None => return mismatch("tensor encoder.bn1.weight is missing".into()),
        };
        let size = NetworkSize { width, experts };
        match &self.about {
            Some(about) if about.size() != size => mismatch(format!(
                "its description has width {} and experts {:?}, its tensors have width {width} and \
                 {experts} branches",
                about.recipe.network.width, about.experts
            )),
            _ => Ok(size),
        }
    }

    /// The network as it is: every tensor is used, bit for bit.
    ///
    /// # Errors
    /// Where the checkpoint is of another network.
    pub fn restore(&self, spec: &NetworkSpec, device: &Device) -> Result<UNet, CheckpointError> {
        let NetworkSize { experts, .. } = self.size()?;
        let mut used = BTreeSet::new();
        let net = build(spec, experts, device, &mut |declared| {
            used.insert(declared.name.to_owned());
            self.values(declared, experts)
        })?;
        let others = self.tensors.keys().chain(self.unread.keys());
        match others.into_iter().find(|name| !used.contains(*name)) {
            Some(name) => Err(CheckpointError::Mismatch(format!(
                "it has a tensor {name}, which this network does not have"
            ))),
            None => Ok(net),
        }
    }

    /// The network for a new expert: the shared part is the checkpoint's, the expert's branch has
    /// initial values.
    ///
    /// # Errors
    /// Where the checkpoint is of another network.
    pub fn adapt(
        &self,
        spec: &NetworkSpec,
        seed: &Seed,
        device: &Device,
    ) -> Result<UNet, CheckpointError> {
        build(spec, 1, device, &mut |declared| match declared.part {
            Part::Expert(_) => Ok(declared.initial_values(seed)),
            Part::Shared => self.values(declared, 1),
        })
    }

    /// The network for a new expert, which starts from another expert's branch.
    ///
    /// # Errors
    /// Where the checkpoint is of another network, or has no such branch.
    pub fn inherit(
        &self,
        branch: usize,
        spec: &NetworkSpec,
        device: &Device,
    ) -> Result<UNet, CheckpointError> {
        let NetworkSize { experts, .. } = self.size()?;
        build(spec, 1, device, &mut |declared| {
            let part = match declared.part {
                Part::Expert(_) => Part::Expert(branch),
                Part::Shared => Part::Shared,
            };
            self.values(&Declaration { part, ..*declared }, experts)
        })
    }

    /// The values of a parameter in a file of a network with `experts` branches.
    fn values(
        &self,
        declared: &Declaration<'_>,
        experts: usize,
    ) -> Result<Vec<f32>, CheckpointError> {
        let Declaration {
            name, part, shape, ..
        } = *declared;
        let mismatch = |why: String| Err(CheckpointError::Mismatch(why));
        let Some(found) = self.tensors.get(name) else {
            return mismatch(match self.unread.get(name) {
                Some(format) => format!("tensor {name} holds {format}, not F32"),
                None => format!("tensor {name} is missing"),
            });
        };
        let (expected, row) = match part {
            Part::Expert(branch) if experts > 1 => ([&[experts], shape].concat(), branch),
            Part::Shared | Part::Expert(_) => (shape.to_vec(), 0),
        };
        if found.shape != expected {
            return mismatch(format!(
                "tensor {name} is {:?}, the network's is {expected:?}",
                found.shape
            ));
        }
        let count = declared.len();
        match found.values.get(row * count..(row + 1) * count) {
            Some(values) => Ok(values.to_vec()),
            None => mismatch(format!("there is no branch {}", row + 1)),
        }
    }
}

/// A network in single precision with the values of a checkpoint.
fn build(
    spec: &NetworkSpec,
    experts: usize,
    device: &Device,
    values: &mut ValueSource<'_, CheckpointError>,
) -> Result<UNet, CheckpointError> {
    UNet::build(spec, experts, device, DType::F32, values)
}
