//! The backward pass: from a loss to the gradients of its parameters.
//!
//! The rule: nothing is kept after it was last read. Values are freed on the way, gradients of the
//! same value are added in place, and a parameter's gradient is handed out as soon as it is known,
//! while it is still in the cache.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

use candle_core::{Device, Result, Tensor, TensorId};

use super::graph::{LaneTensor, Node, Normed, Operation, layer_floats, with_floats};
use crate::engine::{
    Activation,
    lanes::{
        kernels::{
            Features, Onto,
            conv::{
                self, Conv,
                pixel_layers::{self, LayerParameters, PixelLayers},
            },
            cross_entropy,
            dice::{self, Dice},
            gate,
            gaussian::{self, Gaussian},
            joint::{self, Joint},
            mean::{self, Squares},
            norm::{self, Gate, Gradients},
            pool::{self, Pool},
        },
        machine::{Buffer, Buffers, Kernels, LANES},
    },
};

/// The gradients asked for, each handed out once all parts of it are known.
pub struct WantedGradients<'a> {
    parameters: HashMap<TensorId, PartialGradient>,
    receive: &'a mut dyn FnMut(usize, Tensor) -> Result<()>,
}

/// The sum of the known parts of one gradient.
struct PartialGradient {
    place: usize,
    /// Uses of the parameter that the backward pass has not reached.
    uses: usize,
    sum: Option<Tensor>,
}

impl<'a> WantedGradients<'a> {
    /// Those of `parameters` behind `loss`, to be handed to `receive` with their places.
    pub fn new(
        loss: &Rc<Node>,
        parameters: &[&Tensor],
        receive: &'a mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Self {
        let part = |(place, parameter): (usize, &&Tensor)| {
            let part = PartialGradient {
                place,
                uses: 0,
                sum: None,
            };
            (parameter.id(), part)
        };
        let mut wanted = Self {
            parameters: parameters.iter().enumerate().map(part).collect(),
            receive,
        };
        let (mut seen, mut left) = (HashSet::new(), vec![loss]);
        while let Some(node) = left.pop() {
            if seen.insert(node.number) {
                wanted.count(&node.operation);
                left.extend(node.operation.inputs());
            }
        }
        wanted
    }

    fn count(&mut self, operation: &Operation) {
        for parameter in operation.parameters() {
            if let Some(part) = self.parameters.get_mut(&parameter.id()) {
                part.uses += 1;
            }
        }
    }

    /// Whether nothing is left to be handed out.
    fn is_complete(&self) -> bool {
        self.parameters.values().all(|part| part.uses == 0)
    }

    fn contains(&self, parameter: &Tensor) -> bool {
        self.parameters.contains_key(&parameter.id())
    }

    /// Adds the part of a gradient that comes from one use of the parameter. That use must not read
    /// the parameter afterwards.
    fn add(&mut self, parameter: &Tensor, gradient: Vec<f32>) -> Result<()> {
        let Some(part) = self.parameters.get_mut(&parameter.id()) else {
            return Ok(());
        };
        let gradient = Tensor::from_vec(gradient, parameter.shape(), &Device::Cpu)?;
        let gradient = match part.sum.take() {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        };
        part.uses -= 1;
        if part.uses > 0 {
            part.sum = Some(gradient);
            return Ok(());
        }
        (self.receive)(part.place, gradient)
    }
}

/// The backward pass from a loss. Every value is freed on the way.
pub struct Backward<'a> {
    kernels: &'a Kernels,
    buffers: &'a Buffers,
    /// Values whose gradient is known in part or whole, by number.
    pending: BTreeMap<u64, PendingGradient>,
    wanted: WantedGradients<'a>,
}

/// The sum of the known parts of a value's gradient.
struct PendingGradient {
    node: Rc<Node>,
    sum: Buffer,
    /// Whether all parts are 0 where the value's ReLU let nothing through.
    gated: bool,
}

impl<'a> Backward<'a> {
    pub fn new(kernels: &'a Kernels, buffers: &'a Buffers, wanted: WantedGradients<'a>) -> Self {
        Self {
            kernels,
            buffers,
            pending: BTreeMap::new(),
            wanted,
        }
    }

