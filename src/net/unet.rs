//! The U-Net: its layers and its forward pass.
//!
//! Encoder: convolution 7x7/2, norm, ReLU; max-pooling; four layers of two basic blocks. Decoder:
//! five blocks of upsampling, concatenation with the encoder's features, two convolutions. Head:
//! a convolution 3x3 with bias. At width 64 it has 14,321,937 parameters, 11,584 of them in the
//! norms of one expert. Source: segmentation_models_pytorch, `Unet("resnet18", in_channels=1)`.

use std::convert::Infallible;

use candle_core::{DType, Device, Result, Tensor};

use super::{
    init::Initialiser,
    parameters::{Declaration, Parameter, Part, Registry, ValueSource},
};
use crate::{
    engine::{Activation, Affine, Engine},
    manifest::{FirstConv, NetworkSpec},
    seed::Seed,
};

/// The network of one training: shared layers, and one set of norms per expert.
#[derive(Debug)]
pub struct UNet {
    eps: f64,
    experts: usize,
    parameters: Vec<Parameter>,
    layers: Layers<Tensor>,
}

/// The layers, with a `T` for each parameter: its tensor, or nothing where parameters are counted.
#[derive(Debug)]
struct Layers<T> {
    stem: ConvNorm<T>,
    encoder: Vec<[BasicBlock<T>; 2]>,
    decoder: Vec<[ConvNorm<T>; 2]>,
    /// Weight and bias.
    head: (T, T),
}

/// A convolution without bias and the norm behind it.
#[derive(Debug)]
struct ConvNorm<T> {
    weight: T,
    stride: usize,
    gamma: Vec<T>,
    beta: Vec<T>,
}

/// `relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))`.
#[derive(Debug)]
struct BasicBlock<T> {
    first: ConvNorm<T>,
    second: ConvNorm<T>,
    shortcut: Option<ConvNorm<T>>,
}

/// Makes what stands for a declared parameter.
type Make<'a, T, E> = dyn FnMut(&Declaration<'_>) -> std::result::Result<T, E> + 'a;

/// The number of parameters of a network of so many experts, without making it.
pub fn count(spec: &NetworkSpec, experts: usize) -> u64 {
    let mut count = 0;
    let Ok(_) = Layers::declare(spec, experts, &mut |declared| {
        count += declared.len() as u64;
        Ok::<(), Infallible>(())
    });
    count
}

/// The parts of a forward pass that all layers share.
struct Pass<'a, E> {
    engine: &'a E,
    experts: &'a [usize],
    eps: f64,
}

impl UNet {
    /// A network in its initial state.
    pub fn init(spec: &NetworkSpec, experts: usize, seed: &Seed, device: &Device) -> Result<Self> {
        Self::with_values(spec, experts, device, DType::F32, &mut |declared| {
            Ok(declared.initial_values(seed))
        })
    }

    /// A network whose values come from elsewhere: a checkpoint, a test.
    ///
    /// # Errors
    /// Those of `values`, and where a tensor cannot be made.
    pub fn with_values(
        spec: &NetworkSpec,
        experts: usize,
        device: &Device,
        dtype: DType,
        values: &mut ValueSource<'_>,
    ) -> Result<Self> {
        Self::build(spec, experts, device, dtype, values)
    }

    /// As [`Self::with_values`], with the errors of any source of values.
    pub(super) fn build<E: From<candle_core::Error>>(
        spec: &NetworkSpec,
        experts: usize,
        device: &Device,
        dtype: DType,
        values: &mut ValueSource<'_, E>,
    ) -> std::result::Result<Self, E> {
        let mut registry = Registry::new(device, dtype);
        let layers = Layers::declare(spec, experts, &mut |declared| {
            let values = values(declared)?;
            Ok::<_, E>(registry.make(declared, values)?)
        })?;
        Ok(Self {
            eps: spec.norm_eps,
            experts,
            parameters: registry.parameters,
            layers,
        })
    }

    /// How many experts' branches it has.
    pub fn experts(&self) -> usize {
        self.experts
    }

    /// Every parameter, in the network's order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The logits of a packed batch, packed; `experts` names the branch of each sample.
    pub fn forward<E: Engine>(
        &self,
        engine: &E,
        x: &E::Tensor,
        experts: &[usize],
    ) -> Result<E::Tensor> {
        let pass = Pass {
            engine,
            experts,
            eps: self.eps,
        };
        let relu = Activation::Relu;
        let Layers {
            stem,
            encoder,
            decoder,
            head: (weight, bias),
        } = &self.layers;
        let f1 = stem.forward(&pass, x.clone(), None, relu)?;
        let mut y = engine.max_pool(&f1)?;
        let mut skips = vec![f1];
        for layer in encoder {
            for block in layer {
                y = block.forward(&pass, &y)?;
            }
            skips.push(y.clone());
        }
        // The deepest features are the decoder's input, not a skip.
        skips.pop();
        for [first, second] in decoder {
            y = engine.joint_conv(&y, skips.pop().as_ref(), &first.weight)?;
            y = first.normed(&pass, &y, None, relu)?;
            y = second.forward(&pass, y, None, relu)?;
        }
        engine.conv_bias(&y, weight, bias)
    }
}

