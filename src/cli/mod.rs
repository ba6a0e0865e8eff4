//! The command line: what can be asked for, and what the answers are called in exit codes.
//!
//! Exit codes: 0 all done, 1 some stage failed, 2 the input is wrong, 130 interrupted.

mod bench;
mod data;
mod output;
mod plan;
mod report;
mod run;
mod worker;

use std::{num::NonZeroUsize, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    data::{Dataset, Severity, fit},
    engine::{AnyEngine, Lanes, Stock},
    exec::{DeviceName, DeviceRequest},
    manifest::{self, Experiment, PAPER},
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
  expertgrid run my_ablation.toml --profile phantom --set finetune.steps=80"
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
    /// Write the tables from what has been run.
    Report(report::Arguments),
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
    /// What computes.
    #[arg(long, value_enum, default_value = "auto")]
    engine: EngineChoice,
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

impl EngineChoice {
    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Lanes => "lanes",
            Self::Stock => "stock",
        }
    }

    /// The engine on a device, and what is recorded of it.
    fn open(
        self,
        device: DeviceName,
        threads: NonZeroUsize,
    ) -> Result<(AnyEngine, String), String> {
        match (self, device) {
            (Self::Auto | Self::Lanes, DeviceName::Cpu) => {
                let lanes = Lanes::new(threads).map_err(|error| error.to_string())?;
                let name = format!("lanes, {}", lanes.isa());
                Ok((AnyEngine::Lanes(lanes), name))
            }
            (Self::Lanes, device) => Err(format!(
                "the lanes engine works on the processor, not on {device}"
            )),
            (Self::Auto | Self::Stock, device) => Ok((
                AnyEngine::Stock(Stock::new(device.open()?)),
                "stock".to_owned(),
            )),
        }
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
    /// What computes.
    #[arg(long, value_enum)]
    engine: EngineChoice,
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
}

impl Selection {
    fn dataset_path(&self) -> PathBuf {
        self.dataset
            .clone()
            .unwrap_or_else(|| DEFAULT_DATASET.into())
    }

    fn experiments(&self) -> Result<Vec<Experiment>, Failure> {
        manifest::read(&self.manifests, &self.profile, &self.overrides).map_err(Failure::input)
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
    let outcome = match Cli::parse().command {
        Command::Data(command) => data::run(&command),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Worker(arguments) => worker::run(&arguments),
    };
    match outcome {
        Ok(Done::Whole) => ExitCode::SUCCESS,
        Ok(Done::WithFailures) => ExitCode::from(1),
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
