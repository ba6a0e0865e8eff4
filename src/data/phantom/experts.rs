//! The phantom's experts: each draws the true border of the white matter with a bias and random
//! deviations of their own.
//!
//! The rule: experts err independently, per case and expert; the seventh differs from the others as
//! the QUBIQ data's seventh does.

use super::{
    SIDE_PX,
    anatomy::Tissue,
    field::{random_field, signed_distance},
};
use crate::{
    data::{Expert, Mask},
    seed::Seed,
};

/// How an expert draws a border.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habit {
    /// How far outside the true border the expert draws, on average.
    pub bias_px: f64,
    /// Standard deviation of the drawn border.
    pub sigma_px: f64,
}

/// The seven experts; 1 to 5 annotate the training set, 6 and 7 are new.
pub const HABITS: [(Expert, Habit); 7] = [
    (
        1,
        Habit {
            bias_px: -0.6,
            sigma_px: 1.5,
        },
    ),
    (
        2,
        Habit {
            bias_px: 0.36,
            sigma_px: 1.5,
        },
    ),
    (
        3,
        Habit {
            bias_px: -0.96,
            sigma_px: 1.5,
        },
    ),
    (
        4,
        Habit {
            bias_px: 0.72,
            sigma_px: 1.5,
        },
    ),
    (
        5,
        Habit {
            bias_px: 0.12,
            sigma_px: 1.5,
        },
    ),
    (
        6,
        Habit {
            bias_px: -0.24,
            sigma_px: 1.5,
        },
    ),
    (
        7,
        Habit {
            bias_px: 2.0,
            sigma_px: 1.95,
        },
    ),
];
/// Correlation length of the deviations, in pixels.
const DEVIATION_PX: f64 = 6.0;

/// Every expert's mask of the white matter: phi + bias + sigma g > 0 inside the brain, with phi the
/// signed distance to the true border (positive inside) and g a unit Gaussian field.
pub(super) fn annotate(seed: Seed, tissues: &[Tissue]) -> Vec<(Expert, Mask)> {
    let target: Vec<bool> = tissues.iter().map(|t| *t == Tissue::WhiteMatter).collect();
    let phi = signed_distance(&target, SIDE_PX);
    HABITS
        .iter()
        .map(|(expert, habit)| {
            let seed = seed.at(u64::from(*expert));
            let g = random_field(seed, SIDE_PX, SIDE_PX, DEVIATION_PX);
            let pixels = (0..tissues.len())
                .map(|i| {
                    let level = phi[i] + habit.bias_px + habit.sigma_px * f64::from(g.values[i]);
                    tissues[i] != Tissue::Background && level > 0.0
                })
                .collect();
            let mask = Mask {
                height: SIDE_PX,
                width: SIDE_PX,
                pixels,
            };
            (*expert, mask)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// White matter in the right half of a frame that is all brain: phi is known in closed form.
    fn half_plane() -> Vec<Tissue> {
        (0..SIDE_PX * SIDE_PX)
            .map(|i| {
                if i % SIDE_PX >= SIDE_PX / 2 {
                    Tissue::WhiteMatter
                } else {
                    Tissue::Cortex
                }
            })
            .collect()
    }

    /// Where along x each expert's border lies on average, relative to the true one: mean over rows
    /// and seeds, outwards positive; and its standard deviation.
    fn borders() -> Vec<(f64, f64)> {
        let tissues = half_plane();
        let mut places = vec![Vec::new(); HABITS.len()];
        for seed in 0..8 {
            for (places, (_, mask)) in places.iter_mut().zip(annotate(Seed::new(seed), &tissues)) {
                for row in mask.pixels.chunks_exact(SIDE_PX) {
                    let inside = row.iter().filter(|inside| **inside).count();
                    places.push(inside as f64 - (SIDE_PX / 2) as f64);
                }
            }
        }
        let spread = |places: &Vec<f64>| {
            let n = places.len() as f64;
            let mean = places.iter().sum::<f64>() / n;
            let square = places.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / n;
            (mean, square.sqrt())
        };
        places.iter().map(spread).collect()
    }

    #[test]
    fn borders_lie_where_the_habits_say() {
        for ((expert, habit), (mean, deviation)) in HABITS.iter().zip(borders()) {
            // 8 x 256 rows hold about 8 x 256 / 21 independent places, sqrt(4 pi) sigma long each:
            // the mean is known to a standard error of .15 or, for the seventh, .2.
            assert!(
                (mean - habit.bias_px).abs() < 0.6,
                "expert {expert}: {mean}"
            );
            assert!(
                (deviation - habit.sigma_px).abs() < 0.5,
                "expert {expert}: {deviation}"
            );
        }
    }

    #[test]
    fn experts_err_independently_in_every_case() {
        let tissues = half_plane();
        let truth: Vec<bool> = tissues.iter().map(|t| *t == Tissue::WhiteMatter).collect();
        let cases: Vec<_> = (0..2)
            .flat_map(|case| annotate(Seed::new(3).at(case), &tissues))
            .collect();
        let error = |i: usize| -> Vec<bool> {
            std::iter::zip(&cases[i].1.pixels, &truth)
                .map(|(a, b)| a != b)
                .collect()
        };
        for a in 0..cases.len() {
            for b in 0..a {
                let (a, b) = (error(a), error(b));
                let same = std::iter::zip(&a, &b).filter(|(a, b)| **a && **b).count();
                let any = std::iter::zip(&a, &b).filter(|(a, b)| **a || **b).count();
                assert!(same * 10 < any * 8, "{same} of {any} errors are shared");
            }
        }
    }
}
