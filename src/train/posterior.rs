//! The posterior of a probabilistic U-Net over annotated images: the latent that a new expert is
//! served with, and how much of the latent is used.

use std::sync::Arc;

use candle_core::{DType, Result};

use super::{elbo::push_pair, training::Annotated};
use crate::{
    artefact::LatentUse,
    data::{
        Mask,
        prepare::{Plane, Prepared, prepare_mask},
    },
    engine::{Engine, LOG_DEVIATION},
    manifest::ImageSpec,
    net::UNet,
};

/// The mean over some cases of the mean of the posterior. Each image is in its test view and not
/// augmented, its mask in the same.
///
/// # Errors
/// A tensor operation fails, or the network has no latent.
pub fn posterior_mean<E: Engine>(
    net: &UNet,
    engine: &E,
    cases: &[(Arc<Prepared>, &Mask)],
    spec: &ImageSpec,
) -> Result<Vec<f32>> {
    let mut sums = vec![0.0f64; net.branches().latent()];
    for (image, mask) in cases {
        let [means, _] = posterior(net, engine, image, prepare_mask(mask, spec), spec)?;
        sums.iter_mut()
            .zip(means)
            .for_each(|(sum, mean)| *sum += mean);
    }
    let count = cases.len() as f64;
    Ok(sums.into_iter().map(|sum| (sum / count) as f32).collect())
}

/// How far the posterior's mean is from the prior's, in deviations of the prior, in the mean over
/// some cases, as in [`posterior_mean`].
///
/// # Errors
/// A tensor operation fails, or the network has no latent.
pub fn distance_from_prior<E: Engine>(
    net: &UNet,
    engine: &E,
    cases: &[(Arc<Prepared>, &Mask)],
    spec: &ImageSpec,
) -> Result<Vec<f32>> {
    let mut sums = vec![0.0f64; net.branches().latent()];
    for (image, mask) in cases {
        let [means, _] = posterior(net, engine, image, prepare_mask(mask, spec), spec)?;
        let [prior, logs] = prior(net, engine, image, spec)?;
        for (place, sum) in sums.iter_mut().enumerate() {
            *sum += (means[place] - prior[place]) / libm::exp(logs[place]);
        }
    }
    let count = cases.len() as f64;
    Ok(sums.into_iter().map(|sum| (sum / count) as f32).collect())
}

/// How much of the latent is used on some images, none of them augmented. There is at least one
/// mask.
///
/// # Errors
/// As for [`posterior_mean`].
pub fn latent_use<E: Engine>(
    net: &UNet,
    engine: &E,
    cases: &[Annotated],
    spec: &ImageSpec,
) -> Result<LatentUse> {
    let [mut divergence, mut variance] = [(); 2].map(|()| vec![0.0f64; net.branches().latent()]);
    let mut pairs = 0.0;
    for Annotated { image, masks } in cases {
        let prior = prior(net, engine, image, spec)?;
        let posteriors = masks
            .iter()
            .map(|mask| posterior(net, engine, image, (**mask).clone(), spec));
        let posteriors: Vec<[Vec<f64>; 2]> = posteriors.collect::<Result<_>>()?;
        for place in 0..net.branches().latent() {
            let [prior_mean, prior_log] = [prior[0][place], prior[1][place]];
            for [means, logs] in &posteriors {
                let ratio = prior_log - logs[place];
                let distance = (means[place] - prior_mean) / libm::exp(prior_log);
                let variances = libm::exp(-2.0 * ratio);
                divergence[place] += ratio + (variances + distance * distance - 1.0) / 2.0;
            }
            let means = posteriors.iter().map(|[means, _]| means[place]);
            let count = posteriors.len() as f64;
            let mean = means.clone().sum::<f64>() / count;
            let squares = means.map(|m| (m - mean) * (m - mean)).sum::<f64>();
            variance[place] += squares / count / cases.len() as f64;
        }
        pairs += posteriors.len() as f64;
    }
    divergence.iter_mut().for_each(|sum| *sum /= pairs);
    Ok(LatentUse {
        divergence,
        variance_between_masks: variance,
    })
}

/// Means and bounded logarithms of deviations of the posterior of an image and a mask, of which a
/// pixel is inside where it is by half.
fn posterior<E: Engine>(
    net: &UNet,
    engine: &E,
    image: &Prepared,
    mut mask: Plane,
    spec: &ImageSpec,
) -> Result<[Vec<f64>; 2]> {
    let view = image.view(spec);
    for share in &mut mask.values {
        *share = if *share >= 0.5 { 1.0 } else { 0.0 };
    }
    let mask = Prepared {
        image: mask,
        background: 0.0,
        ..image.clone()
    };
    let mut pair = Vec::new();
    push_pair(&image.cut(&view).values, &mask.cut(&view).values, &mut pair);
    let [height, width] = view.size;
    let posterior = net.posterior(engine, &engine.pack(&pair, [1, 2, height, width])?)?;
    halves(engine, &posterior)
}

/// Means and bounded logarithms of deviations of the prior of an image.
fn prior<E: Engine>(
    net: &UNet,
    engine: &E,
    image: &Prepared,
    spec: &ImageSpec,
) -> Result<[Vec<f64>; 2]> {
    let view = image.view(spec);
    let [height, width] = view.size;
    let x = engine.pack(&image.cut(&view).values, [1, 1, height, width])?;
    halves(engine, &net.prior(engine, &x)?)
}

fn halves<E: Engine>(engine: &E, distribution: &E::Tensor) -> Result<[Vec<f64>; 2]> {
    let numbers = engine.unpack(distribution, 1)?.flatten_all()?;
    let numbers: Vec<f64> = numbers.to_dtype(DType::F64)?.to_vec1()?;
    let (means, logs) = numbers.split_at(numbers.len() / 2);
    let bounded = logs
        .iter()
        .map(|log| log.clamp(-LOG_DEVIATION, LOG_DEVIATION));
    Ok([means.to_vec(), bounded.collect()])
}
