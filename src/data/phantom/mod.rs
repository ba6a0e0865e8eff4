//! The phantom: a synthetic data set in the layout of QUBIQ's brain-growth task, so that everything
//! can be run without the real data.
//!
//! The rule: a seed determines the data set to the byte, and its label says that it is synthetic.
//! Calibrated so that the experts agree as much as QUBIQ's do, and so that few cases do not teach
//! what all do: images come from several protocols of acquisition, each with its own contrast.

pub mod anatomy;
pub mod experts;
mod field;
pub mod image;
mod shapes;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use self::anatomy::Tissue;
use super::{
    Case, DataProblem, GENERATOR, Image, MARKER, Marker, content_digest,
    nifti::{Fault, Header, write_image, write_mask},
};
use crate::seed::Seed;

/// The seed of the phantom where none is given.
pub const DEFAULT_SEED: u64 = 1;
/// Height and width of every frame.
pub const SIDE_PX: usize = 256;
/// Training cases.
pub const TRAINING: usize = 34;
/// Test cases.
pub const TEST: usize = 5;
/// Smallest and largest share of the frame that is brain.
const BRAIN_SHARE: (f64, f64) = (0.15, 0.365);

/// A case of the phantom with its true anatomy.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The case, as its files are read.
    pub case: Case,
    /// The tissue of each pixel.
    pub tissues: Vec<Tissue>,
    /// The protocol of acquisition, which sets the contrast.
    pub protocol: usize,
}

/// Draws all cases: [`TRAINING`], then [`TEST`], alike.
pub fn generate(seed: Seed) -> Vec<Drawn> {
    let seed = seed.fork("phantom");
    let count = TRAINING + TEST;
    // Stratified: every phantom has brains of all sizes, in random order, whatever its seed.
    let mut strata: Vec<usize> = (0..count).collect();
    strata.shuffle(&mut seed.fork("sizes").rng());
    (0..count)
        .into_par_iter()
        .map(|i| {
            let case = seed.fork("case").at(i as u64);
            draw_case(case, i, strata[i], count)
        })
        .collect()
}

/// The protocol of a case. Training cases come in runs of one protocol, as sites send them, twice
/// through all: half of the training set shows all of them. Test cases are of one each.
fn protocol(index: usize) -> usize {
    let run = match index.checked_sub(TRAINING) {
        None => index * 2 * image::PROTOCOLS / TRAINING,
        Some(test) => test,
    };
    run % image::PROTOCOLS
}

fn draw_case(seed: Seed, index: usize, stratum: usize, strata: usize) -> Drawn {
    let within: f64 = seed.fork("size").rng().random_range(0.0..1.0);
    let (low, high) = BRAIN_SHARE;
    let share = low + (high - low) * (stratum as f64 + within) / strata as f64;
    let tissues = anatomy::draw(seed.fork("anatomy"), share);
    let protocol = protocol(index);
    let image = image::draw(seed.fork("image"), &tissues, protocol);
    let masks = experts::annotate(seed.fork("experts"), &tissues);
    let name = format!("case{:02}", index + 1);
    let case = Case::new(name, image, header(), masks);
    Drawn {
        case,
        tissues,
        protocol,
    }
}

fn header() -> Header {
    Header::identity(SIDE_PX, SIDE_PX).expect("the phantom's frame is of a readable size")
}

/// Draws the phantom of `seed` and writes it to `dir` in the QUBIQ layout, with its marker. It is
/// written beside `dir` and renamed, so that `dir` never holds a part of a phantom.
///
/// # Errors
/// `dir` exists and is not empty, or something cannot be written.
pub fn write(dir: &Path, seed: u64) -> Result<(), DataProblem> {
    refuse_occupied(dir)?;
    let parent = match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|e| unwritable(parent, &e))?;
    let aside = tempfile::Builder::new()
        .prefix(".phantom-")
        .tempdir_in(parent)
        .map_err(|e| unwritable(parent, &e))?;
    let root = aside.path().join("data");
    fill(&root, seed)?;
    match fs::rename(&root, dir) {
        Ok(()) => Ok(()),
        // Another process may have written to it in the meantime.
        Err(e) => Err(refuse_occupied(dir).err().unwrap_or(unwritable(dir, &e))),
    }
}

fn refuse_occupied(dir: &Path) -> Result<(), DataProblem> {
    let occupied = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) => e.kind() != io::ErrorKind::NotFound,
    };
    if occupied {
        return Err(DataProblem::error(
            dir,
            "exists already and is not an empty folder",
            "choose another folder",
        ));
    }
    Ok(())
}

/// The marker of a seed's phantom, without the digest of its content.
fn marker(seed: u64) -> Marker {
    Marker {
        label: "phantom".to_owned(),
        synthetic: true,
        seed: Some(seed),
        generator: Some(GENERATOR),
        digest: None,
    }
}

/// The label of a seed's phantom.
pub fn label(seed: u64) -> String {
    marker(seed).name()
}

fn fill(root: &Path, seed: u64) -> Result<(), DataProblem> {
    let cases: Vec<Case> = generate(Seed::new(seed))
        .into_iter()
        .map(|drawn| drawn.case)
        .collect();
    let (training, test) = cases.split_at(TRAINING);
    for (folder, cases) in [("Training", training), ("Validation", test)] {
        cases
            .par_iter()
            .try_for_each(|case| write_case(&root.join(folder).join(&case.name), case))?;
    }
    let marker = Marker {
        digest: Some(content_digest(training, test)),
        ..marker(seed)
    };
    let path = root.join(MARKER);
    let text = serde_json::to_string_pretty(&marker).expect("a marker is plain data") + "\n";
    fs::write(&path, text).map_err(|e| unwritable(&path, &e))
}

fn write_case(folder: &Path, case: &Case) -> Result<(), DataProblem> {
    fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
    let failed = |path: PathBuf| |fault: Fault| DataProblem::error(path, fault.what, fault.remedy);
    let path = folder.join("image.nii.gz");
    let image: &Image = &case.image;
    write_image(&path, image, &case.header).map_err(failed(path))?;
    for (expert, annotation) in &case.annotations {
        let path = folder.join(format!("task01_seg{expert:02}.nii.gz"));
        write_mask(&path, &annotation.mask, &case.header).map_err(failed(path))?;
    }
    Ok(())
}

fn unwritable(path: &Path, error: &io::Error) -> DataProblem {
    DataProblem::error(
        path,
        format!("cannot be written ({})", error.kind()),
        "check the folder and the space on the disk",
    )
}