impl<T> Layers<T> {
    /// Declares every parameter, in the network's order.
    fn declare<E>(
        spec: &NetworkSpec,
        experts: usize,
        make: &mut Make<'_, T, E>,
    ) -> std::result::Result<Self, E> {
        let w = spec.width;
        let widths = [w, 2 * w, 4 * w, 8 * w];
        let stem = ConvNorm::declare(
            make,
            ("encoder.conv1", "encoder.bn1"),
            (1, w, 7, 2),
            match spec.first_conv {
                FirstConv::Uniform => Initialiser::PyTorchDefault,
                FirstConv::Kaiming => Initialiser::KaimingNormal,
            },
            experts,
        )?;
        let mut encoder = Vec::new();
        let mut inputs = w;
        for (i, outputs) in widths.into_iter().enumerate() {
            let stride = if i == 0 { 1 } else { 2 };
            let name = |block: usize| format!("encoder.layer{}.{block}", i + 1);
            encoder.push([
                BasicBlock::declare(make, &name(0), (inputs, outputs, stride), experts)?,
                BasicBlock::declare(make, &name(1), (outputs, outputs, 1), experts)?,
            ]);
            inputs = outputs;
        }
        let skips = [4 * w, 2 * w, w, w, 0];
        let outputs = [4 * w, 2 * w, w, w / 2, w / 4];
        let mut decoder = Vec::new();
        for (i, (skip, outputs)) in skips.into_iter().zip(outputs).enumerate() {
            let mut conv = |j: usize, inputs| {
                let conv = format!("decoder.blocks.{i}.conv{j}.0");
                let norm = format!("decoder.blocks.{i}.conv{j}.1");
                let shape = (inputs, outputs, 3, 1);
                let initialiser = Initialiser::KaimingUniform;
                ConvNorm::declare(make, (&conv, &norm), shape, initialiser, experts)
            };
            decoder.push([conv(1, inputs + skip)?, conv(2, outputs)?]);
            inputs = outputs;
        }
        let head = (
            make(&Declaration {
                name: "segmentation_head.0.weight",
                part: Part::Shared,
                shape: &[1, inputs, 3, 3],
                initialiser: Initialiser::XavierUniform,
            })?,
            make(&Declaration {
                name: "segmentation_head.0.bias",
                part: Part::Shared,
                shape: &[1],
                initialiser: Initialiser::Constant(0.0),
            })?,
        );
        Ok(Self {
            stem,
            encoder,
            decoder,
            head,
        })
    }
}

impl<T> ConvNorm<T> {
    /// Declares the weight, then each expert's scale, then each expert's shift.
    fn declare<E>(
        make: &mut Make<'_, T, E>,
        (conv, norm): (&str, &str),
        (inputs, outputs, kernel, stride): (usize, usize, usize, usize),
        initialiser: Initialiser,
        experts: usize,
    ) -> std::result::Result<Self, E> {
        let weight = make(&Declaration {
            name: &format!("{conv}.weight"),
            part: Part::Shared,
            shape: &[outputs, inputs, kernel, kernel],
            initialiser,
        })?;
        let mut per_expert = |name: &str, value: f32| {
            (0..experts)
                .map(|expert| {
                    make(&Declaration {
                        name: &format!("{norm}.{name}"),
                        part: Part::Expert(expert),
                        shape: &[outputs],
                        initialiser: Initialiser::Constant(value),
                    })
                })
                .collect::<std::result::Result<Vec<T>, E>>()
        };
        Ok(Self {
            weight,
            stride,
            gamma: per_expert("weight", 1.0)?,
            beta: per_expert("bias", 0.0)?,
        })
    }
}

impl ConvNorm<Tensor> {
    /// Features are freed as soon as they are read, so that a step's memory is little more than
    /// what the backward pass needs.
    fn forward<E: Engine>(
        &self,
        pass: &Pass<'_, E>,
        x: E::Tensor,
        residual: Option<&E::Tensor>,
        activation: Activation,
    ) -> Result<E::Tensor> {
        let y = pass.engine.conv(&x, &self.weight, self.stride)?;
        drop(x);
        self.normed(pass, &y, residual, activation)
    }

    /// What follows the convolution.
    fn normed<E: Engine>(
        &self,
        pass: &Pass<'_, E>,
        y: &E::Tensor,
        residual: Option<&E::Tensor>,
        activation: Activation,
    ) -> Result<E::Tensor> {
        let affine = Affine {
            gamma: &self.gamma,
            beta: &self.beta,
            experts: pass.experts,
        };
        pass.engine.norm(y, affine, pass.eps, residual, activation)
    }
}

impl<T> BasicBlock<T> {
    fn declare<E>(
        make: &mut Make<'_, T, E>,
        name: &str,
        (inputs, outputs, stride): (usize, usize, usize),
        experts: usize,
    ) -> std::result::Result<Self, E> {
        let mut conv = |conv: &str, norm: &str, shape| {
            let (conv, norm) = (format!("{name}.{conv}"), format!("{name}.{norm}"));
            let initialiser = Initialiser::KaimingNormal;
            ConvNorm::declare(make, (&conv, &norm), shape, initialiser, experts)
        };
        let first = conv("conv1", "bn1", (inputs, outputs, 3, stride))?;
        let second = conv("conv2", "bn2", (outputs, outputs, 3, 1))?;
        let shortcut = match stride != 1 || inputs != outputs {
            true => Some(conv(
                "downsample.0",
                "downsample.1",
                (inputs, outputs, 1, stride),
            )?),
            false => None,
        };
        Ok(Self {
            first,
            second,
            shortcut,
        })
    }
}

impl BasicBlock<Tensor> {
    fn forward<E: Engine>(&self, pass: &Pass<'_, E>, x: &E::Tensor) -> Result<E::Tensor> {
        let y = self
            .first
            .forward(pass, x.clone(), None, Activation::Relu)?;
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(pass, x.clone(), None, Activation::Linear)?,
            None => x.clone(),
        };
        self.second
            .forward(pass, y, Some(&shortcut), Activation::Relu)
    }
}
