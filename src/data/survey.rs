//! Reads all of a data set that can be read, and lists everything that is wrong with it.
//!
//! The rule: one pass finds every problem. A case with an error is left out, and its problems are
//! reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    Case, DataProblem, Dataset, Expert, Image, Mask, Severity,
    alignment::{Aligned, align},
    content_digest, label,
    listing::{entries, natural},
    nifti::{self, Fault, Header, ReadMask},
    qubiq::{CaseFiles, PARTS, Tree, list_cases, locate},
    two_valued,
};
use crate::key::Digest;

/// What could be read of a data set, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The cases without an error. Warnings by path.
    pub readable: Dataset,
    /// Problems that prevent the use of the data set, by path.
    pub errors: Vec<DataProblem>,
}

impl Survey {
    /// Errors first, then warnings; each by path.
    pub fn into_problems(self) -> Vec<DataProblem> {
        let mut problems = self.errors;
        problems.extend(self.readable.warnings);
        problems
    }
}

/// Reads everything in `dir` that can be read, cases in parallel, and lists every problem.
pub fn survey(dir: &Path) -> Survey {
    let mut problems = Vec::new();
    let (tree, [training, test]) = match locate(dir) {
        Ok((tree, folders)) => {
            if tree == Tree::Plain {
                tell_of_other_folders(dir, &mut problems);
            }
            let cases = folders.map(|folder| list_cases(&folder, &mut problems));
            (tree, cases)
        }
        Err(problem) => {
            problems.push(problem);
            (Tree::Plain, [Vec::new(), Vec::new()])
        }
    };
    let experts = complete_experts(dir, [&training, &test], &mut problems);
    let [training, test] = [training, test].map(|listed| {
        let (cases, found): (Vec<_>, Vec<_>) = listed
            .into_par_iter()
            .map(|files| read_case(&files, &files.masks.keys().copied().collect()))
            .unzip();
        problems.extend(found.into_iter().flatten());
        cases.into_iter().flatten().collect::<Vec<Case>>()
    });
    note_repeated_images(dir, &training, &test, &mut problems);
    let digest = content_digest(&training, &test);
    let (label, provenance) = label::of(dir, tree, digest, &mut problems);
    problems.sort_by_cached_key(|problem| natural(&problem.path));
    let (errors, warnings) = problems
        .into_iter()
        .partition(|problem| problem.severity == Severity::Error);
    Survey {
        readable: Dataset {
            label,
            provenance,
            training,
            test,
            experts,
            digest,
            warnings,
        },
        errors,
    }
}

/// Warns of folders beside those of training and test: the cases in them would not be missed.
fn tell_of_other_folders(dir: &Path, problems: &mut Vec<DataProblem>) {
    // What else lies there is no part of the data set.
    let mut unread = Vec::new();
    let beside = entries(dir, &mut unread).unwrap_or_default().into_iter();
    let others = beside.filter(|path| {
        let is_part = path
            .file_name()
            .is_some_and(|name| PARTS.iter().any(|part| name == *part));
        path.is_dir() && !is_part
    });
    problems.extend(others.map(|path| {
        DataProblem::warning(
            path,
            "is a folder beside `Training` and `Validation` and is ignored",
            "if it holds cases, move them into one of these",
        )
    }));
}

/// The experts of whom any case in `dir` has a mask, by the names of the files alone.
pub fn experts_named(dir: &Path) -> BTreeSet<Expert> {
    let mut unread = Vec::new();
    let folders = locate(dir).map(|(_, folders)| folders);
    let cases = folders
        .into_iter()
        .flatten()
        .flat_map(|folder| list_cases(&folder, &mut unread));
    cases.flat_map(|case| case.masks.into_keys()).collect()
}

/// The experts that annotated every case; adds what the others lack.
fn complete_experts(
    dir: &Path,
    parts: [&Vec<CaseFiles>; 2],
    problems: &mut Vec<DataProblem>,
) -> Vec<Expert> {
    let cases: Vec<&CaseFiles> = parts.into_iter().flatten().collect();
    let experts: BTreeSet<Expert> = cases
        .iter()
        .flat_map(|case| case.masks.keys().copied())
        .collect();
    if experts.is_empty() && !cases.is_empty() {
        problems.push(DataProblem::error(
            dir,
            "has no mask of any expert",
            "name the masks task01_segNN.nii.gz (NN the expert's number), beside each image.nii.gz",
        ));
    }
    let mut complete = Vec::new();
    for expert in &experts {
        let (with, without): (Vec<&CaseFiles>, Vec<&CaseFiles>) = cases
            .iter()
            .copied()
            .partition(|case| case.masks.contains_key(expert));
        let mut warn = |path: PathBuf, what: String| {
            let remedy = format!("add what is missing where expert {expert} is to be used");
            problems.push(DataProblem::warning(path, what, remedy));
        };
        if without.is_empty() {
            complete.push(*expert);
        } else if with.len() < without.len() {
            // The odd ones are the files that are there.
            for case in with {
                let what = format!("is a mask of expert {expert}, who did not annotate every case");
                warn(case.masks[expert].clone(), what);
            }
        } else {
            for case in without {
                let file = case.folder.join(format!("task01_seg{expert:02}.nii.gz"));
                let what = format!("is missing, though expert {expert} annotated other cases");
                warn(file, what);
            }
        }
    }
    if complete.is_empty() && !experts.is_empty() {
        problems.push(DataProblem::error(
            dir,
            "has no expert who annotated every case",
            "add the masks that are missing, or move cases without them out of the data set",
        ));
    }
    complete
}

