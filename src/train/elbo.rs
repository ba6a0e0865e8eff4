//! The loss of a probabilistic U-Net: for each pair of image and mask the cross-entropy of what is
//! decoded with a latent drawn from the pair's posterior, and the divergence of that from the
//! image's prior.
//!
//! The objective is the evidence lower bound of Kohl et al., a sum over pixels and a divergence,
//! over the number of pixels. With the optimiser's eps over that number too, training takes the
//! course of the sum but for RAdam's first five steps, which are not adapted.

use candle_core::Result;
use rand_distr::{Distribution, StandardNormal};

use crate::{
    engine::{Engine, LOG_DEVIATION},
    event::LatentTerms,
    net::UNet,
    seed::Seed,
};

/// A batch that was passed through the network as far as all masks share it.
pub(super) struct Decoding<'a, E: Engine> {
    pub net: &'a UNet,
    pub engine: &'a E,
    /// `[B, 1, H, W]`.
    pub shape: [usize; 4],
    /// Row-major.
    pub images: &'a [&'a [f32]],
    pub features: &'a E::Tensor,
    /// The distribution of each image's latent.
    pub prior: &'a E::Tensor,
    /// The weight of the divergence against the cross-entropy summed over pixels.
    pub beta: f64,
    /// The seed of the latents of this step.
    pub seed: Seed,
}

/// A mask for each image of a batch.
pub(super) struct DrawnMasks<'a> {
    /// Row-major.
    pub masks: &'a [&'a [f32]],
    /// For each image, its place in the step's batch and which of its masks it is.
    pub places: &'a [(usize, usize)],
}

impl<E: Engine> Decoding<'_, E> {
    /// The loss for a mask of each image, and its terms.
    pub fn loss(&self, drawn: &DrawnMasks<'_>) -> Result<(E::Tensor, DecodedTerms<E>)> {
        let engine = self.engine;
        let [batch, _, height, width] = self.shape;
        let target = engine.pack(&drawn.masks.concat(), self.shape)?;
        let mut pairs = Vec::with_capacity(2 * batch * height * width);
        for (image, mask) in std::iter::zip(self.images, drawn.masks) {
            push_pair(image, mask, &mut pairs);
        }
        let pairs = engine.pack(&pairs, [batch, 2, height, width])?;
        let posterior = self.net.posterior(engine, &pairs)?;
        drop(pairs);
        let latent = engine.draw(&posterior, &self.noise(drawn.places))?;
        let logits = self.net.decode(engine, self.features, &latent)?;
        let cross_entropy = engine.cross_entropy(&logits, &target, batch)?;
        let divergence = engine.divergence(&posterior, self.prior, batch)?;
        let terms = DecodedTerms {
            cross_entropy: cross_entropy.clone(),
            divergence: divergence.clone(),
            distributions: [posterior, self.prior.clone()],
            batch,
            latent: self.net.branches().latent(),
        };
        let weight = self.beta / (height * width) as f64;
        let loss = engine.sum(&[(cross_entropy, 1.0), (divergence, weight)])?;
        Ok((loss, terms))
    }

    /// Standard normals of every image, `[B, d]`. They depend on the place in the step's batch and
    /// on the mask, so that the masks of one image have latents of their own.
    fn noise(&self, places: &[(usize, usize)]) -> Vec<f32> {
        let latent = self.net.branches().latent();
        let of_pair = |(slot, mask): &(usize, usize)| {
            standard_normals(&self.seed.at(*slot as u64).at(*mask as u64), latent)
        };
        places.iter().flat_map(of_pair).collect()
    }
}

/// The terms of a loss, not read yet.
pub(super) struct DecodedTerms<E: Engine> {
    cross_entropy: E::Tensor,
    divergence: E::Tensor,
    /// Posterior and prior.
    distributions: [E::Tensor; 2],
    batch: usize,
    latent: usize,
}

impl<E: Engine> DecodedTerms<E> {
    /// What the terms are read from.
    pub fn tensors(&self) -> Vec<E::Tensor> {
        let losses = [&self.cross_entropy, &self.divergence];
        losses
            .into_iter()
            .chain(&self.distributions)
            .cloned()
            .collect()
    }

    /// The terms.
    pub fn read(&self, engine: &E) -> Result<LatentTerms> {
        let [posterior, prior] = &self.distributions;
        Ok(LatentTerms {
            cross_entropy: engine.loss(&self.cross_entropy)? as f32,
            divergence: engine.loss(&self.divergence)? as f32,
            clamped: self.clamped(engine, posterior)? + self.clamped(engine, prior)?,
        })
    }

    /// How many deviations of a batch's distributions are beyond their bounds.
    fn clamped(&self, engine: &E, distributions: &E::Tensor) -> Result<usize> {
        let numbers = engine.unpack(distributions, self.batch)?;
        let numbers = numbers.to_dtype(candle_core::DType::F32)?;
        let numbers: Vec<f32> = numbers.flatten_all()?.to_vec1()?;
        let logs = numbers.chunks(2 * self.latent);
        let logs = logs.flat_map(|one| &one[self.latent..]);
        Ok(logs
            .filter(|log| f64::from(log.abs()) > LOG_DEVIATION)
            .count())
    }
}

/// Numbers of the standard normal distribution.
pub fn standard_normals(seed: &Seed, count: usize) -> Vec<f32> {
    let mut rng = seed.rng();
    let normal = |_| {
        let normal: f64 = StandardNormal.sample(&mut rng);
        normal as f32
    };
    (0..count).map(normal).collect()
}

/// Appends two channels, an image and a mask less 1/2, row-major.
pub(super) fn push_pair(image: &[f32], mask: &[f32], pairs: &mut Vec<f32>) {
    pairs.extend_from_slice(image);
    pairs.extend(mask.iter().map(|inside| inside - 0.5));
}
