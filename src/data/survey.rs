//! Everything that can be read of a data set, and everything that is wrong with it.
//!
//! The rule: one look finds every problem. A case with an error is left out of the survey, but not
//! out of its problems.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rayon::prelude::*;

use super::{
    Case, Expert, Problem, Provenance, Severity, content_digest, label,
    nifti::{self, Fault, ReadMask},
    qubiq::{CaseFiles, Tree, list_cases, locate, natural},
};
use crate::key::Digest;

/// Everything that could be read, and everything that is wrong.
#[derive(Clone, Debug)]
pub struct Survey {
    /// What made these data.
    pub label: String,
    /// Where images and masks come from.
    pub provenance: Provenance,
    /// Readable training cases, in numerical order.
    pub training: Vec<Case>,
    /// Readable test cases, in numerical order.
    pub test: Vec<Case>,
    /// Experts found in any case, ascending.
    pub experts: Vec<Expert>,
    /// Digest of what could be read.
    pub digest: Digest,
    /// Errors first, then warnings; each by path.
    pub problems: Vec<Problem>,
}

/// Reads everything in `dir` that can be read, cases in parallel, and notes every problem.
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
    problems.sort_by_cached_key(|p| (p.severity, natural(&p.path)));
    Survey {
        label,
        provenance,
        training,
        test,
        experts: experts.into_iter().collect(),
        digest,
        problems,
    }
}

/// The case with the masks of these experts, unless an error is among the problems.
pub(super) fn read_case(
    files: &CaseFiles,
    experts: &BTreeSet<Expert>,
) -> (Option<Case>, Vec<Problem>) {
    let mut problems = Vec::new();
    let note = |path: &Path, fault: Fault| Problem::error(path, fault.what, fault.remedy);
    let image = match &files.image {
        Some(path) => nifti::read_image(path)
            .map_err(|fault| problems.push(note(path, fault)))
            .ok(),
        None => {
            problems.push(Problem::error(
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
            problems.push(Problem::error(
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
            problems.push(Problem::error(
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
        problems.push(Problem::error(
            files.image.as_deref().unwrap_or(&files.folder),
            "is the same everywhere",
            "export the image again",
        ));
    }
    let usable = problems.iter().all(|p| p.severity == Severity::Warning);
    let masks = masks.into_iter().map(|(expert, _, mask)| (expert, mask));
    let case = usable.then(|| Case::new(&files.name, image, header, masks));
    (case, problems)
}

fn oddities(path: &Path, read: &ReadMask) -> Vec<Problem> {
    let mut found = Vec::new();
    let (area, all) = (read.mask.area_px(), read.mask.pixels.len());
    if read.odd_pixels > 0 {
        found.push(Problem::warning(
            path,
            format!("has {} pixels that are neither 0 nor 1", read.odd_pixels),
            "above 0.5 counts as inside; check that this is meant",
        ));
    }
    if area == 0 || area == all {
        let how = if area == 0 { "empty" } else { "full" };
        found.push(Problem::warning(
            path,
            format!("is {how}"),
            "check that the expert meant it",
        ));
    }
    found
}

/// An image that occurs twice makes a test set easier than it looks.
fn note_repeated_images(dir: &Path, training: &[Case], test: &[Case], problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<Digest, &str> = BTreeMap::new();
    for case in training.iter().chain(test) {
        if let Some(first) = seen.insert(case.image_digest, &case.name) {
            problems.push(Problem::warning(
                dir,
                format!("{} has the same image as {first}", case.name),
                "remove one of the two, above all if one is a test case",
            ));
        }
    }
}
