//! Values computed by the kernels, and what they were computed from.
//!
//! The rule: memory is freed when nothing reads it any more. A node keeps what the backward pass
//! reads, and nothing else. The output of a norm without residual is not kept: its readers compute
//! it from the norm's input, which the backward pass reads anyway.

use std::rc::Rc;

use candle_core::{CpuStorage, Result, Storage, Tensor, bail};

use crate::engine::{
    Activation,
    lanes::{
        kernels::{
            Features,
            conv::{Conv, pixel_layers::PixelLayers},
            cross_entropy::CrossEntropy,
            dice::Dice,
            gaussian::Gaussian,
            joint::Joint,
            mean::Squares,
            norm::{self, Norm},
            pool::Pool,
        },
        machine::{Buffer, Buffers, Kernels, LANES},
    },
};

/// A value `[G, C, H, W, 16]`, to be used any number of times.
#[derive(Clone, Debug)]
pub struct LaneTensor {
    pub(super) node: Rc<Node>,
    values: LaneStorage,
}

/// Where the numbers of a value are.
#[derive(Clone, Debug)]
enum LaneStorage {
    Stored(Rc<Buffer>),
    /// The output of this norm, computed where it is read.
    Normed(Rc<Normed>),
}

impl LaneTensor {
    pub(super) fn stored(node: Rc<Node>, values: Rc<Buffer>) -> Self {
        Self {
            node,
            values: LaneStorage::Stored(values),
        }
    }

    pub(super) fn normed(node: Rc<Node>, normed: Rc<Normed>) -> Self {
        Self {
            node,
            values: LaneStorage::Normed(normed),
        }
    }

    /// For kernels that read it piece by piece.
    pub(super) fn features(&self) -> Features<'_> {
        match &self.values {
            LaneStorage::Stored(values) => Features::Stored(values),
            LaneStorage::Normed(normed) => Features::Normed {
                norm: normed.shape,
                saved: normed.saved(),
                activation: normed.activation,
            },
        }
    }

    /// All of it in memory.
    pub(super) fn in_memory(&self, kernels: &Kernels, buffers: &Buffers) -> Rc<Buffer> {
        match &self.values {
            LaneStorage::Stored(values) => values.clone(),
            LaneStorage::Normed(normed) => {
                let mut y = buffers.take(normed.shape.len());
                norm::apply(
                    kernels,
                    &normed.shape,
                    normed.saved(),
                    normed.activation,
                    &mut y,
                );
                Rc::new(y)
            }
        }
    }
}

/// A value in the graph of the computation.
#[derive(Debug)]
pub struct Node {
    /// Values are numbered as they are made: each number is above those of its inputs.
    pub number: u64,
    /// Groups, channels, height, width.
    pub dims: [usize; 4],
    pub operation: Operation,
}

/// What a value was computed from, and what the backward pass needs beside that.
#[derive(Debug)]
pub enum Operation {
    /// An input of the network: no gradient.
    Given,
    Conv {
        x: LaneTensor,
        weight: Tensor,
        bias: Option<Tensor>,
        shape: Conv,
        /// Behind a ReLU: where it is positive, the gradient passes.
        output: Option<Rc<Buffer>>,
    },
    Norm(Rc<Normed>),
    Pool {
        x: LaneTensor,
        shape: Pool,
    },
    /// Means of squares.
    MeanPool {
        x: Rc<Node>,
        shape: Squares,
    },
    /// The mean over all pixels.
    Mean {
        x: Rc<Node>,
    },
    Shift {
        x: Rc<Node>,
        by: Rc<Node>,
        /// Behind a ReLU.
        output: Option<Rc<Buffer>>,
    },
    /// Layers of 1x1 convolutions.
    PixelLayers {
        x: LaneTensor,
        /// Added by the first layer, in place of a bias.
        shift: Option<LaneTensor>,
        /// Weights and biases; the first layer has none where there is a shift.
        layers: Vec<(Tensor, Option<Tensor>)>,
        shape: PixelLayers,
    },
    Joint {
        x: LaneTensor,
        skip: Option<LaneTensor>,
        weight: Tensor,
        shape: Joint,
    },
    Dice {
        logits: LaneTensor,
        target: LaneTensor,
        shape: Dice,
        /// Numerators, denominators and each lane's share in the loss, `[G, 16]`.
        tables: [Buffer; 3],
    },
    CrossEntropy {
        logits: LaneTensor,
        target: LaneTensor,
        shape: CrossEntropy,
        /// Each lane's share in the loss, `[G, 16]`.
        share: Buffer,
    },
    Draw {
        distribution: LaneTensor,
        noise: Buffer,
        shape: Gaussian,
    },
    Divergence {
        posterior: LaneTensor,
        prior: LaneTensor,
        shape: Gaussian,
        /// Each lane's share in the loss, `[G, 16]`.
        share: Buffer,
    },
    /// Losses, each with its weight.
    Sum(Vec<(LaneTensor, f32)>),
}

