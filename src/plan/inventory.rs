//! What the plan must know of a data set: names and digests, no pixels.

use std::{collections::BTreeMap, path::PathBuf};

use super::Fusion;
use crate::{
    data::{Case, Dataset},
    key::Digest,
    manifest::{Cohort, Experiment},
};

/// The cases of a data set and the files imported beside it, by their digests.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Training cases in order; a way of sampling counts along them.
    pub training: Vec<CaseDigests>,
    /// Test cases in order.
    pub test: Vec<CaseDigests>,
    /// The weights that pretrainings start from: for each file, the digest of its tensors.
    pub imports: BTreeMap<PathBuf, Digest>,
    /// Masks of several experts that become one.
    pub fused: FusedDigests,
}

/// The digests of fused masks.
#[derive(Clone, Debug)]
pub enum FusedDigests {
    /// Of every training case, in their order.
    Known(BTreeMap<Fusion, Vec<Digest>>),
    /// No mask is known, and no two are alike.
    Assumed,
}

/// One case's identity.
#[derive(Clone, Debug)]
pub struct CaseDigests {
    /// The folder's name.
    pub name: String,
    /// The image's digest.
    pub image: Digest,
    /// Each expert's mask's digest.
    pub masks: BTreeMap<u8, Digest>,
    /// Millimetres between rows and between columns, where the header says.
    pub spacing_mm: Option<[f64; 2]>,
}

impl Inventory {
    /// The inventory of a data set, without imported files and fused masks.
    pub fn of(dataset: &Dataset) -> Self {
        let digests = |cases: &[Case]| {
            cases
                .iter()
                .map(|case| CaseDigests {
                    name: case.name.clone(),
                    image: case.image_digest,
                    masks: case
                        .annotations
                        .iter()
                        .map(|(e, a)| (*e, a.digest))
                        .collect(),
                    spacing_mm: case.spacing().ok().map(|s| [s.y_mm, s.x_mm]),
                })
                .collect()
        };
        Self {
            training: digests(&dataset.training),
            test: digests(&dataset.test),
            imports: BTreeMap::new(),
            fused: FusedDigests::Known(BTreeMap::new()),
        }
    }

    /// The fused masks of all training cases.
    ///
    /// # Panics
    /// Where masks are known, and these are not among them.
    pub fn fused(&self, fusion: &Fusion) -> Vec<Digest> {
        match &self.fused {
            FusedDigests::Known(known) => known
                .get(fusion)
                .expect("masks are fused before runs are planned")
                .clone(),
            FusedDigests::Assumed => {
                let cases = 0..self.training.len();
                let text = |case| format!("assumed training {case} {fusion:?}");
                cases
                    .map(|case| Digest::of_bytes(text(case).as_bytes()))
                    .collect()
            }
        }
    }

    /// An inventory of the size that experiments expect; of different sizes, one that holds them
    /// all.
    pub fn assumed_for(experiments: &[Experiment]) -> Self {
        let cohorts = experiments.iter().map(|experiment| experiment.cohort);
        let cohort = cohorts.reduce(|a, b| Cohort {
            training: a.training.max(b.training),
            test: a.test.max(b.test),
            experts: a.experts.max(b.experts),
        });
        Self::assumed(&cohort.unwrap_or_default())
    }

    /// An inventory of the expected size, for planning without a data set. Its digests are of no
    /// real content, so that no stored stage matches one of it.
    pub fn assumed(cohort: &Cohort) -> Self {
        let case = |kind: &str, i: usize| {
            let digest =
                |what: String| Digest::of_bytes(format!("assumed {kind} {i} {what}").as_bytes());
            CaseDigests {
                name: format!("{kind} {i}"),
                image: digest("image".into()),
                masks: (1..=cohort.experts)
                    .map(|expert| (expert, digest(format!("mask {expert}"))))
                    .collect(),
                spacing_mm: Some([1.0; 2]),
            }
        };
        Self {
            training: (0..cohort.training).map(|i| case("training", i)).collect(),
            test: (0..cohort.test).map(|i| case("test", i)).collect(),
            imports: BTreeMap::new(),
            fused: FusedDigests::Assumed,
        }
    }
}

/// The cases of one way of sampling: `samples` consecutive ones from `start` (from 1), wrapping
/// at the end, as indices from 0. A larger number always contains a smaller one.
pub fn subset(start: usize, samples: usize, cases: usize) -> impl Iterator<Item = usize> {
    (0..samples).map(move |i| (start - 1 + i) % cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_way_wraps_from_the_last_case_to_the_first() {
        let cases: Vec<_> = subset(28, 10, 34).map(|i| i + 1).collect();
        assert_eq!(cases, [28, 29, 30, 31, 32, 33, 34, 1, 2, 3]);
    }

    #[test]
    fn five_samples_never_reach_the_last_two_cases() {
        let used: std::collections::BTreeSet<_> = (0..10)
            .flat_map(|way| subset(1 + 3 * way, 5, 34))
            .map(|i| i + 1)
            .collect();
        assert!(!used.contains(&33) && !used.contains(&34));
        assert_eq!(used.len(), 32);
    }
}
