//! Which experiments a command is about, on which data, and which of their runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Error, anyhow};
use candle_core::Device;
use clap::Args;
use itertools::Itertools;

use super::Failure;
use crate::{
    data::{Dataset, Severity, fit},
    grid::Only,
    key::{Digest, Keyed},
    manifest::{self, Cohort, Experiment, PAPER, Start},
    net::{Checkpoint, CheckpointError},
    plan::{Inventory, Picking, Plan},
    results_dir::ResultsDir,
    seed::Seed,
    variant::Folders,
};

/// Which experiments, on which data, with results where.
#[derive(Clone, Debug, Args)]
pub(super) struct Selection {
    /// Manifests: TOML files that each describe the grid of one table.
    #[arg(required = true, value_name = "MANIFEST")]
    pub(super) manifests: Vec<PathBuf>,
    /// Profile to apply to the manifests; `paper` is their own keys.
    #[arg(long, default_value = PAPER, value_name = "NAME")]
    pub(super) profile: String,
    /// Override a key, for example `finetune.steps=200`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) overrides: Vec<String>,
    /// Folder of the data set, in the QUBIQ layout [default: data/phantom].
    #[arg(long, value_name = "DIR")]
    pub(super) dataset: Option<PathBuf>,
    /// Folder of the tables and of the store.
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub(super) results: PathBuf,
}

/// Some of the runs.
#[derive(Clone, Debug, Args)]
pub(super) struct Picked {
    /// Only the runs that an expression picks, by table, expert, method, experts, annotators,
    /// samples, start and swept keys: for example `expert=7 and n<=10 and method="w/"`.
    #[arg(long, value_name = "EXPRESSION")]
    pub(super) only: Option<Only>,
}

impl Picked {
    /// Whether every run is wanted.
    pub(super) fn is_all(&self) -> bool {
        self.only.is_none()
    }

    /// What it picks of a plan.
    pub(super) fn of(&self, plan: &Plan) -> Result<Picking, Failure> {
        let picking = self.only.as_ref().map(|only| plan.pick(only)).transpose();
        Ok(picking.map_err(Failure::refused)?.unwrap_or_default())
    }

    /// Takes the other runs out of a plan.
    pub(super) fn narrow(&self, plan: &mut Plan) -> Result<(), Failure> {
        let picking = self.of(plan)?;
        let runs = std::mem::take(&mut plan.runs);
        let wanted = |run: &_| picking.wants(run, plan);
        plan.runs = runs.into_iter().filter(wanted).collect();
        Ok(())
    }
}

pub(super) const DEFAULT_DATASET: &str = "data/phantom";

impl Selection {
    pub(super) fn dataset_path(&self) -> PathBuf {
        self.dataset
            .clone()
            .unwrap_or_else(|| DEFAULT_DATASET.into())
    }

    pub(super) fn results_dir(&self) -> ResultsDir {
        ResultsDir::new(&self.results)
    }

    pub(super) fn experiments(&self) -> Result<Vec<Experiment>, Failure> {
        // A table's name stands for its manifest, in this folder or in experiments/.
        let path = |given: &PathBuf| {
            let file = given.with_extension("toml");
            let usual = [file.clone(), PathBuf::from("experiments").join(file)];
            let found = usual.into_iter().find(|path| path.exists());
            match given.extension().is_none() && !given.exists() {
                true => found.unwrap_or_else(|| given.clone()),
                false => given.clone(),
            }
        };
        let expression = |given: &&PathBuf| given.to_string_lossy().contains('=');
        if let Some(given) = self.manifests.iter().find(expression)
            && !given.exists()
        {
            return Err(Failure::Input(anyhow!(
                "{} is not a manifest; to pick runs by an expression, write `--only '{0}'`",
                given.display()
            )));
        }
        let manifests: Vec<PathBuf> = self.manifests.iter().map(path).collect();
        let read = manifest::read(&manifests, &self.profile, &self.overrides);
        let experiments = read.map_err(Failure::input)?;
        for warning in experiments
            .iter()
            .flat_map(|experiment| &experiment.warnings)
        {
            eprintln!("warning: {warning}");
        }
        Ok(experiments)
    }

