//! Cases outside a data set: those that one expert annotated, images without any mask, masks alone.
//!
//! The rule: as for a data set, every problem of every file is reported at once; what is left out
//! is told of or counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use itertools::Itertools;
use rayon::prelude::*;

use super::{
    Case, DataProblem, DataProblems, Expert, Image, Severity,
    case_files::CaseFiles,
    label,
    listing::{entries, file_name, folder_name, nifti_stem, picture_stem, raster_stem},
    nifti::{Fault, Header},
    qubiq::{Role, case_of, cases_among, list_files},
    raster,
    survey::read_cases,
    two_valued,
};
use crate::manifest::FileReading;

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

/// The annotated cases of a folder, with the masks of everyone who annotated them.
#[derive(Clone, Debug)]
pub struct AnnotatedCases {
    /// In the numerical order of their names.
    pub cases: Vec<Case>,
    /// Problems that do not prevent their use, and cases that are left out.
    pub warnings: Vec<DataProblem>,
}

/// Reads the cases in `dir`, a folder each, or the case whose folder it is, with all their masks;
/// files are read as `reading` says.
///
/// # Errors
/// Every problem, warnings included, where at least one of them is an error.
pub fn annotated_by_any(dir: &Path, reading: &FileReading) -> Result<AnnotatedCases, DataProblems> {
    let mut problems = Vec::new();
    let listed = cases_in(dir, &mut problems);
    let (annotated, without): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|case| !case.masks.is_empty());
    if annotated.is_empty() && !is_broken(&problems) {
        problems.push(DataProblem::error(
            dir,
            "has no masks",
            "name the experts' masks task01_segNN.nii.gz, beside each image.nii.gz",
        ));
    }
    problems.extend(without.into_iter().map(|case| {
        DataProblem::warning(
            case.folder,
            "has no mask and is left out",
            "name its masks task01_segNN.nii.gz, NN the expert's number",
        )
    }));
    let (cases, found): (Vec<_>, Vec<_>) = annotated
        .par_iter()
        .map(|files| {
            let experts = files.masks.keys().copied().collect();
            read_cases(files, &experts, reading)
        })
        .unzip();
    problems.extend(found.into_iter().flatten());
    match is_broken(&problems) {
        true => Err(DataProblems(problems)),
        false => Ok(AnnotatedCases {
            cases: cases.into_iter().flatten().collect(),
            warnings: problems,
        }),
    }
}

/// The cases in a folder that is not a whole data set, or the one whose folder it is.
fn cases_in(dir: &Path, problems: &mut Vec<DataProblem>) -> Vec<CaseFiles> {
    match opened(dir, problems) {
        None => Vec::new(),
        Some(listed) if is_case(&listed) => vec![case_of(dir.to_owned(), listed, problems)],
        Some(listed) => cases_among(dir, listed, problems),
    }
}

/// Reads the cases in `dir`, a folder each, or the case whose folder it is, that have a mask of
/// `expert`, with files read as `reading` says.
///
/// # Errors
/// Every problem, warnings included, where at least one of them is an error.
pub fn annotated(
    dir: &Path,
    expert: Expert,
    reading: &FileReading,
) -> Result<ExpertCases, DataProblems> {
    let mut problems = Vec::new();
    let listed = cases_in(dir, &mut problems);
    let without = listed
        .iter()
        .filter(|case| !case.masks.contains_key(&expert))
        .count();
    if without == listed.len() && !is_broken(&problems) {
        problems.push(no_mask(dir, expert, &listed));
    }
    let annotated: Vec<CaseFiles> = listed
        .into_iter()
        .filter(|case| case.masks.contains_key(&expert))
        .collect();
    let experts = BTreeSet::from([expert]);
    let (cases, found): (Vec<_>, Vec<_>) = annotated
        .par_iter()
        .map(|files| read_cases(files, &experts, reading))
        .unzip();
    problems.extend(found.into_iter().flatten());
    match is_broken(&problems) {
        true => Err(DataProblems(problems)),
        false => Ok(ExpertCases {
            label: label::of_part(dir),
            cases: cases.into_iter().flatten().collect(),
            left_out: without,
            warnings: problems,
        }),
    }
}

