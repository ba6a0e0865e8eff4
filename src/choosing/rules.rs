//! The rules that choose a combination of annotation experts: scores, and the choice by them.

use itertools::Itertools;

use super::Agreement;
use crate::{data::Expert, manifest::SelectionRule, stats};

/// Scores that differ by less are equal: they differ by rounding.
const ROUNDING: f64 = 1e-12;

/// The score of a combination by a rule that goes by masks, of which the largest wins; none by
/// another rule, and where the agreement knows nothing of one of the experts.
pub fn score(rule: SelectionRule, agreement: &Agreement, experts: &[Expert]) -> Option<f64> {
    let fits = experts.iter().map(|expert| {
        let mut candidates = agreement.candidates.iter();
        candidates.find(|fit| fit.expert == *expert)
    });
    let fits = fits.collect::<Option<Vec<_>>>()?;
    let mean = |values: Vec<f64>| stats::mean(&values);
    match rule {
        SelectionRule::Agreement => mean(fits.iter().map(|fit| fit.mean_dice).collect()),
        SelectionRule::Cover => {
            let mut majorities = agreement.majorities.iter();
            let found = majorities.find(|majority| majority.experts == experts);
            found.map(|majority| majority.mean_dice)
        }
        SelectionRule::Style => {
            let bias = mean(fits.iter().map(|fit| agreement.bias(fit)).collect())?;
            Some(-(bias - agreement.new_bias()).abs())
        }
        SelectionRule::Alike => alike(agreement, experts),
        SelectionRule::Unlike => alike(agreement, experts).map(|score| -score),
        SelectionRule::Branch
        | SelectionRule::Mean
        | SelectionRule::BestElsewhere
        | SelectionRule::Best
        | SelectionRule::Worst => None,
    }
}

/// The score of a combination by how well each candidate's branch fits the new expert's cases; none
/// where one of the experts has no branch.
pub fn score_by_branches(fits: &[(Expert, f64)], experts: &[Expert]) -> Option<f64> {
    let of = |expert: &Expert| {
        let mut fits = fits.iter();
        fits.find(|(own, _)| own == expert).map(|(_, fit)| *fit)
    };
    let fits = experts.iter().map(of).collect::<Option<Vec<f64>>>()?;
    stats::mean(&fits)
}

/// The mean agreement of the pairs of experts; of a single one with all others.
fn alike(agreement: &Agreement, experts: &[Expert]) -> Option<f64> {
    let pairs = agreement.mutual.iter().filter(|pair| match experts {
        [only] => pair.experts.contains(only),
        several => pair.experts.iter().all(|expert| several.contains(expert)),
    });
    stats::mean(&pairs.map(|pair| pair.mean_dice).collect_vec())
}

/// The place of the largest score; of several that differ by rounding alone the first.
pub fn pick(scores: &[f64]) -> Option<usize> {
    let largest = scores.iter().copied().reduce(f64::max)?;
    scores.iter().position(|score| *score >= largest - ROUNDING)
}
