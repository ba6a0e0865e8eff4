//! `expertgrid run`: runs what is missing, then writes the tables.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Error};
use clap::Args;
use itertools::Itertools;

use super::{
    Done, ExecutionArguments, Failure, Picked, Selection, at_least_one,
    cluster::{ClusterArguments, Submission, submit},
    interrupts::Interrupts,
    inventory, plan,
    report::say_written,
};
use crate::{
    exec::{Slots, WorkerCommand, run_in_shell},
    key::Digest,
    manifest::DataSpec,
    schedule::Policy,
    shell,
    sweep::{self, Caller, Sweep, SweepEnd, SweepError},
};

#[derive(Debug, Args)]
#[command(
    after_help = "It can be stopped at any time (Ctrl-C, a closed window, a reboot): the same
command goes on from there. Exit codes: 0 all done, 1 something failed, 2 the input is wrong, 130
interrupted.

Examples:
  expertgrid run experiments/table2.toml --profile phantom
  expertgrid run experiments/table2.toml -p phantom -s finetune.steps=80 --only 'expert=6 n<=10'
  expertgrid run experiments/table*.toml --device cuda:0 --on-end 'notify-send $EXPERTGRID_END'
  expertgrid run experiments/table2.toml --cluster mycluster --detach"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    execution: ExecutionArguments,
    #[command(flatten)]
    pub(super) only: Picked,
    #[command(flatten)]
    pub(super) failing: Failing,
    #[command(flatten)]
    pub(super) cluster: ClusterArguments,
    /// Write every training's curve as TensorBoard event files, one folder per training, also of
    /// trainings that were in the store before.
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
    /// Print tables, warnings and failures alone: no progress, no notes, no addresses.
    #[arg(short, long)]
    quiet: bool,
    /// Show what would be run, as `plan` does, and run nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// A command for the shell when the run has ended, but where it is stopped at once: a mail, a
    /// message. It finds `EXPERTGRID_END` (done, failed, interrupted), and `EXPERTGRID_RESULTS`,
    /// the folder.
    #[arg(long, value_name = "COMMAND", conflicts_with = "detach")]
    on_end: Option<String>,
}

/// What happens when stages fail, or take long.
#[derive(Debug, Args)]
pub(super) struct Failing {
    /// Further attempts after an accident: a worker that was killed, ran out of memory or hung. A
    /// failure that would repeat is not tried again.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) retries: usize,
    /// Go on with everything that does not depend on a failed stage; the default.
    #[arg(long, conflicts_with_all = ["fail_fast", "max_fail"])]
    keep_going: bool,
    /// Start no further stage after the first that fails.
    #[arg(long, conflicts_with = "max_fail")]
    fail_fast: bool,
    /// Start no further stage after this many have failed.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_fail: Option<NonZeroUsize>,
    /// How long a stage may take, for example `90s`, `45m` or `8h`; then its worker is killed.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    stage_timeout: Option<Duration>,
    /// How often a training's progress is saved, so that an interrupted one goes on from there.
    #[arg(long, default_value = "2m", value_name = "TIME", value_parser = parse_time)]
    save_every: Duration,
}

impl Failing {
    fn policy(&self) -> Policy {
        Policy {
            retries: self.retries,
            most_failures: match self.fail_fast {
                true => Some(1),
                false => self.max_fail.map(NonZeroUsize::get),
            },
            idle: None,
        }
    }
}

/// `90s`, `1.5m`, `8h`; a bare number is seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(char::is_alphabetic);
    let seconds = match &text[number.len()..] {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        unit => {
            return Err(format!(
                "`{unit}` is not a unit of time; write 90s, 45m or 8h"
            ));
        }
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "write a number and a unit: 90s, 45m or 8h".to_owned())?;
    let time = Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())?;
    match time.is_zero() {
        true => Err("write a time above 0, such as 90s".to_owned()),
        false => Ok(time),
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    if arguments.dry_run {
        return plan::run(&plan::Arguments::of_run(arguments));
    }
    let ended = run_or_submit(arguments);
    if let Some(command) = &arguments.on_end {
        let end = match &ended {
            Ok(Done::Whole) => "done",
            Ok(Done::Interrupted) => "interrupted",
            Ok(Done::WithFailures) | Err(_) => "failed",
        };
        let results = arguments.selection.results.as_os_str();
        let variables = [
            ("EXPERTGRID_END", OsStr::new(end)),
            ("EXPERTGRID_RESULTS", results),
        ];
        if let Err(why) = run_in_shell(command, &variables) {
            eprintln!("warning: --on-end '{command}': {why}");
        }
    }
    ended
}

fn run_or_submit(arguments: &Arguments) -> Result<Done, Failure> {
    if let Some(name) = &arguments.cluster.name {
        match submit::run(arguments, name)? {
            Submission::Left(done) => return Ok(done),
            // The tables are written here.
            Submission::NothingToDo => {}
        }
    }
    let interrupts = Interrupts::listen(this_command());
    match sweep_here(arguments, &interrupts, this_command(), None)? {
        SweepEnd::Ended(written) => Ok(say_written(&written, arguments.quiet)),
        SweepEnd::Interrupted => {
            eprintln!("interrupted; what is done is kept, and this command goes on from there:");
            eprintln!("  {}", this_command());
            Ok(Done::Interrupted)
        }
        SweepEnd::DiskFull => {
            eprintln!("stopped; with more space, this command goes on from there:");
            eprintln!("  {}", this_command());
            Ok(Done::WithFailures)
        }
        SweepEnd::LeftToOthers(_) => unreachable!("this is no pilot"),
    }
}

