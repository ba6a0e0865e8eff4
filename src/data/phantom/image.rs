//! The phantom's image: T2 intensities of tissues, with blur, bias field, texture and noise.
//!
//! The rule: the tissues' mean intensities relative to the brain's, after blur, bias and noise, are
//! on average those measured on newborns, and each case's those of its protocol of acquisition. The
//! background is exactly 0 and no brain pixel is.

use rand::RngExt;
use rand_distr::StandardNormal;

use super::{
    SIDE_PX,
    anatomy::Tissue,
    field::{ScalarField, random_field, smooth},
};
use crate::{data::Image, seed::Seed};

/// Mean intensity of a tissue, relative to the brain's mean, on average over cases.
pub fn relative_intensity(tissue: Tissue) -> f64 {
    match tissue {
        Tissue::Background => 0.0,
        Tissue::OuterCsf => 1.23,
        Tissue::Cortex => 0.74,
        Tissue::WhiteMatter => 0.93,
        Tissue::Ventricles => 1.32,
        Tissue::DeepGrey => 0.85,
        Tissue::Callosum => 0.76,
    }
}

/// Number of protocols of acquisition. Few cases show some of them and the training set shows all,
/// so a network trained on few cases errs on the contrasts that it has not seen.
pub(super) const PROTOCOLS: usize = 6;
/// What each protocol adds to the logarithms of the relative intensities, in the order of
/// [`TISSUES`]; the mean over protocols is 0.
const CONTRASTS: [[f64; 6]; PROTOCOLS] = [
    [0.05, -0.02, 0.04, 0.12, -0.19, -0.05],
    [-0.10, -0.12, 0.18, -0.10, -0.08, -0.06],
    [0.02, 0.14, -0.18, 0.02, 0.03, -0.02],
    [0.05, 0.0, -0.08, -0.02, 0.21, 0.12],
    [0.11, 0.04, -0.11, 0.10, 0.0, -0.02],
    [-0.13, -0.04, 0.15, -0.12, 0.03, 0.03],
];
/// Standard deviation of what is added, between cases of one protocol.
const DEVIATION: f64 = 0.02;

/// Strength of the texture of a tissue, relative to the others.
fn unevenness(tissue: Tissue) -> f64 {
    match tissue {
        Tissue::Background => 0.0,
        Tissue::OuterCsf => 1.8,
        Tissue::Ventricles => 1.0,
        Tissue::Cortex => 1.1,
        Tissue::WhiteMatter => 0.4,
        Tissue::DeepGrey | Tissue::Callosum => 0.3,
    }
}

const TISSUES: [Tissue; 6] = [
    Tissue::OuterCsf,
    Tissue::Cortex,
    Tissue::WhiteMatter,
    Tissue::Ventricles,
    Tissue::DeepGrey,
    Tissue::Callosum,
];
/// The scanner's point spread, in pixels.
const BLUR_PX: f64 = 0.75;
/// Correlation length of the texture, in pixels.
const TEXTURE_PX: f64 = 4.0;
/// The largest standard deviation of the logarithm of the texture's factor, where `unevenness`
/// is 1.
const MOST_TEXTURE: f64 = 0.4;
/// Corrections of levels and texture; few suffice, as blur mixes neighbours by about a fifth.
const PASSES: usize = 8;

/// Draws the image of `tissues`, in whole numbers like a scanner's.
pub(super) fn draw(seed: Seed, tissues: &[Tissue], protocol: usize) -> Image {
    let mean = seed.fork("mean").rng().random_range(560.0..580.0);
    let variation: f64 = seed.fork("variation").rng().random_range(0.278..0.322);
    let scanner = Scanner::draw(seed, tissues);
    let wanted = contrast(seed.fork("contrast"), tissues, protocol);
    let mut levels = wanted;
    let mut texture: f64 = 0.2;
    let mut relative = Vec::new();
    for _ in 0..PASSES {
        relative = scanner.image(tissues, &levels, texture);
        let brain = mean_where(&relative, tissues, |t| t != Tissue::Background);
        for (i, tissue) in TISSUES.into_iter().enumerate() {
            let measured = mean_where(&relative, tissues, |t| t == tissue) / brain;
            levels[i] += wanted[i] - measured;
        }
        // Variances add; the texture's own is close to its square.
        let missing = variation.powi(2) - variation_of(&relative).powi(2);
        texture = (texture.powi(2) + missing)
            .clamp(0.0, MOST_TEXTURE.powi(2))
            .sqrt();
    }
    let scale = mean / mean_where(&relative, tissues, |t| t != Tissue::Background);
    let pixels = relative
        .iter()
        .zip(tissues)
        .map(|(value, tissue)| match tissue {
            Tissue::Background => 0.0,
            _ => (value * scale).round().max(1.0) as f32,
        })
        .collect();
    Image {
        height: SIDE_PX,
        width: SIDE_PX,
        pixels,
    }
}

/// A case's own relative intensities of [`TISSUES`]; their mean over the brain is 1.
fn contrast(seed: Seed, tissues: &[Tissue], protocol: usize) -> [f64; 6] {
    let mut rng = seed.rng();
    let levels: [f64; 6] = std::array::from_fn(|i| {
        let deviation: f64 = rng.sample(StandardNormal);
        let own = CONTRASTS[protocol][i] + DEVIATION * deviation.clamp(-2.0, 2.0);
        relative_intensity(TISSUES[i]) * libm::exp(own)
    });
    let level = |tissue: &Tissue| TISSUES.iter().position(|t| t == tissue).map(|i| levels[i]);
    let (mut sum, mut count) = (0.0, 0.0_f64);
    for value in tissues.iter().filter_map(level) {
        sum += value;
        count += 1.0;
    }
    levels.map(|level| level * count.max(1.0) / sum.max(1e-6))
}

