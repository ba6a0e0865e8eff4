//! The command line: what can be asked for, and what the answers are called in exit codes.
//!
//! Exit codes: 0 all done, 1 some stage failed, 2 the input is wrong, 130 interrupted.

mod adapt;
mod bench;
mod data;
mod interrupts;
mod logs;
mod metric;
mod output;
mod pages;
mod plan;
mod predict;
mod report;
mod run;
mod status;
mod store;
mod trace;
mod verify;
mod weights;
mod why;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    time::SystemTime,
};

use candle_core::Device;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    data::{Dataset, Severity, fit},
    engine::{
        AnyEngine, Lanes, Stock,
        lanes::{Isa, Kernels, Threads},
    },
    exec::{DeviceName, DeviceRequest},
    key::{Digest, Keyed},
    manifest::{self, Cohort, Experiment, PAPER, Start},
    net::{Checkpoint, CheckpointError},
    plan::{Inventory, Only, Plan, Run},
    seed::Seed,
    stage::TRIVIAL,
    store::MadeBy,
};

/// Grids of medical-image-segmentation trainings: planned, shared, run, tabulated.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  expertgrid data phantom --out data/phantom
  expertgrid plan experiments/table*.toml
  expertgrid run experiments/table2.toml --profile phantom
  expertgrid run my_ablation.toml --profile phantom --set finetune.steps=80
  expertgrid adapt --weights pretrained.safetensors --cases my_cases --expert 8 -o expert8.safetensors
  expertgrid predict --weights expert8.safetensors new/*.nii.gz -o masks
  expertgrid metric masks reference"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make or check a data set.
    #[command(subcommand)]
    Data(data::Command),
    /// Say what would be run, and what is there already.
    Plan(plan::Arguments),
    /// Run what is missing, then write the tables.
    Run(run::Arguments),
    /// Say where sweeps stand, from another terminal or after a crash.
    Status(status::Arguments),
    /// Say what stands behind a run or a stage, and why it is not in the store.
    Why(why::Arguments),
    /// Say what became of a run or a stage, and what it said.
    Logs(logs::Arguments),
    /// Write the tables from what has been run.
    Report(report::Arguments),
    /// Trace a cell of a table to its runs, their scores and files.
    Trace(trace::Arguments),
    /// Fine-tune a pretrained network on the annotated cases of one more expert.
    Adapt(adapt::Arguments),
    /// Predict the masks of images with a network.
    Predict(predict::Arguments),
    /// Score masks against reference masks: Dice, ASSD, 95HD.
    Metric(metric::Arguments),
    /// Take weights out of the store, or check what is in it.
    #[command(subcommand)]
    Store(store::Command),
    /// Measure a training step on this machine.
    Bench(bench::Arguments),
    /// Serve stages to a parent process.
    #[command(hide = true)]
    Worker(worker::Arguments),
}

/// Which experiments, on which data, with results where.
#[derive(Clone, Debug, Args)]
struct Selection {
    /// Manifests: TOML files that each describe the grid of one table.
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Profile to lay over the manifests; `paper` is their own keys.
    #[arg(long, default_value = PAPER, value_name = "NAME")]
    profile: String,
    /// Override a key, for example `finetune.steps=200`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder of the data set, in the QUBIQ layout [default: data/phantom].
    #[arg(long, value_name = "DIR")]
    dataset: Option<PathBuf>,
    /// Folder of the tables and of the store.
    #[arg(long, default_value = "results", value_name = "DIR")]
    results: PathBuf,
}

/// Some of the runs.
#[derive(Clone, Debug, Args)]
struct Picked {
    /// Only the runs that an expression picks, by table, arm, expert, experts, combination, n and start: for example
    /// `expert=7 and n<=10 and arm="w/"`.
    #[arg(long, value_name = "EXPRESSION")]
    only: Option<Only>,
}

impl Picked {
    /// Whether every run is wanted.
    fn is_all(&self) -> bool {
        self.only.is_none()
    }

    /// Takes the other runs out of a plan.
    fn narrow(&self, plan: &mut Plan) {
        let runs = std::mem::take(&mut plan.runs);
        let wanted = runs.iter().map(|run| self.wants(run, plan));
        let wanted: Vec<bool> = wanted.collect();
        let runs = std::iter::zip(runs, wanted).filter(|(_, wanted)| *wanted);
        plan.runs = runs.map(|(run, _)| run).collect();
    }

    fn wants(&self, run: &Run, plan: &Plan) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.matches(run, plan))
    }
}

const DEFAULT_DATASET: &str = "data/phantom";

/// How stages are executed.
#[derive(Clone, Debug, Args)]
struct Execution {
    /// How many stages at once [default: one per core, or one per CUDA device].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// `auto`, `cpu`, or CUDA devices like `cuda:0,cuda:1`.
    #[arg(long, default_value = "auto", value_name = "DEVICES")]
    device: DeviceRequest,
    #[command(flatten)]
    compute: Compute,
}

/// What computes.
#[derive(Clone, Copy, Debug, Args)]
struct Compute {
    /// What computes.
    #[arg(long, value_enum, default_value = "auto")]
    engine: EngineChoice,
    /// Instruction set of the lanes engine; results on different ones differ in their last bits.
    #[arg(long, value_enum, default_value = "auto")]
    isa: IsaChoice,
}

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum EngineChoice {
    /// `lanes` on the processor, `stock` elsewhere.
    Auto,
    /// The fast kernels of the processor.
    Lanes,
    /// Candle's own operations, on any device.
    Stock,
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum IsaChoice {
    /// The fastest that the machine has.
    Auto,
    /// x86-64 with AVX-512.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// AArch64.
    Neon,
    /// Any machine.
    Portable,
}

impl IsaChoice {
    /// By its name.
    fn named(name: &str) -> Option<Self> {
        ValueEnum::from_str(name, false).ok()
    }
}

impl Compute {
    /// The options that make a worker choose alike.
    fn arguments(self) -> [OsString; 4] {
        let word = |value: Option<clap::builder::PossibleValue>| {
            let value = value.expect("no choice is hidden");
            OsString::from(value.get_name())
        };
        [
            "--engine".into(),
            word(self.engine.to_possible_value()),
            "--isa".into(),
            word(self.isa.to_possible_value()),
        ]
    }

    /// Whether this machine has what was asked for.
    fn check(self) -> Result<(), String> {
        self.kernels(NonZeroUsize::MIN).map(drop)
    }

    /// The engine on a device, and what is recorded of it.
    fn open(
        self,
        device: DeviceName,
        threads: NonZeroUsize,
    ) -> Result<(AnyEngine, String), String> {
        match (self.engine, device) {
            (EngineChoice::Auto | EngineChoice::Lanes, DeviceName::Cpu) => {
                let lanes = Lanes::with_kernels(self.kernels(threads)?);
                let name = format!("lanes, {}", lanes.isa());
                Ok((AnyEngine::Lanes(lanes), name))
            }
            (EngineChoice::Lanes, device) => Err(format!(
                "the lanes engine works on the processor, not on {device}"
            )),
            (EngineChoice::Auto | EngineChoice::Stock, device) => Ok((
                AnyEngine::Stock(Stock::new(device.open()?)),
                "stock".to_owned(),
            )),
        }
    }

    fn kernels(self, threads: NonZeroUsize) -> Result<Kernels, String> {
        let threads = Threads::new(threads);
        let isa = match self.isa {
            IsaChoice::Auto => Isa::detect(),
            IsaChoice::Avx512 => Isa::Avx512,
            IsaChoice::Avx2 => Isa::Avx2,
            IsaChoice::Neon => Isa::Neon,
            IsaChoice::Portable => Isa::Portable,
        };
        Kernels::with_isa(isa, threads).map_err(|error| format!("--isa: {error}"))
    }
}

/// A device for a worker.
#[derive(Clone, Debug, Args)]
struct WorkerDevice {
    /// Which.
    #[arg(long)]
    device: DeviceName,
    /// Threads.
    #[arg(long)]
    threads: NonZeroUsize,
    #[command(flatten)]
    compute: Compute,
}

/// A processor for a command that trains or predicts by itself.
#[derive(Clone, Copy, Debug, Args)]
struct OwnDevice {
    /// Threads [default: one per core].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// `cpu`, or a CUDA device like `cuda:0`.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: DeviceName,
    #[command(flatten)]
    compute: Compute,
}

impl OwnDevice {
    /// The engine, and what is recorded of it.
    fn open(self) -> Result<(AnyEngine, MadeBy), Failure> {
        let threads = self
            .threads
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN);
        let (engine, name) = self
            .compute
            .open(self.device, threads)
            .map_err(Failure::Input)?;
        Ok((engine, made_by(self.device, name)))
    }
}

/// What is recorded of what computes.
fn made_by(device: DeviceName, engine: String) -> MadeBy {
    let (device, engine) = match device {
        _ if TRIVIAL => ("none", "none: nothing was computed".to_owned()),
        DeviceName::Cpu => ("cpu", engine),
        DeviceName::Cuda(_) => ("cuda", engine),
    };
    MadeBy {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: device.to_owned(),
        engine,
    }
}

/// Reads the weights that pretrainings start from, holds them against the networks, and says what
/// is taken of them; the digests of their tensors.
fn imports(experiments: &[Experiment]) -> Result<BTreeMap<PathBuf, Digest>, Failure> {
    let mut digests = BTreeMap::new();
    let mut said = BTreeSet::new();
    for experiment in experiments {
        let Start::File(path) = &experiment.pretrain.start else {
            continue;
        };
        let wrong = |error: CheckpointError| {
            Failure::Input(format!(
                "{}: `pretrain.from`: {}: {error}",
                experiment.name,
                path.display()
            ))
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

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// Why a command ends early.
enum Failure {
    /// The user's input is wrong; what, where, and what to do about it.
    Input(String),
    /// Something could not be done.
    Work(String),
}

impl Failure {
    fn input(what: impl std::fmt::Display) -> Self {
        Self::Input(what.to_string())
    }
}

/// How a command ended.
enum Done {
    /// All of it.
    Whole,
    /// Stages failed; their reasons have been told.
    WithFailures,
    /// The user ended it.
    Interrupted,
}

impl Selection {
    fn dataset_path(&self) -> PathBuf {
        self.dataset
            .clone()
            .unwrap_or_else(|| DEFAULT_DATASET.into())
    }

    fn experiments(&self) -> Result<Vec<Experiment>, Failure> {
        // A table's name stands for its manifest, here or where the paper's are.
        let path = |given: &PathBuf| {
            let file = given.with_extension("toml");
            let usual = [file.clone(), PathBuf::from("experiments").join(file)];
            let found = usual.into_iter().find(|path| path.exists());
            match given.extension().is_none() && !given.exists() {
                true => found.unwrap_or_else(|| given.clone()),
                false => given.clone(),
            }
        };
        let manifests: Vec<PathBuf> = self.manifests.iter().map(path).collect();
        manifest::read(&manifests, &self.profile, &self.overrides).map_err(Failure::input)
    }

    /// The plan, for looking at: where there is no data set at the default place, one of the size that
    /// the manifests expect is assumed.
    fn plan(&self) -> Result<Plan, Failure> {
        let experiments = self.experiments()?;
        let absent = self.dataset.is_none() && !self.dataset_path().exists();
        let inventory = match absent {
            true => {
                eprintln!(
                    "note: no data set at {}: counted for the size the manifests expect, and nothing can be cached",
                    self.dataset_path().display()
                );
                let cohorts = experiments.iter().map(|experiment| experiment.cohort);
                let cohort = cohorts.reduce(|a, b| Cohort {
                    training: a.training.max(b.training),
                    test: a.test.max(b.test),
                    experts: a.experts.max(b.experts),
                });
                Inventory::assumed(&cohort.ok_or_else(|| Failure::input("no manifest"))?)
            }
            false => Inventory::of(&self.open_dataset(&experiments)?),
        };
        let inventory = Inventory {
            imports: imports(&experiments)?,
            ..inventory
        };
        Ok(crate::plan::build(experiments, &inventory))
    }

    /// Opens the data set and holds the experiments against it.
    fn open_dataset(&self, experiments: &[Experiment]) -> Result<Dataset, Failure> {
        let dataset = crate::data::open(&self.dataset_path()).map_err(Failure::input)?;
        for warning in dataset
            .warnings
            .iter()
            .filter(|w| w.severity == Severity::Warning)
        {
            eprintln!("{warning}");
        }
        let mut problems = Vec::new();
        for experiment in experiments {
            let fit = fit::fit(&dataset, experiment);
            for note in &fit.notes {
                eprintln!("note: {note}");
            }
            problems.extend(fit.problems);
        }
        match problems.is_empty() {
            true => Ok(dataset),
            false => Err(Failure::Input(problems.join("\n"))),
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    // What a worker says is its stage's log.
    if TRIVIAL && !matches!(command, Command::Worker(_)) {
        eprintln!(
            "warning: THIS PROGRAM COMPUTES NOTHING: its stages are empty, to time what is around them"
        );
    }
    let outcome = match command {
        Command::Data(command) => data::run(&command),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Logs(arguments) => logs::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Adapt(arguments) => adapt::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Metric(arguments) => metric::run(&arguments),
        Command::Store(command) => store::run(&command),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Worker(arguments) => worker::run(&arguments),
    };
    match outcome {
        Ok(Done::Whole) => ExitCode::SUCCESS,
        Ok(Done::WithFailures) => ExitCode::from(1),
        Ok(Done::Interrupted) => ExitCode::from(130),
        Err(Failure::Work(what)) => complain(&what, 1),
        Err(Failure::Input(what)) => complain(&what, 2),
    }
}

fn complain(what: &str, code: u8) -> ExitCode {
    for line in what.lines() {
        match line.starts_with("error: ") || line.starts_with("warning: ") || line.starts_with(' ')
        {
            true => eprintln!("{line}"),
            false => eprintln!("error: {line}"),
        }
    }
    ExitCode::from(code)
}
