//! What a data set is called wherever its results appear.
//!
//! The rule: a label claims no more than is known. A marker file in the folder speaks first, then
//! content that is recognised, then the QUBIQ challenge's own folder names; any other folder is
//! called by its name.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{Problem, Provenance, qubiq::Tree};
use crate::key::Digest;

/// Name of the marker file, in the root of a data set.
pub const MARKER: &str = "dataset.json";

/// The marker file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// What to call the data set: `phantom`.
    pub label: String,
    /// Whether a program drew the images and masks.
    pub synthetic: bool,
    /// The seed they were drawn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Version of the program's drawing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<u32>,
    /// Digest of the content that the marker was written for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl Marker {
    /// What the data set is called.
    pub fn name(&self) -> String {
        let Self {
            label,
            synthetic,
            seed,
            generator: _,
            digest: _,
        } = self;
        match (synthetic, seed) {
            (true, Some(seed)) => format!("{label} (synthetic, seed {seed})"),
            (true, None) => format!("{label} (synthetic)"),
            (false, _) => label.clone(),
        }
    }
}

/// Data sets recognised by their content.
const KNOWN: [(&str, &str, Provenance); 1] = [(
    "26eab0e560ad1a0e94f9c36ca4faca25afcb8dd4aebed1bee68a5bd4f9cecb04",
    "fetal (real anatomy, simulated experts; spina-bifida atlas of Fidon et al. 2021)",
    Provenance::SimulatedExperts,
)];

/// Label and provenance of the data set in `dir`, whose folders form `tree` and whose content has
/// `digest`; adds to `problems` what is wrong with the marker.
pub(super) fn of(
    dir: &Path,
    tree: Tree,
    digest: Digest,
    problems: &mut Vec<Problem>,
) -> (String, Provenance) {
    let path = dir.join(MARKER);
    match read_marker(&path) {
        Ok(Some(marker)) => {
            let provenance = if marker.synthetic {
                Provenance::Synthetic
            } else {
                Provenance::Undeclared
            };
            if marker.digest.is_some_and(|d| d != digest) {
                problems.push(Problem::warning(
                    path,
                    "was written for other content than the folder holds now",
                    "restore the files, or edit the label and remove the digest",
                ));
                return (format!("{}, changed since", marker.name()), provenance);
            }
            return (marker.name(), provenance);
        }
        Ok(None) => {}
        Err(what) => problems.push(Problem::error(
            path,
            what,
            r#"write it as {"label": "my data", "synthetic": false}, or remove it"#,
        )),
    }
    let digest = digest.to_string();
    if let Some((_, label, provenance)) = KNOWN.iter().find(|(known, ..)| *known == digest) {
        return ((*label).to_owned(), *provenance);
    }
    match tree {
        Tree::Qubiq2021 => ("QUBIQ 2021 brain-growth".to_owned(), Provenance::Acquired),
        Tree::Plain => (folder_name(dir), Provenance::Undeclared),
    }
}

/// What the cases in `dir` are called: as the marker there or in the folder above says, so that a
/// part of a data set is not called anything better than the whole.
pub(super) fn of_part(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let places = [Some(full.as_path()), full.parent()];
    let marker = places
        .into_iter()
        .flatten()
        .find_map(|folder| read_marker(&folder.join(MARKER)).ok().flatten());
    marker.map_or_else(|| folder_name(dir), |marker| marker.name())
}

fn read_marker(path: &Path) -> Result<Option<Marker>, String> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| format!("is not a data set's marker ({e})")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("cannot be read ({})", e.kind())),
    }
}

fn folder_name(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    full.file_name()
        .map_or_else(|| "data".to_owned(), |n| n.to_string_lossy().into_owned())
}