    /// The plan, to be shown: where there is no data set at the default path, one of the size that
    /// the manifests expect is assumed.
    pub(super) fn plan(&self) -> Result<Plan, Failure> {
        Ok(self.plan_and_folders()?.0)
    }

    /// The same, with the folders of the results.
    pub(super) fn plan_and_folders(&self) -> Result<(Plan, Folders), Failure> {
        let experiments = self.experiments()?;
        let absent = self.dataset.is_none() && !self.dataset_path().exists();
        let dir = self.results_dir();
        let (inventory, folders) = match absent {
            true => {
                eprintln!(
                    "note: there is no data set at {}: stages are counted for the size that the \
                     manifests expect, and none counts as cached",
                    self.dataset_path().display()
                );
                let cohorts = experiments.iter().map(|experiment| experiment.cohort);
                let cohort = cohorts.reduce(|a, b| Cohort {
                    training: a.training.max(b.training),
                    test: a.test.max(b.test),
                    experts: a.experts.max(b.experts),
                });
                let cohort = cohort.ok_or_else(|| Failure::refused("no manifest"))?;
                let folders = Folders::find(&experiments, None, &dir);
                (Inventory::assumed(&cohort), folders)
            }
            false => {
                let dataset = self.open_dataset(&experiments)?;
                let folders = Folders::find(&experiments, Some(&dataset), &dir);
                (Inventory::of(&dataset), folders)
            }
        };
        let inventory = Inventory {
            imports: imports(&experiments)?,
            ..inventory
        };
        Ok((crate::plan::build(experiments, &inventory), folders))
    }

    /// Opens the data set and checks the experiments against it.
    pub(super) fn open_dataset(&self, experiments: &[Experiment]) -> Result<Dataset, Failure> {
        let dataset = crate::data::open(&self.dataset_path()).map_err(Failure::input)?;
        for warning in dataset
            .warnings
            .iter()
            .filter(|w| w.severity == Severity::Warning)
        {
            eprintln!("{warning}");
        }
        let mut problems = Vec::new();
        // Points that differ only in training need the same of the data.
        let points = experiments.iter().flat_map(Experiment::points);
        let asked = points.unique_by(|point| {
            let Experiment {
                name,
                recipe,
                metrics,
                ..
            } = &point.experiment;
            (
                name.clone(),
                format!("{:?} {:?}", recipe.image, metrics.spacing),
            )
        });
        let mut notes = BTreeSet::new();
        for point in asked {
            let fit = fit::fit(&dataset, &point.experiment);
            notes.extend(fit.notes);
            problems.extend(fit.problems);
        }
        for note in notes {
            eprintln!("note: {note}");
        }
        problems.sort();
        problems.dedup();
        match problems.is_empty() {
            true => Ok(dataset),
            false => Err(Failure::refused(problems.join("\n"))),
        }
    }
}

/// Reads the weights that pretrainings start from, checks them against the networks, and notes what
/// is loaded of them. Returns the digests of their tensors, by file.
pub(super) fn imports(experiments: &[Experiment]) -> Result<BTreeMap<PathBuf, Digest>, Failure> {
    let mut digests = BTreeMap::new();
    let mut said = BTreeSet::new();
    let points = experiments.iter().flat_map(Experiment::points);
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
    for point in points {
        let experiment = &point.experiment;
        let Start::File(path) = &experiment.pretrain.start else {
            continue;
        };
        let wrong = |error: CheckpointError| {
            let file = format!("{}: `pretrain.from`: {}", experiment.name, path.display());
            Failure::Input(Error::new(error).context(file))
        };
        let weights = Checkpoint::open(path).map_err(wrong)?;
        for experts in &experiment.grid.annotators.choose {
            let network = &experiment.recipe.network;
            let (_, import) = weights
                .import(network, *experts, &Seed::new(0), &Device::Cpu)
                .map_err(wrong)?;
            let line = format!("note: {}: {import}", path.display());
            if said.insert(line.clone()) {
                eprintln!("{line}");
            }
        }
        digests.insert(path.clone(), weights.digest());
    }
    Ok(digests)
}