    /// Runs it from a loss, whose own gradient is its `share` in a sum of losses.
    pub fn run(mut self, loss: LaneTensor, share: f32) -> Result<()> {
        let mut start = self.buffers.take(LANES);
        start.fill(share);
        self.add(&loss.node, start);
        drop(loss);
        // The highest number first: by then, all that was computed from a value has been handled.
        while let Some((_, gradient)) = self.pending.pop_last() {
            self.step(gradient)?;
        }
        debug_assert!(self.wanted.is_complete(), "a gradient was not handed out");
        Ok(())
    }

    fn step(&mut self, gradient: PendingGradient) -> Result<()> {
        let PendingGradient {
            node,
            sum: mut dy,
            gated,
        } = gradient;
        match &node.operation {
            Operation::Given => Ok(()),
            Operation::Conv {
                x,
                weight,
                bias,
                shape,
                ..
            } => {
                let output = node.operation.relu_output().filter(|_| !gated);
                let db = self.bias(bias.as_ref(), shape, output, &mut dy);
                self.conv(x, weight, shape, &dy)?;
                match (bias, db) {
                    (Some(bias), Some(db)) => self.wanted.add(bias, db),
                    _ => Ok(()),
                }
            }
            Operation::Norm(normed) => self.norm(normed, dy),
            Operation::Pool { x, shape } => {
                self.pool(x, shape, &dy);
                Ok(())
            }
            Operation::MeanPool { x, shape } => {
                self.mean_pool(x, shape, &dy);
                Ok(())
            }
            Operation::Mean { x } => {
                self.mean(x, &dy);
                Ok(())
            }
            Operation::Shift { x, by, output } => {
                self.shift(x, by, output.as_ref(), dy);
                Ok(())
            }
            Operation::Draw {
                distribution,
                noise,
                shape,
            } => {
                self.draw(distribution, noise, shape, &dy);
                Ok(())
            }
            Operation::Divergence {
                posterior,
                prior,
                shape,
                share,
            } => {
                self.divergence([posterior, prior], shape, share, dy[0]);
                Ok(())
            }
            Operation::PixelLayers {
                x,
                shift,
                layers,
                shape,
            } => self.pixel_layers(x, shift.as_ref(), layers, shape, &dy),
            Operation::Joint {
                x,
                skip,
                weight,
                shape,
            } => self.joint(x, skip.as_ref(), weight, shape, &dy),
            Operation::Sum(losses) => {
                for (loss, weight) in losses {
                    let mut start = self.buffers.take(LANES);
                    start.fill(dy[0] * weight);
                    self.add(&loss.node, start);
                }
                Ok(())
            }
            Operation::Dice {
                logits,
                target,
                shape,
                tables,
            } => {
                self.dice([logits, target], shape, tables, dy[0]);
                Ok(())
            }
            Operation::CrossEntropy {
                logits,
                target,
                shape,
                share,
            } => {
                let share: Vec<f32> = share.iter().map(|lane| lane * dy[0]).collect();
                let (z, y) = (self.in_memory(logits), self.in_memory(target));
                let mut dz = self.buffers.take(z.len());
                cross_entropy::backward(self.kernels, shape, &z, &y, &share, &mut dz);
                self.add(&logits.node, dz);
                Ok(())
            }
        }
    }

    fn pool(&mut self, x: &LaneTensor, shape: &Pool, dy: &Buffer) {
        let features = x.features();
        let backward = |dx: &mut [f32], onto| {
            pool::backward(self.kernels, shape, features, dy, dx, onto);
        };
        match self.pending.get_mut(&x.node.number) {
            Some(PendingGradient { sum, gated, .. }) => {
                backward(sum, Onto::Sums);
                *gated = false;
            }
            None => {
                let mut dx = self.buffers.take(features.len());
                backward(&mut dx, Onto::Nothing);
                self.add(&x.node, dx);
            }
        }
    }

    fn dice(
        &mut self,
        [logits, target]: [&LaneTensor; 2],
        shape: &Dice,
        [numerator, denominator, share]: &[Buffer; 3],
        upstream: f32,
    ) {
        let share: Vec<f32> = share.iter().map(|lane| lane * upstream).collect();
        let (z, y) = (self.in_memory(logits), self.in_memory(target));
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
    }

