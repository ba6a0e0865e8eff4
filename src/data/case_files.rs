//! The files of one case, by whatever layout they are found.

use std::{collections::BTreeMap, path::PathBuf};

use super::Expert;
use crate::manifest::{DataSpec, EXPERT_PART, Parts, PathPattern};

/// The files of one case, not yet read.
#[derive(Clone, Debug)]
pub(super) struct CaseFiles {
    /// Where problems of the whole case are told.
    pub(super) folder: PathBuf,
    pub(super) name: String,
    /// Cases of one unit go to the same side of a split by share.
    pub(super) unit: String,
    /// The text of `{split}`, where a pattern has it.
    pub(super) part: Option<String>,
    pub(super) image: Option<PathBuf>,
    pub(super) masks: BTreeMap<Expert, PathBuf>,
    pub(super) mask_names: MaskNames,
}

/// How the masks of a case are called.
#[derive(Clone, Debug)]
pub(super) enum MaskNames {
    /// As in QUBIQ: `task01_seg07.nii.gz` in the case's folder.
    Qubiq,
    /// By a pattern, whose words but {expert} have these texts.
    Pattern { pattern: PathPattern, parts: Parts },
}

impl CaseFiles {
    /// Where the mask of an expert would be.
    pub(super) fn mask_path(&self, expert: Expert, spec: &DataSpec) -> PathBuf {
        match &self.mask_names {
            MaskNames::Qubiq => self.folder.join(format!("task01_seg{expert:02}.nii.gz")),
            MaskNames::Pattern { pattern, parts } => {
                let mut parts = parts.clone();
                parts.push((EXPERT_PART.to_owned(), spec.expert(expert)));
                self.folder.join(pattern.filled(&parts))
            }
        }
    }
}
