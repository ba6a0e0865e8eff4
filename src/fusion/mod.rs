//! One mask from those of several experts: by majority, or by STAPLE.
//!
//! The rule: a pixel's place in the fused mask follows from who marked it, never from its place in
//! the image or the order of the experts. A tie is background. The module reads and writes no file.

mod fused;
mod staple;
mod votes;

use serde::{Deserialize, Serialize};

use crate::{data::Mask, method::FusionRegion};

pub use fused::{FusedMask, FusionError, MOST_ROUNDS, Performance};

use staple::StapleEstimate;
use votes::{VotePatterns, window};

/// How masks become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Inside where more than half of the experts are.
    Majority,
    /// Simultaneous truth and performance level estimation (Warfield et al. 2004): inside where the
    /// probability is above one half, each expert weighted by an estimated performance.
    Staple(FusionRegion),
}

impl Rule {
    /// In a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Majority => "majority",
            Self::Staple(_) => "STAPLE",
        }
    }
}

/// The margin of [`FusionRegion::Box`], in pixels.
pub const BOX_MARGIN_PX: usize = 8;

/// Fuses the masks of one image.
///
/// # Errors
/// There is none, they differ in shape, or STAPLE does not settle.
pub fn fuse(masks: &[&Mask], rule: Rule) -> Result<FusedMask, FusionError> {
    let first = masks.first().ok_or(FusionError::NoMask)?;
    for mask in masks {
        if (mask.height, mask.width) != (first.height, first.width) {
            return Err(FusionError::Shape {
                expected: [first.height, first.width],
                found: [mask.height, mask.width],
            });
        }
    }
    let votes = VotePatterns::of(masks);
    let fused = |inside: Vec<bool>| Mask {
        height: first.height,
        width: first.width,
        pixels: votes.pixels(&inside),
    };
    let estimate = match rule {
        Rule::Majority => None,
        Rule::Staple(region) => {
            let within = match region {
                FusionRegion::Slice => votes.counts().to_vec(),
                FusionRegion::Box => votes.counts_within(window(masks, BOX_MARGIN_PX)),
            };
            StapleEstimate::of(&votes, &within)?
        }
    };
    Ok(match estimate {
        Some(estimate) => FusedMask {
            mask: fused(estimate.inside()),
            performances: estimate.performances(),
            rounds: Some(estimate.rounds),
        },
        // Without an estimate all experts agree on every pixel, or the majority is asked for.
        None => {
            let mask = fused(votes.majority());
            FusedMask {
                performances: masks.iter().map(|own| measured(own, &mask)).collect(),
                mask,
                rounds: None,
            }
        }
    })
}

/// How an expert's mask does against a fused one.
fn measured(own: &Mask, fused: &Mask) -> Performance {
    let share = |of: bool| {
        let pixels = std::iter::zip(&own.pixels, &fused.pixels);
        let there = pixels.filter(|(_, fused)| **fused == of);
        let (all, same) = there.fold((0, 0), |(all, same), (own, _)| {
            (all + 1, same + usize::from(*own == of))
        });
        (all > 0).then(|| same as f64 / all as f64)
    };
    Performance {
        sensitivity: share(true),
        specificity: share(false),
    }
}