/// What is added to a map of tissues, drawn once: fields of one value per pixel.
struct Scanner {
    /// Share of the point spread that falls on brain.
    coverage: ScalarField,
    /// A factor.
    bias: Vec<f64>,
    /// Logarithm of a factor, once scaled; mean 0 within each tissue.
    texture: Vec<f64>,
    /// Real and imaginary noise.
    noise: [Vec<f64>; 2],
}

impl Scanner {
    fn draw(seed: Seed, tissues: &[Tissue]) -> Self {
        let brain = tissues.iter().map(|t| match t {
            Tissue::Background => 0.0,
            _ => 1.0,
        });
        let level = seed.fork("noise level").rng().random_range(0.05..0.08);
        let noise = |name: &str| {
            let mut rng = seed.fork(name).rng();
            (0..tissues.len())
                .map(|_| level * rng.sample::<f64, _>(StandardNormal))
                .collect()
        };
        Self {
            coverage: smooth(&field(brain.collect()), BLUR_PX),
            bias: bias(seed.fork("bias")),
            texture: texture(seed.fork("texture"), tissues),
            noise: [noise("noise/real"), noise("noise/imaginary")],
        }
    }

    /// Intensities on the scale of `levels`, 0 in the background.
    fn image(&self, tissues: &[Tissue], levels: &[f64; 6], texture: f64) -> Vec<f64> {
        let smooth = self.blurred(tissues, levels);
        let pixel = |(i, tissue): (usize, &Tissue)| match tissue {
            Tissue::Background => 0.0,
            _ => {
                let signal = smooth[i] * libm::exp(texture * self.texture[i]) * self.bias[i];
                // The magnitude of a complex signal: Rician noise.
                libm::hypot(signal + self.noise[0][i], self.noise[1][i])
            }
        };
        tissues.iter().enumerate().map(pixel).collect()
    }

    fn blurred(&self, tissues: &[Tissue], levels: &[f64; 6]) -> Vec<f64> {
        let level = |tissue: &Tissue| {
            let place = TISSUES.iter().position(|t| t == tissue);
            place.map_or(0.0, |i| levels[i] as f32)
        };
        let sharp = field(tissues.iter().map(level).collect());
        let blurred = smooth(&sharp, BLUR_PX).values;
        // Normalised within the brain: the stripped background does not darken its rim.
        std::iter::zip(blurred, &self.coverage.values)
            .map(|(value, coverage)| f64::from(value) / f64::from(coverage.max(1e-6)))
            .collect()
    }
}

/// A mild, slowly varying factor around 1: a plane and a saddle of random direction.
fn bias(seed: Seed) -> Vec<f64> {
    let mut rng = seed.rng();
    let mut coefficient = || rng.random_range(-0.08..0.08);
    let [x1, y1, xy, xx, yy] = std::array::from_fn(|_| coefficient());
    let unit = |i: usize| (i as f64 + 0.5) / (SIDE_PX as f64 / 2.0) - 1.0;
    (0..SIDE_PX * SIDE_PX)
        .map(|i| {
            let (x, y) = (unit(i % SIDE_PX), unit(i / SIDE_PX));
            libm::exp(x1 * x + y1 * y + xy * x * y + xx * x * x + yy * y * y)
        })
        .collect()
}

/// Limits a value smoothly to 1.5 on either side, against extreme pixels.
fn bounded(value: f64) -> f64 {
    1.5 * libm::tanh(value / 1.5)
}

fn texture(seed: Seed, tissues: &[Tissue]) -> Vec<f64> {
    let random = random_field(seed, SIDE_PX, SIDE_PX, TEXTURE_PX);
    let mut values: Vec<f64> = random
        .values
        .iter()
        .zip(tissues)
        .map(|(value, tissue)| bounded(f64::from(*value)) * unevenness(*tissue))
        .collect();
    for tissue in TISSUES {
        let mean = mean_where(&values, tissues, |t| t == tissue);
        for (value, of) in values.iter_mut().zip(tissues) {
            if *of == tissue {
                *value -= mean;
            }
        }
    }
    values
}

fn field(values: Vec<f32>) -> ScalarField {
    ScalarField {
        width: SIDE_PX,
        height: SIDE_PX,
        values,
    }
}

fn mean_where(values: &[f64], tissues: &[Tissue], wanted: impl Fn(Tissue) -> bool) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0_f64);
    for (value, tissue) in values.iter().zip(tissues) {
        if wanted(*tissue) {
            sum += value;
            count += 1.0;
        }
    }
    sum / count.max(1.0)
}

/// Standard deviation over mean of the values above 0.
fn variation_of(values: &[f64]) -> f64 {
    let (mut count, mut sum, mut square) = (0.0, 0.0, 0.0);
    for value in values.iter().filter(|v| **v > 0.0) {
        count += 1.0;
        sum += value;
        square += value * value;
    }
    let mean: f64 = sum / count;
    (square / count - mean * mean).max(0.0).sqrt() / mean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_cancel() {
        for tissue in 0..TISSUES.len() {
            let sum: f64 = CONTRASTS.iter().map(|contrast| contrast[tissue]).sum();
            assert!(sum.abs() < 1e-12, "{:?}: {sum}", TISSUES[tissue]);
        }
    }
}