    fn in_memory(&self, value: &LaneTensor) -> Rc<Buffer> {
        value.in_memory(self.kernels, self.buffers)
    }

    fn mean(&mut self, x: &Rc<Node>, dy: &Buffer) {
        let [groups, channels, height, width] = x.dims;
        let pixels = height * width;
        let mut dx = self.buffers.take(pixels * dy.len());
        let share = 1.0 / pixels as f32;
        mean::spread(self.kernels, groups * channels, dy, share, &mut dx);
        self.add(x, dx);
    }

    fn mean_pool(&mut self, x: &Rc<Node>, shape: &Squares, dy: &Buffer) {
        let mut dx = self.buffers.take(4 * dy.len());
        let gate = x.operation.relu_output();
        mean::of_squares_backward(self.kernels, shape, dy, gate, &mut dx);
        self.add_part(x, dx, gate.is_some());
    }

    fn draw(&mut self, distribution: &LaneTensor, noise: &Buffer, shape: &Gaussian, dy: &Buffer) {
        let values = self.in_memory(distribution);
        let mut gradient = self.buffers.take(values.len());
        gaussian::draw_backward(shape, &values, noise, dy, &mut gradient);
        self.add(&distribution.node, gradient);
    }

    fn shift(&mut self, x: &Rc<Node>, by: &Rc<Node>, output: Option<&Rc<Buffer>>, mut dy: Buffer) {
        if let Some(output) = output {
            gate::close(self.kernels, output, &mut dy);
        }
        let [groups, channels, ..] = x.dims;
        let planes = groups * channels;
        let mut of_shift = self.buffers.take(planes * LANES);
        mean::over_planes(self.kernels, planes, &dy, 1.0, &mut of_shift);
        self.add(by, of_shift);
        self.add(x, dy);
    }

    fn divergence(
        &mut self,
        [posterior, prior]: [&LaneTensor; 2],
        shape: &Gaussian,
        share: &Buffer,
        upstream: f32,
    ) {
        let share: Vec<f32> = share.iter().map(|lane| lane * upstream).collect();
        let [q, p] = [posterior, prior].map(|values| self.in_memory(values));
        let [mut dq, mut dp] = [(); 2].map(|()| self.buffers.take(q.len()));
        gaussian::divergence_backward(shape, &q, &p, &share, [&mut *dq, &mut *dp]);
        self.add(&posterior.node, dq);
        self.add(&prior.node, dp);
    }

    /// Sets `dy` to 0 where the `output` of the convolution's ReLU, if it is given, is not
    /// positive. Returns the gradient of the bias, if it is wanted.
    fn bias(
        &self,
        bias: Option<&Tensor>,
        shape: &Conv,
        output: Option<&[f32]>,
        dy: &mut [f32],
    ) -> Option<Vec<f32>> {
        if bias.is_some_and(|bias| self.wanted.contains(bias)) {
            let mut db = vec![0.0; shape.cout];
            conv::grad_bias(self.kernels, shape, output, dy, &mut db);
            return Some(db);
        }
        if let Some(output) = output {
            gate::close(self.kernels, output, dy);
        }
        None
    }

    fn conv(&mut self, x: &LaneTensor, weight: &Tensor, shape: &Conv, dy: &Buffer) -> Result<()> {
        let dw = self.wanted.contains(weight).then(|| {
            let mut dw = vec![0.0; shape.weight_len()];
            conv::grad_weight(self.kernels, shape, x.features(), dy, &mut dw);
            dw
        });
        if !matches!(x.node.operation, Operation::Given) {
            let mut dx = self.buffers.take(shape.input_len());
            let gate = x.node.operation.relu_output();
            with_floats(weight, |weight| {
                conv::grad_input(self.kernels, shape, dy, weight, gate, &mut dx);
            })?;
            self.add_part(&x.node, dx, gate.is_some());
        }
        dw.map_or(Ok(()), |dw| self.wanted.add(weight, dw))
    }

