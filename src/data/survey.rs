//! Reads all of a data set that can be read, and lists everything that is wrong with it.
//!
//! The rule: one pass finds every problem. A case with an error is left out, and its problems are
//! reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rayon::prelude::*;

use super::{
    Case, DataProblem, Dataset, Expert, Severity, content_digest, label,
    nifti::{self, Fault, ReadMask},
    qubiq::{CaseFiles, Tree, list_cases, locate, natural},
};
use crate::key::Digest;

/// What could be read of a data set, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The cases without an error; experts found in any case. Warnings by path.
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
            let cases = folders.map(|folder| list_cases(&folder, &mut problems));
            (tree, cases)
        }
        Err(problem) => {
            problems.push(problem);
            (Tree::Plain, [Vec::new(), Vec::new()])
        }
    };
    let experts: BTreeSet<Expert> = [&training, &test]
        .into_iter()
        .flatten()
        .flat_map(|files| files.masks.keys().copied())
        .collect();
    let [training, test] = [training, test].map(|listed| {
        let (cases, found): (Vec<_>, Vec<_>) = listed
            .into_par_iter()
            .map(|files| read_case(&files, &experts))
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
            experts: experts.into_iter().collect(),
            digest,
            warnings,
        },
        errors,
    }
}

/// A case with the masks of these experts, and its problems; `None` where one of them is an error.
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
                "add the case's image, or remove the case",
            ));
            None
        }
    };
    let mut masks = Vec::new();
    for expert in experts {
        let Some(path) = files.masks.get(expert) else {
            problems.push(DataProblem::error(
                files.folder.join(format!("task01_seg{expert:02}.nii.gz")),
                format!("is missing, though expert {expert} annotated other cases"),
                "add it, or remove this expert's masks or this case",
            ));
            continue;
        };
        match nifti::read_mask(path) {
            Ok(read) => {
                problems.extend(oddities(path, &read));
                masks.push((*expert, path, read.mask));
            }
            Err(fault) => problems.push(note(path, fault)),
        }
    }
    let Some((image, header)) = image else {
        return (None, problems);
    };
    for (_, path, mask) in &masks {
        if (mask.width, mask.height) != (image.width, image.height) {
            problems.push(DataProblem::error(
                *path,
                format!(
                    "has {} x {} pixels, its image {} x {}",
                    mask.width, mask.height, image.width, image.height
                ),
                "export the mask on the image's grid",
            ));
        }
    }
    if image.pixels.iter().all(|v| *v == image.pixels[0]) {
        problems.push(DataProblem::error(
            files.image.as_deref().unwrap_or(&files.folder),
            "has the same value everywhere",
            "export the image again",
        ));
    }
    let usable = problems.iter().all(|p| p.severity == Severity::Warning);
    let masks = masks.into_iter().map(|(expert, _, mask)| (expert, mask));
    let case = usable.then(|| Case::new(&files.name, image, header, masks));
    (case, problems)
}

fn oddities(path: &Path, read: &ReadMask) -> Vec<DataProblem> {
    let mut found = Vec::new();
    let (area, all) = (read.mask.area_px(), read.mask.pixels.len());
    if read.odd_pixels > 0 {
        found.push(DataProblem::warning(
            path,
            format!("has {} pixels that are neither 0 nor 1", read.odd_pixels),
            "check that this is intended: values above 0.5 count as inside",
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
                "remove one of the two",
            ));
        }
    }
}
