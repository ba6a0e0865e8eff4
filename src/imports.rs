//! The files of weights that pretrainings start from, checked against the networks they are for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use candle_core::Device;
use itertools::Itertools;

use crate::{
    data::{Dataset, Expert, training_geometry::TrainingGeometry},
    key::{Digest, Keyed},
    manifest::{Experiment, Start},
    net::{Branches, Checkpoint, CheckpointError},
    seed::Seed,
};

/// The imported files of some experiments.
#[derive(Debug, Default)]
pub struct Imports {
    /// For each file, the digest of its tensors.
    pub digests: BTreeMap<PathBuf, Digest>,
    /// What is loaded of each file: one line per file and network.
    pub notes: Vec<String>,
    /// What the files say of the images that they were trained on.
    geometries: BTreeMap<PathBuf, TrainingGeometry>,
}

impl Imports {
    /// How a data set's training images differ from those that the files were trained on.
    pub fn differences(&self, dataset: &Dataset) -> Vec<String> {
        let of_file = |(path, geometry): (&PathBuf, &TrainingGeometry)| {
            let cases = dataset.training.iter();
            let headers = cases.map(|case| (&case.name, &case.header));
            let lines = geometry.differences(headers).into_iter();
            lines
                .map(|line| format!("{}: {line}", path.display()))
                .collect::<Vec<_>>()
        };
        self.geometries.iter().flat_map(of_file).collect()
    }
}

/// A file of weights that cannot be imported.
#[derive(Debug, thiserror::Error)]
#[error("{experiment}: `pretrain.from`: {}", path.display())]
pub struct ImportError {
    /// The experiment that names it.
    pub experiment: String,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: Box<CheckpointError>,
}

/// Reads the files that experiments name, for every network of their grids.
///
/// # Errors
/// Where a file cannot be read or does not fit a network.
pub fn read(experiments: &[Experiment]) -> Result<Imports, ImportError> {
    let points = experiments.iter().flat_map(Experiment::points);
    // Points that differ in other keys import the same.
    let points = points.unique_by(|point| {
        let Experiment {
            name,
            pretrain,
            recipe,
            ..
        } = &point.experiment;
        (
            name.clone(),
            format!("{:?} {:?}", pretrain.start, recipe.network),
        )
    });
    let mut imports = Imports::default();
    let mut notes = BTreeSet::new();
    for point in points {
        let experiment = &point.experiment;
        let Start::File(path) = &experiment.pretrain.start else {
            continue;
        };
        // Without pretraining the key has no effect, and may stay.
        if !experiment.grid.pretrains() {
            continue;
        }
        let (weights, loaded) = import(path, experiment).map_err(|source| ImportError {
            experiment: experiment.name.clone(),
            path: path.clone(),
            source: source.into(),
        })?;
        imports.digests.insert(path.clone(), weights.digest());
        let geometry = weights.about().and_then(|about| about.geometry.clone());
        let geometry = geometry.map(|geometry| (path.clone(), geometry));
        imports.geometries.extend(geometry);
        for line in loaded {
            if notes.insert(line.clone()) {
                imports.notes.push(line);
            }
        }
    }
    Ok(imports)
}

/// A file, and what each network of an experiment takes from it.
fn import(
    path: &Path,
    experiment: &Experiment,
) -> Result<(Checkpoint, Vec<String>), CheckpointError> {
    let weights = Checkpoint::open_import(path)?;
    let network = &experiment.recipe.network;
    let file = path.display();
    let mut notes = Vec::new();
    if let Some(prefix) = weights.prefix() {
        notes.push(format!(
            "{file}: `{prefix}` is taken off the names of its tensors"
        ));
    }
    if let Some(converted) = weights.converted() {
        notes.push(format!(
            "{file}: {converted}, converted to single precision"
        ));
    }
    let methods = experiment.grid.methods.iter();
    let pretrained = methods.filter(|chosen| chosen.method.is_pretrained());
    let forms = pretrained.map(|chosen| chosen.method.network).unique();
    for (form, count) in forms.cartesian_product(&experiment.grid.annotators.choose) {
        // Whose they are has no effect on what fits.
        let experts: Vec<Expert> = (1..).take(*count).collect();
        let branches = Branches::trained_on(form, &experts, experiment.latent.dimensions);
        let (_, import) = weights.import(network, branches, &Seed::new(0), &Device::Cpu)?;
        notes.push(format!("{file}: {import}"));
    }
    Ok((weights, notes))
}
