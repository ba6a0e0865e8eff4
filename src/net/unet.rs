//! The U-Net: its layers and its forward pass.
//!
//! Encoder: convolution 7x7/2, norm, ReLU; max-pooling; four layers of two basic blocks. Decoder:
//! five blocks of upsampling, concatenation with the encoder's features, two convolutions. Head:
//! a convolution 3x3 with bias. At width 64 it has 14,321,937 parameters, 11,584 of them in the
//! norms of one expert. Source: segmentation_models_pytorch, `Unet("resnet18", in_channels=1)`.

use std::convert::Infallible;

use candle_core::{DType, Device, Result, Tensor};

use super::{
    branches::{Branches, ExpertLayers},
    init::Initialiser,
    latent::{Comb, GaussianNet},
    parameters::{Declaration, Make, Parameter, Part, Registry, ValueSource},
};
use crate::{
    engine::{Activation, Affine, Engine},
    manifest::{FirstConv, NetworkSpec},
    seed::Seed,
};

/// The network of one training: shared layers, and one set of norms or one head per expert.
#[derive(Debug)]
pub struct UNet {
    eps: f64,
    branches: Branches,
    parameters: Vec<Parameter>,
    layers: Layers<Tensor>,
}

/// The layers, with a `T` for each parameter: its tensor, or nothing where parameters are counted.
#[derive(Debug)]
struct Layers<T> {
    stem: ConvNorm<T>,
    encoder: Vec<[BasicBlock<T>; 2]>,
    decoder: Vec<[ConvNorm<T>; 2]>,
    last: Last<T>,
    latent: Option<LatentNets<T>>,
}

/// From features to logits.
#[derive(Debug)]
enum Last<T> {
    /// Weight and bias of each head.
    Heads(Vec<(T, T)>),
    Comb(Comb<T>),
}

/// The networks that give distributions of a latent.
#[derive(Debug)]
struct LatentNets<T> {
    /// Of an image.
    prior: GaussianNet<T>,
    /// Of an image and a mask.
    posterior: GaussianNet<T>,
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

/// The number of parameters of a network, without making it.
pub fn count(spec: &NetworkSpec, branches: impl Into<Branches>) -> u64 {
    let mut count = 0;
    let Ok(_) = Layers::declare(spec, &branches.into(), &mut |declared| {
        count += declared.len() as u64;
        Ok::<(), Infallible>(())
    });
    count
}

/// The parts of a forward pass that all layers share.
struct Pass<'a, E: Engine> {
    engine: &'a E,
    /// Which of the norms each sample goes through.
    norms: E::Route,
    eps: f64,
}

impl UNet {
    /// A network in its initial state.
    pub fn init(
        spec: &NetworkSpec,
        branches: impl Into<Branches>,
        seed: &Seed,
        device: &Device,
    ) -> Result<Self> {
        Self::with_values(spec, branches, device, DType::F32, &mut |declared| {
            Ok(declared.initial_values(seed))
        })
    }

    /// A network whose values come from elsewhere: a checkpoint, a test.
    ///
    /// # Errors
    /// Those of `values`, and where a tensor cannot be made.
    pub fn with_values(
        spec: &NetworkSpec,
        branches: impl Into<Branches>,
        device: &Device,
        dtype: DType,
        values: &mut ValueSource<'_>,
    ) -> Result<Self> {
        Self::build(spec, branches.into(), device, dtype, values)
    }

    /// As [`Self::with_values`], with the errors of any source of values.
    pub(super) fn build<E: From<candle_core::Error>>(
        spec: &NetworkSpec,
        branches: Branches,
        device: &Device,
        dtype: DType,
        values: &mut ValueSource<'_, E>,
    ) -> std::result::Result<Self, E> {
        let mut registry = Registry::new(device, dtype);
        let layers = Layers::declare(spec, &branches, &mut |declared| {
            let values = values(declared)?;
            Ok::<_, E>(registry.make(declared, values)?)
        })?;
        Ok(Self {
            eps: spec.norm_eps,
            branches,
            parameters: registry.parameters,
            layers,
        })
    }

    /// Its branches.
    pub fn branches(&self) -> &Branches {
        &self.branches
    }

    /// Whether the samples of one batch can go through different branches: through different norms
    /// they can, through different heads they cannot.
    pub fn mixes_branches(&self) -> bool {
        self.branches.layers == ExpertLayers::Norms || self.branches.count == 1
    }

