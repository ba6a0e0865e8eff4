//! The QUBIQ brain-growth layout: which folders hold the cases, and which files a case has.
//!
//! The rule: every visible file and folder is a part of a case or reported. Numbers of cases and
//! experts are counted, never assumed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    DataProblem, Expert,
    case_files::{CaseFiles, MaskNames},
    listing::{entries, file_name, folder_name, picture_stem, raster_stem},
};

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
/// The folders of training and test cases.
pub(super) const PARTS: [&str; 2] = ["Training", "Validation"];
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
                root.join(TRAINING_2021).join(TASK).join(PARTS[0]),
                root.join(TEST_2021).join(TASK).join(PARTS[1]),
            ],
            Tree::Plain => PARTS.map(|part| root.join(part)),
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
                 these two, or describe the folders and names there are with `images`, `masks` \
                 and `split` under `[dataset]` in a manifest, as `expertgrid new NAME --dataset \
                 DIR` writes it"
            }
        },
    ))
}

/// Whether `dir` is a whole data set in this layout, complete or not: it holds a folder of training
/// or of test cases.
pub fn is_data_set(dir: &Path) -> bool {
    PARTS.iter().any(|part| dir.join(part).is_dir()) || locate(dir).is_ok()
}

/// The folder above both trees, if `dir` is the `brain-growth` folder of either.
fn common_parent_2021(dir: &Path) -> Option<PathBuf> {
    let tree = dir.parent()?;
    let named = |path: &Path, name: &str| path.file_name().is_some_and(|n| n == name);
    let within = named(dir, TASK) && (named(tree, TRAINING_2021) || named(tree, TEST_2021));
    within.then(|| tree.parent().map(Path::to_owned)).flatten()
}

/// The files of every case in `folder`, in numerical order.
pub(super) fn list_cases(folder: &Path, problems: &mut Vec<DataProblem>) -> Vec<CaseFiles> {
    match entries(folder, problems) {
        Some(listed) => cases_among(folder, listed, problems),
        None => Vec::new(),
    }
}

/// The cases among the entries of `folder`; what is no case is told of.
pub(super) fn cases_among(
    folder: &Path,
    listed: Vec<PathBuf>,
    problems: &mut Vec<DataProblem>,
) -> Vec<CaseFiles> {
    let mut cases = Vec::new();
    for path in listed {
        if path.is_dir() {
            cases.extend(list_files(path, problems));
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

/// The files of the case in `folder`; none where nothing is in it, or it cannot be listed.
pub(super) fn list_files(folder: PathBuf, problems: &mut Vec<DataProblem>) -> Option<CaseFiles> {
    let listed = entries(&folder, problems)?;
    if listed.is_empty() {
        problems.push(DataProblem::warning(
            folder,
            "is an empty folder and is left out",
            "if it is a case's, put the case's image and masks into it",
        ));
        return None;
    }
    Some(case_of(folder, listed, problems))
}

/// The case whose folder has these entries; what is neither image nor mask is told of.
pub(super) fn case_of(
    folder: PathBuf,
    listed: Vec<PathBuf>,
    problems: &mut Vec<DataProblem>,
) -> CaseFiles {
    let mut case = CaseFiles {
        name: folder_name(&folder),
        unit: folder_name(&folder),
        part: None,
        folder,
        image: None,
        masks: BTreeMap::new(),
        mask_names: MaskNames::Qubiq,
    };
    for path in listed {
        let role = Role::of(&path);
        let earlier = match role {
            Role::Image => case.image.replace(path.clone()),
            Role::Mask(expert) => case.masks.insert(expert, path.clone()),
            Role::OtherTask(_) | Role::Nameless | Role::Other => {
                problems.push(ignored(path, &role));
                continue;
            }
        };
        if let Some(earlier) = earlier {
            // Pictures for the eye lie beside images and masks.
            if is_picture(&path) && !is_picture(&earlier) {
                match role {
                    Role::Mask(expert) => case.masks.insert(expert, earlier),
                    _ => case.image.replace(earlier),
                };
                problems.push(DataProblem::warning(
                    path,
                    "is a PNG beside a NIfTI file of its name and is ignored",
                    "if it is what is meant, convert it to NIfTI and put it in its place",
                ));
                continue;
            }
            let what = match role {
                Role::Mask(expert) => format!("a mask of expert {expert}"),
                _ => "an image of the case".to_owned(),
            };
            problems.push(DataProblem::error(
                path,
                format!("is {what}, and so is `{}`", file_name(&earlier)),
                "move one of the two out of the folder",
            ));
        }
    }
    case
}

fn is_picture(path: &Path) -> bool {
    picture_stem(&file_name(path)).is_some()
}

/// What is neither image nor mask, and what to do if it should be.
fn ignored(path: PathBuf, role: &Role) -> DataProblem {
    let (what, remedy) = match role {
        _ if path.is_dir() => (
            "is a folder within a case and is ignored",
            "if it is the folder of a case, move it beside the others",
        ),
        Role::OtherTask(task) => {
            return DataProblem::warning(
                path,
                format!("is a mask of task {task} and is ignored, as those of task 1 are read"),
                format!(
                    "to use task {task}, write `masks = \
                     \"{{split}}/{{case}}/task{task:02}_seg{{expert}}.nii*\"` under `[dataset]` in \
                     the manifest"
                ),
            );
        }
        Role::Other => (
            "is neither a NIfTI file (.nii or .nii.gz) nor a PNG and is ignored",
            "if it is the case's image or an expert's mask, convert it to image.nii.gz or \
             task01_segNN.nii.gz",
        ),
        _ => (
            "is neither `image.nii[.gz]` nor `task01_segNN.nii[.gz]` and is ignored",
            "if it is the case's image or an expert's mask, rename it so, or describe your names \
             with `images` and `masks` under `[dataset]` in the manifest",
        ),
    };
    DataProblem::warning(path, what, remedy)
}

/// What a file of a case is, by its name.
pub(super) enum Role {
    Image,
    Mask(Expert),
    /// A mask of another task than the first.
    OtherTask(u8),
    /// A NIfTI file that is neither by its name.
    Nameless,
    /// Another file.
    Other,
}

impl Role {
    pub(super) fn of(path: &Path) -> Self {
        let name = file_name(path);
        let Some(stem) = raster_stem(&name) else {
            return Self::Other;
        };
        if stem == "image" {
            return Self::Image;
        }
        let Some((task, expert)) = stem.strip_prefix("task").and_then(|s| s.split_once("_seg"))
        else {
            return Self::Nameless;
        };
        match (task, task.parse(), expert.parse()) {
            ("01", _, Ok(expert)) if expert > 0 => Self::Mask(expert),
            (_, Ok(task), Ok(1_u8..)) if task > 1 => Self::OtherTask(task),
            _ => Self::Nameless,
        }
    }
}
