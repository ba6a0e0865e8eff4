//! A sweep as it was submitted: what its pilots run, whatever changes afterwards.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::SweepFolder;
use crate::{
    cluster::ClusterSettings,
    key::Digest,
    manifest::ManifestTexts,
    plan::{Plan, Run},
    store::{StoreError, replace_file},
};

/// A frozen sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenSweep {
    /// The words of the command after the program.
    pub words: Vec<String>,
    /// The folder in which it was given.
    pub directory: PathBuf,
    /// The manifests' files.
    pub manifests: Vec<PathBuf>,
    /// The text of every file that they are made of.
    pub texts: ManifestTexts,
    /// Of what is to be run.
    pub digest: Digest,
    /// How many pilots share it.
    pub pilots: usize,
    /// Further attempts after an accident.
    pub retries: usize,
    /// How they run.
    pub settings: ClusterSettings,
}

impl FrozenSweep {
    /// Reads it.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(folder: &SweepFolder) -> Result<Self, String> {
        let path = folder.frozen();
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            format!(
                "{} is not a sweep of this version of the program: {error}",
                path.display()
            )
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &SweepFolder) -> Result<(), StoreError> {
        let mut json = serde_json::to_vec_pretty(self).expect("a frozen sweep is plain data");
        json.push(b'\n');
        replace_file(&folder.frozen(), &json)
    }
}

/// The digest of what a plan runs: of the keys of all stages that the wanted runs need.
pub fn digest_of(plan: &Plan, wanted: impl Fn(&Run) -> bool) -> Digest {
    let demand = plan.demand(wanted);
    let needed = plan
        .stages
        .iter()
        .zip(demand)
        .filter(|(_, demand)| *demand > 0);
    let mut digests: Vec<Digest> = needed.map(|(stage, _)| stage.digest).collect();
    digests.sort();
    let bytes: Vec<u8> = digests
        .iter()
        .flat_map(|digest| *digest.as_bytes())
        .collect();
    Digest::of_bytes(&bytes)
}

/// The name of a sweep, by which its folder and its jobs are found.
pub fn name_of(digest: &Digest) -> String {
    digest.to_string()[..8].to_owned()
}
