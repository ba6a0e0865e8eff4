//! Which experiments a command is about, on which data, and which of their runs.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::anyhow;
use clap::{
    Arg, Args, Command,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};
use itertools::Itertools;

use super::{
    Failure,
    described::{folder, in_effect},
};
use crate::{
    data::{
        Dataset,
        fit::{self, Fit},
        grouped, survey,
    },
    fused_masks,
    grid::Only,
    imports,
    key::Digest,
    manifest::{self, DataSpec, Experiment, ManifestTexts, PAPER},
    plan::{Inventory, Picking, Plan},
    results_dir::ResultsDir,
    variant::Folders,
};

/// Which experiments, on which data, with results where.
#[derive(Clone, Debug, Args)]
pub(super) struct Selection {
    /// Manifests: TOML files that each describe the grid of one table.
    #[arg(required = true, value_name = "MANIFEST")]
    pub(super) manifests: Vec<PathBuf>,
    /// Profile to apply to the manifests; `paper` is their own keys.
    #[arg(short, long, default_value = PAPER, value_name = "NAME", value_parser = ProfileName)]
    #[arg(hide_possible_values = true)]
    pub(super) profile: String,
    /// Override a key, for example `finetune.steps=200`; may be repeated.
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub(super) overrides: Vec<String>,
    /// Folder of the data set, in QUBIQ's layout (Training/case01/image.nii.gz,
    /// task01_seg01.nii.gz and so on, Validation/...) or as the manifest's `[dataset]` describes it
    /// [default: the manifest's `dataset.path`, or data/phantom].
    #[arg(short, long, value_name = "DIR")]
    pub(super) dataset: Option<PathBuf>,
    /// Folder of the tables and of the store.
    #[arg(short, long, default_value = "results", value_name = "DIR")]
    pub(super) results: PathBuf,
    /// Texts that stand for the manifests' files.
    #[arg(skip)]
    pub(super) texts: ManifestTexts,
}

/// Takes any name of a profile, and tells shells those of the paper's manifests.
#[derive(Clone)]
struct ProfileName;

impl TypedValueParser for ProfileName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            manifest::PROFILES.into_iter().map(PossibleValue::new),
        ))
    }
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
    /// The folder of the data set.
    pub(super) fn dataset_path(&self, described: &DataSpec) -> PathBuf {
        folder(self.dataset.as_deref(), described)
    }

    /// How the data set of all manifests is found and read; `named` is the folder that the command
    /// line names.
    pub(super) fn described(
        experiments: &[Experiment],
        named: Option<&Path>,
    ) -> Result<Arc<DataSpec>, Failure> {
        let Some(first) = experiments.first() else {
            return Ok(Arc::default());
        };
        let spec = in_effect(&first.data, named);
        let differs = |other: &&Experiment| in_effect(&other.data, named) != spec;
        match experiments.iter().find(differs) {
            None => Ok(spec),
            Some(other) => Err(Failure::refused(format!(
                "{} and {} describe different data sets under `[dataset]`; name them in commands \
                 of their own",
                first.path.display(),
                other.path.display()
            ))),
        }
    }

    pub(super) fn results_dir(&self) -> ResultsDir {
        ResultsDir::new(&self.results)
    }

    /// The manifests' files.
    pub(super) fn manifest_files(&self) -> Vec<PathBuf> {
        let given = self.manifests.iter();
        given.map(|given| manifest::found(given)).collect()
    }

    pub(super) fn experiments(&self) -> Result<Vec<Experiment>, Failure> {
        let expression = |given: &&PathBuf| given.to_string_lossy().contains('=');
        if let Some(given) = self.manifests.iter().find(expression)
            && !given.exists()
        {
            return Err(Failure::Input(anyhow!(
                "{} is not a manifest; to pick runs by an expression, write `--only '{0}'`",
                given.display()
            )));
        }
        let manifests = self.manifest_files();
        let read = manifest::read_with(&self.texts, &manifests, &self.profile, &self.overrides);
        let experiments = read.map_err(|problems| {
            // Which experts there are is asked of a data set in QUBIQ's layout.
            let asked = problems.unknown_expert && !problems.describes_data;
            let path = self.dataset_path(&DataSpec::default());
            let found = asked.then(|| survey::experts_named(&path));
            match found.filter(|experts| !experts.is_empty()) {
                None => Failure::input(problems),
                Some(experts) => Failure::refused(format!(
                    "{problems}\n{} has masks of experts {}",
                    path.display(),
                    experts.iter().format(", ")
                )),
            }
        })?;
        for (key, values) in manifest::repeated(&self.overrides) {
            eprintln!(
                "warning: --set sets {key} {} times, to {}; the last counts",
                values.len(),
                values.join(", then ")
            );
        }
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
        let described = Self::described(&experiments, self.dataset.as_deref())?;
        let path = self.dataset_path(&described);
        let named = self.dataset.is_some() || described.path.is_some();
        let absent = !named && !path.exists();
        let dir = self.results_dir();
        let (inventory, folders) = match absent {
            true => {
                eprintln!(
                    "note: there is no data set at {}: stages are counted for the size that the \
                     manifests expect, and none counts as cached",
                    path.display()
                );
                let folders = Folders::find(&experiments, None, &dir);
                let inventory = Inventory {
                    imports: imports(&experiments, None)?,
                    ..Inventory::assumed_for(&experiments)
                };
                (inventory, folders)
            }
            false => {
                let dataset = self.open_dataset(&experiments)?;
                let folders = Folders::find(&experiments, Some(&dataset), &dir);
                (inventory(&experiments, &dataset)?, folders)
            }
        };
        Ok((crate::plan::build(experiments, &inventory), folders))
    }

    /// Opens the data set and checks the experiments against it.
    pub(super) fn open_dataset(&self, experiments: &[Experiment]) -> Result<Dataset, Failure> {
        let described = Self::described(experiments, self.dataset.as_deref())?;
        let path = self.dataset_path(&described);
        let dataset = crate::data::open_as(&path, &described).map_err(Failure::input)?;
        for line in grouped(&dataset.warnings) {
            eprintln!("{line}");
        }
        let Fit { problems, notes } = fit::fit_all(&dataset, experiments);
        for note in notes {
            eprintln!("note: {note}");
        }
        match problems.is_empty() {
            true => Ok(dataset),
            false => Err(Failure::refused(problems.join("\n"))),
        }
    }
}

/// What the plan of some experiments must know of a data set and of the files they import.
pub(super) fn inventory(
    experiments: &[Experiment],
    dataset: &Dataset,
) -> Result<Inventory, Failure> {
    let fused = fused_masks::fused(experiments, dataset).map_err(Failure::input)?;
    for warning in &fused.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(Inventory {
        imports: imports(experiments, Some(dataset))?,
        fused: fused.digests,
        ..Inventory::of(dataset)
    })
}

/// Reads the weights that pretrainings start from; notes what is loaded of them, and warns of how
/// the data set differs from theirs. Returns the digests of their tensors, by file.
fn imports(
    experiments: &[Experiment],
    dataset: Option<&Dataset>,
) -> Result<BTreeMap<PathBuf, Digest>, Failure> {
    let read = imports::read(experiments).map_err(Failure::input)?;
    for note in &read.notes {
        eprintln!("note: {note}");
    }
    let differences = dataset.map(|dataset| read.differences(dataset));
    for line in differences.into_iter().flatten() {
        eprintln!("warning: {line}");
    }
    Ok(read.digests)
}
