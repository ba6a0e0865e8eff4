//! The QUBIQ brain-growth layout: which folders hold the cases, and which files a case has.
//!
//! The rule: nothing that looks like data is passed over without a word. How many cases and experts
//! there are is read, never assumed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Expert, Problem};

/// How the folders were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// `Training` and `Validation` side by side.
    Plain,
    /// The challenge's own two trees of 2021.
    Qubiq2021,
}

const TRAINING_2021: &str = "training_data_v3_QC";
const TEST_2021: &str = "validation_data_qubiq2021_QC";
const TASK: &str = "brain-growth";
const GET_DATA: &str = "make a phantom with `expertgrid data phantom --out DIR`, or register for \
    the QUBIQ challenge (https://qubiq21.grand-challenge.org) and unpack its brain-growth \
    task here";

/// How the folders were found: the training and the test folder.
pub(super) fn locate(dir: &Path) -> Result<(Tree, [PathBuf; 2]), Problem> {
    if !dir.is_dir() {
        let what = if dir.exists() {
            "is not a folder"
        } else {
            "does not exist"
        };
        return Err(Problem::error(dir, what, GET_DATA));
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
                Some(missing) => Err(Problem::error(
                    missing,
                    "does not exist, though its counterpart does",
                    "put the cases for training in `Training`, those for testing in `Validation`",
                )),
            };
        }
    }
    Err(Problem::error(
        dir,
        "holds neither `Training` nor `Validation`",
        GET_DATA,
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
pub(super) fn list_cases(folder: &Path, problems: &mut Vec<Problem>) -> Vec<CaseFiles> {
    let mut cases = Vec::new();
    for path in entries(folder, problems) {
        if path.is_dir() {
            cases.push(list_files(path, problems));
        } else {
            problems.push(Problem::warning(
                path,
                "is not the folder of a case and is ignored",
                "keep one folder per case here",
            ));
        }
    }
    if cases.is_empty() {
        problems.push(Problem::error(folder, "holds no case", GET_DATA));
    }
    cases
}

fn list_files(folder: PathBuf, problems: &mut Vec<Problem>) -> CaseFiles {
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
                problems.push(Problem::warning(
                    path,
                    "is neither `image.nii[.gz]` nor `task01_segNN.nii[.gz]` and is ignored",
                    "remove it",
                ));
                continue;
            }
        };
        if let Some(earlier) = earlier {
            problems.push(Problem::error(
                path,
                format!("stands for the same as `{}`", file_name(&earlier)),
                "keep one of the two",
            ));
        }
    }
    case
}

/// Visible entries in numerical order.
fn entries(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let listed: io::Result<Vec<PathBuf>> =
        fs::read_dir(folder).and_then(|all| all.map(|entry| Ok(entry?.path())).collect());
    match listed {
        Ok(mut paths) => {
            paths.retain(|path| !file_name(path).starts_with('.'));
            paths.sort_by_cached_key(|path| natural(path));
            paths
        }
        Err(e) => {
            problems.push(Problem::error(
                folder,
                format!("cannot be listed ({})", e.kind()),
                "check its permissions",
            ));
            Vec::new()
        }
    }
}

enum Role {
    Image,
    Mask(Expert),
    Other,
}

impl Role {
    fn of(path: &Path) -> Self {
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
        // The digits themselves break ties, so that `1` and `01` have an order too.
        let number = digits.parse().unwrap_or(0);
        parts.push((word.to_owned(), number, digits.to_owned()));
        rest = tail;
    }
    parts
}
