//! Scalar fields on a pixel grid: smoothing, Gaussian noise, Euclidean distance.
//!
//! The rule: a field depends on its seed and shape alone, never on threads.

use rand::RngExt;
use rand_distr::StandardNormal;

use crate::seed::Seed;

/// Values on a grid, row-major: (x, y) at `y * width + x`.
#[derive(Clone, Debug)]
pub(super) struct ScalarField {
    pub width: usize,
    pub height: usize,
    pub values: Vec<f32>,
}

/// A stationary Gaussian random field of mean 0 and variance 1: white noise smoothed by a Gaussian
/// of `sigma_px`, drawn with a margin so that the frame's border is like its middle.
pub(super) fn random_field(seed: Seed, width: usize, height: usize, sigma_px: f64) -> ScalarField {
    let kernel = gaussian(sigma_px, Normalisation::Energy);
    let margin = kernel.len() / 2;
    let (outer_width, outer_height) = (width + 2 * margin, height + 2 * margin);
    let mut rng = seed.rng();
    let noise = ScalarField {
        width: outer_width,
        height: outer_height,
        values: (0..outer_width * outer_height)
            .map(|_| rng.sample::<f32, _>(StandardNormal))
            .collect(),
    };
    valid(&noise, &kernel)
}

/// `field` smoothed by a Gaussian of `sigma_px`, zero outside the frame.
pub(super) fn smooth(field: &ScalarField, sigma_px: f64) -> ScalarField {
    let kernel = gaussian(sigma_px, Normalisation::Sum);
    let margin = kernel.len() / 2;
    let mut padded = ScalarField {
        width: field.width + 2 * margin,
        height: field.height + 2 * margin,
        values: vec![0.0; (field.width + 2 * margin) * (field.height + 2 * margin)],
    };
    for y in 0..field.height {
        let to = (y + margin) * padded.width + margin;
        let from = &field.values[y * field.width..][..field.width];
        padded.values[to..to + field.width].copy_from_slice(from);
    }
    valid(&padded, &kernel)
}

/// How the weights of a kernel are normalised.
enum Normalisation {
    /// Their sum is 1: smoothing keeps the mean.
    Sum,
    /// The sum of their squares is 1: smoothing keeps the variance of white noise.
    Energy,
}

/// Gaussian of `sigma_px`, cut off at four sigma.
fn gaussian(sigma_px: f64, norm: Normalisation) -> Vec<f32> {
    let reach = (4.0 * sigma_px).ceil() as i32;
    let weights: Vec<f64> = (-reach..=reach)
        .map(|i| libm::exp(-0.5 * (f64::from(i) / sigma_px).powi(2)))
        .collect();
    let size = match norm {
        Normalisation::Sum => weights.iter().sum(),
        Normalisation::Energy => weights.iter().map(|w| w * w).sum::<f64>().sqrt(),
    };
    weights.iter().map(|w| (w / size) as f32).collect()
}

/// Convolution with `kernel` along both axes, where it fits within the field.
fn valid(field: &ScalarField, kernel: &[f32]) -> ScalarField {
    let width = field.width + 1 - kernel.len();
    let height = field.height + 1 - kernel.len();
    let mut rows = vec![0.0; width * field.height];
    for (row, from) in rows
        .chunks_exact_mut(width)
        .zip(field.values.chunks_exact(field.width))
    {
        for (shift, weight) in kernel.iter().enumerate() {
            add_scaled(row, &from[shift..], *weight);
        }
    }
    let mut values = vec![0.0; width * height];
    for (y, row) in values.chunks_exact_mut(width).enumerate() {
        for (shift, weight) in kernel.iter().enumerate() {
            add_scaled(row, &rows[(y + shift) * width..], *weight);
        }
    }
    ScalarField {
        width,
        height,
        values,
    }
}

fn add_scaled(to: &mut [f32], from: &[f32], weight: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += weight * from;
    }
}

/// Distance in pixels from each pixel's centre to the nearest centre of a pixel in `set`, exact
/// (Felzenszwalb & Huttenlocher 2012); infinite if the set is empty.
pub(super) fn distance_to(set: &[bool], width: usize) -> Vec<f64> {
    let mut squared: Vec<f64> = set
        .iter()
        .map(|inside| if *inside { 0.0 } else { f64::INFINITY })
        .collect();
    for row in squared.chunks_exact_mut(width) {
        let line = lower_envelope(row);
        row.copy_from_slice(&line);
    }
    for x in 0..width {
        let column: Vec<f64> = squared.iter().skip(x).step_by(width).copied().collect();
        for (y, value) in lower_envelope(&column).into_iter().enumerate() {
            squared[y * width + x] = value;
        }
    }
    squared.into_iter().map(f64::sqrt).collect()
}

