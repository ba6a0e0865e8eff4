//! The two-sided t-tests: paired, Student's with pooled variance, and Welch's.
//!
//! The rule: a difference within rounding of zero is no difference, and a spread within rounding of
//! zero is none. Such samples get the limit of t, 0 or +-infinity, marked in `Variance`.

use super::pairs::Pairs;
use super::summary::{mean, sd};
use super::t_distribution::{critical, two_sided};
use super::{Undefined, all_finite, rounding};

/// Whether the sample has a spread that the difference can be measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variance {
    /// It has: t and p are the statistic and its probability.
    Positive,
    /// No spread and no difference: t = 0 and p = 1.
    Identical,
    /// No spread but a difference: t is infinite and p is 0.
    Zero,
}

/// The result of a t-test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TTest {
    /// The statistic; infinite for a difference without spread.
    pub t: f64,
    /// Degrees of freedom, fractional for Welch.
    pub df: f64,
    /// The two-sided probability of a statistic at least this extreme, in [0, 1].
    pub p: f64,
    /// Mean of the first minus mean of the second, in the values' unit.
    pub difference: f64,
    /// The two-sided 95 % confidence interval of the difference.
    pub ci95: (f64, f64),
    /// Whether t is a limit.
    pub variance: Variance,
}

/// The paired t-test: Student's one-sample test of the differences.
///
/// # Errors
/// Fewer than two pairs, or a value that is not finite.
pub fn paired(pairs: &Pairs) -> Result<TTest, Undefined> {
    paired_overlapping(pairs, 0.0)
}

/// The paired t-test with the variance of Nadeau and Bengio (2003, section 3): trainings on parts
/// of one data set share cases, so that their results are not independent. The variance of the mean
/// difference is taken as (1/n + q) s^2 instead of s^2/n, q = `tested_to_trained`, test cases over
/// training cases.
///
/// # Errors
/// As [`paired`].
pub fn paired_overlapping(pairs: &Pairs, tested_to_trained: f64) -> Result<TTest, Undefined> {
    all_finite([pairs.first(), pairs.second()])?;
    let differences = pairs.differences();
    let spread = sd(&differences).ok_or(Undefined::TooFew)?;
    let n = differences.len() as f64;
    let estimate = MeanDifference {
        difference: mean(&differences).ok_or(Undefined::TooFew)?,
        spread,
        error: match tested_to_trained {
            0.0 => spread / n.sqrt(),
            ratio => spread * (1.0 / n + ratio).sqrt(),
        },
        df: n - 1.0,
        // The differences round at the size of the values, not at their own.
        rounding: rounding(pairs.first().iter().chain(pairs.second())),
    };
    Ok(estimate.test())
}

/// Student's unpaired t-test, with one variance pooled over both groups (Student, 1908).
///
/// # Errors
/// A group of fewer than two values, or a value that is not finite.
pub fn student(first: &[f64], second: &[f64]) -> Result<TTest, Undefined> {
    let groups = Groups::of(first, second)?;
    let [n, m] = groups.counts;
    let pooled =
        ((n - 1.0) * groups.variances[0] + (m - 1.0) * groups.variances[1]) / (n + m - 2.0);
    let error = (pooled * (1.0 / n + 1.0 / m)).sqrt();
    Ok(groups.estimate(error, n + m - 2.0).test())
}

/// Welch's unpaired t-test, each group with its own variance (Welch, 1947; degrees of freedom after
/// Satterthwaite).
///
/// # Errors
/// A group of fewer than two values, or a value that is not finite.
pub fn welch(first: &[f64], second: &[f64]) -> Result<TTest, Undefined> {
    let groups = Groups::of(first, second)?;
    let [n, m] = groups.counts;
    let shares = [groups.variances[0] / n, groups.variances[1] / m];
    let total = shares[0] + shares[1];
    // As fractions of their sum, because squares of tiny variances underflow.
    let [share, rest] = shares.map(|part| part / total);
    let df = 1.0 / (share * share / (n - 1.0) + rest * rest / (m - 1.0));
    // Without any variance the formula has no value; SciPy reports 1.
    let df = if total > 0.0 { df } else { 1.0 };
    Ok(groups.estimate(total.sqrt(), df).test())
}

/// The power at which a difference counts as detectable.
pub const POWER: f64 = 0.8;

/// The difference that a test like one that was made finds significant with a probability of
/// [`POWER`]: its standard error times the sum of two quantiles of t. By the noncentral t
/// distribution it is 0.1 % more for ten pairs and `alpha` 0.05, 2 % more for `alpha` 0.01, a sixth
/// more for two pairs. In the values' unit; `ci95` and `df` as in [`TTest`].
pub fn detectable(ci95: (f64, f64), df: f64, alpha: f64) -> f64 {
    let error = (ci95.1 - ci95.0) / 2.0 / critical(0.05, df);
    // The quantile of one tail, as a limit of both.
    error * (critical(alpha, df) + critical(2.0 * (1.0 - POWER), df))
}

/// What both unpaired tests start from.
struct Groups {
    counts: [f64; 2],
    variances: [f64; 2],
    difference: f64,
    rounding: f64,
}

impl Groups {
    fn of(first: &[f64], second: &[f64]) -> Result<Self, Undefined> {
        all_finite([first, second])?;
        let [Some(a), Some(b)] = [sd(first), sd(second)] else {
            return Err(Undefined::TooFew);
        };
        let [Some(left), Some(right)] = [mean(first), mean(second)] else {
            return Err(Undefined::TooFew);
        };
        Ok(Self {
            counts: [first.len() as f64, second.len() as f64],
            variances: [a * a, b * b],
            difference: left - right,
            rounding: rounding(first.iter().chain(second)),
        })
    }

    fn estimate(&self, error: f64, df: f64) -> MeanDifference {
        MeanDifference {
            difference: self.difference,
            spread: self.variances[0].max(self.variances[1]).sqrt(),
            error,
            df,
            rounding: self.rounding,
        }
    }
}

/// A difference of means and what is known of its precision.
struct MeanDifference {
    difference: f64,
    /// The largest standard deviation behind the difference.
    spread: f64,
    /// The difference's standard error.
    error: f64,
    df: f64,
    /// Numbers up to this size are rounding.
    rounding: f64,
}

impl MeanDifference {
    fn test(&self) -> TTest {
        let Self {
            difference,
            error,
            df,
            ..
        } = *self;
        let variance = self.variance();
        let (t, margin) = match variance {
            Variance::Positive => (difference / error, critical(0.05, df) * error),
            Variance::Identical => (0.0, 0.0),
            Variance::Zero => (difference.signum() * f64::INFINITY, 0.0),
        };
        TTest {
            t,
            df,
            p: two_sided(t, df),
            difference,
            ci95: (difference - margin, difference + margin),
            variance,
        }
    }

    fn variance(&self) -> Variance {
        if self.spread > self.rounding {
            Variance::Positive
        } else if self.difference.abs() <= self.rounding {
            Variance::Identical
        } else {
            Variance::Zero
        }
    }
}