    fn pixel_layers(
        &mut self,
        x: &LaneTensor,
        shift: Option<&LaneTensor>,
        layers: &[(Tensor, Option<Tensor>)],
        shape: &PixelLayers,
        dy: &Buffer,
    ) -> Result<()> {
        let by = shift.map(|by| self.in_memory(by));
        let floats = layer_floats(layers)?;
        let held: Vec<_> = floats.iter().map(|(w, b)| (&w[..], &b[..])).collect();
        let parameters = LayerParameters {
            shift: by.as_ref().map(|by| &***by),
            layers: &held,
        };
        let is_given = matches!(x.node.operation, Operation::Given);
        let mut dx = (!is_given).then(|| self.buffers.take(shape.input_len()));
        let gradients = pixel_layers::backward(
            self.kernels,
            shape,
            x.features(),
            &parameters,
            dy,
            dx.as_deref_mut(),
        );
        if let Some(dx) = dx {
            self.add(&x.node, dx);
        }
        if let Some(shift) = shift {
            let mut of_shift = self.buffers.take(gradients.shift.len());
            of_shift.copy_from_slice(&gradients.shift);
            self.add(&shift.node, of_shift);
        }
        for ((weight, bias), (dw, db)) in layers.iter().zip(gradients.layers) {
            self.wanted.add(weight, dw)?;
            if let Some(bias) = bias {
                self.wanted.add(bias, db)?;
            }
        }
        Ok(())
    }

    fn joint(
        &mut self,
        x: &LaneTensor,
        skip: Option<&LaneTensor>,
        weight: &Tensor,
        shape: &Joint,
        dy: &Buffer,
    ) -> Result<()> {
        let dw = self.wanted.contains(weight).then(|| {
            let mut dw = vec![0.0; shape.weight_len()];
            joint::grad_weight(
                self.kernels,
                shape,
                x.features(),
                skip.map_or(Features::Stored(&[]), LaneTensor::features),
                dy,
                &mut dw,
            );
            dw
        });
        let mut dx = self.buffers.take(shape.up_len());
        let mut dskip = self.buffers.take(shape.skip_len());
        with_floats(weight, |weight| {
            joint::grad_input(self.kernels, shape, dy, weight, &mut dx, &mut dskip);
        })?;
        self.add(&x.node, dx);
        if let Some(skip) = skip {
            self.add(&skip.node, dskip);
        }
        dw.map_or(Ok(()), |dw| self.wanted.add(weight, dw))
    }

    fn norm(&mut self, normed: &Normed, mut dy: Buffer) -> Result<()> {
        let Normed {
            node,
            residual,
            shape,
            activation,
            ..
        } = normed;
        let mut dx = residual.as_ref().map(|_| self.buffers.take(shape.len()));
        let [mut dgamma, mut dbeta] = [(); 2].map(|()| self.buffers.take(shape.tables()));
        let gate = match (activation, residual) {
            (Activation::Linear, _) => Gate::Open,
            (Activation::Relu, None) => Gate::Input,
            (Activation::Relu, Some((_, output))) => Gate::Output(output),
        };
        norm::backward(
            self.kernels,
            shape,
            normed.saved(),
            gate,
            Gradients {
                dy: &mut dy,
                dx: dx.as_deref_mut(),
                dgamma: &mut dgamma,
                dbeta: &mut dbeta,
            },
        );
        for (row, (scale, shift)) in normed.experts.iter().enumerate() {
            self.wanted.add(scale, normed.of_expert(row, &dgamma))?;
            self.wanted.add(shift, normed.of_expert(row, &dbeta))?;
        }
        match (residual, dx) {
            (Some((residual, _)), Some(dx)) => {
                self.add(node, dx);
                self.add(residual, dy);
            }
            _ => self.add(node, dy),
        }
        Ok(())
    }

    fn add(&mut self, node: &Rc<Node>, gradient: Buffer) {
        self.add_part(node, gradient, false);
    }

    /// Adds a part of a value's gradient, which may be 0 already where the value's ReLU let nothing
    /// through.
    fn add_part(&mut self, node: &Rc<Node>, part: Buffer, gated: bool) {
        if let Operation::Given = node.operation {
            return;
        }
        match self.pending.get_mut(&node.number) {
            Some(pending) => {
                let sums = pending.sum.iter_mut().zip(&*part);
                sums.for_each(|(sum, more)| *sum += more);
                pending.gated &= gated;
            }
            None => {
                let pending = PendingGradient {
                    node: node.clone(),
                    sum: part,
                    gated,
                };
                self.pending.insert(node.number, pending);
            }
        }
    }
}
