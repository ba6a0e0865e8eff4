//! The exact sign-flip test of paired differences.
//!
//! The rule: all 2^n assignments of signs are counted, none is sampled, and sums that differ only
//! by rounding are equal.

use super::pairs::Pairs;
use super::{Undefined, all_finite, rounding};

/// The most pairs whose 2^n sign assignments are enumerated.
pub const MOST_PAIRS: usize = 20;

/// The two-sided p of the sign-flip test: the share of all sign assignments whose summed difference
/// is at least as far from zero as the observed one (Fisher, 1935). With n pairs it is at least
/// 2^(1-n).
///
/// # Errors
/// Fewer than two pairs, more than `MOST_PAIRS`, or a value that is not finite.
pub fn sign_flip(pairs: &Pairs) -> Result<f64, Undefined> {
    all_finite([pairs.first(), pairs.second()])?;
    let differences = pairs.differences();
    let (&fixed, free) = match differences.split_first() {
        Some(split) if !split.1.is_empty() => split,
        _ => return Err(Undefined::TooFew),
    };
    if differences.len() > MOST_PAIRS {
        return Err(Undefined::TooMany);
    }
    let observed = differences.iter().sum::<f64>().abs();
    let rounding = rounding(pairs.first().iter().chain(pairs.second()));
    let threshold = observed - rounding * differences.len() as f64;
    // Flipping every sign leaves |sum| as it is, so the first sign can stay.
    let extreme = count(fixed, free, threshold);
    Ok(extreme as f64 / (1u64 << free.len()) as f64)
}

/// How many sign assignments of `free` bring |sum| to the threshold. Each branch adds up its own
/// sum, so that rounding errors do not accumulate.
fn count(sum: f64, free: &[f64], threshold: f64) -> u64 {
    match free.split_first() {
        None => u64::from(sum.abs() >= threshold),
        Some((&difference, rest)) => {
            count(sum + difference, rest, threshold) + count(sum - difference, rest, threshold)
        }
    }
}
