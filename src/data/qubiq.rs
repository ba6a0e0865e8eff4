//! The QUBIQ brain-growth layout: which folders hold the cases, and which files a case has.
//!
//! The rule: every visible file and folder is a part of a case or reported. Numbers of cases and
//! experts are counted, never assumed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{DataProblem, Expert};

/// The layout of the folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// `Training` and `Validation` side by side.
    Plain,
    /// The two folder trees that the challenge of 2021 distributed.
    Qubiq2021,
}

const TRAINING_2021: &str = "training_data_v3_QC";
const TEST_2021: &str = "validation_data_qubiq2021_QC";
const TASK: &str = "brain-growth";
const GET_DATA: &str = "make a phantom with `expertgrid data phantom --out DIR`, or register for \
    the QUBIQ challenge (https://qubiq21.grand-challenge.org) and unpack its brain-growth \
    task here";

/// The layout of `dir`, and its training and test folders.
pub(super) fn locate(dir: &Path) -> Result<(Tree, [PathBuf; 2]), DataProblem> {
    if !dir.is_dir() {
        let what = if dir.exists() {
            "is not a folder"
        } else {
            "does not exist"
        };
        return Err(DataProblem::error(dir, what, GET_DATA));
    }
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let candidates = [
        Some((Tree::Qubiq2021, dir.to_owned())),
        common_parent_2021(&full).map(|parent| (Tree::Qubiq2021, parent)),
        Some((Tree::Plain, dir.to_owned())),
    ];
    for (tree, root) in candidates.into_iter().flatten() {
        let folders = match tree {
            Tree::Qubiq2021 => [
                root.join(TRAINING_2021).join(TASK).join("Training"),
                root.join(TEST_2021).join(TASK).join("Validation"),
            ],
            Tree::Plain => [root.join("Training"), root.join("Validation")],
        };
        if folders.iter().any(|folder| folder.is_dir()) {
            return match folders.iter().find(|folder| !folder.is_dir()) {
                None => Ok((tree, folders)),
                Some(missing) => Err(DataProblem::error(
                    missing,
                    "does not exist, though its counterpart does",
                    "put the cases for training in `Training`, those for testing in `Validation`",
                )),
            };
        }
    }
    let empty = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    Err(DataProblem::error(
        dir,
        "holds neither `Training` nor `Validation`",
        match empty {
            true => GET_DATA,
            false => {
                "put a folder for each case, with its image.nii.gz and task01_segNN.nii.gz, into \
                 these two"
            }
        },
    ))
}

/// The folder above both trees, if `dir` is the `brain-growth` folder of either.
fn common_parent_2021(dir: &Path) -> Option<PathBuf> {
    let tree = dir.parent()?;
    let named = |path: &Path, name: &str| path.file_name().is_some_and(|n| n == name);
    let within = named(dir, TASK) && (named(tree, TRAINING_2021) || named(tree, TEST_2021));
    within.then(|| tree.parent().map(Path::to_owned)).flatten()
}

/// The files of one case, not yet read.
pub(super) struct CaseFiles {
    pub folder: PathBuf,
    pub name: String,
    pub image: Option<PathBuf>,
    pub masks: BTreeMap<Expert, PathBuf>,
}

/// The files of every case in `folder`, in numerical order.
pub(super) fn list_cases(folder: &Path, problems: &mut Vec<DataProblem>) -> Vec<CaseFiles> {
    let mut cases = Vec::new();
    for path in entries(folder, problems) {
        if path.is_dir() {
            cases.push(list_files(path, problems));
        } else {
            problems.push(DataProblem::warning(
                path,
                "is not the folder of a case and is ignored",
                "if it belongs to a case, move it into the case's folder",
            ));
        }
    }
    if cases.is_empty() {
        problems.push(DataProblem::error(
            folder,
            "holds no case",
            "put each case's image.nii.gz and masks in a folder of their own here",
        ));
    }
    cases
}

pub(super) fn list_files(folder: PathBuf, problems: &mut Vec<DataProblem>) -> CaseFiles {
    let mut case = CaseFiles {
        name: file_name(&folder),
        folder,
        image: None,
        masks: BTreeMap::new(),
    };
    for path in entries(&case.folder, problems) {
        let earlier = match Role::of(&path) {
            Role::Image => case.image.replace(path.clone()),
            Role::Mask(expert) => case.masks.insert(expert, path.clone()),
            Role::Other => {
                problems.push(DataProblem::warning(
                    path,
                    "is neither `image.nii[.gz]` nor `task01_segNN.nii[.gz]` and is ignored",
                    "if it is the case's image or an expert's mask, rename it so",
                ));
                continue;
            }
        };
        if let Some(earlier) = earlier {
            problems.push(DataProblem::error(
                path,
                format!("is the same image or mask as `{}`", file_name(&earlier)),
                "move one of the two out of the folder",
            ));
        }
    }
    case
}

/// Entries in numerical order, without hidden ones.
pub(super) fn entries(folder: &Path, problems: &mut Vec<DataProblem>) -> Vec<PathBuf> {
    let listed: io::Result<Vec<PathBuf>> =
        fs::read_dir(folder).and_then(|all| all.map(|entry| Ok(entry?.path())).collect());
    match listed {
        Ok(mut paths) => {
            paths.retain(|path| !is_hidden(path));
            paths.sort_by_cached_key(|path| natural(path));
            paths
        }
        Err(e) => {
            problems.push(DataProblem::error(
                folder,
                format!("cannot be listed ({})", e.kind()),
                "check its permissions",
            ));
            Vec::new()
        }
    }
}

/// What a file of a case is, by its name.
pub(super) enum Role {
    Image,
    Mask(Expert),
    Other,
}

impl Role {
    pub(super) fn of(path: &Path) -> Self {
        let name = file_name(path);
        let stem = name.strip_suffix(".gz").unwrap_or(&name);
        let Some(stem) = stem.strip_suffix(".nii") else {
            return Self::Other;
        };
        if stem == "image" {
            return Self::Image;
        }
        match stem.strip_prefix("task01_seg").map(str::parse) {
            Some(Ok(expert)) if expert > 0 => Self::Mask(expert),
            _ => Self::Other,
        }
    }
}

/// Whether a name begins with a dot: such files are the system's and hold no image or mask.
pub fn is_hidden(path: &Path) -> bool {
    let name = path.file_name();
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// A sort key in which `case9` precedes `case10`: runs of digits compare as numbers.
pub(super) fn natural(path: &Path) -> Vec<(String, u128, String)> {
    let text = path.to_string_lossy();
    let mut parts = Vec::new();
    let mut rest = text.as_ref();
    while !rest.is_empty() {
        let digits_at = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(digits_at);
        let end = tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (digits, tail) = tail.split_at(end);
        // The digits break ties between `1` and `01`.
        let number = digits.parse().unwrap_or(0);
        parts.push((word.to_owned(), number, digits.to_owned()));
        rest = tail;
    }
    parts
}
