//! Cases outside a data set: those that one expert annotated, and images without any mask.
//!
//! The rule: as for a data set, every problem of every file is reported at once; cases that are
//! left out are counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use itertools::Itertools;
use rayon::prelude::*;

pub use super::qubiq::is_hidden;
use super::{
    Case, DataProblem, DataProblems, Expert, Image, Severity, label,
    nifti::{self, Fault, Header},
    qubiq::{CaseFiles, Role, entries, list_cases, list_files},
    survey::read_case,
    two_valued,
};

/// The cases of a folder that one expert annotated.
#[derive(Clone, Debug)]
pub struct ExpertCases {
    /// Name and origin of the data.
    pub label: String,
    /// In the numerical order of their names.
    pub cases: Vec<Case>,
    /// How many cases of the folder have no mask of this expert.
    pub left_out: usize,
    /// Problems that do not prevent their use.
    pub warnings: Vec<DataProblem>,
}

/// Reads the cases in `dir`, a folder each, that have a mask of `expert`.
///
/// # Errors
/// Every problem, warnings included, where at least one of them is an error.
pub fn annotated(dir: &Path, expert: Expert) -> Result<ExpertCases, DataProblems> {
    let mut problems = Vec::new();
    let listed = folders_of_cases(dir, &mut problems);
    let others: BTreeSet<Expert> = listed
        .iter()
        .flat_map(|c| c.masks.keys().copied())
        .collect();
    let (annotated, left_out): (Vec<_>, Vec<_>) = listed
        .into_iter()
        .partition(|case| case.masks.contains_key(&expert));
    let broken = problems.iter().any(|p| p.severity == Severity::Error);
    if annotated.is_empty() && !broken {
        problems.push(DataProblem::error(
            dir,
            match others.is_empty() {
                true => "has no masks".to_owned(),
                false => format!(
                    "has no mask of expert {expert}, only of experts {}",
                    others.iter().join(", ")
                ),
            },
            format!(
                "name the expert's masks task01_seg{expert:02}.nii.gz, beside each image.nii.gz"
            ),
        ));
    }
    let experts = BTreeSet::from([expert]);
    let (cases, found): (Vec<_>, Vec<_>) = annotated
        .par_iter()
        .map(|files| read_case(files, &experts))
        .unzip();
    problems.extend(found.into_iter().flatten());
    match problems.iter().any(|p| p.severity == Severity::Error) {
        true => Err(DataProblems(problems)),
        false => Ok(ExpertCases {
            label: label::of_part(dir),
            cases: cases.into_iter().flatten().collect(),
            left_out: left_out.len(),
            warnings: problems,
        }),
    }
}

fn folders_of_cases(dir: &Path, problems: &mut Vec<DataProblem>) -> Vec<CaseFiles> {
    if dir.join("Training").is_dir() {
        problems.push(whole_data_set(dir));
        return Vec::new();
    }
    list_cases(dir, problems)
}

fn whole_data_set(dir: &Path) -> DataProblem {
    DataProblem::error(
        dir,
        "is a whole data set, not a folder of cases",
        "give its folder `Training`",
    )
}

/// An image to be predicted.
#[derive(Clone, Debug)]
pub struct NamedImage {
    /// The name of its prediction: the file's name without its ending or, for a file called
    /// `image`, the name of its folder.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The image.
    pub image: Image,
    /// Its header; the prediction is written with it.
    pub header: Header,
}

/// Images to be predicted, and what was left out of the folders that were named.
#[derive(Clone, Debug)]
pub struct FoundImages {
    /// In the order of the paths, each folder's by their names.
    pub images: Vec<NamedImage>,
    /// What is left out, and what is odd about the files.
    pub warnings: Vec<DataProblem>,
}