/// A case with its masks of these experts, and its problems; `None` where one of them is an error.
pub(super) fn read_case(
    files: &CaseFiles,
    experts: &BTreeSet<Expert>,
) -> (Option<Case>, Vec<DataProblem>) {
    let mut problems = Vec::new();
    let note = |path: &Path, fault: Fault| DataProblem::error(path, fault.what, fault.remedy);
    let image = match &files.image {
        Some(path) => nifti::read_image(path)
            .map_err(|fault| problems.push(note(path, fault)))
            .ok(),
        None => {
            problems.push(DataProblem::error(
                files.folder.join("image.nii.gz"),
                "is missing",
                "add the case's image, or move the case out of the data set",
            ));
            None
        }
    };
    let mut masks = Vec::new();
    let wanted = files.masks.iter().filter(|(e, _)| experts.contains(e));
    for (expert, path) in wanted {
        match read_mask(path, image.as_ref(), &mut problems) {
            Ok(mask) => masks.push((*expert, mask)),
            Err(problem) => problems.push(problem),
        }
    }
    let Some((image, header)) = image else {
        return (None, problems);
    };
    let path = files.image.as_deref().unwrap_or(&files.folder);
    problems.extend(DataProblem::remarks(path, header.remarks()));
    if image.pixels.iter().all(|v| *v == image.pixels[0]) {
        problems.push(DataProblem::error(
            path,
            "has the same value everywhere",
            "export the image again",
        ));
    } else if two_valued(&image.pixels) {
        problems.push(DataProblem::error(
            path,
            "has no more than two different values: it looks like a mask",
            "put the case's image in its place",
        ));
    }
    let usable = problems.iter().all(|p| p.severity == Severity::Warning);
    let case = usable.then(|| Case::new(&files.name, image, header, masks));
    (case, problems)
}

/// A mask on the grid of its image, where that could be read; adds what is odd about it.
fn read_mask(
    path: &Path,
    image: Option<&(Image, Header)>,
    problems: &mut Vec<DataProblem>,
) -> Result<Mask, DataProblem> {
    let note = |fault: Fault| DataProblem::error(path, fault.what, fault.remedy);
    let read = nifti::read_mask(path).map_err(|fault| {
        let copied = image.is_some_and(|(image, _)| {
            nifti::read_image(path).is_ok_and(|(copy, _)| copy == *image)
        });
        match copied {
            true => DataProblem::error(
                path,
                "is a copy of its image, not a mask",
                "put the expert's mask in its place",
            ),
            false => note(fault),
        }
    })?;
    problems.extend(oddities(path, &read));
    let Some((_, header)) = image else {
        return Ok(read.mask);
    };
    let Aligned { mask, turned } = align(read.mask, &read.header, header, "image").map_err(note)?;
    problems
        .extend(turned.map(|what| DataProblem::warning(path, what, "check that this is intended")));
    Ok(mask)
}

fn oddities(path: &Path, read: &ReadMask) -> Vec<DataProblem> {
    let mut found = DataProblem::remarks(path, read.header.remarks());
    let (area, all) = (read.mask.area_px(), read.mask.pixels.len());
    if let Some(inside) = read.inside.filter(|inside| *inside != 1.0) {
        found.push(DataProblem::warning(
            path,
            format!("has the values 0 and {inside}"),
            format!("check that this is intended: {inside} is inside, as 1 would be"),
        ));
    }
    if area == 0 || area == all {
        let what = match area {
            0 => "is empty",
            _ => "covers the whole image",
        };
        found.push(DataProblem::warning(
            path,
            what,
            "check that this is intended",
        ));
    }
    found
}

/// Warns of images that occur twice: a test case that is a training case too is no test.
fn note_repeated_images(
    dir: &Path,
    training: &[Case],
    test: &[Case],
    problems: &mut Vec<DataProblem>,
) {
    let mut seen: BTreeMap<Digest, &str> = BTreeMap::new();
    for case in training.iter().chain(test) {
        if let Some(first) = seen.insert(case.image_digest, &case.name) {
            problems.push(DataProblem::warning(
                dir,
                format!("{} has the same image as {first}", case.name),
                "check that this is intended",
            ));
        }
    }
}
