//! How the masks of annotation experts agree with a new expert's, and with each other's.

use std::iter::zip;

use itertools::Itertools;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    data::{Expert, Mask},
    fusion::{FusionError, Rule, fuse},
    key::Digest,
    metric::{MaskError, dice},
    stats,
};

/// How the masks of the candidates for annotation agree with a new expert's on the support cases,
/// and with each other's on all training cases. Dice coefficients are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// The images of the support cases, in the order of sampling.
    pub images: Vec<Digest>,
    /// The candidates, in ascending order.
    pub candidates: Vec<CandidateFit>,
    /// The area of each of the new expert's masks, in pixels, in the order of the images.
    pub areas: Vec<usize>,
    /// Every pair of candidates, over all training cases.
    pub mutual: Vec<MutualFit>,
    /// The majority of every combination of candidates, on the support cases.
    pub majorities: Vec<MajorityFit>,
}

/// A candidate against the new expert, on the support cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CandidateFit {
    /// Who.
    pub expert: Expert,
    /// The mean over the cases.
    pub mean_dice: f64,
    /// The Dice coefficient of each, in the order of the images.
    pub dice: Vec<f64>,
    /// The area of each mask, in pixels, in the order of the images.
    pub areas: Vec<usize>,
}

/// Two candidates against each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MutualFit {
    /// Who, in ascending order.
    pub experts: [Expert; 2],
    /// The mean Dice coefficient over all training cases.
    pub mean_dice: f64,
}

/// The majority of some candidates against the new expert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MajorityFit {
    /// Who, in ascending order.
    pub experts: Vec<Expert>,
    /// The mean Dice coefficient over the support cases.
    pub mean_dice: f64,
}

/// The masks of one support case.
#[derive(Clone, Debug)]
pub struct SupportMasks<'a> {
    /// The digest of its image.
    pub image: Digest,
    /// The new expert's.
    pub new: &'a Mask,
    /// The candidates', in their order.
    pub candidates: Vec<&'a Mask>,
}

/// Why masks cannot be compared.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum AgreementError {
    /// Two masks of an image have different shapes.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// They cannot be fused.
    #[error(transparent)]
    Fusion(#[from] FusionError),
}

impl Agreement {
    /// Compares masks: the candidates', in ascending order of these, with the new expert's on the
    /// support cases, with each other's on all training cases (for each case one mask of each
    /// candidate), and the majorities of some combinations with the new expert's.
    ///
    /// # Errors
    /// Masks of an image differ in shape.
    pub fn of(
        candidates: &[Expert],
        support: &[SupportMasks<'_>],
        training: &[Vec<&Mask>],
        combinations: &[Vec<Expert>],
    ) -> Result<Self, AgreementError> {
        let mean = |values: &[f64]| stats::mean(values).unwrap_or(0.0);
        let fit = |(place, expert): (usize, &Expert)| {
            let of_case =
                |case: &SupportMasks<'_>| dice(case.candidates[place].view(), case.new.view());
            let dice: Vec<f64> = support.iter().map(of_case).collect::<Result<_, _>>()?;
            Ok::<_, AgreementError>(CandidateFit {
                expert: *expert,
                mean_dice: mean(&dice),
                dice,
                areas: support
                    .iter()
                    .map(|case| case.candidates[place].area_px())
                    .collect(),
            })
        };
        let fits = candidates.iter().enumerate().map(fit);
        let mutual = (0..candidates.len()).array_combinations().map(|[a, b]| {
            let of_case = |masks: &Vec<&Mask>| dice(masks[a].view(), masks[b].view());
            let dice: Vec<f64> = training.iter().map(of_case).collect::<Result<_, _>>()?;
            Ok::<_, AgreementError>(MutualFit {
                experts: [candidates[a], candidates[b]],
                mean_dice: mean(&dice),
            })
        });
        let majority = |experts: &Vec<Expert>| {
            let of_case = |case: &SupportMasks<'_>| {
                let members = zip(candidates, &case.candidates);
                let members = members.filter(|(candidate, _)| experts.contains(candidate));
                let members = members.map(|(_, mask)| *mask).collect_vec();
                let fused = fuse(&members, Rule::Majority)?;
                Ok::<_, AgreementError>(dice(fused.mask.view(), case.new.view())?)
            };
            let dice: Vec<f64> = support.iter().map(of_case).collect::<Result<_, _>>()?;
            Ok::<_, AgreementError>(MajorityFit {
                experts: experts.clone(),
                mean_dice: mean(&dice),
            })
        };
        Ok(Self {
            images: support.iter().map(|case| case.image).collect(),
            candidates: fits.collect::<Result<_, _>>()?,
            areas: support.iter().map(|case| case.new.area_px()).collect(),
            mutual: mutual.collect::<Result<_, _>>()?,
            majorities: combinations
                .iter()
                .map(majority)
                .collect::<Result<_, _>>()?,
        })
    }

    /// By how much the new expert draws larger than the candidates do: the mean over the support
    /// cases of ln(area + 1), less the candidates' mean of it.
    pub fn new_bias(&self) -> f64 {
        log_area(&self.areas) - self.usual_log_area()
    }

    /// By how much a candidate draws larger than all of them do, as for the new expert.
    pub fn bias(&self, candidate: &CandidateFit) -> f64 {
        log_area(&candidate.areas) - self.usual_log_area()
    }

    fn usual_log_area(&self) -> f64 {
        let each = self
            .candidates
            .iter()
            .map(|candidate| log_area(&candidate.areas));
        stats::mean(&each.collect_vec()).unwrap_or(0.0)
    }

    /// As JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("numbers are plain data");
        bytes.push(b'\n');
        bytes
    }

    /// From JSON.
    ///
    /// # Errors
    /// The bytes are not what [`Agreement::to_bytes`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("agreement: {error}"))
    }
}

/// The mean of ln(area + 1).
fn log_area(areas: &[usize]) -> f64 {
    let each = areas.iter().map(|area| (*area as f64 + 1.0).ln());
    stats::mean(&each.collect_vec()).unwrap_or(0.0)
}
