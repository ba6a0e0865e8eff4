//! The phantom's experts: each draws the true border of the white matter with a bias and random
//! deviations of their own.
//!
//! The rule: experts err independently, per case and expert. What a network can learn of an expert
//! is the bias, which differs between the outer and the inner border; the seventh agrees less with
//! the others than they do with each other, on average, as in the QUBIQ data.

use super::{
    SIDE_PX,
    anatomy::Tissue,
    field::{distance_to, random_field, signed_distance},
};
use crate::{
    data::{Expert, Mask},
    seed::Seed,
};

/// How an expert draws a border.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habit {
    /// How far outside the true border the expert draws towards cortex and fluid, on average.
    pub outer_px: f64,
    /// The same towards ventricles, deep grey and callosum.
    pub inner_px: f64,
    /// Standard deviation of the drawn border.
    pub sigma_px: f64,
}

impl Habit {
    const fn new(outer_px: f64, inner_px: f64, sigma_px: f64) -> Self {
        Self {
            outer_px,
            inner_px,
            sigma_px,
        }
    }
}

/// The seven experts; 1 to 5 annotate the training set, 6 and 7 are new.
pub const HABITS: [(Expert, Habit); 7] = [
    (1, Habit::new(-0.9, 0.5, 1.55)),
    (2, Habit::new(0.8, -0.4, 1.55)),
    (3, Habit::new(-0.7, -0.8, 1.55)),
    (4, Habit::new(0.6, 1.0, 1.55)),
    (5, Habit::new(0.1, -0.9, 1.55)),
    (6, Habit::new(-0.1, 0.1, 1.1)),
    (7, Habit::new(3.1, 1.0, 1.2)),
];
/// Correlation length of the deviations, in pixels.
const DEVIATION_PX: f64 = 6.0;

/// Every expert's mask of the white matter.
pub(super) fn annotate(seed: Seed, tissues: &[Tissue]) -> Vec<(Expert, Mask)> {
    let borders = Borders::of(tissues);
    HABITS
        .iter()
        .map(|(expert, habit)| {
            let seed = seed.at(u64::from(*expert));
            let g = random_field(seed, SIDE_PX, SIDE_PX, DEVIATION_PX);
            let deviation = |i: usize| habit.sigma_px * f64::from(g.values[i]);
            (*expert, borders.drawn(habit, deviation))
        })
        .collect()
}

/// Where the white matter ends, as distances in pixels from each pixel.
struct Borders<'a> {
    tissues: &'a [Tissue],
    /// To the border of the white matter, positive inside.
    signed: Vec<f64>,
    /// To cortex, fluid and background.
    from_outer: Vec<f64>,
    /// To ventricles, deep grey and callosum.
    from_inner: Vec<f64>,
}

impl<'a> Borders<'a> {
    fn of(tissues: &'a [Tissue]) -> Self {
        let set = |wanted: fn(Tissue) -> bool| -> Vec<bool> {
            tissues.iter().map(|tissue| wanted(*tissue)).collect()
        };
        Self {
            tissues,
            signed: signed_distance(&set(|tissue| tissue == Tissue::WhiteMatter), SIDE_PX),
            from_outer: distance_to(&set(|tissue| tissue < Tissue::WhiteMatter), SIDE_PX),
            from_inner: distance_to(&set(|tissue| tissue > Tissue::WhiteMatter), SIDE_PX),
        }
    }

    /// The mask with a habit's bias and a deviation in pixels at each pixel, inside the brain.
    /// Between the outer and the inner border the bias changes linearly with the distances to both.
    fn drawn(&self, habit: &Habit, deviation: impl Fn(usize) -> f64) -> Mask {
        let pixels = (0..self.tissues.len())
            .map(|i| {
                let inner = share(self.from_outer[i], self.from_inner[i]);
                let bias = habit.outer_px + inner * (habit.inner_px - habit.outer_px);
                let level = self.signed[i] + bias + deviation(i);
                self.tissues[i] != Tissue::Background && level > 0.0
            })
            .collect();
        Mask {
            height: SIDE_PX,
            width: SIDE_PX,
            pixels,
        }
    }
}

