//! The command line: commands, their help, and exit codes.
//!
//! Exit codes: 0 all done, 1 something failed or is missing, 2 the input is wrong, 78 a pilot that
//! could work on no node, 130 interrupted.

/// Prints a line to standard error. Where that is closed, as a terminal that has hung up, the line
/// is lost: the macro of the standard library would end the program.
macro_rules! eprintln {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($line)*);
    }};
}

mod adapt;
mod bench;
mod cluster;
mod compare;
mod completions;
mod compute;
mod data;
mod described;
mod doctor;
mod export;
mod fuse;
mod interrupts;
mod logs;
mod manifest;
mod metric;
mod mistyped;
mod new;
mod output;
mod plan;
mod predict;
mod reading;
mod report;
mod run;
mod run_list;
mod selection;
mod status;
mod store;
mod terminals;
mod trace;
mod verify;
mod weights;
mod why;
mod worker;

use std::{
    fmt::{Debug, Display},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::stage::{StageWork, Stages};

use compute::{
    Compute, Engines, ExecutionArguments, OwnDevice, WorkerDevice, at_least_one, made_by,
};
use described::{DescribedSet, OpenedSets};
use reading::{ImageOptions, MaskOptions};
use selection::{DEFAULT_DATASET, Picked, Selection, inventory};

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
    /// When tables are printed in bold and underlined.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto"
    )]
    #[arg(display_order = 1000)]
    color: terminals::Emphasis,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make or check a data set.
    #[command(subcommand)]
    Data(data::Command),
    /// Write a manifest that fits a data set.
    New(new::Arguments),
    /// List the keys that manifests have, or print their JSON Schema.
    #[command(subcommand)]
    Manifest(manifest::Command),
    /// Show what would be run, and what is in the store already.
    Plan(plan::Arguments),
    /// Run what is missing, then write the tables.
    Run(run::Arguments),
    /// Check that a cluster can run sweeps.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// End a sweep on a cluster, its progress saved.
    Cancel(cluster::CancelArguments),
    /// Show the state of sweeps, from another terminal or after a crash.
    Status(status::Arguments),
    /// Tell whether a run's stages are in the store, and why not.
    Why(why::Arguments),
    /// Show what happened to a run or a stage, and its log.
    Logs(logs::Arguments),
    /// Write the tables from what has been run.
    Report(report::Arguments),
    /// Compare two experiments: the keys and the results in which they differ.
    Compare(compare::Arguments),
    /// Write every run with its scores as CSV or JSON, for notebooks.
    Export(export::Arguments),
    /// Trace a cell of a table to its test and results, and on to its runs and files.
    Trace(trace::Arguments),
    /// Fine-tune a pretrained network on the annotated cases of one more expert.
    Adapt(adapt::Arguments),
    /// Predict the masks of images with a network.
    Predict(predict::Arguments),
    /// Score masks against reference masks: Dice, ASSD, 95HD.
    Metric(metric::Arguments),
    /// Fuse the masks of several experts into one, by majority or STAPLE.
    Fuse(fuse::Arguments),
    /// List, check, clean or export what is in the store.
    #[command(subcommand)]
    Store(store::Command),
    /// Time a training step on this machine.
    Bench(bench::Arguments),
    /// Show what this machine has, and check that a card computes as the processor does.
    Doctor(doctor::Arguments),
    /// Print what a shell needs to complete commands and options.
    Completions(completions::Completions),
    /// Write manual pages, one for each command.
    Man(completions::ManPages),
    /// Run a part of a sweep that was submitted to a cluster.
    #[command(hide = true)]
    Pilot(cluster::PilotArguments),
    /// Run stages for a parent process.
    #[command(hide = true)]
    Worker(worker::Arguments),
}

/// Why a command ends early.
enum Failure {
    /// The input is wrong: what, where, and what to do about it. Exit code 2.
    Input(anyhow::Error),
    /// The input is right, but the work failed. Exit code 1.
    Work(anyhow::Error),
    /// A pilot cannot work, and no other one could. Exit code 78.
    Everywhere(anyhow::Error),
}

impl Failure {
    fn input(error: impl Into<anyhow::Error>) -> Self {
        Self::Input(error.into())
    }

    /// Wrong input, described by a text alone.
    fn refused(text: impl Display + Debug + Send + Sync + 'static) -> Self {
        Self::Input(anyhow::Error::msg(text))
    }

    /// What would fail for every pilot.
    fn everywhere(error: impl Into<anyhow::Error>) -> Self {
        Self::Everywhere(error.into())
    }

    fn work(error: impl Into<anyhow::Error>) -> Self {
        Self::Work(error.into())
    }
}

/// An error with its causes, outermost first: `doing X: cause`. A cause that an error's own text
/// already names is not repeated.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// How a command ended.
enum Done {
    /// Everything is done.
    Whole,
    /// Something failed or is missing; the reasons have been printed.
    WithFailures,
    /// The user interrupted it.
    Interrupted,
}

/// Runs the program.
pub fn main() -> ExitCode {
    main_with(&Stages)
}

/// Runs the program with other work in its stages.
pub fn main_with(work: &dyn StageWork) -> ExitCode {
    let Cli { color, command } = match Cli::try_parse() {
        Ok(parsed) => parsed,
        Err(error) => mistyped::told(error).exit(),
    };
    terminals::choose(color);
    let outcome = match command {
        Command::Data(command) => data::run(&command),
        Command::New(arguments) => new::run(&arguments),
        Command::Manifest(command) => manifest::run(&command),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Cluster(command) => cluster::run(&command),
        Command::Cancel(arguments) => cluster::cancel(&arguments),
        Command::Pilot(arguments) => cluster::pilot(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Logs(arguments) => logs::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Adapt(arguments) => adapt::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Metric(arguments) => metric::run(&arguments),
        Command::Fuse(arguments) => fuse::run(&arguments),
        Command::Store(command) => store::run(&command),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Man(arguments) => completions::man_pages(&arguments),
        Command::Worker(arguments) => worker::run(&arguments, work),
    };
    match outcome {
        Ok(Done::Whole) => ExitCode::SUCCESS,
        Ok(Done::WithFailures) => ExitCode::from(1),
        Ok(Done::Interrupted) => ExitCode::from(130),
        Err(Failure::Work(error)) => complain(&error, 1),
        Err(Failure::Input(error)) => complain(&error, 2),
        Err(Failure::Everywhere(error)) => complain(&error, 78),
    }
}

/// Prints an error, each of its lines marked as one, and gives the exit code back.
fn complain(error: &anyhow::Error, code: u8) -> ExitCode {
    for line in chain(error).lines() {
        match line.starts_with("error: ") || line.starts_with("warning: ") || line.starts_with(' ')
        {
            true => eprintln!("{line}"),
            false => eprintln!("error: {line}"),
        }
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_each_once() {
        let error = anyhow::Error::msg("no space left").context("writing a.md");
        assert_eq!(chain(&error), "writing a.md: no space left");
        let named = anyhow::Error::msg("no space left").context("a.md: no space left; free some");
        assert_eq!(
            chain(&named.context("writing the tables")),
            "writing the tables: a.md: no space left; free some"
        );
    }
}