fn is_broken(problems: &[DataProblem]) -> bool {
    problems.iter().any(|p| p.severity == Severity::Error)
}

/// The problem of cases none of which has a mask of an expert.
fn no_mask(dir: &Path, expert: Expert, cases: &[CaseFiles]) -> DataProblem {
    let others: BTreeSet<Expert> = cases.iter().flat_map(|c| c.masks.keys().copied()).collect();
    DataProblem::error(
        dir,
        match others.is_empty() {
            true => "has no masks".to_owned(),
            false => format!(
                "has no mask of expert {expert}, only of experts {}",
                others.iter().join(", ")
            ),
        },
        format!("name the expert's masks task01_seg{expert:02}.nii.gz, beside each image.nii.gz"),
    )
}

/// The entries of a folder that is not a whole data set.
fn opened(dir: &Path, problems: &mut Vec<DataProblem>) -> Option<Vec<PathBuf>> {
    if dir.join("Training").is_dir() {
        problems.push(whole_data_set(dir));
        return None;
    }
    entries(dir, problems)
}

/// Whether the folder of these entries is that of one case: it has the case's image.
fn is_case(listed: &[PathBuf]) -> bool {
    let is_image = |path: &PathBuf| matches!(Role::of(path), Role::Image) && !path.is_dir();
    listed.iter().any(is_image)
}

/// What a folder holds that need not be a folder of cases.
enum FolderContent {
    /// The files of one case.
    Case(CaseFiles),
    /// NIfTI files, and cases in folders of their own.
    Several {
        files: Vec<PathBuf>,
        cases: Vec<CaseFiles>,
    },
}

/// What a folder holds; what is neither NIfTI file nor case is told of. None where it is of no use.
fn content(dir: &Path, problems: &mut Vec<DataProblem>) -> Option<FolderContent> {
    let listed = opened(dir, problems)?;
    if is_case(&listed) {
        let case = case_of(dir.to_owned(), listed, problems);
        return Some(FolderContent::Case(case));
    }
    let (folders, others): (Vec<PathBuf>, Vec<PathBuf>) =
        listed.into_iter().partition(|path| path.is_dir());
    let (mut files, others): (Vec<PathBuf>, Vec<PathBuf>) = others
        .into_iter()
        .partition(|path| nifti_stem(&file_name(path)).is_some());
    let (pictures, others): (Vec<PathBuf>, Vec<PathBuf>) = others
        .into_iter()
        .partition(|path| picture_stem(&file_name(path)).is_some());
    match files.is_empty() {
        true => files = pictures,
        // Pictures for the eye lie beside images and masks.
        false => problems.extend(pictures.into_iter().map(|path| {
            DataProblem::warning(
                path,
                "is a PNG beside NIfTI files and is left out",
                "if it is an image or a mask, move it into a folder of PNGs",
            )
        })),
    }
    problems.extend(others.into_iter().map(|path| {
        DataProblem::warning(
            path,
            "is neither a NIfTI file (.nii or .nii.gz) nor a PNG and is left out",
            "if it is an image or a mask, convert it to one",
        )
    }));
    let cases = folders.into_iter();
    let cases = cases.filter_map(|folder| list_files(folder, problems));
    let cases = cases.collect();
    Some(FolderContent::Several { files, cases })
}