/// min over q of (p - q)^2 + f(q), for every p.
fn lower_envelope(f: &[f64]) -> Vec<f64> {
    // Parabolas of the envelope: where each is rooted, and from where on it is the lowest.
    let mut hull: Vec<(usize, f64)> = Vec::new();
    for (q, height) in f.iter().enumerate().filter(|(_, v)| v.is_finite()) {
        let mut from = f64::NEG_INFINITY;
        while let Some(&(root, start)) = hull.last() {
            let (p, r) = (q as f64, root as f64);
            from = ((height + p * p) - (f[root] + r * r)) / (2.0 * (p - r));
            if from > start {
                break;
            }
            hull.pop();
            from = f64::NEG_INFINITY;
        }
        hull.push((q, from));
    }
    let mut current = 0;
    (0..f.len())
        .map(|p| {
            while current + 1 < hull.len() && hull[current + 1].1 <= p as f64 {
                current += 1;
            }
            hull.get(current).map_or(f64::INFINITY, |(root, _)| {
                (p as f64 - *root as f64).powi(2) + f[*root]
            })
        })
        .collect()
}

/// Signed distance in pixels to the border of `set`, positive inside; the border lies half-way
/// between neighbouring pixels.
pub(super) fn signed_distance(set: &[bool], width: usize) -> Vec<f64> {
    let outside: Vec<bool> = set.iter().map(|inside| !inside).collect();
    std::iter::zip(distance_to(&outside, width), distance_to(set, width))
        .map(|(within, without)| {
            if within > 0.0 {
                within - 0.5
            } else {
                0.5 - without
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_brute_force() {
        let (width, height) = (23, 17);
        let mut rng = Seed::new(5).rng();
        for _ in 0..20 {
            let set: Vec<bool> = (0..width * height)
                .map(|_| rng.random_range(0..40) == 0)
                .collect();
            let found = distance_to(&set, width);
            for (i, found) in found.iter().enumerate() {
                let nearest = (0..set.len())
                    .filter(|j| set[*j])
                    .map(|j| {
                        let dx = (i % width) as f64 - (j % width) as f64;
                        let dy = (i / width) as f64 - (j / width) as f64;
                        dx.hypot(dy)
                    })
                    .fold(f64::INFINITY, f64::min);
                assert!((found - nearest).abs() < 1e-9 || *found == nearest);
            }
        }
    }

    #[test]
    fn a_half_plane_has_its_border_between_pixels() {
        let set: Vec<bool> = (0..8 * 4).map(|i| i % 8 >= 3).collect();
        let row = &signed_distance(&set, 8)[8..16];
        assert_eq!(row, [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5]);
    }

    #[test]
    fn a_random_field_is_a_unit_gaussian_with_the_kernels_correlation() {
        // White noise smoothed by sigma has correlation exp(-d^2 / (4 sigma^2)).
        let (sigma, lag) = (3.0, 4);
        let (mut n, mut sum, mut square, mut product) = (0.0, 0.0, 0.0, 0.0);
        for i in 0..30 {
            let field = random_field(Seed::new(2).at(i), 128, 96, sigma);
            for row in field.values.chunks_exact(field.width) {
                for x in 0..field.width - lag {
                    let (a, b) = (f64::from(row[x]), f64::from(row[x + lag]));
                    n += 1.0;
                    sum += a;
                    square += a * a;
                    product += a * b;
                }
            }
        }
        // About 30 * 128 * 96 / (4 pi sigma^2) = 3260 independent values.
        assert!((sum / n).abs() < 0.07, "mean {}", sum / n);
        assert!((square / n - 1.0).abs() < 0.1, "variance {}", square / n);
        let wanted = (-((lag * lag) as f64) / (4.0 * sigma * sigma)).exp();
        assert!((product / square - wanted).abs() < 0.05);
    }

    #[test]
    fn smoothing_keeps_the_sum_and_spreads_by_sigma() {
        let (width, height) = (41, 41);
        let mut values = vec![0.0; width * height];
        values[20 * width + 20] = 1.0;
        let spread = smooth(
            &ScalarField {
                width,
                height,
                values,
            },
            2.0,
        );
        let sum: f32 = spread.values.iter().sum();
        let second: f32 = (0..width * height)
            .map(|i| spread.values[i] * (i as f32 % 41.0 - 20.0).powi(2))
            .sum();
        assert!((sum - 1.0).abs() < 1e-4);
        assert!((second - 4.0).abs() < 0.05);
    }
}
