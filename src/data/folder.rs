//! Cases outside a data set: those that one expert annotated, and images without any mask.
//!
//! The rule: as for a data set, every problem of every file is found in one look; what is left out
//! is said.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    Case, Expert, Image, Problem, Problems, Severity, label,
    nifti::{self, Fault, Header},
    qubiq::{CaseFiles, list_cases},
    survey::read_case,
    two_valued,
};

/// The cases of a folder that one expert annotated.
#[derive(Clone, Debug)]
pub struct Annotated {
    /// What the data are called.
    pub label: String,
    /// In the numerical order of their names.
    pub cases: Vec<Case>,
    /// How many cases of the folder have no mask of this expert.
    pub left_out: usize,
    /// What was noticed and tolerated.
    pub warnings: Vec<Problem>,
}

/// Reads the cases in `dir`, a folder each, that have a mask of `expert`.
///
/// # Errors
/// Every problem, warnings included, where at least one of them is an error.
pub fn annotated(dir: &Path, expert: Expert) -> Result<Annotated, Problems> {
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
        problems.push(Problem::error(
            dir,
            format!("has no case with a mask of expert {expert}; there are masks of {others:?}"),
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
        true => Err(Problems(problems)),
        false => Ok(Annotated {
            label: label::of_part(dir),
            cases: cases.into_iter().flatten().collect(),
            left_out: left_out.len(),
            warnings: problems,
        }),
    }
}

fn folders_of_cases(dir: &Path, problems: &mut Vec<Problem>) -> Vec<CaseFiles> {
    if dir.join("Training").is_dir() {
        problems.push(Problem::error(
            dir,
            "is a whole data set",
            "name its folder `Training`, or another folder of cases",
        ));
        return Vec::new();
    }
    list_cases(dir, problems)
}

/// An image to be predicted.
#[derive(Clone, Debug)]
pub struct Named {
    /// What its prediction is called: the file's name without its ending, or, for a file called
    /// `image`, the name of its folder.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The image.
    pub image: Image,
    /// With which the prediction is written.
    pub header: Header,
}

/// Reads images: files, folders of a case, folders of cases.
///
/// # Errors
/// Every problem found.
pub fn images(paths: &[PathBuf]) -> Result<Vec<Named>, Problems> {
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
            problems.push(Problem::error(
                path,
                format!(
                    "would be predicted under the same name as {}",
                    other.display()
                ),
                "predict the two into different folders",
            ));
        }
    }
    let read = |path: &PathBuf| {
        let fault = |fault: Fault| Problem::error(path, fault.what, fault.remedy);
        let (image, header) = nifti::read_image(path).map_err(fault)?;
        if two_valued(&image.pixels) {
            return Err(Problem::error(
                path,
                "has no more than two different values: it looks like a mask",
                "give the image that the mask belongs to",
            ));
        }
        Ok(Named {
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
    match problems.is_empty() {
        true => Ok(images),
        false => Err(Problems(problems)),
    }
}

fn images_in(dir: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    for file in ["image.nii.gz", "image.nii"] {
        if dir.join(file).is_file() {
            return vec![dir.join(file)];
        }
    }
    let cases = folders_of_cases(dir, problems);
    // A file beside the cases is no problem here: it was not asked for.
    problems.retain(|problem| problem.severity == Severity::Error);
    for case in cases.iter().filter(|case| case.image.is_none()) {
        problems.push(Problem::error(
            &case.folder,
            "holds no image.nii.gz",
            "name the image files themselves",
        ));
    }
    cases.into_iter().filter_map(|case| case.image).collect()
}

/// What a file of a case is called without its ending; `image` alone would name no case.
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
