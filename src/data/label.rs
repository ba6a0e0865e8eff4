//! The label and the provenance of a data set.
//!
//! The rule: a label claims no more than is known. It is that of the marker file in the folder,
//! else of content that is recognised, else of the QUBIQ challenge's folder names, else the
//! folder's name.

use std::{fs, io::ErrorKind, path::Path};

use serde::{Deserialize, Serialize};

use super::{DataProblem, Provenance, qubiq::Tree};
use crate::key::Digest;

/// Name of the marker file, in the root of a data set.
pub const MARKER: &str = "dataset.json";

/// Version of the phantom's generator: to be raised when the same seed gives other data.
pub const GENERATOR: u32 = 3;

/// The marker file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// Name of the data set: `phantom`.
    pub label: String,
    /// Whether a program drew the images and masks.
    pub synthetic: bool,
    /// The seed from which they were drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Version of the generator that drew them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<u32>,
    /// Digest of the content for which the marker was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl Marker {
    /// The label of the data set, as results print it.
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
    problems: &mut Vec<DataProblem>,
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
                problems.push(DataProblem::warning(
                    path,
                    "was written for other content than the folder holds now",
                    "restore the files, or edit the label and take the digest out of it",
                ));
                return (format!("{}, changed since", marker.name()), provenance);
            }
            problems.extend(older_phantom(dir, &marker));
            return (marker.name(), provenance);
        }
        Ok(None) => {}
        Err(what) => problems.push(DataProblem::error(
            path,
            what,
            r#"write it as {"label": "my data", "synthetic": false}, or give it another name"#,
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

/// A phantom that another version of this program drew: results on it are not comparable with those
/// on the present one.
fn older_phantom(dir: &Path, marker: &Marker) -> Option<DataProblem> {
    let version = marker.generator.filter(|version| *version != GENERATOR)?;
    Some(DataProblem::warning(
        dir,
        format!(
            "is a phantom of version {version}, and this program draws version {GENERATOR}: the \
             same seed gives other images and masks"
        ),
        "draw another with `expertgrid data phantom --out DIR` to compare with its results",
    ))
}

/// The label of the cases in `dir`: that of the marker there or in the folder above, so that a part
/// of a synthetic data set is labelled synthetic too; else the folder's name.
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
        // A file in place of the folder is told by itself.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(format!("cannot be read ({})", e.kind())),
    }
}

fn folder_name(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    full.file_name()
        .map_or_else(|| "data".to_owned(), |n| n.to_string_lossy().into_owned())
}
