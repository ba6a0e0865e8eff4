//! The lanes engine: the trait's operations on the kernels.

use std::{cell::Cell, num::NonZeroUsize, rc::Rc};

use candle_core::{Device, Result, Tensor, bail};

use super::{
    backward::{Backward, WantedGradients},
    graph::{LaneTensor, Node, Normed, Operation, layer_floats, with_floats},
};
use crate::engine::{
    lanes::{
        kernels::{
            Features, check,
            conv::{
                self, Conv,
                pixel_layers::{self, LayerParameters, PixelLayers},
            },
            cross_entropy::{self, CrossEntropy},
            dice::{self, Dice, LaneLosses},
            gate,
            gaussian::{self, Gaussian},
            joint::{self, Joint},
            layout::{self, Images},
            mean::{self, Squares},
            norm::{self, Norm, PlaneStatistics},
            pool::{self, Pool},
        },
        machine::{Buffer, Buffers, Isa, Kernels, LANES, Threads},
    },
    operations::{Activation, Added, Affine, DiceOver, Engine},
};

/// The fast engine of the processor, in single precision.
#[derive(Debug)]
pub struct Lanes {
    kernels: Kernels,
    device: Device,
    buffers: Buffers,
    made: Cell<u64>,
}

impl Lanes {
    /// With the machine's best instruction set.
    pub fn new(threads: NonZeroUsize) -> Self {
        Self::with_kernels(Kernels::new(Threads::new(threads)))
    }

    /// With chosen kernels.
    pub fn with_kernels(kernels: Kernels) -> Self {
        Self {
            kernels,
            device: Device::Cpu,
            buffers: Buffers::default(),
            made: Cell::new(0),
        }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.kernels.isa()
    }

    /// The threads in use, to be adjusted from elsewhere.
    pub fn threads(&self) -> Threads {
        self.kernels.threads().clone()
    }

    fn value(
        &self,
        dims: [usize; 4],
        values: impl Into<Rc<Buffer>>,
        operation: Operation,
    ) -> LaneTensor {
        LaneTensor::stored(self.node(dims, operation), values.into())
    }

    /// One number: a loss.
    fn number(&self, number: f32, operation: Operation) -> LaneTensor {
        let mut values = self.buffers.take(LANES);
        values.fill(0.0);
        values[0] = number;
        self.value([1; 4], values, operation)
    }

    fn node(&self, dims: [usize; 4], operation: Operation) -> Rc<Node> {
        let number = self.made.get();
        self.made.set(number + 1);
        Rc::new(Node {
            number,
            dims,
            operation,
        })
    }

    fn in_memory(&self, value: &LaneTensor) -> Rc<Buffer> {
        value.in_memory(&self.kernels, &self.buffers)
    }

    fn convolve(
        &self,
        x: &LaneTensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: usize,
        activation: Activation,
    ) -> Result<LaneTensor> {
        let [groups, cin, height, width] = x.node.dims;
        let (cout, inputs, kernel, _) = weight.dims4()?;
        if inputs != cin {
            bail!("the weight takes {inputs} input channels, the input has {cin}");
        }
        let shape = Conv {
            groups,
            cin,
            cout,
            height,
            width,
            kernel,
            stride,
            padding: kernel / 2,
        };
        let mut y = self.buffers.take(shape.output_len());
        with_floats(weight, |weight| match bias {
            Some(bias) => with_floats(bias, |bias| {
                conv::forward(
                    &self.kernels,
                    &shape,
                    x.features(),
                    weight,
                    Some(bias),
                    activation,
                    &mut y,
                );
            }),
            None => {
                let x = x.features();
                conv::forward(&self.kernels, &shape, x, weight, None, activation, &mut y);
                Ok(())
            }
        })??;
        let y = Rc::new(y);
        let operation = Operation::Conv {
            x: x.clone(),
            weight: weight.clone(),
            bias: bias.cloned(),
            shape,
            output: (activation == Activation::Relu).then(|| y.clone()),
        };
        Ok(self.value(
            [groups, cout, shape.out_height(), shape.out_width()],
            y,
            operation,
        ))
    }