/// A pilot as the sweep needs it, with how long it waits without work.
pub(super) struct PilotPart {
    pub(super) pilot: sweep::Pilot,
    pub(super) idle: Duration,
}

/// Runs on this machine what is missing, by itself or as a pilot.
pub(super) fn sweep_here(
    arguments: &Arguments,
    interrupts: &Interrupts,
    command: String,
    pilot: Option<PilotPart>,
) -> Result<SweepEnd, Failure> {
    let selection = &arguments.selection;
    let experiments = selection.experiments()?;
    let dataset = selection.open_dataset(&experiments)?;
    let slots = slots(&arguments.execution)?;
    let inventory = inventory(&experiments, &dataset)?;
    let described = Selection::described(&experiments, selection.dataset.as_deref())?;
    let sweep = Sweep {
        execution: sweep::Execution {
            command,
            worker: worker_command(arguments, &described, &inventory.imports)?,
            slots,
            policy: Policy {
                idle: pilot.as_ref().map(|part| part.idle),
                ..arguments.failing.policy()
            },
            stage_timeout: arguments.failing.stage_timeout,
            asked: arguments.execution.compute.asked(),
            pilot: pilot.map(|part| part.pilot),
        },
        experiments,
        inventory,
        dataset: &dataset,
        results: &selection.results_dir(),
        only: arguments.only.only.as_ref(),
        tensorboard: arguments.tensorboard.clone(),
        quiet: arguments.quiet,
    };
    if !arguments.quiet {
        let names = sweep.experiments.iter().map(|experiment| &experiment.name);
        eprintln!(
            "{}: profile {}, {}, results in {}",
            names.format(", "),
            selection.profile,
            dataset.label,
            selection.results.display()
        );
    }
    let caller = Caller {
        warn: &|what| eprintln!("warning: {what}"),
        note: &|what| {
            if !arguments.quiet {
                eprintln!("note: {what}");
            }
        },
        interruptible: &|run| interrupts.set(run),
    };
    sweep::run(sweep, &caller).map_err(|error| match error {
        SweepError::Unwritable(error) if error.is_no_space() => Failure::work(error),
        SweepError::Unwritable(error) if error.is_no_lock() => Failure::input(error),
        error @ SweepError::PicksNothing(_) => Failure::input(error),
        error @ SweepError::Changed => Failure::everywhere(error),
        error @ SweepError::Unwritable(_) => {
            Failure::Input(Error::new(error).context(
                "the results folder must be writable; choose another with `--results DIR`",
            ))
        }
        error @ SweepError::Unwritten(_) => Failure::work(error),
    })
}

/// The slots on the devices asked for, after a check that this machine has them.
fn slots(execution: &ExecutionArguments) -> Result<Slots, Failure> {
    let on_card = execution.compute.stages_on_a_card();
    let slots = Slots::share(&execution.devices(), execution.jobs, on_card);
    let slots = slots.map_err(Failure::input)?;
    // Otherwise every worker would fail by itself.
    let checked = execution.compute.check(&slots.slots);
    checked.map_err(Failure::Input)?;
    if let Some(why) = &slots.no_card {
        eprintln!(
            "warning: trainings run on the processor: {why}; `--device cpu` avoids this warning"
        );
    }
    Ok(slots)
}

/// This command as it was typed, in words that a shell takes.
pub(super) fn this_command() -> String {
    let words = std::env::args_os().map(|word| shell::bytes(word.as_encoded_bytes()));
    words.collect::<Vec<_>>().join(" ")
}

fn worker_command(
    arguments: &Arguments,
    described: &DataSpec,
    imports: &BTreeMap<PathBuf, Digest>,
) -> Result<WorkerCommand, Failure> {
    let selection = &arguments.selection;
    let program = std::env::current_exe()
        .context("the program's own file cannot be found")
        .map_err(Failure::Work)?;
    let keep_every = arguments.failing.save_every.as_secs_f64().to_string();
    let paths: [OsString; 5] = [
        "worker".into(),
        "--dataset".into(),
        selection.dataset_path(described).into(),
        "--results".into(),
        selection.results.clone().into(),
    ];
    // A path need not be a text, and the worker is told the folder.
    let described = DataSpec {
        path: None,
        ..described.clone()
    };
    let description = (described != DataSpec::default()).then(|| {
        let json = serde_json::to_string(&described).expect("a description is plain data");
        [OsString::from("--described"), json.into()]
    });
    Ok(WorkerCommand {
        program,
        arguments: paths
            .into_iter()
            .chain(description.into_iter().flatten())
            .chain(arguments.execution.compute.arguments())
            .chain(["--keep-every".into(), keep_every.into()])
            .chain(
                imports
                    .keys()
                    .flat_map(|path| ["--import".into(), path.into()]),
            )
            .collect(),
    })
}
