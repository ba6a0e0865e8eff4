//! The layers of a network at their shapes, each on its own.

use std::{cell::RefCell, num::NonZeroUsize};

use candle_core::{DType, Device, Result, Tensor, bail};

use super::{Numbers, distance, drawn, flat};
use crate::{
    engine::{Activation, Affine, Cuda, DiceOver, Engine, Lanes},
    net::UNet,
    seed::Seed,
    train::StepShape,
};

/// A layer of a network: its operation, and the channels, height and width of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A convolution to so many channels, with a kernel and a stride.
    Conv {
        /// Input.
        from: [usize; 3],
        /// Channels.
        to: usize,
        /// Side of the kernel.
        kernel: usize,
        /// Stride.
        stride: usize,
    },
    /// A conditional instance norm with ReLU, with a residual or without.
    Norm {
        /// Input.
        from: [usize; 3],
        /// With a residual.
        residual: bool,
    },
    /// Max pooling.
    Pool {
        /// Input.
        from: [usize; 3],
    },
    /// The decoder's joint to so many channels, with a skip of so many.
    Joint {
        /// Input, before it is upsampled.
        from: [usize; 3],
        /// Channels of the skip.
        skip: usize,
        /// Channels.
        to: usize,
    },
}

/// How a card does with a layer.
#[derive(Clone, Debug)]
pub struct LayerCheck {
    /// The layer.
    pub layer: Layer,
    /// The largest difference from the processor over output and gradients, relative to the
    /// largest number of each, the best of two draws.
    pub off: f64,
    /// Milliseconds on the card for the layer and its gradients, with the two convolutions of one
    /// pixel around it.
    pub ms: f64,
}

