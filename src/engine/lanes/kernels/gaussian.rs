//! Normal distributions with independent dimensions, lane by lane: draws, and the divergence of
//! one from another. A distribution is `[G, 2 d, 16]`: d means, then d logarithms of standard
//! deviations. There are a few numbers per sample only, so they are computed one by one, in double
//! precision.

use super::operand::check;
use crate::engine::{LOG_DEVIATION, lanes::machine::LANES};

/// The shape of distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gaussian {
    /// Groups of sixteen samples.
    pub groups: usize,
    /// Dimensions.
    pub latent: usize,
}

/// One dimension of one sample.
struct Dimension {
    /// The place of the mean; the deviation's is `deviation`.
    mean: usize,
    deviation: usize,
    /// The place in `[G, d, 16]`.
    value: usize,
    /// The place in `[G, 16]`.
    lane: usize,
}

impl Gaussian {
    fn len(&self) -> usize {
        self.groups * self.latent * LANES
    }

    fn dimensions(self) -> impl Iterator<Item = Dimension> {
        let Self { groups, latent } = self;
        let places = (0..groups).flat_map(move |group| (0..latent).map(move |d| (group, d)));
        places.flat_map(move |(group, d)| {
            (0..LANES).map(move |lane| Dimension {
                mean: (2 * group * latent + d) * LANES + lane,
                deviation: ((2 * group + 1) * latent + d) * LANES + lane,
                value: (group * latent + d) * LANES + lane,
                lane: group * LANES + lane,
            })
        })
    }
}

/// The logarithm of a deviation within its bounds. A NaN stays.
fn bounded(log: f32) -> f64 {
    f64::from(log).clamp(-LOG_DEVIATION, LOG_DEVIATION)
}

/// Overwrites `z` `[G, d, 16]` with mean + deviation * noise; `noise` has the shape of `z`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn draw(shape: &Gaussian, distribution: &[f32], noise: &[f32], z: &mut [f32]) {
    check("a distribution", distribution.len(), 2 * shape.len());
    check("noise", noise.len(), shape.len());
    check("z", z.len(), shape.len());
    for at in shape.dimensions() {
        let log = bounded(distribution[at.deviation]);
        let moved = libm::exp(log) * f64::from(noise[at.value]);
        z[at.value] = (f64::from(distribution[at.mean]) + moved) as f32;
    }
}

/// The gradient of the distribution: overwrites `gradient` `[G, 2 d, 16]` from `dz` `[G, d, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn draw_backward(
    shape: &Gaussian,
    distribution: &[f32],
    noise: &[f32],
    dz: &[f32],
    gradient: &mut [f32],
) {
    check("a distribution", distribution.len(), 2 * shape.len());
    check("a gradient", gradient.len(), 2 * shape.len());
    check("noise", noise.len(), shape.len());
    check("dz", dz.len(), shape.len());
    for at in shape.dimensions() {
        let log = bounded(distribution[at.deviation]);
        let dz = dz[at.value];
        gradient[at.mean] = dz;
        let slope = f64::from(dz) * f64::from(noise[at.value]) * libm::exp(log);
        gradient[at.deviation] = slope as f32;
    }
}

/// The divergence of each sample's posterior from its prior (Kullback and Leibler), the sum over
/// dimensions: overwrites `divergences` `[G, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn divergence(shape: &Gaussian, posterior: &[f32], prior: &[f32], divergences: &mut [f32]) {
    check("a posterior", posterior.len(), 2 * shape.len());
    check("a prior", prior.len(), 2 * shape.len());
    check("divergences", divergences.len(), shape.groups * LANES);
    let mut sums = vec![0.0f64; divergences.len()];
    for at in shape.dimensions() {
        let pair = Divergent::of(&at, posterior, prior);
        sums[at.lane] += pair.log_ratio + (pair.variances + pair.distance * pair.distance) / 2.0;
        sums[at.lane] -= 0.5;
    }
    for (divergence, sum) in divergences.iter_mut().zip(sums) {
        *divergence = sum as f32;
    }
}

/// The gradients of both distributions: overwrites them, from the weight of each sample in the
/// loss, `[G, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn divergence_backward(
    shape: &Gaussian,
    posterior: &[f32],
    prior: &[f32],
    weights: &[f32],
    [of_posterior, of_prior]: [&mut [f32]; 2],
) {
    check("a posterior", posterior.len(), 2 * shape.len());
    check("a prior", prior.len(), 2 * shape.len());
    check("weights", weights.len(), shape.groups * LANES);
    check("a gradient", of_posterior.len(), 2 * shape.len());
    check("a gradient", of_prior.len(), 2 * shape.len());
    for at in shape.dimensions() {
        let pair = Divergent::of(&at, posterior, prior);
        let weight = f64::from(weights[at.lane]);
        let towards = pair.distance / pair.prior_deviation;
        of_posterior[at.mean] = (weight * towards) as f32;
        of_prior[at.mean] = (-weight * towards) as f32;
        let slope = weight * (pair.variances - 1.0);
        of_posterior[at.deviation] = slope as f32;
        let slope = weight * (1.0 - pair.variances - pair.distance * pair.distance);
        of_prior[at.deviation] = slope as f32;
    }
}

/// One dimension of a posterior and a prior.
struct Divergent {
    /// ln of the prior's deviation over the posterior's.
    log_ratio: f64,
    /// The posterior's variance over the prior's.
    variances: f64,
    /// Between the means, in the prior's deviations.
    distance: f64,
    prior_deviation: f64,
}

impl Divergent {
    fn of(at: &Dimension, posterior: &[f32], prior: &[f32]) -> Self {
        let of_posterior = bounded(posterior[at.deviation]);
        let of_prior = bounded(prior[at.deviation]);
        let prior_deviation = libm::exp(of_prior);
        let between = f64::from(posterior[at.mean]) - f64::from(prior[at.mean]);
        Self {
            log_ratio: of_prior - of_posterior,
            variances: libm::exp(2.0 * (of_posterior - of_prior)),
            distance: between / prior_deviation,
            prior_deviation,
        }
    }
}
