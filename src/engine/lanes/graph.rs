//! Values computed by the kernels, and the way back from a loss to its gradients.
//!
//! The rule: memory lives as long as somebody needs it. A network's value has its own; what stands behind it keeps what the way back
//! reads, and frees it on the way. The output of a norm without residual is not kept but computed once more, by one
//! sweep over an input that the way back reads next anyway. Gradients that meet are added in place.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use candle_core::{CpuStorage, Device, Result, Storage, Tensor, TensorId, bail};

use super::{
    Kernels, LANES,
    buffers::{Buffer, Buffers},
    conv::{
        self, Conv,
        joint::{self, Joint},
    },
    dice::{self, Dice},
    norm::{self, Gate, Gradients, Norm},
    pool::{self, Pool},
};

/// A value `[G, C, H, W, 16]`, to be used any number of times.
#[derive(Clone, Debug)]
pub struct Value {
    pub(super) node: Rc<Node>,
    pub(super) values: Rc<Buffer>,
}

/// A value's place in the computation.
#[derive(Debug)]
pub(super) struct Node {
    /// Values are numbered as they are made: one stands behind all it was computed from.
    pub number: u64,
    /// Groups, channels, height, width.
    pub dims: [usize; 4],
    pub origin: Origin,
}

/// A value that the way back reads.
#[derive(Debug)]
pub(super) struct Kept {
    pub node: Rc<Node>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Stored(Rc<Buffer>),
    /// To be computed once more.
    Normed(Rc<Normed>),
}

impl Kept {
    pub fn new(value: &Value) -> Self {
        let values = match &value.node.origin {
            Origin::Norm(normed) if normed.residual.is_none() => Values::Normed(normed.clone()),
            _ => Values::Stored(value.values.clone()),
        };
        Self {
            node: value.node.clone(),
            values,
        }
    }

    fn values(&self, kernels: &Kernels, buffers: &Buffers) -> Rc<Buffer> {
        match &self.values {
            Values::Stored(values) => values.clone(),
            Values::Normed(normed) => {
                let x = normed.x.values(kernels, buffers);
                let mut y = buffers.take(x.len());
                let saved = normed.saved(&x);
                norm::apply(kernels, &normed.shape, saved, normed.activation, &mut y);
                Rc::new(y)
            }
        }
    }
}

/// What a value was computed from, and what the way back needs beside that.
#[derive(Debug)]
pub(super) enum Origin {
    /// Given: no gradient.
    Given,
    Conv {
        x: Kept,
        weight: Tensor,
        bias: Option<Tensor>,
        shape: Conv,
    },
    Norm(Rc<Normed>),
    Pool {
        x: Kept,
        shape: Pool,
    },
    Joint {
        x: Kept,
        skip: Option<Kept>,
        weight: Tensor,
        shape: Joint,
    },
    Dice {
        logits: Kept,
        target: Kept,
        shape: Dice,
        /// Numerators, denominators and each lane's share in the loss, `[G, 16]`.
        tables: [Buffer; 3],
    },
}

/// The origin of a conditional instance norm.
#[derive(Debug)]
pub(super) struct Normed {
    pub x: Kept,
    /// What was added, with the output: where that is positive, the gradient passes a ReLU.
    pub residual: Option<(Rc<Node>, Rc<Buffer>)>,
    pub shape: Norm,
    pub activation: norm::Activation,
    /// For each expert present, scale and shift `[C]`.
    pub experts: Vec<(Tensor, Tensor)>,
    /// For each sample, which of them.
    pub rows: Vec<usize>,
    /// Scales, shifts, means and reciprocal deviations, each `[G, C, 16]`.
    pub tables: [Buffer; 4],
}

/// Calls a function with the numbers of a contiguous tensor in single precision on the processor.
pub(super) fn with_floats<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) => Ok(f(&values[from..to])),
        _ => bail!(
            "the lanes engine takes contiguous parameters in single precision on the processor"
        ),
    }
}

/// The gradients of parameters, by tensor.
pub(super) type ParameterGradients = HashMap<TensorId, Tensor>;

/// The way back from a loss; every value is freed on the way.
pub(super) struct Backward<'a> {
    pub kernels: &'a Kernels,
    pub buffers: &'a Buffers,
    /// The loss's own gradient: its share in a sum of losses.
    share: f32,
    /// Values whose gradient is known in part or whole, by number.
    pending: BTreeMap<u64, (Rc<Node>, Buffer)>,
    parameters: ParameterGradients,
}

impl<'a> Backward<'a> {
    pub fn new(kernels: &'a Kernels, buffers: &'a Buffers, share: f32) -> Self {
        Self {
            kernels,
            buffers,
            share,
            pending: BTreeMap::new(),
            parameters: HashMap::new(),
        }
    }

    /// The gradients of every parameter behind a Dice loss.
    pub fn run(mut self, loss: Value) -> Result<ParameterGradients> {
        let mut start = self.buffers.take(LANES);
        start.fill(self.share);
        self.pending.insert(loss.node.number, (loss.node, start));
        // The highest number first: all that was computed from a value has been passed by then.
        while let Some((_, (node, dy))) = self.pending.pop_last() {
            self.step(&node, dy)?;
        }
        Ok(self.parameters)
    }