/// Checks every layer of a network of this width and size, for a batch of this many images.
///
/// # Errors
/// Where a tensor operation fails.
pub fn check_layers(card: &Cuda, shape: StepShape, each: &mut dyn FnMut(LayerCheck)) -> Result<()> {
    let lanes = Lanes::new(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    for layer in layers(shape)? {
        let mut off = f64::INFINITY;
        for draw in 1..=2 {
            let expected = layer.run(&lanes, shape.batch, draw)?;
            let found = layer.run(card, shape.batch, draw)?;
            let pairs = expected.iter().zip(&found);
            let most = pairs.map(|(a, b)| distance(a, b)).fold(0.0, f64::max);
            if most < off {
                off = most;
            }
        }
        let ms = card.time(&mut || layer.run(card, shape.batch, 1).map(drop))?;
        each(LayerCheck { layer, off, ms });
    }
    Ok(())
}

/// The different layers of a network, in their order.
fn layers(shape: StepShape) -> Result<Vec<Layer>> {
    let spec = crate::manifest::NetworkSpec {
        width: shape.width,
        ..crate::manifest::Recipe::default().network
    };
    let net = UNet::init(&spec, 1, &Seed::new(0), &Device::Cpu)?;
    let list = Listing::default();
    let image = [1, shape.size, shape.size];
    net.forward(&list, &image, &[0])?;
    let mut different = Vec::new();
    for layer in list.layers.into_inner() {
        if !different.contains(&layer) {
            different.push(layer);
        }
    }
    Ok(different)
}

impl Layer {
    /// Output and gradients: of the weight before the layer, which is that of its input, of its own
    /// parameters, of the weight behind it.
    fn run<E: Engine>(&self, engine: &E, batch: usize, draw: u64) -> Result<Numbers> {
        let seed = Seed::new(draw).fork("layer");
        let tensor = |name: &str, shape: &[usize]| {
            let values = drawn(&seed, name, shape.iter().product());
            let values = Tensor::from_vec(values, shape, &Device::Cpu)?;
            Ok::<_, candle_core::Error>(candle_core::Var::from_tensor(&values)?.into_inner())
        };
        let ([channels, height, width], [to, out_height, out_width]) = (self.from(), self.to());
        let first = tensor("first", &[channels, 1, 1, 1])?;
        let last = tensor("last", &[1, to, 1, 1])?;
        let bias = tensor("bias", &[1])?;
        let pixels = drawn(&seed, "pixels", batch * height * width);
        let x = engine.conv(&engine.pack(&pixels, [batch, 1, height, width])?, &first, 1)?;
        let own = match *self {
            Self::Conv { kernel, .. } => vec![tensor("weight", &[to, channels, kernel, kernel])?],
            Self::Norm { .. } => vec![tensor("scale", &[to])?, tensor("shift", &[to])?],
            Self::Pool { .. } => vec![],
            Self::Joint { skip, .. } => vec![tensor("weight", &[to, channels + skip, 3, 3])?],
        };
        let y = match *self {
            Self::Conv { stride, .. } => engine.conv(&x, &own[0], stride)?,
            Self::Norm { residual, .. } => {
                let affine = Affine {
                    gamma: &own[..1],
                    beta: &own[1..],
                    route: &engine.route(&vec![0; batch]),
                };
                engine.norm(&x, affine, 1e-5, residual.then_some(&x), Activation::Relu)?
            }
            Self::Pool { .. } => {
                // Behind a ReLU, as in the network.
                let affine = Affine {
                    gamma: &[Tensor::ones(channels, DType::F32, &Device::Cpu)?],
                    beta: &[Tensor::zeros(channels, DType::F32, &Device::Cpu)?],
                    route: &engine.route(&vec![0; batch]),
                };
                engine.max_pool(&engine.norm(&x, affine, 1e-5, None, Activation::Relu)?)?
            }
            Self::Joint { skip: 0, .. } => engine.joint_conv(&x, None, &own[0])?,
            Self::Joint { skip, .. } => {
                let large = drawn(&seed, "skip", batch * skip * out_height * out_width);
                let skip = engine.pack(&large, [batch, skip, out_height, out_width])?;
                engine.joint_conv(&x, Some(&skip), &own[0])?
            }
        };
        let mut numbers = vec![flat(&engine.unpack(&y, batch)?)?];
        let logits = engine.conv_bias(&y, &last, &bias, Activation::Linear)?;
        let target = drawn(&seed, "target", batch * out_height * out_width);
        let target: Vec<f32> = target
            .iter()
            .map(|v| f32::from(u8::from(*v > 0.0)))
            .collect();
        let target = engine.pack(&target, [batch, 1, out_height, out_width])?;
        let loss = engine.dice_loss(&logits, &target, batch, 1e-2, DiceOver::Image)?;
        let parameters: Vec<&Tensor> = [&first, &last].into_iter().chain(&own).collect();
        for gradient in engine.gradients(loss, 1.0, &parameters)? {
            numbers.push(gradient.as_ref().map_or(Ok(Vec::new()), flat)?);
        }
        Ok(numbers)
    }

    /// Channels, height and width of its input.
    fn from(&self) -> [usize; 3] {
        match *self {
            Self::Conv { from, .. }
            | Self::Norm { from, .. }
            | Self::Pool { from }
            | Self::Joint { from, .. } => from,
        }
    }

    /// Channels, height and width of its output.
    fn to(&self) -> [usize; 3] {
        let [channels, height, width] = self.from();
        match *self {
            Self::Conv { to, stride, .. } => [to, height.div_ceil(stride), width.div_ceil(stride)],
            Self::Norm { .. } => [channels, height, width],
            Self::Pool { .. } => [channels, height.div_ceil(2), width.div_ceil(2)],
            Self::Joint { to, .. } => [to, 2 * height, 2 * width],
        }
    }

    /// Its name and shape.
    pub fn name(&self) -> String {
        let [channels, height, width] = self.from();
        let size = format!("{height}x{width}");
        match *self {
            Self::Conv {
                to, kernel, stride, ..
            } => format!("conv {kernel}x{kernel}/{stride}, {channels} to {to}, {size}"),
            Self::Norm { residual, .. } => {
                let residual = if residual { " with residual" } else { "" };
                format!("norm{residual}, {channels}, {size}")
            }
            Self::Pool { .. } => format!("max pool, {channels}, {size}"),
            Self::Joint { skip, to, .. } => {
                format!("joint, {channels} and {skip} to {to}, {size}")
            }
        }
    }
}

/// An engine that computes nothing: it notes the layers of a network.
#[derive(Debug, Default)]
struct Listing {
    layers: RefCell<Vec<Layer>>,
}

impl Listing {
    fn note(&self, layer: Layer) -> Result<[usize; 3]> {
        self.layers.borrow_mut().push(layer);
        Ok(layer.to())
    }

    fn not_here<T>() -> Result<T> {
        bail!("the layers of a network with one branch are listed")
    }
}

impl Engine for Listing {
    type Tensor = [usize; 3];
    type Route = ();

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn batches_ahead(&self) -> usize {
        0
    }

    fn pack(
        &self,
        _pixels: &[f32],
        [_, channels, height, width]: [usize; 4],
    ) -> Result<[usize; 3]> {
        Ok([channels, height, width])
    }

    fn unpack(&self, _x: &[usize; 3], _batch: usize) -> Result<Tensor> {
        Self::not_here()
    }

    fn route(&self, _experts: &[usize]) {}

    fn conv(&self, x: &[usize; 3], weight: &Tensor, stride: usize) -> Result<[usize; 3]> {
        let (to, _, kernel, _) = weight.dims4()?;
        let from = *x;
        self.note(Layer::Conv {
            from,
            to,
            kernel,
            stride,
        })
    }

    fn conv_bias(
        &self,
        x: &[usize; 3],
        weight: &Tensor,
        _bias: &Tensor,
        _activation: Activation,
    ) -> Result<[usize; 3]> {
        self.conv(x, weight, 1)
    }

    fn norm(
        &self,
        x: &[usize; 3],
        _affine: Affine<'_, Self>,
        _eps: f64,
        residual: Option<&[usize; 3]>,
        _activation: Activation,
    ) -> Result<[usize; 3]> {
        self.note(Layer::Norm {
            from: *x,
            residual: residual.is_some(),
        })
    }

    fn max_pool(&self, x: &[usize; 3]) -> Result<[usize; 3]> {
        self.note(Layer::Pool { from: *x })
    }

    fn mean_pool(&self, _x: &[usize; 3]) -> Result<[usize; 3]> {
        Self::not_here()
    }

    fn mean(&self, _x: &[usize; 3]) -> Result<[usize; 3]> {
        Self::not_here()
    }

    fn shift(&self, _x: &[usize; 3], _by: &[usize; 3], _: Activation) -> Result<[usize; 3]> {
        Self::not_here()
    }

    fn joint_conv(
        &self,
        x: &[usize; 3],
        skip: Option<&[usize; 3]>,
        weight: &Tensor,
    ) -> Result<[usize; 3]> {
        self.note(Layer::Joint {
            from: *x,
            skip: skip.map_or(0, |skip| skip[0]),
            to: weight.dim(0)?,
        })
    }

    fn dice_loss(
        &self,
        _logits: &[usize; 3],
        _target: &[usize; 3],
        _batch: usize,
        _smooth: f64,
        _over: DiceOver,
    ) -> Result<[usize; 3]> {
        Self::not_here()
    }

    fn cross_entropy(&self, _: &[usize; 3], _: &[usize; 3], _: usize) -> Result<[usize; 3]> {
        Self::not_here()
    }

    fn draw(&self, _distribution: &[usize; 3], _noise: &[f32]) -> Result<[usize; 3]> {
        Self::not_here()
    }

    fn divergence(&self, _: &[usize; 3], _: &[usize; 3], _: usize) -> Result<[usize; 3]> {
        Self::not_here()
    }

    fn sum(&self, _losses: &[([usize; 3], f64)]) -> Result<[usize; 3]> {
        Self::not_here()
    }

    fn loss(&self, _loss: &[usize; 3]) -> Result<f64> {
        Self::not_here()
    }

    fn backward(
        &self,
        _loss: [usize; 3],
        _share: f64,
        _parameters: &[&Tensor],
        _receive: &mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Result<()> {
        Self::not_here()
    }
}
