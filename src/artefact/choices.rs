//! What was chosen for a new expert by annotated cases, and how all that could have been chosen
//! fits them.

use serde::{Deserialize, Serialize};

use super::{CHOICE, THRESHOLD, json};
use crate::key::Digest;

/// How the branches of a pretrained network fit a new expert's annotated cases, and the branch that
/// fits best. Cases are identified by their images' digests, as in keys; their names have no
/// effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The images, in the order of sampling.
    pub images: Vec<Digest>,
    /// In the order of the branches; never empty.
    pub branches: Vec<BranchFit>,
    /// The expert whose branch was chosen.
    pub chosen: u8,
}

/// The fit of one branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchFit {
    /// Whose branch it is.
    pub expert: u8,
    /// The mean over the cases.
    pub mean_dice: f64,
    /// The Dice coefficient of each, from 0 to 1, in the order of the images.
    pub dice: Vec<f64>,
}

impl Choice {
    /// The mean Dice coefficient of the chosen branch: the largest there is.
    pub fn mean_dice(&self) -> f64 {
        let means = self.branches.iter().map(|fit| fit.mean_dice);
        means.fold(0.0, f64::max)
    }

    /// From JSON.
    ///
    /// # Errors
    /// The bytes are not what [`Choice::to_bytes`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("{CHOICE}: {error}"))
    }

    /// As JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }
}

/// How the thresholds of a network fit a new expert's annotated cases, and the one that fits best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdChoice {
    /// The images, in the order of sampling.
    pub images: Vec<Digest>,
    /// From the lowest to the highest.
    pub thresholds: Vec<ThresholdFit>,
    /// The one that was chosen.
    pub chosen: u8,
}

/// The fit of one threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdFit {
    /// The least probability of foreground, in steps of 1/256.
    pub threshold: u8,
    /// The mean over the cases.
    pub mean_dice: f64,
    /// The Dice coefficient of each, from 0 to 1, in the order of the images.
    pub dice: Vec<f64>,
}

impl ThresholdChoice {
    /// The chosen threshold as a probability.
    pub fn probability(&self) -> f64 {
        f64::from(self.chosen) / 256.0
    }

    /// From JSON.
    ///
    /// # Errors
    /// The bytes are not what [`ThresholdChoice::to_bytes`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("{THRESHOLD}: {error}"))
    }

    /// As JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }
}

/// How the weights of a map of disagreement fit a new expert's annotated cases, and the one that
/// fits best. A pixel is inside where its probability and the map's value, times the weight, are
/// together at least 1/2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapChoice {
    /// The images, in the order of sampling.
    pub images: Vec<Digest>,
    /// From the lowest to the highest.
    pub weights: Vec<MapFit>,
    /// The one that was chosen.
    pub chosen: f64,
}

/// The fit of one weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapFit {
    /// The weight of the map.
    pub weight: f64,
    /// The mean over the cases.
    pub mean_dice: f64,
    /// The Dice coefficient of each, from 0 to 1, in the order of the images.
    pub dice: Vec<f64>,
}

impl MapChoice {
    /// As JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }
}

/// The latent that a new expert is served with: the mean over annotated cases of the posterior's
/// mean, or of its distance from the prior's mean in deviations of the prior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentChoice {
    /// The images, in the order of sampling.
    pub images: Vec<Digest>,
    /// The latent, dimension by dimension.
    pub chosen: Vec<f32>,
}

impl LatentChoice {
    /// As JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }
}
