//! A pretrained network for a new expert as it is: the mean of its branches, the branch that fits
//! the expert's cases best, or the threshold that does.
//!
//! The rule: nothing is trained, and whole numbers decide: a probability is the byte that is
//! stored. Among equals the choice does not depend on rounding. The module prints nothing.

use std::{cmp::Reverse, iter::zip};

use crate::{
    adaptation::mean,
    artefact::ThresholdFit,
    data::{Mask, prepare::Prediction},
    metric::{MaskError, dice},
};

/// The thresholds that are tried: probabilities in steps of 1/32, without 0 and 1.
const STEP: u8 = 8;

/// The usual threshold, a probability of 1/2, in these steps.
const USUAL: u8 = Prediction::HALF / STEP;

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
    let fits: Vec<ThresholdFit> = (1..=u8::MAX / STEP).map(fit).collect::<Result<_, _>>()?;
    let best = (0..fits.len()).max_by(|a, b| {
        let rank = |place: usize| {
            let step = fits[place].threshold / STEP;
            (Reverse(step.abs_diff(USUAL)), Reverse(step))
        };
        let (a_dice, b_dice) = (fits[*a].mean_dice, fits[*b].mean_dice);
        a_dice.total_cmp(&b_dice).then(rank(*a).cmp(&rank(*b)))
    });
    Ok((fits, best.unwrap_or(usize::from(USUAL) - 1)))
}
