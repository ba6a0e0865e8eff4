//! Choosing annotation experts for a new expert without knowing results; and what each expert
//! contributes to the results of all combinations.
//!
//! The rule: a score follows from masks in the images as they were drawn, or from how networks'
//! branches fit them. Among equal scores the first combination is chosen. The module reads and
//! writes no file, and knows no results but those it is given.

mod agreement;
mod contributions;
mod rules;

pub use agreement::{
    Agreement, AgreementError, CandidateFit, MajorityFit, MutualFit, SupportMasks,
};
pub use contributions::contributions;
pub use rules::{pick, score, score_by_branches};