    /// One value per lane and channel from one per expert and channel; a padded lane follows the
    /// first sample.
    fn table<'t>(
        &self,
        shape: &Norm,
        rows: &[usize],
        of: impl Fn(usize) -> &'t Tensor,
    ) -> Result<Buffer> {
        let mut table = self.buffers.take(shape.tables());
        let experts = rows.iter().max().map_or(0, |row| row + 1);
        for row in 0..experts {
            with_floats(of(row), |values| {
                check("a scale or shift", values.len(), shape.channels);
                let groups = table.chunks_exact_mut(shape.channels * LANES);
                for (group, table) in groups.enumerate() {
                    let follows = |lane| *rows.get(group * LANES + lane).unwrap_or(&rows[0]) == row;
                    let lanes: [bool; LANES] = std::array::from_fn(follows);
                    for (entries, value) in table.as_chunks_mut::<LANES>().0.iter_mut().zip(values)
                    {
                        *entries =
                            std::array::from_fn(
                                |lane| {
                                    if lanes[lane] { *value } else { entries[lane] }
                                },
                            );
                    }
                }
            })?;
        }
        Ok(table)
    }
}

/// The shape of distributions `[G, 2 d, 1, 1]`.
fn gaussian_of(distribution: &LaneTensor) -> Result<Gaussian> {
    match distribution.node.dims {
        [groups, numbers, 1, 1] if numbers.is_multiple_of(2) => Ok(Gaussian {
            groups,
            latent: numbers / 2,
        }),
        other => bail!("{other:?} holds no means and deviations"),
    }
}

/// The groups and pixels of logits of one channel with a target of the same shape.
fn one_channel(logits: &LaneTensor, target: &LaneTensor, batch: usize) -> Result<[usize; 2]> {
    let [groups, channels, height, width] = logits.node.dims;
    if channels != 1 || batch > groups * LANES || target.node.dims != logits.node.dims {
        bail!(
            "{batch} samples do not fit one channel of logits {:?} and targets {:?}",
            logits.node.dims,
            target.node.dims
        );
    }
    Ok([groups, height * width])
}

impl Engine for Lanes {
    type Tensor = LaneTensor;
    type Route = Vec<usize>;

    fn device(&self) -> &Device {
        &self.device
    }

    fn batches_ahead(&self) -> usize {
        match self.kernels.threads().count() {
            1 => 0,
            threads => threads,
        }
    }

    fn pack(&self, pixels: &[f32], shape: [usize; 4]) -> Result<LaneTensor> {
        let [batch, channels, height, width] = shape;
        let images = Images {
            batch,
            channels,
            pixels: height * width,
        };
        let mut packed = self.buffers.take(images.packed_len());
        layout::pack(&self.kernels, &images, pixels, &mut packed);
        Ok(self.value(
            [images.groups(), channels, height, width],
            packed,
            Operation::Given,
        ))
    }

    fn unpack(&self, x: &LaneTensor, batch: usize) -> Result<Tensor> {
        let [_, channels, height, width] = x.node.dims;
        let images = Images {
            batch,
            channels,
            pixels: height * width,
        };
        let mut pixels = vec![0.0; images.plain_len()];
        layout::unpack(&self.kernels, &images, &self.in_memory(x), &mut pixels);
        Tensor::from_vec(pixels, (batch, channels, height, width), &self.device)
    }

    fn route(&self, experts: &[usize]) -> Vec<usize> {
        experts.to_vec()
    }

    fn conv(&self, x: &LaneTensor, weight: &Tensor, stride: usize) -> Result<LaneTensor> {
        self.convolve(x, weight, None, stride, Activation::Linear)
    }

