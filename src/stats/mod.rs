//! Significance of differences between groups of results.
//!
//! The rule: a test that cannot be made is `Undefined` with its reason, never NaN; pairs are joined
//! by key and a pair without its partner is an error, never dropped.

mod holm;
mod pairs;
mod permutation;
mod rank;
mod sign_flip;
mod summary;
pub mod t_distribution;
mod t_test;
mod trend;

pub use holm::holm;
pub use pairs::{PairError, Pairs};
pub use permutation::{ChoiceTest, choices};
pub use rank::{spearman, spearman_p};
pub use sign_flip::{MOST_PAIRS, sign_flip};
pub use summary::{mean, sd};
pub use t_test::{POWER, TTest, Variance, detectable, paired, paired_overlapping, student, welch};
pub use trend::{Trend, page};

use serde::{Deserialize, Serialize};

/// Why a test has no result.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum Undefined {
    /// Fewer than two pairs, or a group of fewer than two values.
    #[error("a test needs at least two values in each group")]
    TooFew,
    /// More values than an exact test can enumerate.
    #[error("there are more values than an exact test can enumerate")]
    TooMany,
    /// One of the values is itself undefined (given as NaN or an infinity).
    #[error("one of the values is undefined")]
    UndefinedValue,
}

/// Differences below this share of the largest value compared are rounding, not measurement.
const RELATIVE_ROUNDING: f64 = 1e-12;

/// The size below which a difference between these values is rounding.
fn rounding<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    let largest = values.into_iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    RELATIVE_ROUNDING * largest
}

fn all_finite(groups: [&[f64]; 2]) -> Result<(), Undefined> {
    if groups
        .iter()
        .all(|group| group.iter().all(|v| v.is_finite()))
    {
        Ok(())
    } else {
        Err(Undefined::UndefinedValue)
    }
}
