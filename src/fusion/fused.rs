//! A fused mask, how the experts do against it, and why there may be none.

use thiserror::Error;

use crate::data::Mask;

/// Rounds after which STAPLE's estimation is given up. Masks of people need some dozens, masks that
/// disagree wholly some thousands.
pub const MOST_ROUNDS: usize = 100_000;

/// A fused mask, and how the experts do against it.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedMask {
    /// The mask, of the experts' shape.
    pub mask: Mask,
    /// One of each expert, in the order given.
    pub performances: Vec<Performance>,
    /// Rounds of STAPLE's estimation; none by majority, and where no estimation is needed, as no
    /// expert marked anything or all marked everything.
    pub rounds: Option<usize>,
}

/// An expert against the fused mask: by majority of its pixels, by STAPLE as estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Performance {
    /// The share of the inside that the expert marked; undefined where nothing is inside.
    pub sensitivity: Option<f64>,
    /// The share of the outside that the expert left; undefined where nothing is outside.
    pub specificity: Option<f64>,
}

impl Performance {
    /// Whether the mask tells no more of the inside than chance, or less: STAPLE may have taken
    /// inside for outside.
    pub fn is_no_better_than_chance(&self) -> bool {
        match (self.sensitivity, self.specificity) {
            (Some(sensitivity), Some(specificity)) => sensitivity + specificity <= 1.0,
            _ => false,
        }
    }
}

/// Why masks cannot be fused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FusionError {
    /// There is no mask.
    #[error("there is no mask to fuse")]
    NoMask,
    /// The masks are of different shapes.
    #[error("a mask is {found:?} pixels, the first is {expected:?}")]
    Shape {
        /// Height and width of the first.
        expected: [usize; 2],
        /// Height and width of another.
        found: [usize; 2],
    },
    /// STAPLE still moves after [`MOST_ROUNDS`].
    #[error(
        "STAPLE does not settle within {MOST_ROUNDS} rounds, as the masks agree too little; fuse \
         them by majority, or leave an expert out"
    )]
    Unsettled,
}