/// How near a pixel is to the second of two things, between 0 and 1, by its distances to both; one
/// of them may be absent, infinitely far away.
fn share(from_first: f64, from_second: f64) -> f64 {
    match (from_first.is_finite(), from_second.is_finite()) {
        (true, true) => from_first / (from_first + from_second),
        (first, _) => f64::from(u8::from(!first)),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::anatomy, *};

    /// White matter in the right half of a frame that is all brain, another tissue in the left: phi
    /// is known in closed form.
    fn half_plane(other: Tissue) -> Vec<Tissue> {
        (0..SIDE_PX * SIDE_PX)
            .map(|i| {
                if i % SIDE_PX >= SIDE_PX / 2 {
                    Tissue::WhiteMatter
                } else {
                    other
                }
            })
            .collect()
    }

    /// Where along x each expert's border to a tissue lies on average, relative to the true one:
    /// mean over rows and seeds, outwards positive; and its standard deviation.
    fn borders(other: Tissue) -> Vec<(f64, f64)> {
        let tissues = half_plane(other);
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
        for (other, bias) in [
            (
                Tissue::Cortex,
                (|habit| habit.outer_px) as fn(&Habit) -> f64,
            ),
            (Tissue::DeepGrey, |habit| habit.inner_px),
        ] {
            for ((expert, habit), (mean, deviation)) in HABITS.iter().zip(borders(other)) {
                // 8 x 256 rows hold about 8 x 256 / 21 independent places, sqrt(4 pi) sigma long
                // each: the mean is known to a standard error of .13.
                let bias = bias(habit);
                assert!(
                    (mean - bias).abs() < 0.5,
                    "expert {expert}: {mean} for {bias}"
                );
                assert!(
                    (deviation - habit.sigma_px).abs() < 0.4,
                    "expert {expert}: {deviation}"
                );
            }
        }
    }

    #[test]
    fn between_two_borders_the_bias_changes_evenly() {
        assert_eq!(share(2.0, 6.0), 0.25);
        assert_eq!(share(2.0, f64::INFINITY), 0.0);
        assert_eq!(share(f64::INFINITY, 2.0), 1.0);
        assert_eq!(share(f64::INFINITY, f64::INFINITY), 1.0);
    }

    /// What makes a network that was trained on the right expert's masks the better one.
    #[test]
    fn what_can_be_learned_of_an_expert_fits_that_experts_masks_best() {
        let dice = |a: &Mask, b: &Mask| {
            let both = std::iter::zip(&a.pixels, &b.pixels).filter(|(a, b)| **a && **b);
            2.0 * both.count() as f64 / (a.area_px() + b.area_px()) as f64
        };
        let mut sums = [[0.0; HABITS.len()]; HABITS.len()];
        let cases = 12;
        for case in 0..cases {
            let seed = Seed::new(1).at(case);
            let tissues = anatomy::draw(seed.fork("anatomy"), 0.24);
            let borders = Borders::of(&tissues);
            let masks = annotate(seed.fork("experts"), &tissues);
            for (learned, (_, habit)) in HABITS.iter().enumerate() {
                let ideal = borders.drawn(habit, |_| 0.0);
                for (drawn, (_, mask)) in masks.iter().enumerate() {
                    sums[learned][drawn] += 100.0 * dice(&ideal, mask) / cases as f64;
                }
            }
        }
        // The new experts.
        for drawn in [5, 6] {
            let own = sums[drawn][drawn];
            for learned in (0..HABITS.len()).filter(|learned| *learned != drawn) {
                let less = own - sums[learned][drawn];
                assert!(less > 1.0, "{less} from {learned} to {drawn}");
            }
        }
    }

    #[test]
    fn experts_err_independently_in_every_case() {
        let tissues = half_plane(Tissue::Cortex);
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