    fn step(&mut self, node: &Node, dy: Buffer) -> Result<()> {
        match &node.origin {
            Origin::Given => Ok(()),
            Origin::Conv {
                x,
                weight,
                bias,
                shape,
            } => self.conv(x, weight, bias.as_ref(), shape, &dy),
            Origin::Norm(normed) => self.norm(normed, dy),
            Origin::Pool { x, shape } => {
                let values = self.values(x);
                let mut dx = self.buffers.take(values.len());
                pool::backward(self.kernels, shape, &values, &dy, &mut dx);
                self.add(&x.node, dx);
                Ok(())
            }
            Origin::Joint {
                x,
                skip,
                weight,
                shape,
            } => self.joint(x, skip.as_ref(), weight, shape, &dy),
            Origin::Dice {
                logits,
                target,
                shape,
                tables: [numerator, denominator, share],
            } => {
                let share: Vec<f32> = share.iter().map(|lane| lane * dy[0]).collect();
                let (z, y) = (self.values(logits), self.values(target));
                let mut dz = self.buffers.take(z.len());
                dice::backward(
                    self.kernels,
                    shape,
                    &z,
                    &y,
                    numerator,
                    denominator,
                    &share,
                    &mut dz,
                );
                self.add(&logits.node, dz);
                Ok(())
            }
        }
    }

    fn values(&self, kept: &Kept) -> Rc<Buffer> {
        kept.values(self.kernels, self.buffers)
    }

    fn conv(
        &mut self,
        x: &Kept,
        weight: &Tensor,
        bias: Option<&Tensor>,
        shape: &Conv,
        dy: &Buffer,
    ) -> Result<()> {
        let mut dw = vec![0.0; shape.weight_len()];
        conv::grad_weight(self.kernels, shape, &self.values(x), dy, &mut dw);
        self.add_parameter(weight, dw)?;
        if let Some(bias) = bias {
            let mut db = vec![0.0; shape.cout];
            conv::grad_bias(self.kernels, shape, dy, &mut db);
            self.add_parameter(bias, db)?;
        }
        if !matches!(x.node.origin, Origin::Given) {
            let mut dx = self.buffers.take(shape.input_len());
            with_floats(weight, |weight| {
                conv::grad_input(self.kernels, shape, dy, weight, &mut dx)
            })?;
            self.add(&x.node, dx);
        }
        Ok(())
    }

    fn joint(
        &mut self,
        x: &Kept,
        skip: Option<&Kept>,
        weight: &Tensor,
        shape: &Joint,
        dy: &Buffer,
    ) -> Result<()> {
        let skip_values = skip.map(|skip| self.values(skip));
        let mut dw = vec![0.0; shape.weight_len()];
        joint::grad_weight(
            self.kernels,
            shape,
            &self.values(x),
            skip_values.as_ref().map_or(&[], |values| values),
            dy,
            &mut dw,
        );
        drop(skip_values);
        self.add_parameter(weight, dw)?;
        let mut dx = self.buffers.take(shape.up_len());
        let mut dskip = self.buffers.take(shape.skip_len());
        with_floats(weight, |weight| {
            joint::grad_input(self.kernels, shape, dy, weight, &mut dx, &mut dskip);
        })?;
        self.add(&x.node, dx);
        if let Some(skip) = skip {
            self.add(&skip.node, dskip);
        }
        Ok(())
    }

    fn norm(&mut self, normed: &Normed, mut dy: Buffer) -> Result<()> {
        let Normed {
            x,
            residual,
            shape,
            activation,
            ..
        } = normed;
        let mut dx = residual.as_ref().map(|_| self.buffers.take(shape.len()));
        let [mut dgamma, mut dbeta] = [(); 2].map(|()| self.buffers.take(shape.tables()));
        let gate = match (activation, residual) {
            (norm::Activation::Identity, _) => Gate::Open,
            (norm::Activation::Relu, None) => Gate::Input,
            (norm::Activation::Relu, Some((_, output))) => Gate::Output(output),
        };
        norm::backward(
            self.kernels,
            shape,
            normed.saved(&self.values(x)),
            gate,
            Gradients {
                dy: &mut dy,
                dx: dx.as_deref_mut(),
                dgamma: &mut dgamma,
                dbeta: &mut dbeta,
            },
        );
        for (row, (scale, shift)) in normed.experts.iter().enumerate() {
            self.add_parameter(scale, normed.of_expert(row, &dgamma))?;
            self.add_parameter(shift, normed.of_expert(row, &dbeta))?;
        }
        match (residual, dx) {
            (Some((residual, _)), Some(dx)) => {
                self.add(&x.node, dx);
                self.add(residual, dy);
            }
            _ => self.add(&x.node, dy),
        }
        Ok(())
    }

    fn add(&mut self, node: &Rc<Node>, gradient: Buffer) {
        if let Origin::Given = node.origin {
            return;
        }
        match self.pending.get_mut(&node.number) {
            Some((_, sum)) => sum
                .iter_mut()
                .zip(&*gradient)
                .for_each(|(sum, more)| *sum += more),
            None => {
                self.pending.insert(node.number, (node.clone(), gradient));
            }
        }
    }

    fn add_parameter(&mut self, parameter: &Tensor, gradient: Vec<f32>) -> Result<()> {
        let gradient = Tensor::from_vec(gradient, parameter.shape(), &Device::Cpu)?;
        let gradient = match self.parameters.remove(&parameter.id()) {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        };
        self.parameters.insert(parameter.id(), gradient);
        Ok(())
    }
}

impl Normed {
    /// What the forward pass saved beside its input `x`.
    fn saved<'a>(&'a self, x: &'a [f32]) -> norm::Saved<'a> {
        let [gamma, beta, mean, rstd] = &self.tables;
        norm::Saved {
            x,
            mean,
            rstd,
            affine: norm::Affine { gamma, beta },
        }
    }

    /// The sum of a table's lanes over the samples of one expert, `[C]`, in the order of samples.
    fn of_expert(&self, row: usize, table: &[f32]) -> Vec<f32> {
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