    /// Every parameter, in the network's order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The logits of a packed batch, packed; `branches` names the branch of each sample.
    ///
    /// # Errors
    /// A tensor operation fails, or samples ask for different branches that
    /// [cannot share a batch](Self::mixes_branches).
    pub fn forward<E: Engine>(
        &self,
        engine: &E,
        x: &E::Tensor,
        branches: &[usize],
    ) -> Result<E::Tensor> {
        let first = branches.first().copied().unwrap_or(0);
        if !self.mixes_branches() && branches.iter().any(|branch| *branch != first) {
            candle_core::bail!("a batch goes through one head");
        }
        let features = self.features(engine, x, branches)?;
        match &self.layers.latent {
            None => self.logits(engine, &features, first),
            // The mean of the prior.
            Some(_) => self.decode_drawn(
                engine,
                x,
                &features,
                &vec![0.0; branches.len() * self.branches.latent()],
            ),
        }
    }

    /// The logits of a packed batch with a latent for each image that is drawn from its prior;
    /// `noise` is `[B, d]`, row-major.
    ///
    /// # Errors
    /// A tensor operation fails, or the network takes no latent.
    pub fn sample<E: Engine>(&self, engine: &E, x: &E::Tensor, noise: &[f32]) -> Result<E::Tensor> {
        self.latent()?;
        let count = noise.len() / self.branches.latent();
        let features = self.features(engine, x, &vec![0; count])?;
        self.decode_drawn(engine, x, &features, noise)
    }

    fn decode_drawn<E: Engine>(
        &self,
        engine: &E,
        x: &E::Tensor,
        features: &E::Tensor,
        noise: &[f32],
    ) -> Result<E::Tensor> {
        let latent = engine.draw(&self.prior(engine, x)?, noise)?;
        self.decode(engine, features, &latent)
    }

    /// The distribution of the latent of each image of a packed batch, `[B, 2 d, 1, 1]`.
    ///
    /// # Errors
    /// A tensor operation fails, or the network has no latent.
    pub fn prior<E: Engine>(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        self.latent()?.prior.forward(engine, x)
    }

    /// The distribution of the latent of each image with its mask, `[B, 2 d, 1, 1]`; a packed batch
    /// of two channels, of which the second is the mask less 1/2.
    ///
    /// # Errors
    /// A tensor operation fails, or the network has no latent.
    pub fn posterior<E: Engine>(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        self.latent()?.posterior.forward(engine, x)
    }

    fn latent(&self) -> Result<&LatentNets<Tensor>> {
        match &self.layers.latent {
            Some(nets) => Ok(nets),
            None => candle_core::bail!("the network has no latent"),
        }
    }

    /// The logits of [features](Self::features) with the latent of each sample, `[B, d, 1, 1]`.
    ///
    /// # Errors
    /// A tensor operation fails, or the network takes no latent.
    pub fn decode<E: Engine>(
        &self,
        engine: &E,
        features: &E::Tensor,
        latent: &E::Tensor,
    ) -> Result<E::Tensor> {
        match &self.layers.last {
            Last::Comb(comb) => comb.forward(engine, features, Some(latent)),
            Last::Heads(_) => candle_core::bail!("the network takes no latent"),
        }
    }