impl Operation {
    /// The output of its ReLU, if it is a convolution with one.
    pub fn relu_output(&self) -> Option<&[f32]> {
        match self {
            Self::Conv {
                output: Some(output),
                ..
            } => Some(output),
            _ => None,
        }
    }

    /// The values that get a gradient from it.
    pub fn inputs(&self) -> Vec<&Rc<Node>> {
        match self {
            Self::Given => vec![],
            Self::Conv { x, .. } | Self::Pool { x, .. } => vec![&x.node],
            Self::Norm(normed) => {
                let residual = normed.residual.as_ref().map(|(node, _)| node);
                [&normed.node].into_iter().chain(residual).collect()
            }
            Self::PixelLayers { x, shift, .. } => {
                let shift = shift.as_ref().map(|shift| &shift.node);
                [&x.node].into_iter().chain(shift).collect()
            }
            Self::Joint { x, skip, .. } => {
                let skip = skip.as_ref().map(|skip| &skip.node);
                [&x.node].into_iter().chain(skip).collect()
            }
            Self::MeanPool { x, .. } | Self::Mean { x } => vec![x],
            Self::Shift { x, by, .. } => vec![x, by],
            Self::Dice { logits, .. } | Self::CrossEntropy { logits, .. } => vec![&logits.node],
            Self::Draw { distribution, .. } => vec![&distribution.node],
            Self::Divergence {
                posterior, prior, ..
            } => vec![&posterior.node, &prior.node],
            Self::Sum(losses) => losses.iter().map(|(loss, _)| &loss.node).collect(),
        }
    }

    /// The parameters it uses.
    pub fn parameters(&self) -> Vec<&Tensor> {
        match self {
            Self::Given
            | Self::Pool { .. }
            | Self::MeanPool { .. }
            | Self::Mean { .. }
            | Self::Shift { .. }
            | Self::Draw { .. }
            | Self::Divergence { .. }
            | Self::Dice { .. }
            | Self::CrossEntropy { .. }
            | Self::Sum(_) => vec![],
            Self::Conv { weight, bias, .. } => [weight].into_iter().chain(bias).collect(),
            Self::Norm(normed) => {
                let experts = normed.experts.iter();
                experts.flat_map(|(scale, shift)| [scale, shift]).collect()
            }
            Self::PixelLayers { layers, .. } => {
                let layers = layers.iter();
                layers
                    .flat_map(|(weight, bias)| [weight].into_iter().chain(bias))
                    .collect()
            }
            Self::Joint { weight, .. } => vec![weight],
        }
    }
}

/// What the backward pass needs of a conditional instance norm.
#[derive(Debug)]
pub struct Normed {
    /// What was normalised, and its values.
    pub node: Rc<Node>,
    pub x: Rc<Buffer>,
    /// What was added, with the output: where that is positive, the gradient passes a ReLU.
    pub residual: Option<(Rc<Node>, Rc<Buffer>)>,
    pub shape: Norm,
    pub activation: Activation,
    /// For each expert present, scale and shift `[C]`.
    pub experts: Vec<(Tensor, Tensor)>,
    /// For each sample, which of them.
    pub rows: Vec<usize>,
    /// Scales, shifts, means and reciprocal deviations, each `[G, C, 16]`.
    pub tables: [Buffer; 4],
}

/// Calls a function with the numbers of a contiguous tensor in single precision on the processor.
pub fn with_floats<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) => Ok(f(&values[from..to])),
        _ => bail!(
            "the lanes engine takes contiguous parameters in single precision on the processor"
        ),
    }
}

/// A copy of the numbers of each layer's weight and bias; no numbers for a bias that is not there.
pub fn layer_floats(layers: &[(Tensor, Option<Tensor>)]) -> Result<Vec<(Vec<f32>, Vec<f32>)>> {
    let copy = |tensor: &Tensor| with_floats(tensor, <[f32]>::to_vec);
    let layer = |(weight, bias): &(Tensor, Option<Tensor>)| {
        let bias = bias.as_ref().map_or(Ok(Vec::new()), copy)?;
        Ok((copy(weight)?, bias))
    };
    layers.iter().map(layer).collect()
}

impl Normed {
    /// What the forward pass saved.
    pub fn saved(&self) -> norm::Saved<'_> {
        let [gamma, beta, mean, rstd] = &self.tables;
        norm::Saved {
            x: &self.x,
            mean,
            rstd,
            affine: norm::AffineTables { gamma, beta },
        }
    }

    /// The sum of a table's lanes over the samples of one expert, `[C]`, in the order of samples.
    pub fn of_expert(&self, row: usize, table: &[f32]) -> Vec<f32> {
        let channels = self.shape.channels;
        let mut sums = vec![0.0; channels];
        for (sample, _) in self.rows.iter().enumerate().filter(|(_, r)| **r == row) {
            let (group, lane) = (sample / LANES, sample % LANES);
            for (channel, sum) in sums.iter_mut().enumerate() {
                *sum += table[(group * channels + channel) * LANES + lane];
            }
        }
        sums
    }
}
