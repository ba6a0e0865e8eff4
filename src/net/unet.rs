//! The U-Net: its layers and its forward pass.
//!
//! Encoder: convolution 7x7/2, norm, ReLU; max-pooling; four layers of two basic blocks. Decoder:
//! five blocks of upsampling, concatenation with the encoder's features, two convolutions. Head:
//! a convolution 3x3 with bias. At width 64 it has 14,321,937 parameters, 11,584 of them in the
//! norms of one expert. Source: segmentation_models_pytorch, `Unet("resnet18", in_channels=1)`.

use candle_core::{DType, Device, Result, Tensor};

use super::{
    init,
    parameters::{Parameter, Part, Registry, Values},
};
use crate::{
    engine::{Activation, Affine, Engine},
    manifest::NetworkSpec,
    seed::Seed,
};

/// The network of one training: shared layers, and one set of norms per expert.
#[derive(Debug)]
pub struct UNet {
    eps: f64,
    experts: usize,
    parameters: Vec<Parameter>,
    stem: ConvNorm,
    layers: Vec<[BasicBlock; 2]>,
    blocks: Vec<[ConvNorm; 2]>,
    head: (Tensor, Tensor),
}

/// A convolution without bias and the norm behind it.
#[derive(Debug)]
struct ConvNorm {
    weight: Tensor,
    stride: usize,
    gamma: Vec<Tensor>,
    beta: Vec<Tensor>,
}

/// `relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))`.
#[derive(Debug)]
struct BasicBlock {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

/// The number of parameters of a network, without making it: 3,492 15/16 times the squared width in
/// 3x3 and 1x1 convolutions, the first convolution and the head, and the norms of every expert.
pub fn count(width: usize, experts: usize) -> u64 {
    let (width, experts) = (width as u64, experts as u64);
    // The encoder's blocks at 1, 2, 4 and 8 widths, then the decoder's from 4 widths down to a
    // quarter.
    let sixteenths = 16 * (36 + 128 + 512 + 2048 + 576 + 144 + 36) + 180 + 27;
    width * width * sixteenths / 16 + 49 * width + 9 * width / 4 + 1 + 181 * width * experts
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
        Self::with_values(
            spec,
            experts,
            device,
            DType::F32,
            &mut |name, part, shape| Ok(init::values(seed, spec.first_conv, name, part, shape)),
        )
    }

    /// A network whose values come from elsewhere: a checkpoint, a test.
    pub fn with_values(
        spec: &NetworkSpec,
        experts: usize,
        device: &Device,
        dtype: DType,
        values: &mut Values<'_>,
    ) -> Result<Self> {
        let mut make = Registry::new(device, dtype, values);
        let w = spec.width;
        let widths = [w, 2 * w, 4 * w, 8 * w];
        let stem = ConvNorm::new(
            &mut make,
            ("encoder.conv1", "encoder.bn1"),
            (1, w, 7, 2),
            experts,
        )?;
        let mut layers = Vec::new();
        let mut inputs = w;
        for (i, outputs) in widths.into_iter().enumerate() {
            let stride = if i == 0 { 1 } else { 2 };
            let name = |block: usize| format!("encoder.layer{}.{block}", i + 1);
            layers.push([
                BasicBlock::new(&mut make, &name(0), (inputs, outputs, stride), experts)?,
                BasicBlock::new(&mut make, &name(1), (outputs, outputs, 1), experts)?,
            ]);
            inputs = outputs;
        }
        let skips = [4 * w, 2 * w, w, w, 0];
        let outputs = [4 * w, 2 * w, w, w / 2, w / 4];
        let mut blocks = Vec::new();
        for (i, (skip, outputs)) in skips.into_iter().zip(outputs).enumerate() {
            let mut conv = |j: usize, inputs| {
                let conv = format!("decoder.blocks.{i}.conv{j}.0");
                let norm = format!("decoder.blocks.{i}.conv{j}.1");
                ConvNorm::new(&mut make, (&conv, &norm), (inputs, outputs, 3, 1), experts)
            };
            blocks.push([conv(1, inputs + skip)?, conv(2, outputs)?]);
            inputs = outputs;
        }
        let head = (
            make.make(
                "segmentation_head.0.weight",
                Part::Shared,
                &[1, inputs, 3, 3],
            )?,
            make.make("segmentation_head.0.bias", Part::Shared, &[1])?,
        );
        Ok(Self {
            eps: spec.norm_eps,
            experts,
            parameters: make.parameters,
            stem,
            layers,
            blocks,
            head,
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
        let f1 = self.stem.forward(&pass, x.clone(), None, relu)?;
        let mut y = engine.max_pool(&f1)?;
        let mut skips = vec![f1];
        for layer in &self.layers {
            for block in layer {
                y = block.forward(&pass, &y)?;
            }
            skips.push(y.clone());
        }
        // The deepest features are the decoder's input, not a skip.
        skips.pop();
        for [first, second] in &self.blocks {
            y = engine.joint_conv(&y, skips.pop().as_ref(), &first.weight)?;
            y = first.normed(&pass, &y, None, relu)?;
            y = second.forward(&pass, y, None, relu)?;
        }
        let (weight, bias) = &self.head;
        engine.conv_bias(&y, weight, bias)
    }
}

impl ConvNorm {
    fn new(
        make: &mut Registry<'_>,
        (conv, norm): (&str, &str),
        (inputs, outputs, kernel, stride): (usize, usize, usize, usize),
        experts: usize,
    ) -> Result<Self> {
        let weight = make.make(
            &format!("{conv}.weight"),
            Part::Shared,
            &[outputs, inputs, kernel, kernel],
        )?;
        let mut per_expert = |name: &str| -> Result<Vec<Tensor>> {
            (0..experts)
                .map(|e| make.make(&format!("{norm}.{name}"), Part::Expert(e), &[outputs]))
                .collect()
        };
        Ok(Self {
            weight,
            stride,
            gamma: per_expert("weight")?,
            beta: per_expert("bias")?,
        })
    }

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

impl BasicBlock {
    fn new(
        make: &mut Registry<'_>,
        name: &str,
        (inputs, outputs, stride): (usize, usize, usize),
        experts: usize,
    ) -> Result<Self> {
        let mut conv = |conv: &str, norm: &str, shape| {
            let (conv, norm) = (format!("{name}.{conv}"), format!("{name}.{norm}"));
            ConvNorm::new(make, (&conv, &norm), shape, experts)
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