    fn conv_bias(
        &self,
        x: &LaneTensor,
        weight: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<LaneTensor> {
        self.convolve(x, weight, Some(bias), 1, activation)
    }

    fn norm(
        &self,
        x: &LaneTensor,
        affine: Affine<'_, Self>,
        eps: f64,
        residual: Option<&LaneTensor>,
        activation: Activation,
    ) -> Result<LaneTensor> {
        let [groups, channels, height, width] = x.node.dims;
        let shape = Norm {
            groups,
            channels,
            pixels: height * width,
            eps: eps as f32,
        };
        // Only experts that are present: an absent one must get no gradient, not one of zeros.
        let mut present: Vec<usize> = affine.route.to_vec();
        present.sort_unstable();
        present.dedup();
        let place = |expert: &usize| present.binary_search(expert).expect("it is one of them");
        let rows: Vec<usize> = affine.route.iter().map(place).collect();
        let gamma = self.table(&shape, &rows, |row| &affine.gamma[present[row]])?;
        let beta = self.table(&shape, &rows, |row| &affine.beta[present[row]])?;
        let [mut mean, mut rstd] = [(); 2].map(|()| self.buffers.take(shape.tables()));
        let input = self.in_memory(x);
        let statistics = PlaneStatistics {
            mean: &mut mean,
            rstd: &mut rstd,
        };
        // Without a residual the output is computed where it is read.
        let output = match residual {
            None => {
                norm::statistics(&self.kernels, &shape, &input, statistics);
                None
            }
            Some(residual) => {
                let mut y = self.buffers.take(shape.len());
                norm::forward(
                    &self.kernels,
                    &shape,
                    &input,
                    norm::AffineTables {
                        gamma: &gamma,
                        beta: &beta,
                    },
                    Some(&self.in_memory(residual)),
                    activation,
                    &mut y,
                    statistics,
                );
                Some((residual.node.clone(), Rc::new(y)))
            }
        };
        let expert = |expert: &usize| (affine.gamma[*expert].clone(), affine.beta[*expert].clone());
        let normed = Rc::new(Normed {
            node: x.node.clone(),
            x: input,
            residual: output,
            shape,
            activation,
            experts: present.iter().map(expert).collect(),
            rows,
            tables: [gamma, beta, mean, rstd],
        });
        let node = self.node(x.node.dims, Operation::Norm(normed.clone()));
        Ok(match &normed.residual {
            Some((_, y)) => LaneTensor::stored(node, y.clone()),
            None => LaneTensor::normed(node, normed),
        })
    }

    fn max_pool(&self, x: &LaneTensor) -> Result<LaneTensor> {
        let [groups, channels, height, width] = x.node.dims;
        let shape = Pool {
            planes: groups * channels,
            height,
            width,
        };
        let dims = [groups, channels, shape.out_height(), shape.out_width()];
        let mut y = self.buffers.take(dims.iter().product::<usize>() * LANES);
        pool::forward(&self.kernels, &shape, x.features(), &mut y);
        Ok(self.value(
            dims,
            y,
            Operation::Pool {
                x: x.clone(),
                shape,
            },
        ))
    }

    fn mean_pool(&self, x: &LaneTensor) -> Result<LaneTensor> {
        let [groups, channels, height, width] = x.node.dims;
        if !height.is_multiple_of(2) || !width.is_multiple_of(2) {
            bail!("{height} x {width} pixels have no whole squares of 2 x 2");
        }
        let shape = Squares {
            planes: groups * channels,
            height,
            width,
        };
        let dims = [groups, channels, height / 2, width / 2];
        let mut y = self.buffers.take(dims.iter().product::<usize>() * LANES);
        mean::of_squares(&self.kernels, &shape, &self.in_memory(x), &mut y);
        let operation = Operation::MeanPool {
            x: x.node.clone(),
            shape,
        };
        Ok(self.value(dims, y, operation))
    }

    fn mean(&self, x: &LaneTensor) -> Result<LaneTensor> {
        let [groups, channels, height, width] = x.node.dims;
        let planes = groups * channels;
        let mut y = self.buffers.take(planes * LANES);
        let share = 1.0 / (height * width) as f32;
        mean::over_planes(&self.kernels, planes, &self.in_memory(x), share, &mut y);
        let operation = Operation::Mean { x: x.node.clone() };
        Ok(self.value([groups, channels, 1, 1], y, operation))
    }

    fn shift(&self, x: &LaneTensor, by: &LaneTensor, activation: Activation) -> Result<LaneTensor> {
        let [groups, channels, ..] = x.node.dims;
        if by.node.dims != [groups, channels, 1, 1] {
            bail!("{:?} cannot be shifted by {:?}", x.node.dims, by.node.dims);
        }
        let (x_values, by_values) = (self.in_memory(x), self.in_memory(by));
        let mut y = self.buffers.take(x_values.len());
        gate::shift(
            &self.kernels,
            groups * channels,
            &x_values,
            &by_values,
            activation,
            &mut y,
        );
        let y = Rc::new(y);
        let operation = Operation::Shift {
            x: x.node.clone(),
            by: by.node.clone(),
            output: (activation == Activation::Relu).then(|| y.clone()),
        };
        Ok(self.value(x.node.dims, y, operation))
    }

    fn pixel_layers(
        &self,
        x: &LaneTensor,
        (first, added): (&Tensor, Added<'_, LaneTensor>),
        rest: &[(Tensor, Tensor)],
    ) -> Result<LaneTensor> {
        if rest.is_empty() {
            bail!("one layer is a convolution");
        }
        let [groups, inputs, height, width] = x.node.dims;
        let (bias, shift) = match added {
            Added::Bias(bias) => (Some(bias.clone()), None),
            Added::Shift(by) => (None, Some(by.clone())),
        };
        let mut layers = vec![(first.clone(), bias)];
        let with_bias = rest.iter().cloned();
        layers.extend(with_bias.map(|(weight, bias)| (weight, Some(bias))));
        let mut channels = vec![inputs];
        for (weight, _) in &layers {
            match weight.dims() {
                [outputs, inputs, 1, 1] if channels.last() == Some(inputs) => {
                    channels.push(*outputs);
                }
                other => bail!(
                    "a layer of {other:?} follows {:?} channels",
                    channels.last()
                ),
            }
        }
        if let Some(by) = &shift
            && by.node.dims != [groups, channels[1], 1, 1]
        {
            bail!(
                "{} channels cannot be shifted by {:?}",
                channels[1],
                by.node.dims
            );
        }
        let outputs = channels[channels.len() - 1];
        let shape = PixelLayers {
            groups,
            pixels: height * width,
            channels,
        };
        let mut y = self.buffers.take(shape.output_len());
        let by = shift.as_ref().map(|by| self.in_memory(by));
        let floats = layer_floats(&layers)?;
        let held: Vec<_> = floats.iter().map(|(w, b)| (&w[..], &b[..])).collect();
        let parameters = LayerParameters {
            shift: by.as_ref().map(|by| &***by),
            layers: &held,
        };
        pixel_layers::forward(&self.kernels, &shape, x.features(), &parameters, &mut y);
        let operation = Operation::PixelLayers {
            x: x.clone(),
            shift,
            layers,
            shape,
        };
        Ok(self.value([groups, outputs, height, width], y, operation))
    }

    fn joint_conv(
        &self,
        x: &LaneTensor,
        skip: Option<&LaneTensor>,
        weight: &Tensor,
    ) -> Result<LaneTensor> {
        let [groups, up, height, width] = x.node.dims;
        let (cout, inputs, kernel, _) = weight.dims4()?;
        let shape = Joint {
            groups,
            up,
            skip: skip.map_or(0, |skip| skip.node.dims[1]),
            cout,
            height,
            width,
        };
        let dims = |channels| [groups, channels, 2 * height, 2 * width];
        if inputs != up + shape.skip || kernel != 3 {
            bail!(
                "the weight is {:?}, not 3x3 over {up} upsampled and {} skip channels",
                weight.dims(),
                shape.skip
            );
        }
        if let Some(skip) = skip.filter(|skip| skip.node.dims != dims(shape.skip)) {
            bail!(
                "the skip is {:?}, not twice the size of the input {:?}",
                skip.node.dims,
                x.node.dims
            );
        }
        let mut y = self.buffers.take(shape.output_len());
        let skip_features = skip.map_or(Features::Stored(&[]), LaneTensor::features);
        with_floats(weight, |weight| {
            joint::forward(
                &self.kernels,
                &shape,
                x.features(),
                skip_features,
                weight,
                &mut y,
            );
        })?;
        let operation = Operation::Joint {
            x: x.clone(),
            skip: skip.cloned(),
            weight: weight.clone(),
            shape,
        };
        Ok(self.value(dims(cout), y, operation))
    }

    fn dice_loss(
        &self,
        logits: &LaneTensor,
        target: &LaneTensor,
        batch: usize,
        smooth: f64,
        over: DiceOver,
    ) -> Result<LaneTensor> {
        let [groups, pixels] = one_channel(logits, target, batch)?;
        let smooth = smooth as f32;
        let shape = Dice {
            planes: groups,
            pixels,
            smooth,
        };
        let [mut losses, mut numerator, mut denominator, mut share] =
            [(); 4].map(|()| self.buffers.take(groups * LANES));
        dice::forward(
            &self.kernels,
            &shape,
            &self.in_memory(logits),
            &self.in_memory(target),
            LaneLosses {
                loss: &mut losses,
                numerator: &mut numerator,
                denominator: &mut denominator,
            },
        );
        // A padded lane has no share in the loss.
        share.fill(0.0);
        let loss = match over {
            DiceOver::Image => {
                share[..batch].fill(1.0 / batch as f32);
                losses[..batch].iter().sum::<f32>() / batch as f32
            }
            DiceOver::Batch => {
                share[..batch].fill(1.0);
                // Every lane's sum has the smoothing term in it; the batch's has it once.
                let total = |sums: &[f32]| {
                    sums[..batch].iter().map(|sum| sum - smooth).sum::<f32>() + smooth
                };
                let (n, d) = (total(&numerator), total(&denominator));
                numerator.fill(n);
                denominator.fill(d);
                1.0 - n / d
            }
        };
        let operation = Operation::Dice {
            logits: logits.clone(),
            target: target.clone(),
            shape,
            tables: [numerator, denominator, share],
        };
        Ok(self.number(loss, operation))
    }

    fn cross_entropy(
        &self,
        logits: &LaneTensor,
        target: &LaneTensor,
        batch: usize,
    ) -> Result<LaneTensor> {
        let [groups, pixels] = one_channel(logits, target, batch)?;
        let shape = CrossEntropy {
            planes: groups,
            pixels,
        };
        let [mut sums, mut share] = [(); 2].map(|()| self.buffers.take(groups * LANES));
        cross_entropy::forward(
            &self.kernels,
            &shape,
            &self.in_memory(logits),
            &self.in_memory(target),
            &mut sums,
        );
        let of_pixel = 1.0 / (batch * pixels) as f32;
        // A padded lane has no share in the loss.
        share.fill(0.0);
        share[..batch].fill(of_pixel);
        let means = sums[..batch].iter().map(|sum| sum / pixels as f32);
        let loss = means.sum::<f32>() / batch as f32;
        let operation = Operation::CrossEntropy {
            logits: logits.clone(),
            target: target.clone(),
            shape,
            share,
        };
        Ok(self.number(loss, operation))
    }

    fn draw(&self, distribution: &LaneTensor, noise: &[f32]) -> Result<LaneTensor> {
        let shape = gaussian_of(distribution)?;
        let Gaussian { groups, latent } = shape;
        let images = Images {
            batch: noise.len() / latent.max(1),
            channels: latent,
            pixels: 1,
        };
        if images.plain_len() != noise.len() || images.groups() != groups {
            bail!(
                "{} numbers are no noise for {:?}",
                noise.len(),
                distribution.node.dims
            );
        }
        let [mut packed, mut z] = [(); 2].map(|()| self.buffers.take(images.packed_len()));
        layout::pack(&self.kernels, &images, noise, &mut packed);
        gaussian::draw(&shape, &self.in_memory(distribution), &packed, &mut z);
        let operation = Operation::Draw {
            distribution: distribution.clone(),
            noise: packed,
            shape,
        };
        Ok(self.value([groups, latent, 1, 1], z, operation))
    }

    fn divergence(
        &self,
        posterior: &LaneTensor,
        prior: &LaneTensor,
        batch: usize,
    ) -> Result<LaneTensor> {
        let shape = gaussian_of(posterior)?;
        if prior.node.dims != posterior.node.dims || batch > shape.groups * LANES {
            bail!(
                "{batch} samples do not fit a posterior {:?} and a prior {:?}",
                posterior.node.dims,
                prior.node.dims
            );
        }
        let [mut divergences, mut share] =
            [(); 2].map(|()| self.buffers.take(shape.groups * LANES));
        let [q, p] = [posterior, prior].map(|values| self.in_memory(values));
        gaussian::divergence(&shape, &q, &p, &mut divergences);
        // A padded lane has no share in the loss.
        share.fill(0.0);
        share[..batch].fill(1.0 / batch as f32);
        let loss = divergences[..batch].iter().sum::<f32>() / batch as f32;
        let operation = Operation::Divergence {
            posterior: posterior.clone(),
            prior: prior.clone(),
            shape,
            share,
        };
        Ok(self.number(loss, operation))
    }

    fn sum(&self, losses: &[(LaneTensor, f64)]) -> Result<LaneTensor> {
        let losses = losses.iter();
        let losses: Vec<(LaneTensor, f32)> = losses
            .map(|(loss, weight)| (loss.clone(), *weight as f32))
            .collect();
        let weighted = losses
            .iter()
            .map(|(loss, weight)| self.in_memory(loss)[0] * weight);
        let sum = weighted.sum();
        Ok(self.number(sum, Operation::Sum(losses)))
    }

    fn loss(&self, loss: &LaneTensor) -> Result<f64> {
        Ok(f64::from(self.in_memory(loss)[0]))
    }

    fn backward(
        &self,
        loss: LaneTensor,
        share: f64,
        parameters: &[&Tensor],
        receive: &mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Result<()> {
        let wanted = WantedGradients::new(&loss.node, parameters, receive);
        Backward::new(&self.kernels, &self.buffers, wanted).run(loss, share as f32)
    }
}
