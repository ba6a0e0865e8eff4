//! Checkpoints: a network's parameters as safetensors, under segmentation_models_pytorch's names.
//!
//! Norm weights and biases are `[E, C]` over the experts' branches, `[C]` for one branch; where
//! experts have heads of their own, these are the head's outputs, `[E, C, 3, 3]` and `[E]`. The
//! network's description is JSON in the file's metadata, under `expertgrid`. The rule: the same
//! network gives the same bytes, and a file is used whole or refused; only an
//! [import](super::Import) uses part of one. Values that are not finite are refused where they
//! would be used.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use candle_core::{DType, Device};
use safetensors::{Dtype, tensor::TensorView};

use super::{
    about::{About, NetworkSize},
    branches::{Branches, ExpertLayers},
    parameters::{Declaration, Parameter, Part, ValueSource},
    unet::UNet,
};
use crate::{
    key::{Digest, Keyed, Sink},
    manifest::NetworkSpec,
    method::NetworkForm,
    seed::Seed,
};

/// Tensors that only a probabilistic U-Net has: weight and bias of the first of its last layers,
/// and the share of the latent in it.
const COMB: &str = "latent.comb.0.weight";
const COMB_BIAS: &str = "latent.comb.0.bias";
const OF_LATENT: &str = "latent.comb.0.latent";

/// Weight and bias of the heads.
const HEAD: &str = "segmentation_head.0.weight";
const HEAD_BIAS: &str = "segmentation_head.0.bias";

/// The entry of the file's metadata that holds an [`About`].
pub(super) const ABOUT: &str = "expertgrid";

/// Parameters read from a file.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(super) tensors: BTreeMap<String, StoredTensor>,
    /// The types of tensors that are not read.
    pub(super) unread: BTreeMap<String, String>,
    /// How many tensors were converted to single precision, by the type in the file.
    pub(super) converted: BTreeMap<String, usize>,
    /// What was taken off the tensors' names.
    pub(super) prefix: Option<String>,
    pub(super) about: Option<About>,
}

