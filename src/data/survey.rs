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
    case_files::CaseFiles,
    content_digest, described, label,
    listing::{entries, natural},
    nifti::{Fault, FilePlane, ReadMask},
    problem::some_of,
    qubiq::{PARTS, Tree, list_cases, locate},
    raster,
    resample::Resampling,
    two_valued,
};
use crate::{
    key::Digest,
    manifest::{DataSpec, FileReading, KeepSlices, Slices},
};

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
    pub fn problems(&self) -> impl Iterator<Item = &DataProblem> {
        self.errors.iter().chain(&self.readable.warnings)
    }
}

/// Reads everything in `dir` that can be read, by the description of a manifest, cases in parallel,
/// and lists every problem.
pub fn survey(dir: &Path, spec: &DataSpec) -> Survey {
    let mut problems = Vec::new();
    let (tree, [training, test]) = listed(dir, spec, &mut problems);
    let experts = complete_experts(dir, spec, [&training, &test], &mut problems);
    let [training, test] = [training, test].map(|listed| {
        let (cases, found): (Vec<_>, Vec<_>) = listed
            .into_par_iter()
            .map(|files| {
                let experts = files.masks.keys().copied().collect();
                read_cases(&files, &experts, &spec.reading)
            })
            .unzip();
        problems.extend(found.into_iter().flatten());
        cases.into_iter().flatten().collect::<Vec<Case>>()
    });
    note_repeated_images(dir, &training, &test, &mut problems);
    let masks = || {
        training
            .iter()
            .chain(&test)
            .flat_map(|case| case.annotations.values())
    };
    let is_empty = masks().all(|annotation| annotation.mask.area_px() == 0);
    if !spec.reading.labels.is_empty() && masks().next().is_some() && is_empty {
        problems.push(DataProblem::error(
            dir,
            "is a data set in which no mask has anything inside",
            "name another label of the masks in `dataset.label`",
        ));
    }
    if spec.reading.channel_axis.is_some() && spec.reading.channel.is_none() {
        problems.push(DataProblem::warning(
            dir,
            "is described with `channel_axis` and without `channel`, so it has no effect",
            "write for example `channel = 0` under `[dataset]`, or take `channel_axis` out",
        ));
    }
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
            names: spec.experts.clone(),
            preparation: spec.preparation(),
            digest,
            warnings,
        },
        errors,
    }
}

