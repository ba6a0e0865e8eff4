//! Data sets as commands name them: a folder, or a manifest that describes one.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::anyhow;

use super::{DEFAULT_DATASET, Failure};
use crate::{
    data::{
        self, Dataset,
        survey::{Survey, survey},
    },
    manifest::{self, DataSpec, Experiment, PAPER},
};

/// What a command was given in the place of a data set.
pub(super) struct DescribedSet {
    /// The folder.
    pub(super) dir: PathBuf,
    /// How its files are found and read.
    pub(super) spec: Arc<DataSpec>,
    /// The manifest that says so, where one does.
    pub(super) experiment: Option<Experiment>,
}

impl DescribedSet {
    /// A folder in QUBIQ's layout, or a manifest; `dataset` is a folder that counts before the
    /// manifest's own.
    pub(super) fn of(given: &Path, dataset: Option<&Path>) -> Result<Self, Failure> {
        let manifest = manifest::found(given);
        if given.is_dir() || !manifest.is_file() {
            return match dataset {
                None => Ok(Self {
                    dir: given.to_owned(),
                    spec: Arc::default(),
                    experiment: None,
                }),
                Some(_) => Err(Failure::Input(anyhow!(
                    "{} is no manifest; name a manifest with `--dataset`, or the folder alone",
                    given.display()
                ))),
            };
        }
        let read = manifest::read(&[&manifest], PAPER, &[]).map_err(Failure::input)?;
        let experiment = read.into_iter().next();
        let spec = experiment
            .as_ref()
            .map(|experiment| experiment.data.clone());
        let spec = spec.unwrap_or_default();
        Ok(Self {
            dir: folder(dataset, &spec),
            spec,
            experiment,
        })
    }

    /// Reads it.
    pub(super) fn open(&self) -> Result<Dataset, Failure> {
        data::open_as(&self.dir, &self.spec).map_err(Failure::input)
    }

    /// Reads what can be read of it.
    pub(super) fn survey(&self) -> Survey {
        survey(&self.dir, &self.spec)
    }
}

/// The folder that counts: one named on the command line, the manifest's, the phantom's.
pub(super) fn folder(named: Option<&Path>, spec: &DataSpec) -> PathBuf {
    let found = named.or(spec.path.as_deref());
    found.unwrap_or(Path::new(DEFAULT_DATASET)).to_owned()
}

/// A description as it is in effect: without its folder, where the command line names one.
pub(super) fn in_effect(spec: &Arc<DataSpec>, named: Option<&Path>) -> Arc<DataSpec> {
    match (named, &spec.path) {
        (Some(_), Some(_)) => Arc::new(DataSpec {
            path: None,
            ..DataSpec::clone(spec)
        }),
        _ => spec.clone(),
    }
}

/// The data sets that manifests describe in one folder, each opened once.
pub(super) struct OpenedSets {
    /// A folder that counts before those of the manifests.
    pub(super) named: Option<PathBuf>,
    /// Those opened so far.
    pub(super) opened: Vec<(Arc<DataSpec>, Arc<Dataset>)>,
}

impl OpenedSets {
    /// The data set of a description.
    pub(super) fn get(&mut self, spec: &Arc<DataSpec>) -> Result<Arc<Dataset>, Failure> {
        if let Some((_, dataset)) = self.opened.iter().find(|(known, _)| known == spec) {
            return Ok(dataset.clone());
        }
        let dir = folder(self.named.as_deref(), spec);
        let dataset = Arc::new(data::open_as(&dir, spec).map_err(Failure::input)?);
        self.opened.push((spec.clone(), dataset.clone()));
        Ok(dataset)
    }
}
