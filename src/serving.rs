//! A pretrained network for a new expert as it is: the mean of its branches, the branch that fits
//! the expert's cases best, the threshold that does, or the weight of a map of disagreement.
//!
//! The rule: nothing is trained, and whole numbers decide: a probability is the byte that is
//! stored. Among equals the choice does not depend on rounding. The module prints nothing.

use std::{cmp::Reverse, iter::zip};

use crate::{
    adaptation::mean,
    artefact::{MapFit, ThresholdFit},
    data::{Mask, prepare::Prediction},
    metric::{MaskError, dice},
};

/// The thresholds that are tried: probabilities in steps of 1/32, without 0 and 1.
const STEP: u8 = 8;

/// The usual threshold, a probability of 1/2, in these steps.
const USUAL: u8 = Prediction::HALF / STEP;

/// The last step.
const LAST: u8 = u8::MAX / STEP;

/// The mean of the branches' probabilities, case by case; of one branch that branch, byte for byte.
/// Branches predict the same cases in the same order.
pub fn consensus(by_branch: &[Vec<Prediction>]) -> Vec<Prediction> {
    let Some(first) = by_branch.first() else {
        return Vec::new();
    };
    let of_case = |(place, of_first): (usize, &Prediction)| {
        let pixels = 0..of_first.probability.len();
        let mean = |pixel: usize| {
            let bytes = by_branch.iter();
            let bytes = bytes.map(|branch| usize::from(branch[place].probability[pixel]));
            mean_byte(bytes.sum(), by_branch.len())
        };
        Prediction {
            probability: pixels.map(mean).collect(),
            ..of_first.clone()
        }
    };
    first.iter().enumerate().map(of_case).collect()
}

/// The byte of a mean probability: a byte b stands for (b + 1/2) / 256.
fn mean_byte(sum: usize, count: usize) -> u8 {
    ((2 * sum + count) / (2 * count)) as u8
}

/// How the thresholds fit a new expert's masks, from the lowest to the highest, and the place of
/// the one that fits best; of several the one nearest to 1/2, then the lower.
///
/// # Errors
/// A mask has another shape than its image.
pub fn thresholds(
    predictions: &[Prediction],
    masks: &[&Mask],
) -> Result<(Vec<ThresholdFit>, usize), MaskError> {
    let fit = |step: u8| {
        let at = |(prediction, mask): (&Prediction, &&Mask)| {
            let prediction = Prediction {
                threshold: step * STEP,
                ..prediction.clone()
            };
            dice(prediction.mask().view(), mask.view())
        };
        let dice: Vec<f64> = zip(predictions, masks).map(at).collect::<Result<_, _>>()?;
        Ok(ThresholdFit {
            threshold: step * STEP,
            mean_dice: mean(&dice),
            dice,
        })
    };
    let fits: Vec<ThresholdFit> = (1..=LAST).map(fit).collect::<Result<_, _>>()?;
    let means: Vec<f64> = fits.iter().map(|fit| fit.mean_dice).collect();
    Ok((fits, nearest_of_best(&means)))
}

/// How the weights of a map of disagreement fit a new expert's masks, from the lowest to the
/// highest, and the step of the one that fits best; of several the one nearest to 0, then the
/// lower. Maps are of the same images as predictions.
///
/// # Errors
/// A mask has another shape than its image.
pub fn map_weights(
    predictions: &[Prediction],
    maps: &[Prediction],
    masks: &[&Mask],
) -> Result<(Vec<MapFit>, u8), MaskError> {
    let fit = |step: u8| {
        let moved = zip(predictions, maps).map(|(prediction, map)| moved_by(prediction, map, step));
        let dice = zip(moved, masks).map(|(moved, mask)| dice(moved.mask().view(), mask.view()));
        let dice: Vec<f64> = dice.collect::<Result<_, _>>()?;
        Ok(MapFit {
            weight: weight(step),
            mean_dice: mean(&dice),
            dice,
        })
    };
    let fits: Vec<MapFit> = (1..=LAST).map(fit).collect::<Result<_, _>>()?;
    let means: Vec<f64> = fits.iter().map(|fit| fit.mean_dice).collect();
    let best = nearest_of_best(&means);
    Ok((fits, best as u8 + 1))
}

/// The weight of a map at a step: from -15/32 to 15/32.
pub fn weight(step: u8) -> f64 {
    (f64::from(step) - f64::from(USUAL)) / 32.0
}

/// A prediction, moved by a map of disagreement with the weight of a step: its probability and the
/// weighted map are added, and cut to a byte.
pub fn moved_by(prediction: &Prediction, map: &Prediction, step: u8) -> Prediction {
    let weight = i32::from(step) - i32::from(USUAL);
    let of_pixel = |(probability, map): (&u8, &u8)| {
        let sum = 32 * i32::from(*probability) + weight * i32::from(*map);
        sum.div_euclid(32).clamp(0, i32::from(u8::MAX)) as u8
    };
    let pixels = zip(&prediction.probability, &map.probability);
    Prediction {
        probability: pixels.map(of_pixel).collect(),
        ..prediction.clone()
    }
}

/// The place of the largest of the means over all steps; of several the one nearest to the usual
/// step, then the lower.
fn nearest_of_best(means: &[f64]) -> usize {
    let best = (0..means.len()).max_by(|a, b| {
        let rank = |place: usize| {
            let step = place as u8 + 1;
            (Reverse(step.abs_diff(USUAL)), Reverse(step))
        };
        means[*a]
            .total_cmp(&means[*b])
            .then(rank(*a).cmp(&rank(*b)))
    });
    best.unwrap_or(usize::from(USUAL) - 1)
}
