//! From surface distances to single numbers: ASSD and 95HD.
//!
//! The rule: every number here is symmetric to the last bit: exchanging prediction and reference
//! does not change it.

use serde::{Deserialize, Serialize};

use super::distance::nearest;
use super::mask::{Pixel, Spacing};

/// How the average symmetric surface distance joins its two directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assd {
    /// The mean over the pixels of both surfaces: MedPy from 0.5 on.
    #[default]
    Pooled,
    /// The mean of the two directed means: MedPy up to 0.4.
    Macro,
}

/// How the 95th percentile of the Hausdorff distances joins its two directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hd95 {
    /// The percentile of all distances of both directions: MedPy.
    #[default]
    Pooled,
    /// The larger of the two directed percentiles: MONAI.
    MaxDirected,
}

/// The distances from each surface to the other, each sorted upwards and not empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Directed {
    /// From each surface pixel of the prediction.
    to_reference: Vec<f64>,
    /// From each surface pixel of the reference.
    to_prediction: Vec<f64>,
}

impl Directed {
    /// Measures between two surfaces that are not empty.
    pub(super) fn between(prediction: &[Pixel], reference: &[Pixel], spacing: Spacing) -> Self {
        let sorted = |mut distances: Vec<f64>| {
            distances.sort_unstable_by(f64::total_cmp);
            distances
        };
        Self {
            to_reference: sorted(nearest(prediction, reference, spacing)),
            to_prediction: sorted(nearest(reference, prediction, spacing)),
        }
    }

    /// The average symmetric surface distance.
    pub fn assd(&self, definition: Assd) -> f64 {
        let sums = [&self.to_reference, &self.to_prediction].map(|side| side.iter().sum::<f64>());
        let counts = [
            self.to_reference.len() as f64,
            self.to_prediction.len() as f64,
        ];
        match definition {
            Assd::Pooled => (sums[0] + sums[1]) / (counts[0] + counts[1]),
            Assd::Macro => (sums[0] / counts[0] + sums[1] / counts[1]) / 2.0,
        }
    }

    /// The 95th percentile of the Hausdorff distances.
    pub fn hd95(&self, definition: Hd95) -> f64 {
        match definition {
            Hd95::Pooled => {
                let mut pooled = [self.to_reference.as_slice(), &self.to_prediction].concat();
                pooled.sort_unstable_by(f64::total_cmp);
                percentile(&pooled, 95.0)
            }
            Hd95::MaxDirected => {
                percentile(&self.to_reference, 95.0).max(percentile(&self.to_prediction, 95.0))
            }
        }
    }
}

/// The percentile (0 to 100) of values sorted upwards, interpolated linearly between the closest
/// ranks, as `numpy.percentile` does by default.
///
/// # Panics
/// There are no values, or `percent` is outside 0 to 100.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    assert!(!sorted.is_empty(), "no values have no percentile");
    assert!(
        (0.0..=100.0).contains(&percent),
        "{percent} is no percentage"
    );
    let rank = percent / 100.0 * (sorted.len() - 1) as f64;
    let below = rank as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let (low, high) = (sorted[below], sorted[above]);
    low + (high - low) * (rank - below as f64)
}
