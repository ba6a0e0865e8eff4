//! A description of a data set, guessed from the names and values of its files.
//!
//! The rule: a file of a few whole numbers is a mask, any other an image; names decide the rest. A
//! guess is written into a manifest for its owner to read; it is never used by itself.

mod name_patterns;

use std::{collections::BTreeSet, path::Path};

use itertools::Itertools;
use rayon::prelude::*;

use self::name_patterns::{NamedFile, layout};
use super::{
    DataProblem, Severity,
    listing::{entries, file_name, raster_stem},
    nifti::Fault,
    qubiq::locate,
    raster,
};
use crate::manifest::{
    Channel, DataSpec, FileAxis, FileReading, KeepSlices, SliceAxis, Slices, refused_names,
};

/// A guessed description, and what its owner should look at.
#[derive(Clone, Debug)]
pub struct GuessedSpec {
    /// The description; the default where the folders are QUBIQ's.
    pub spec: DataSpec,
    /// The labels of masks, where there are more than two.
    pub labels: Vec<u32>,
}

/// Folders below each other that are looked into.
const DEEPEST: usize = 6;
/// Most different values of a mask.
const MOST_LABELS: usize = 12;

/// Guesses how the data set in `dir` is laid out.
///
/// # Errors
/// Where nothing can be guessed: what was looked for, and that the manifest can say it.
pub fn guess(dir: &Path) -> Result<GuessedSpec, DataProblem> {
    let unknown = |what: String| {
        DataProblem::error(
            dir,
            what,
            "describe it under `[dataset]` in a manifest: `images`, `masks`, `experts`, `split`",
        )
    };
    let mut files = Vec::new();
    let mut problems = Vec::new();
    collect(dir, &[], &mut files, &mut problems);
    // Warnings are told again when the data set is opened.
    let mut errors = problems.into_iter();
    if let Some(error) = errors.find(|problem| problem.severity == Severity::Error) {
        return Err(error);
    }
    if files.is_empty() {
        return Err(unknown("holds no NIfTI file and no PNG".to_owned()));
    }
    let seen: Vec<Result<SeenFile, Fault>> = files
        .par_iter()
        .map(|file| SeenFile::of(&file.path))
        .collect();
    let mut images = Vec::new();
    let mut masks = Vec::new();
    let mut labels = BTreeSet::new();
    let mut reading = FileReading::default();
    let mut masks_have_slices = false;
    for (file, seen) in files.into_iter().zip(seen) {
        let seen = seen.map_err(|f| DataProblem::error(&file.path, f.what, f.remedy))?;
        match seen.labels {
            Some(found) => {
                labels.extend(found);
                masks_have_slices |= seen.reading.slices.is_some();
                masks.push(file);
            }
            None => {
                reading.slices = reading.slices.or(seen.reading.slices);
                reading.channel = reading.channel.or(seen.reading.channel);
                images.push(file);
            }
        }
    }
    if images.is_empty() || masks.is_empty() {
        return Err(unknown(format!(
            "holds {} images and {} masks (files of a few whole numbers), and both are needed",
            images.len(),
            masks.len()
        )));
    }
    if reading.slices.is_some() && !masks_have_slices {
        // What looked like slices has no masks as slices have.
        reading.slices = None;
        reading.channel = Some(Channel::Mean);
        reading.channel_axis = Some(FileAxis::Z);
    }
    let layout = match locate(dir) {
        Ok(_) => None,
        Err(_) => Some(layout(&images, &masks).ok_or_else(|| {
            unknown(format!(
                "holds {} images and {} masks, such as {} and {}, whose names do not say which \
                 belong together",
                images.len(),
                masks.len(),
                images[0].names.join("/"),
                masks[0].names.join("/")
            ))
        })?),
    };
    let several = labels.len() > 2;
    if let Some(highest) = labels.last().filter(|_| several) {
        reading.labels = vec![*highest];
    }
    let (files, experts) = match layout {
        Some((files, experts)) => (Some(files), experts),
        None => (None, Vec::new()),
    };
    if let Some((name, why)) = refused_names(&experts).into_iter().next() {
        return Err(unknown(format!(
            "has masks of an expert \"{name}\", whose name {why}"
        )));
    }
    Ok(GuessedSpec {
        spec: DataSpec {
            path: None,
            files,
            experts,
            reading,
        },
        labels: match several {
            true => labels.into_iter().collect(),
            false => Vec::new(),
        },
    })
}

fn collect(
    folder: &Path,
    above: &[String],
    files: &mut Vec<NamedFile>,
    problems: &mut Vec<DataProblem>,
) {
    for path in entries(folder, problems).unwrap_or_default() {
        let name = file_name(&path);
        let names = above.iter().cloned().chain([name.clone()]).collect_vec();
        if path.is_dir() {
            if names.len() < DEEPEST {
                collect(&path, &names, files, problems);
            }
        } else if raster_stem(&name).is_some() {
            files.push(NamedFile { path, names });
        }
    }
}

/// What a file holds.
struct SeenFile {
    reading: FileReading,
    /// Its values, where these are a few whole numbers.
    labels: Option<BTreeSet<u32>>,
}

impl SeenFile {
    /// As one image, or else as slices along z, or else by the mean of its channels.
    fn of(path: &Path) -> Result<Self, Fault> {
        let slices = FileReading {
            slices: Some(Slices {
                axis: SliceAxis::Z,
                keep: KeepSlices::Foreground,
            }),
            ..FileReading::default()
        };
        let channels = FileReading {
            channel: Some(Channel::Mean),
            ..FileReading::default()
        };
        if let Ok(values) = raster::mask_values(path, &FileReading::default()) {
            let labels = few(&values);
            if labels.is_some() || raster::images(path, &FileReading::default()).is_ok() {
                return Ok(Self {
                    reading: FileReading::default(),
                    labels,
                });
            }
        }
        if let Ok(values) = raster::mask_values(path, &slices) {
            return Ok(Self {
                labels: few(&values),
                reading: slices,
            });
        }
        raster::images(path, &channels).map(|_| Self {
            reading: channels,
            labels: None,
        })
    }
}

/// The values, where they are a few whole numbers.
fn few(values: &[f32]) -> Option<BTreeSet<u32>> {
    let mut found: BTreeSet<u32> = BTreeSet::new();
    let mut last = None;
    for value in values {
        if last == Some(*value) {
            continue;
        }
        last = Some(*value);
        if value.fract() != 0.0 || !(0.0..1e6).contains(value) {
            return None;
        }
        found.insert(*value as u32);
        if found.len() > MOST_LABELS {
            return None;
        }
    }
    Some(found)
}
