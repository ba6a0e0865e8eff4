//! The parts of a probabilistic U-Net (Kohl et al., arXiv 1806.05034): two networks that give the
//! distribution of a latent, of an image or of an image with a mask, and the layers that turn
//! features and a latent into logits.
//!
//! A distribution network has four blocks of three 3x3 convolutions with bias and ReLU, of w/2, w,
//! 2w and 3w channels, with means of 2x2 between blocks; then a mean over all pixels and a linear
//! map to means and logarithms of deviations. The last layers are four convolutions 1x1 with bias,
//! ReLU after three of them, of max(w/4, 8) channels. The first takes features and latent; as the
//! latent is the same at every pixel, its share is a number for each channel. None of these layers
//! has a norm, which would subtract just that number.

use candle_core::{Result, Tensor};

use super::{
    branches::{Branches, ExpertLayers},
    init::Initialiser,
    parameters::{Declaration, Make, Part},
};
use crate::{
    engine::{Activation, Added, Engine},
    manifest::LatentSpec,
};

/// A convolution's weight and bias.
type WeightAndBias<T> = (T, T);

/// The distribution of a latent.
#[derive(Debug)]
pub(super) struct GaussianNet<T> {
    blocks: Vec<[WeightAndBias<T>; 3]>,
    out: WeightAndBias<T>,
}

/// From features, and a latent or none, to logits.
#[derive(Debug)]
pub(super) struct Comb<T> {
    first: WeightAndBias<T>,
    /// The share of the latent; none where a latent was chosen for good, whose share is then in the
    /// bias.
    from_latent: Option<T>,
    rest: [WeightAndBias<T>; 3],
}

/// Declares a convolution's weight and bias.
fn conv<T, E>(
    make: &mut Make<'_, T, E>,
    name: &str,
    part: Part,
    shape: [usize; 3],
    weight: Initialiser,
) -> std::result::Result<WeightAndBias<T>, E> {
    let [outputs, inputs, kernel] = shape;
    let mut declare = |tensor: &str, shape: &[usize], initialiser| {
        make(&Declaration {
            name: &format!("{name}.{tensor}"),
            part,
            shape,
            initialiser,
            owner: None,
        })
    };
    Ok((
        declare("weight", &[outputs, inputs, kernel, kernel], weight)?,
        declare("bias", &[outputs], Initialiser::Constant(0.0))?,
    ))
}

impl<T> GaussianNet<T> {
    /// Declares the network of a name for so many channels of input and dimensions of the latent;
    /// `width` is the U-Net's.
    pub fn declare<E>(
        make: &mut Make<'_, T, E>,
        name: &str,
        [mut inputs, latent]: [usize; 2],
        width: usize,
    ) -> std::result::Result<Self, E> {
        let mut blocks = Vec::new();
        for (block, outputs) in [width / 2, width, 2 * width, 3 * width]
            .into_iter()
            .enumerate()
        {
            let mut of = |layer: usize, inputs: usize| {
                let name = format!("{name}.{block}.{layer}");
                let weight = Initialiser::NormalByInputs(inputs * 9);
                conv(make, &name, Part::Shared, [outputs, inputs, 3], weight)
            };
            blocks.push([of(0, inputs)?, of(1, outputs)?, of(2, outputs)?]);
            inputs = outputs;
        }
        let name = format!("{name}.out");
        let weight = Initialiser::NormalByInputs(inputs);
        let out = conv(make, &name, Part::Shared, [2 * latent, inputs, 1], weight)?;
        Ok(Self { blocks, out })
    }
}

impl GaussianNet<Tensor> {
    /// The distribution of each sample, `[B, 2 d, 1, 1]`.
    pub fn forward<E: Engine>(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let mut y = x.clone();
        for (place, block) in self.blocks.iter().enumerate() {
            if place > 0 {
                y = engine.mean_pool(&y)?;
            }
            for (weight, bias) in block {
                y = engine.conv_bias(&y, weight, bias, Activation::Relu)?;
            }
        }
        let (weight, bias) = &self.out;
        engine.conv_bias(&engine.mean(&y)?, weight, bias, Activation::Linear)
    }
}

impl<T> Comb<T> {
    /// Declares the layers behind so many channels of features.
    pub fn declare<E>(
        make: &mut Make<'_, T, E>,
        features: usize,
        branches: &Branches,
    ) -> std::result::Result<Self, E> {
        let part = branches.parts(ExpertLayers::Comb)[0];
        let channels = features.max(8);
        // Where the latent's share is in the bias, all of these values come from elsewhere.
        let latent = match branches.latent() {
            0 => LatentSpec::USUAL.dimensions,
            latent => latent,
        };
        let weight = Initialiser::NormalByInputs(features + latent);
        let name = |layer: usize| format!("latent.comb.{layer}");
        let first = conv(make, &name(0), part, [channels, features, 1], weight)?;
        let from_latent = branches.has_latent().then(|| {
            make(&Declaration {
                name: "latent.comb.0.latent",
                part,
                shape: &[channels, latent, 1, 1],
                initialiser: weight,
                owner: None,
            })
        });
        let from_latent = from_latent.transpose()?;
        let weight = Initialiser::NormalByInputs(channels);
        let rest = [
            conv(make, &name(1), part, [channels, channels, 1], weight)?,
            conv(make, &name(2), part, [channels, channels, 1], weight)?,
            conv(
                make,
                &name(3),
                part,
                [1, channels, 1],
                Initialiser::XavierUniform,
            )?,
        ];
        Ok(Self {
            first,
            from_latent,
            rest,
        })
    }
}

impl Comb<Tensor> {
    /// The logits of features, with the latent of each sample `[B, d, 1, 1]` where the layers take
    /// one.
    ///
    /// # Errors
    /// A tensor operation fails, or there is a latent where none is taken or none where one is.
    pub fn forward<E: Engine>(
        &self,
        engine: &E,
        features: &E::Tensor,
        latent: Option<&E::Tensor>,
    ) -> Result<E::Tensor> {
        let (weight, bias) = &self.first;
        let by;
        let added = match (&self.from_latent, latent) {
            (None, None) => Added::Bias(bias),
            (Some(from_latent), Some(latent)) => {
                by = engine.conv_bias(latent, from_latent, bias, Activation::Linear)?;
                Added::Shift(&by)
            }
            (Some(_), None) => candle_core::bail!("the network needs a latent"),
            (None, Some(_)) => candle_core::bail!("the network takes no latent"),
        };
        engine.pixel_layers(features, (weight, added), &self.rest)
    }
}