/// A tensor's shape and values, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl StoredTensor {
    /// Checks that every value is a finite number.
    pub fn check_finite(&self, name: &str) -> Result<(), CheckpointError> {
        let mut others = self.values.iter().filter(|value| !value.is_finite());
        match others.next() {
            None => Ok(()),
            Some(first) => Err(CheckpointError::NotFinite {
                name: name.to_owned(),
                value: *first,
                count: 1 + others.count(),
                of: self.values.len(),
            }),
        }
    }
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
    /// A value is not a number, or infinite.
    #[error(
        "tensor {name} holds {value} ({count} of its {of} values are not finite), so the network \
         predicts nothing; the training it comes from diverged or the file is damaged: take \
         another checkpoint"
    )]
    NotFinite {
        /// The tensor.
        name: String,
        /// The first such value.
        value: f32,
        /// How many there are.
        count: usize,
        /// How many values the tensor has.
        of: usize,
    },
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
            // How the tensors were read.
            converted: _,
            prefix: _,
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
            let shape = net.branches().shape_in_file(*part, var.dims());
            // The branches of one layer come in their order and make one tensor.
            let row = tensors.entry(name.clone()).or_insert(StoredTensor {
                shape,
                values: Vec::new(),
            });
            row.values.extend(values);
        }
        Ok(Self {
            tensors,
            unread: BTreeMap::new(),
            converted: BTreeMap::new(),
            prefix: None,
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

    /// Checks that every value is a finite number.
    ///
    /// # Errors
    /// For the first tensor with another value.
    pub fn check_finite(&self) -> Result<(), CheckpointError> {
        let mut tensors = self.tensors.iter();
        tensors.try_for_each(|(name, tensor)| tensor.check_finite(name))
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
            None => return Err(self.missing("encoder.conv1.weight")),
        };
        let norms = match shape("encoder.bn1.weight") {
            Some(&[_]) => 1,
            Some(&[experts, _]) if experts > 0 => experts,
            Some(found) => {
                return mismatch(format!(
                    "tensor encoder.bn1.weight is {found:?}, neither [width] nor [experts, width]"
                ));
            }
            None => return Err(self.missing("encoder.bn1.weight")),
        };
        if shape(COMB).is_some() {
            let branches = match shape(OF_LATENT) {
                Some(&[_, latent, 1, 1]) if latent > 0 => Branches::probabilistic(latent),
                Some(found) => {
                    return mismatch(format!(
                        "tensor {OF_LATENT} is {found:?}, not [channels, latent, 1, 1]"
                    ));
                }
                None => Branches::new(ExpertLayers::Comb, 1),
            };
            return self.described(NetworkSize { width, branches });
        }
        let heads = match shape(HEAD) {
            Some(&[heads, _, 3, 3]) if heads > 0 => heads,
            Some(found) => {
                return mismatch(format!(
                    "tensor {HEAD} is {found:?}, not [heads, channels, 3, 3]"
                ));
            }
            None => return Err(self.missing(HEAD)),
        };
        let branches = match (norms, heads) {
            (norms, 1) => Branches::new(ExpertLayers::Norms, norms),
            (1, heads) => Branches::new(ExpertLayers::Head, heads),
            (norms, heads) => {
                return mismatch(format!(
                    "it has {norms} sets of norms and {heads} heads; experts have the ones or the \
                     others of their own"
                ));
            }
        };
        self.described(NetworkSize { width, branches })
    }

    /// The size that the tensors say, where the description does not contradict it.
    fn described(&self, size: NetworkSize) -> Result<NetworkSize, CheckpointError> {
        match &self.about {
            Some(about) if about.size() != size => Err(CheckpointError::Mismatch(format!(
                "its description has width {} and experts {:?}, its tensors have width {} and {} \
                 branches",
                about.recipe.network.width, about.experts, size.width, size.branches.count
            ))),
            _ => Ok(size),
        }
    }

    /// The same network with a latent chosen for good: its share moves into the bias of the layer
    /// that takes it. The networks that give distributions are left out.
    ///
    /// # Errors
    /// Where the network takes no such latent.
    pub fn with_latent(&self, latent: &[f32]) -> Result<Self, CheckpointError> {
        let mut tensors = self.tensors.clone();
        let removed = tensors.remove(OF_LATENT);
        let Some(StoredTensor { values: shares, .. }) = removed else {
            return Err(self.missing(OF_LATENT));
        };
        let Some(StoredTensor { values: biases, .. }) = tensors.get_mut(COMB_BIAS) else {
            return Err(self.missing(COMB_BIAS));
        };
        if shares.len() != biases.len() * latent.len() {
            return Err(CheckpointError::Mismatch(format!(
                "tensor {OF_LATENT} holds {} numbers for {} channels and {} dimensions of a latent",
                shares.len(),
                biases.len(),
                latent.len()
            )));
        }
        for (bias, shares) in biases.iter_mut().zip(shares.chunks(latent.len())) {
            let products = shares.iter().zip(latent);
            let products = products.map(|(share, z)| f64::from(*share) * f64::from(*z));
            *bias = products.fold(f64::from(*bias), |sum, product| sum + product) as f32;
        }
        let distributions = ["latent.prior.", "latent.posterior."];
        tensors.retain(|name, _| !distributions.iter().any(|of| name.starts_with(of)));
        Ok(Self {
            tensors,
            about: self.about.clone().map(|about| About {
                network: NetworkForm::Comb,
                ..about
            }),
            ..self.clone()
        })
    }

    /// The same network of one branch with a threshold as a part of it: where its probability was
    /// at least the threshold, it is at least 1/2. The bias of the head is moved.
    ///
    /// # Errors
    /// Where the network has no head of one output.
    pub fn with_threshold(&self, threshold: f64) -> Result<Self, CheckpointError> {
        let mut tensors = self.tensors.clone();
        let Some(StoredTensor { shape, values }) = tensors.get_mut(HEAD_BIAS) else {
            return Err(self.missing(HEAD_BIAS));
        };
        let [bias] = values.as_mut_slice() else {
            return Err(CheckpointError::Mismatch(format!(
                "tensor {HEAD_BIAS} is {shape:?}, not of one output"
            )));
        };
        *bias = (f64::from(*bias) - libm::log(threshold / (1.0 - threshold))) as f32;
        Ok(Self {
            tensors,
            ..self.clone()
        })
    }

    /// The same network without the head that gives a map.
    ///
    /// # Errors
    /// Where the network gives no map.
    pub fn without_map(&self) -> Result<Self, CheckpointError> {
        let mut tensors = self.tensors.clone();
        for name in [HEAD, HEAD_BIAS] {
            let Some(StoredTensor { shape, values }) = tensors.get_mut(name) else {
                return Err(self.missing(name));
            };
            if shape.first() != Some(&2) {
                return Err(CheckpointError::Mismatch(format!(
                    "tensor {name} is {shape:?}, not of a mask and a map"
                )));
            }
            values.truncate(values.len() / 2);
            shape[0] = 1;
        }
        Ok(Self {
            tensors,
            about: self.about.clone().map(|about| About {
                network: NetworkForm::One,
                ..about
            }),
            ..self.clone()
        })
    }

    /// The network as it is: every tensor is used, bit for bit.
    ///
    /// # Errors
    /// Where the checkpoint is of another network.
    pub fn restore(&self, spec: &NetworkSpec, device: &Device) -> Result<UNet, CheckpointError> {
        self.check_finite()?;
        let NetworkSize { branches, .. } = self.size()?;
        let mut used = BTreeSet::new();
        let net = build(spec, branches.clone(), device, &mut |declared| {
            used.insert(declared.name.to_owned());
            self.values(declared, &branches)
        })?;
        let others = self.tensors.keys().chain(self.unread.keys());
        match others.into_iter().find(|name| !used.contains(*name)) {
            Some(name) => Err(CheckpointError::Mismatch(format!(
                "it has a tensor {name}, which this network does not have"
            ))),
            None => Ok(net),
        }
    }

    /// The network for a new expert: the shared part is the checkpoint's, the layers that are the
    /// expert's have initial values.
    ///
    /// # Errors
    /// Where the checkpoint is of another network.
    pub fn adapt(
        &self,
        spec: &NetworkSpec,
        layers: ExpertLayers,
        seed: &Seed,
        device: &Device,
    ) -> Result<UNet, CheckpointError> {
        self.check_finite()?;
        let one = Branches::new(layers, 1);
        build(
            spec,
            one.clone(),
            device,
            &mut |declared| match declared.part {
                Part::Expert(_) => Ok(declared.initial_values(seed)),
                Part::Shared => self.values(declared, &one),
            },
        )
    }

    /// The network for a new expert, which starts from another expert's branch.
    ///
    /// # Errors
    /// Where the checkpoint is of another network, or has no such branch.
    pub fn inherit(
        &self,
        branch: usize,
        spec: &NetworkSpec,
        layers: ExpertLayers,
        device: &Device,
    ) -> Result<UNet, CheckpointError> {
        self.check_finite()?;
        let in_file = Branches::new(layers, self.size()?.branches.count);
        build(spec, Branches::new(layers, 1), device, &mut |declared| {
            let part = match declared.part {
                Part::Expert(_) => Part::Expert(branch),
                Part::Shared => Part::Shared,
            };
            self.values(&Declaration { part, ..*declared }, &in_file)
        })
    }

    /// The error of a tensor that is not there as numbers that can be used.
    pub(super) fn missing(&self, name: &str) -> CheckpointError {
        let mut others = self.tensors.keys();
        CheckpointError::Mismatch(match self.unread.get(name) {
            Some(dtype) => format!(
                "tensor {name} holds {dtype}; only F32, F16, BF16 and F64 are read, so write the \
                 weights in one of them"
            ),
            None => match others.find_map(|other| prefix_before(name, other)) {
                Some(before) => format!(
                    "tensor {name} is missing, but {before}{name} is there; take `{before}` off \
                     the names"
                ),
                None => format!("tensor {name} is missing"),
            },
        })
    }

    /// The values of a parameter in a file of a network with such branches.
    fn values(
        &self,
        declared: &Declaration<'_>,
        branches: &Branches,
    ) -> Result<Vec<f32>, CheckpointError> {
        let Declaration {
            name, part, shape, ..
        } = *declared;
        let mismatch = |why: String| Err(CheckpointError::Mismatch(why));
        let Some(found) = self.tensors.get(name) else {
            return Err(self.missing(name));
        };
        let expected = branches.shape_in_file(part, shape);
        let row = match part {
            Part::Expert(branch) if branches.count > 1 => branch,
            Part::Shared | Part::Expert(_) => 0,
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
    branches: Branches,
    device: &Device,
    values: &mut ValueSource<'_, CheckpointError>,
) -> Result<UNet, CheckpointError> {
    UNet::build(spec, branches, device, DType::F32, values)
}

/// What stands before the name of a network's tensor in another name.
pub(super) fn prefix_before<'a>(name: &str, other: &'a str) -> Option<&'a str> {
    let before = other.strip_suffix(name)?;
    (before.len() > 1 && before.ends_with('.')).then_some(before)
}