    /// What the heads read of a packed batch, packed; `branches` names the branch of each sample,
    /// where branches differ before the heads.
    pub fn features<E: Engine>(
        &self,
        engine: &E,
        x: &E::Tensor,
        branches: &[usize],
    ) -> Result<E::Tensor> {
        let only = vec![0; branches.len()];
        let norms = match self.branches.layers {
            ExpertLayers::Norms => branches,
            ExpertLayers::Head | ExpertLayers::Comb => &only,
        };
        let pass = Pass {
            engine,
            norms: engine.route(norms),
            eps: self.eps,
        };
        let relu = Activation::Relu;
        let Layers {
            stem,
            encoder,
            decoder,
            last: _,
            latent: _,
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
        Ok(y)
    }

    /// The logits of [features](Self::features) by a branch's head.
    ///
    /// # Errors
    /// A tensor operation fails, or there is no such branch.
    pub fn logits<E: Engine>(
        &self,
        engine: &E,
        features: &E::Tensor,
        branch: usize,
    ) -> Result<E::Tensor> {
        let heads = match &self.layers.last {
            Last::Heads(heads) => heads,
            Last::Comb(comb) => return comb.forward(engine, features, None),
        };
        let head = match self.branches.layers {
            ExpertLayers::Norms | ExpertLayers::Comb => 0,
            ExpertLayers::Head => branch,
        };
        let Some((weight, bias)) = heads.get(head) else {
            candle_core::bail!("there is no head {head} of {}", heads.len());
        };
        engine.conv_bias(features, weight, bias, Activation::Linear)
    }
}

impl<T> Layers<T> {
    /// Declares every parameter, in the network's order.
    fn declare<E>(
        spec: &NetworkSpec,
        branches: &Branches,
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
            branches,
        )?;
        let mut encoder = Vec::new();
        let mut inputs = w;
        for (i, outputs) in widths.into_iter().enumerate() {
            let stride = if i == 0 { 1 } else { 2 };
            let name = |block: usize| format!("encoder.layer{}.{block}", i + 1);
            encoder.push([
                BasicBlock::declare(make, &name(0), (inputs, outputs, stride), branches)?,
                BasicBlock::declare(make, &name(1), (outputs, outputs, 1), branches)?,
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
                ConvNorm::declare(make, (&conv, &norm), shape, initialiser, branches)
            };
            decoder.push([conv(1, inputs + skip)?, conv(2, outputs)?]);
            inputs = outputs;
        }
        let last = match branches.layers {
            ExpertLayers::Norms | ExpertLayers::Head => {
                Last::Heads(Self::declare_heads(make, inputs, branches)?)
            }
            ExpertLayers::Comb => Last::Comb(Comb::declare(make, inputs, branches)?),
        };
        let latent = match branches.latent() {
            0 => None,
            latent => Some(LatentNets {
                prior: GaussianNet::declare(make, "latent.prior", [1, latent], w)?,
                posterior: GaussianNet::declare(make, "latent.posterior", [2, latent], w)?,
            }),
        };
        Ok(Self {
            stem,
            encoder,
            decoder,
            last,
            latent,
        })
    }

    /// Declares the head of each branch, or the only one.
    fn declare_heads<E>(
        make: &mut Make<'_, T, E>,
        inputs: usize,
        branches: &Branches,
    ) -> std::result::Result<Vec<(T, T)>, E> {
        let heads = branches.parts(ExpertLayers::Head).into_iter().map(|part| {
            let mut declare = |name, shape: &[usize], initialiser| {
                make(&Declaration {
                    name,
                    part,
                    shape,
                    initialiser,
                    owner: branches.owner(part),
                })
            };
            let weight = Initialiser::XavierUniform;
            Ok((
                declare("segmentation_head.0.weight", &[1, inputs, 3, 3], weight)?,
                declare("segmentation_head.0.bias", &[1], Initialiser::Constant(0.0))?,
            ))
        });
        heads.collect()
    }
}

impl<T> ConvNorm<T> {
    /// Declares the weight, then each expert's scale, then each expert's shift.
    fn declare<E>(
        make: &mut Make<'_, T, E>,
        (conv, norm): (&str, &str),
        (inputs, outputs, kernel, stride): (usize, usize, usize, usize),
        initialiser: Initialiser,
        branches: &Branches,
    ) -> std::result::Result<Self, E> {
        let weight = make(&Declaration {
            name: &format!("{conv}.weight"),
            part: Part::Shared,
            shape: &[outputs, inputs, kernel, kernel],
            initialiser,
            owner: None,
        })?;
        let parts = branches.parts(ExpertLayers::Norms);
        let mut per_expert = |name: &str, value: f32| {
            let parts = parts.iter();
            parts
                .map(|part| {
                    make(&Declaration {
                        name: &format!("{norm}.{name}"),
                        part: *part,
                        shape: &[outputs],
                        initialiser: Initialiser::Constant(value),
                        owner: None,
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
            route: &pass.norms,
        };
        pass.engine.norm(y, affine, pass.eps, residual, activation)
    }
}

impl<T> BasicBlock<T> {
    fn declare<E>(
        make: &mut Make<'_, T, E>,
        name: &str,
        (inputs, outputs, stride): (usize, usize, usize),
        branches: &Branches,
    ) -> std::result::Result<Self, E> {
        let mut conv = |conv: &str, norm: &str, shape| {
            let (conv, norm) = (format!("{name}.{conv}"), format!("{name}.{norm}"));
            let initialiser = Initialiser::KaimingNormal;
            ConvNorm::declare(make, (&conv, &norm), shape, initialiser, branches)
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