/// Reads images: files, folders of a case, folders of images and of cases.
///
/// # Errors
/// Every problem found.
pub fn images(paths: &[PathBuf]) -> Result<FoundImages, DataProblems> {
    let mut problems = Vec::new();
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => files.extend(images_in(path, &mut problems)),
            false => files.push(path.clone()),
        }
    }
    let mut by_name: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in &files {
        if let Some(other) = by_name.insert(name(path), path.clone()) {
            problems.push(DataProblem::error(
                path,
                format!(
                    "would be predicted under the same name as {}",
                    other.display()
                ),
                "predict one of the two into another folder",
            ));
        }
    }
    let read = |path: &PathBuf| {
        let fault = |fault: Fault| DataProblem::error(path, fault.what, fault.remedy);
        let (image, header) = nifti::read_image(path).map_err(fault)?;
        if two_valued(&image.pixels) {
            return Err(DataProblem::error(
                path,
                "has no more than two different values: it looks like a mask",
                "give the image that the mask belongs to",
            ));
        }
        Ok(NamedImage {
            name: name(path),
            path: path.clone(),
            image,
            header,
        })
    };
    let mut images = Vec::new();
    for outcome in files.par_iter().map(read).collect::<Vec<_>>() {
        match outcome {
            Ok(image) => images.push(image),
            Err(problem) => problems.push(problem),
        }
    }
    for named in &images {
        problems.extend(DataProblem::remarks(&named.path, named.header.remarks()));
    }
    match problems.iter().any(|p| p.severity == Severity::Error) {
        true => Err(DataProblems(problems)),
        false => Ok(FoundImages {
            images,
            warnings: problems,
        }),
    }
}

/// The images of a folder: its `image.nii.gz`, where it is a case's; else its NIfTI files and those
/// of the cases in it. What else is there is told of.
fn images_in(dir: &Path, problems: &mut Vec<DataProblem>) -> Vec<PathBuf> {
    if dir.join("Training").is_dir() {
        problems.push(whole_data_set(dir));
        return Vec::new();
    }
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries(dir, problems)
        .into_iter()
        .partition(|path| path.is_dir());
    let of_case = |path: &PathBuf| matches!(Role::of(path), Role::Image);
    if files.iter().any(of_case) {
        let case = list_files(dir.to_owned(), problems);
        for path in folders {
            problems.push(left_out(path, "is a folder within a case"));
        }
        return case.image.into_iter().collect();
    }
    let (mut images, others): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|path| is_nifti(path));
    for path in others {
        problems.push(left_out(path, "is not a NIfTI file (.nii or .nii.gz)"));
    }
    for folder in folders {
        let case = list_files(folder, problems);
        match case.image {
            Some(image) => images.push(image),
            None => problems.push(left_out(case.folder, "is a folder without an image.nii.gz")),
        }
    }
    if images.is_empty() {
        problems.push(DataProblem::error(
            dir,
            "holds no image: neither NIfTI files nor folders with an image.nii.gz",
            "give the image files themselves",
        ));
    }
    images
}

fn left_out(path: PathBuf, what: &str) -> DataProblem {
    DataProblem::warning(
        path,
        format!("{what} and is left out"),
        "to predict it, give the image's file by its name",
    )
}

/// Whether it is a visible file whose name is that of a NIfTI file. A name that begins with a dot
/// is the system's.
pub fn is_nifti(path: &Path) -> bool {
    let name = path.to_string_lossy();
    path.is_file() && !is_hidden(path) && (name.ends_with(".nii") || name.ends_with(".nii.gz"))
}

/// The name of a case's file without its ending; for `image`, the name of its folder.
pub fn name(path: &Path) -> String {
    let file = |path: &Path| {
        path.file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
    };
    let whole = file(path);
    let stem = whole.strip_suffix(".gz").unwrap_or(&whole);
    let stem = stem.strip_suffix(".nii").unwrap_or(stem);
    let folder = path.canonicalize().ok();
    match (stem, folder.as_deref().and_then(Path::parent)) {
        ("image", Some(folder)) => file(folder),
        _ => stem.to_owned(),
    }
}
