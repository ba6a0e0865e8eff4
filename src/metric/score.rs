//! A metric's outcome: a value, or the reason why there is none.
//!
//! The rule: a mean over images is undefined where the score of one of them is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One metric of one image, or its mean over a run's images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// A finite number.
    Value(f64),
    /// No number, and why.
    Undefined(Reason),
}

/// Why a metric has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing was predicted, although the reference has pixels.
    EmptyPrediction,
    /// The reference has no pixel, although the prediction has.
    EmptyReference,
    /// Neither mask has a pixel.
    BothEmpty,
}

impl Score {
    /// The number, where there is one.
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value),
            Self::Undefined(_) => None,
        }
    }

    /// The mean over a run's images, in their order. It is undefined, with the first reason, where
    /// one of the images is. `None` for no images at all.
    pub fn mean(scores: &[Score]) -> Option<Score> {
        if scores.is_empty() {
            return None;
        }
        let mut sum = 0.0;
        for score in scores {
            match score {
                Self::Value(value) => sum += value,
                undefined => return Some(*undefined),
            }
        }
        Some(Self::Value(sum / scores.len() as f64))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Undefined(reason) => write!(f, "undefined: {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyPrediction => "the prediction is empty",
            Self::EmptyReference => "the reference is empty",
            Self::BothEmpty => "prediction and reference are both empty",
        })
    }
}
