//! Rank correlation.

use itertools::Itertools;

use super::{RELATIVE_ROUNDING, Undefined, all_finite, mean};

/// The most pairs whose orders are enumerated.
const MOST: usize = 9;

/// Spearman's rank correlation of paired values (Spearman 1904): Pearson's of their ranks, where
/// equal values share the mean of their ranks.
///
/// # Errors
/// Fewer than two pairs, values that are all alike, lists of different lengths, or a value that is
/// not finite.
pub fn spearman(first: &[f64], second: &[f64]) -> Result<f64, Undefined> {
    all_finite([first, second])?;
    if first.len() != second.len() || first.len() < 2 {
        return Err(Undefined::TooFew);
    }
    let (a, b) = (centred(&ranks(first)), centred(&ranks(second)));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    match scale > 0.0 {
        true => Ok(product(&a, &b) / scale),
        false => Err(Undefined::TooFew),
    }
}

/// The exact two-sided p of Spearman's correlation: the share of all orders of the second values
/// whose correlation with the first is at least as far from zero.
///
/// # Errors
/// As for [`spearman`]; or there are more than nine pairs.
pub fn spearman_p(first: &[f64], second: &[f64]) -> Result<f64, Undefined> {
    let observed = spearman(first, second)?.abs() - RELATIVE_ROUNDING;
    if first.len() > MOST {
        return Err(Undefined::TooMany);
    }
    let (mut all, mut extreme) = (0usize, 0usize);
    for order in second.iter().copied().permutations(second.len()) {
        all += 1;
        extreme += usize::from(spearman(first, &order)?.abs() >= observed);
    }
    Ok(extreme as f64 / all as f64)
}

/// The rank of each value, from 1.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let same = values.iter().filter(|other| *other == value).count();
        below as f64 + (same as f64 + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

fn centred(values: &[f64]) -> Vec<f64> {
    let mean = mean(values).unwrap_or(0.0);
    values.iter().map(|value| value - mean).collect()
}
