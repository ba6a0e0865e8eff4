//! The command line: what can be asked for, and what the answers are called in exit codes.
//!
//! Exit codes: 0 all done, 1 some stage failed, 2 the input is wrong, 130 interrupted.

#![expect(
    clippy::print_stderr,
    reason = "only this module and `progress` speak to the user"
)]

mod adapt;
mod bench;
mod compute;
mod data;
mod interrupts;
mod logs;
mod manifest;
mod metric;
mod output;
mod plan;
mod predict;
mod report;
mod run;
mod selection;
mod status;
mod store;
mod trace;
mod verify;
mod weights;
mod why;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::stage::{Stages, Work};

use compute::{Compute, ExecutionArguments, IsaChoice, OwnDevice, WorkerDevice, made_by};
use selection::{DEFAULT_DATASET, Picked, Selection, imports};

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
  expertgrid adapt --weights pretrained.safetensors --cases my_cases --expert 8 \
    -o expert8.safetensors
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
    /// List the keys that manifests have, or print their JSON Schema.
    #[command(subcommand)]
    Manifest(manifest::Command),
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

/// Runs the program.
pub fn main() -> ExitCode {
    main_with(&Stages)
}

/// Runs the program with other work in its stages.
pub fn main_with(work: &dyn Work) -> ExitCode {
    let command = Cli::parse().command;
    let outcome = match command {
        Command::Data(command) => data::run(&command),
        Command::Manifest(command) => manifest::run(&command),
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
        Command::Worker(arguments) => worker::run(&arguments, work),
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
