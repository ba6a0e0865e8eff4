//! Tails and quantiles of Student's t distribution.
//!
//! The rule: a small tail is computed as a tail, never as 1 minus something, so that p keeps its
//! digits however small.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::beta::beta_reg;

/// P(|T| >= |t|) with `df` degrees of freedom, in [0, 1]; 0 for an infinite t.
///
/// It is the regularised incomplete beta function I_x(df/2, 1/2) at x = df/(df + t^2) (Abramowitz
/// and Stegun 26.7.1).
pub fn two_sided(t: f64, df: f64) -> f64 {
    let square = t * t;
    if square <= 1.0 {
        // x is near 1 and 1 - x would lose the digits of t. P is at least .3 here, so 1 minus is
        // safe.
        1.0 - beta_reg(0.5, df / 2.0, square / (df + square))
    } else {
        beta_reg(df / 2.0, 0.5, df / (df + square))
    }
}

/// The t that |T| exceeds with probability `alpha`, 0 < alpha < 1.
pub fn critical(alpha: f64, df: f64) -> f64 {
    let distribution = StudentsT::new(0.0, 1.0, df).expect("degrees of freedom are positive");
    distribution.inverse_cdf(1.0 - alpha / 2.0)
}