/// The files of training and test cases, and the layout in which they were found.
fn listed(
    dir: &Path,
    spec: &DataSpec,
    problems: &mut Vec<DataProblem>,
) -> (Tree, [Vec<CaseFiles>; 2]) {
    if let Some(layout) = &spec.files {
        return (Tree::Plain, described::list(dir, spec, layout, problems));
    }
    match locate(dir) {
        Ok((tree, folders)) => {
            if tree == Tree::Plain {
                tell_of_other_folders(dir, problems);
            }
            (tree, folders.map(|folder| list_cases(&folder, problems)))
        }
        Err(problem) => {
            problems.push(problem);
            (Tree::Plain, [Vec::new(), Vec::new()])
        }
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
    spec: &DataSpec,
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
            match &spec.files {
                None => "name the masks task01_segNN.nii.gz (NN the expert's number), beside each \
                     image.nii.gz"
                    .to_owned(),
                Some(layout) => format!(
                    "check `masks = {:?}` and `experts` under `[dataset]`; {{expert}} is a number \
                     from 1, or one of the names in `experts`",
                    layout.masks.text()
                ),
            },
        ));
    }
    let mut complete = Vec::new();
    for expert in &experts {
        let (with, without): (Vec<&CaseFiles>, Vec<&CaseFiles>) = cases
            .iter()
            .copied()
            .partition(|case| case.masks.contains_key(expert));
        let name = spec.expert(*expert);
        let mut warn = |path: PathBuf, what: String| {
            let remedy = format!("add what is missing where expert {name} is to be used");
            problems.push(DataProblem::warning(path, what, remedy));
        };
        if without.is_empty() {
            complete.push(*expert);
        } else if with.len() < without.len() {
            // The odd ones are the files that are there.
            for case in with {
                let what = format!("is a mask of expert {name}, who did not annotate every case");
                warn(case.masks[expert].clone(), what);
            }
        } else {
            for case in without {
                let what = format!("is missing, though expert {name} annotated other cases");
                warn(case.mask_path(*expert, spec), what);
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

/// The cases of an image with its masks of these experts, one or one for each slice, and its
/// problems; no case where one of them is an error.
pub(super) fn read_cases(
    files: &CaseFiles,
    experts: &BTreeSet<Expert>,
    reading: &FileReading,
) -> (Vec<Case>, Vec<DataProblem>) {
    let mut problems = Vec::new();
    let note = |path: &Path, fault: Fault| DataProblem::error(path, fault.what, fault.remedy);
    let planes = match &files.image {
        Some(path) => raster::images(path, reading)
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
    let mut masks: Vec<(Expert, Vec<Mask>)> = Vec::new();
    let wanted = files.masks.iter().filter(|(e, _)| experts.contains(e));
    for (expert, path) in wanted {
        match read_masks(path, planes.as_deref(), reading, &mut problems) {
            Ok(read) => masks.push((*expert, read)),
            Err(problem) => problems.push(problem),
        }
    }
    let Some(planes) = planes else {
        return (Vec::new(), problems);
    };
    let path = files.image.as_deref().unwrap_or(&files.folder);
    problems.extend(
        planes
            .first()
            .into_iter()
            .flat_map(|plane| DataProblem::remarks(path, plane.header.remarks())),
    );
    let count = planes.len();
    let mut cases = Vec::new();
    let mut left_out = Vec::new();
    for (i, plane) in planes.into_iter().enumerate() {
        let masks = masks.iter().filter_map(|(e, all)| Some((*e, all.get(i)?)));
        let masks: Vec<(Expert, &Mask)> = masks.collect();
        let marked = masks.iter().any(|(_, mask)| mask.area_px() > 0);
        if reading
            .slices
            .is_some_and(|s| s.keep == KeepSlices::Foreground)
            && !marked
        {
            continue;
        }
        let fault = without_content(&plane.image);
        if let (Some(slice), Some(_)) = (plane.slice, &fault) {
            left_out.push(slice);
            continue;
        }
        if let Some(fault) = fault {
            problems.push(note(path, fault));
        }
        let name = match (plane.slice, reading.slices) {
            (Some(slice), Some(Slices { axis, .. })) => {
                let digits = (count - 1).to_string().len();
                format!("{}_{}{slice:0digits$}", files.name, axis.word())
            }
            _ => files.name.clone(),
        };
        match case(name, plane, &masks, reading) {
            Ok(case) => cases.push(case),
            Err(fault) => problems.push(note(path, fault)),
        }
    }
    if !left_out.is_empty() {
        problems.push(DataProblem::warning(
            path,
            format!(
                "has slices with no more than two different values, which are left out: {}",
                some_of(left_out.iter())
            ),
            "check that this is intended",
        ));
    }
    let usable = problems.iter().all(|p| p.severity == Severity::Warning);
    if cases.is_empty() && left_out.is_empty() && usable {
        problems.push(DataProblem::warning(
            path,
            "has no slice with a mask and is left out",
            "check the masks, or keep all slices with `slice.keep = \"all\"`",
        ));
    }
    (if usable { cases } else { Vec::new() }, problems)
}

/// A case of a plane and its masks, on the grid that is asked for.
fn case(
    name: String,
    plane: FilePlane,
    masks: &[(Expert, &Mask)],
    reading: &FileReading,
) -> Result<Case, Fault> {
    let FilePlane { header, image, .. } = plane;
    let resampling = match reading.spacing_mm {
        Some(size) => Resampling::of(&header, size)?,
        None => None,
    };
    let masks = masks.iter();
    Ok(match resampling {
        None => Case::new(name, image, header, masks.map(|(e, m)| (*e, (*m).clone()))),
        Some(grid) => Case::new(
            name,
            grid.image(&image),
            grid.header(&header)?,
            masks.map(|(e, m)| (*e, grid.mask(m))),
        ),
    })
}

/// Why an image is none.
fn without_content(image: &Image) -> Option<Fault> {
    if image.pixels.iter().all(|v| *v == image.pixels[0]) {
        Some(Fault::new(
            "has the same value everywhere",
            "export the image again",
        ))
    } else if two_valued(&image.pixels) {
        Some(Fault::new(
            "has no more than two different values: it looks like a mask",
            "put the case's image in its place",
        ))
    } else {
        None
    }
}

/// The masks of a file on the grids of its image's planes, where that could be read; adds what is
/// odd about them.
fn read_masks(
    path: &Path,
    planes: Option<&[FilePlane]>,
    reading: &FileReading,
    problems: &mut Vec<DataProblem>,
) -> Result<Vec<Mask>, DataProblem> {
    let note = |fault: Fault| DataProblem::error(path, fault.what, fault.remedy);
    let read = raster::masks(path, reading).map_err(|fault| {
        let as_images = raster::images(path, reading);
        let copied = match (planes, as_images) {
            (Some(planes), Ok(copies)) => {
                let pairs = std::iter::zip(planes, &copies);
                planes.len() == copies.len() && pairs.clone().all(|(a, b)| a.image == b.image)
            }
            _ => false,
        };
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
    let Some(planes) = planes else {
        return Ok(read.into_iter().map(|read| read.mask).collect());
    };
    if planes.len() != read.len() {
        return Err(note(Fault::new(
            format!("has {} slices, its image {}", read.len(), planes.len()),
            "export the mask on the grid of its image",
        )));
    }
    let of_pictures = (read.first(), planes.first());
    if let (Some(read), Some(plane)) = of_pictures
        && read.header.is_picture() != plane.header.is_picture()
    {
        problems.push(DataProblem::warning(
            path,
            match read.header.is_picture() {
                true => "is a PNG and its image is NIfTI",
                false => "is NIfTI and its image is a PNG",
            },
            "check that the mask lies over its image: a PNG does not say which corner comes first",
        ));
    }
    let mut masks = Vec::new();
    let mut turns = BTreeSet::new();
    for (read, plane) in read.into_iter().zip(planes) {
        let aligned = align(read.mask, &read.header, &plane.header, "image");
        let Aligned { mask, turned } = aligned.map_err(note)?;
        turns.extend(turned);
        masks.push(mask);
    }
    let turned = turns.into_iter();
    problems
        .extend(turned.map(|what| DataProblem::warning(path, what, "check that this is intended")));
    Ok(masks)
}

/// What is odd about a file of masks: one, or one for each slice.
fn oddities(path: &Path, read: &[ReadMask]) -> Vec<DataProblem> {
    let Some(first) = read.first() else {
        return Vec::new();
    };
    let mut found = DataProblem::remarks(path, first.header.remarks());
    found.extend(DataProblem::remarks(path, first.oddity.clone()));
    let area: usize = read.iter().map(|read| read.mask.area_px()).sum();
    let all: usize = read.iter().map(|read| read.mask.pixels.len()).sum();
    if (area == 0 && first.oddity.is_none()) || area == all {
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