fn whole_data_set(dir: &Path) -> DataProblem {
    DataProblem::error(
        dir,
        "is a whole data set, not a folder of cases",
        "give its folder `Training` or `Validation`",
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

/// Reads images: files, folders of a case, folders of images and of cases; files are read as
/// `reading` says.
///
/// # Errors
/// Every problem found.
pub fn images(paths: &[PathBuf], reading: &FileReading) -> Result<FoundImages, DataProblems> {
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
        let (image, header) = raster::image(path, reading).map_err(fault)?;
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
    match is_broken(&problems) {
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
    let (mut images, cases) = match content(dir, problems) {
        None => return Vec::new(),
        Some(FolderContent::Case(case)) => return case.image.into_iter().collect(),
        Some(FolderContent::Several { files, cases }) => (files, cases),
    };
    for case in cases {
        match case.image {
            Some(image) => images.push(image),
            None => problems.push(DataProblem::warning(
                case.folder,
                "is a folder without an image.nii.gz and is left out",
                "to predict it, give the image's file by its name",
            )),
        }
    }
    if images.is_empty() {
        problems.push(DataProblem::error(
            dir,
            "holds no image: neither NIfTI files nor PNGs nor folders with an image.nii.gz",
            "give the image files themselves",
        ));
    }
    images
}

/// Masks of a folder, not yet read.
#[derive(Clone, Debug)]
pub struct FoundMasks {
    /// By the names of the files or, for an expert's masks, of their cases; in numerical order.
    pub masks: Vec<(String, PathBuf)>,
    /// How many files of probabilities and logits, which `predict` writes beside masks, are left
    /// out.
    pub beside: usize,
    /// What else is left out.
    pub warnings: Vec<DataProblem>,
}

/// The masks of a folder: its NIfTI files and, where an expert is named, that expert's masks in the
/// cases in it; or that of the case whose folder it is.
///
/// # Errors
/// Every problem, warnings included, where at least one of them is an error.
pub fn masks(dir: &Path, expert: Option<Expert>) -> Result<FoundMasks, DataProblems> {
    let mut problems = Vec::new();
    let (files, cases) = match content(dir, &mut problems) {
        None => (Vec::new(), Vec::new()),
        Some(FolderContent::Case(case)) => (Vec::new(), vec![case]),
        Some(FolderContent::Several { files, cases }) => (files, cases),
    };
    let names: BTreeSet<String> = files.iter().map(|path| name(path)).collect();
    let is_beside = |name: &str| {
        let mut endings = ["_probability", "_logits"].into_iter();
        endings.any(|ending| {
            let mask = name.strip_suffix(ending);
            mask.is_some_and(|mask| names.contains(mask))
        })
    };
    let named = files.into_iter().map(|path| (name(&path), path));
    let (beside, mut masks): (Vec<_>, Vec<_>) = named.partition(|(name, _)| is_beside(name));
    let is_new = |cases: &[CaseFiles]| masks.is_empty() && !cases.is_empty();
    match expert {
        Some(expert) => {
            let annotates = |case: &CaseFiles| case.masks.contains_key(&expert);
            if is_new(&cases) && !cases.iter().any(annotates) && !is_broken(&problems) {
                problems.push(no_mask(dir, expert, &cases));
            }
            for mut case in cases {
                match case.masks.remove(&expert) {
                    Some(path) => masks.push((case.name, path)),
                    None => problems.push(DataProblem::warning(
                        case.folder,
                        format!("has no mask of expert {expert} and is left out"),
                        format!("name the expert's mask task01_seg{expert:02}.nii.gz"),
                    )),
                }
            }
        }
        None if is_new(&cases) => problems.push(DataProblem::error(
            dir,
            "holds cases, each with the masks of its experts",
            "say whose masks with `--expert N`",
        )),
        None => problems.extend(cases.into_iter().map(|case| {
            DataProblem::warning(
                case.folder,
                "is a folder beside masks and is left out",
                "if it is a case, say whose mask is meant with `--expert N`",
            )
        })),
    }
    if masks.is_empty() && !is_broken(&problems) {
        problems.push(DataProblem::error(
            dir,
            "holds no .nii, .nii.gz or .png file",
            "give a folder of masks",
        ));
    }
    let mut by_name: BTreeMap<&str, &Path> = BTreeMap::new();
    for (name, path) in &masks {
        if let Some(other) = by_name.insert(name, path) {
            problems.push(DataProblem::error(
                path,
                format!("is of the same case as {}", other.display()),
                "move one of the two out of the folder",
            ));
        }
    }
    match is_broken(&problems) {
        true => Err(DataProblems(problems)),
        false => Ok(FoundMasks {
            masks,
            beside: beside.len(),
            warnings: problems,
        }),
    }
}

/// The name of a case's file without its ending; for `image`, the name of its folder.
pub fn name(path: &Path) -> String {
    let whole = file_name(path);
    let stem = raster_stem(&whole).or_else(|| whole.strip_suffix(".gz"));
    match stem.unwrap_or(&whole) {
        "image" => match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder_name(folder),
            _ => folder_name(Path::new(".")),
        },
        stem => stem.to_owned(),
    }
}
