//! `expertgrid run`: what is missing is run, then the tables are written.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsString,
    num::NonZeroUsize,
    path::PathBuf,
    thread,
    time::Duration,
};

use clap::Args;
use rayon::prelude::*;

use super::{
    Done, Execution, Failure, Picked, Selection, imports, interrupts::Interrupts, now,
    pages::Pages, report::write_tables,
};
use crate::{
    artefact::is_whole,
    event::{Counts, Ended, Event, Record},
    exec::{Local, Slot, Slots, StoreClaims, WorkerCommand},
    journal::Journals,
    key::Digest,
    plan::{self, Inventory, Plan, Run, Stage, StageId},
    progress::Progress,
    results,
    schedule::{Policy, Schedule, State},
    stage::TRIVIAL,
    store::{Found, Store},
    tensorboard::Curves,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    execution: Execution,
    #[command(flatten)]
    only: Picked,
    #[command(flatten)]
    failing: Failing,
    /// Write every training's curve as TensorBoard event files, one folder per training; also of those that
    /// were in the store before.
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
}

/// What happens when stages fail, or take long.
#[derive(Debug, Args)]
struct Failing {
    /// Attempts after an accident: a worker that was killed, ran out of memory, hung. What would fail the same way again
    /// is not tried again.
    #[arg(long, default_value_t = 1, value_name = "N")]
    retries: usize,
    /// Go on with all that does not depend on a failed stage; the default.
    #[arg(long, conflicts_with_all = ["fail_fast", "max_fail"])]
    keep_going: bool,
    /// Start no further stage after the first that fails.
    #[arg(long, conflicts_with = "max_fail")]
    fail_fast: bool,
    /// Start no further stage after so many have failed.
    #[arg(long, value_name = "N")]
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
        unit => return Err(format!("`{unit}` is no unit of time; write 90s, 45m or 8h")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "write a number and a unit: 90s, 45m or 8h".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let interrupts = Interrupts::listen();
    let selection = &arguments.selection;
    let experiments = selection.experiments()?;
    let dataset = selection.open_dataset(&experiments)?;
    let slots = Slots::share(&arguments.execution.device, arguments.execution.jobs)
        .map_err(Failure::Input)?;
    // Workers would find out one by one.
    let compute = arguments.execution.compute;
    compute.check(&slots.slots).map_err(Failure::Input)?;
    if let Some(why) = &slots.no_card {
        eprintln!("warning: trainings run on the processor: {why}; `--device cpu` asks for that");
    }
    let imports = imports(&experiments)?;
    let plan = plan::build(
        experiments,
        &Inventory {
            imports: imports.clone(),
            ..Inventory::of(&dataset)
        },
    );
    let store = Store::within(&selection.results);
    // Held to the end: whether the folder can be written is known before hours are spent.
    let scratch = store.scratch().map_err(|error| {
        Failure::Input(format!(
            "{error}; the results folder must be writable, choose another with `--results DIR`"
        ))
    })?;

    let mut claims = StoreClaims::new(store.clone());
    let picking = arguments.only.of(&plan)?;
    let wanted = |run: &Run| picking.wants(run, &plan);
    let scored = verify_scores(&plan, wanted, &store);
    let mut intact = |stage: &Stage| {
        let known = scored.get(&stage.digest).copied();
        known.unwrap_or_else(|| is_intact(&store, stage))
    };
    let mut schedule = Schedule::new(&plan, wanted, &mut intact);
    let curves = arguments.tensorboard.clone();
    let curves = curves.map(|folder| Curves::new(&plan, store.clone(), folder));
    if let Some(curves) = &curves {
        let stages = plan.ids().map(|(id, _)| id);
        let cached = stages.filter(|id| *schedule.state(*id) == State::Cached);
        // What stands behind an evaluation that is there has not been looked at.
        let behind: BTreeSet<StageId> = cached.flat_map(|id| plan.chain(id)).collect();
        for id in behind {
            curves.write(&plan.stage(id).digest, now());
        }
    }
    let mut ended = Ended::Done;
    if !schedule.counts().complete() {
        let command = worker_command(arguments, &imports)?;
        let failing = &arguments.failing;
        let (journals, unwritten) = Journals::open(&plan, &selection.results);
        for why in unwritten {
            eprintln!("warning: there will be no journal for `status`: {why}");
        }
        let mut progress = Progress::default();
        let mut tell = |counts: &Counts, event: Event| {
            let record = Record {
                at: now(),
                run: scratch.owner(),
                counts: *counts,
                event,
            };
            journals.write(&record);
            if let (Some(curves), Event::Finished { stage, .. }) = (&curves, &record.event) {
                curves.write(stage, record.at);
            }
            progress.on(&record);
        };
        let outstanding = schedule.outstanding();
        let began = Event::Began {
            command: this_command(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            slots: slots.slots.iter().map(what_computes).collect(),
            cost: outstanding
                .map(|id| plan.stage(id).spec.work().cost())
                .sum(),
        };
        tell(&schedule.counts(), began);
        let logs = selection.results.join("logs");
        let mut executor = Local::new(command, slots, failing.stage_timeout, logs);
        interrupts.next(executor.interrupter());
        let pages = Pages {
            plan: &plan,
            store: &store,
            dataset: &dataset,
            to: selection.results.clone(),
        };
        ended = thread::scope(|scope| {
            let news = pages.follow(scope);
            schedule.run(
                &mut executor,
                &mut claims,
                failing.policy(),
                &mut |counts, event| {
                    news.tell();
                    tell(counts, event);
                },
            )
        });
        interrupts.reset();
        tell(&schedule.counts(), Event::Ended { how: ended });
    }
    if let Some(Err(error)) = curves.map(Curves::finish) {
        eprintln!("warning: TensorBoard's files are not complete: {error}");
    }
    if ended == Ended::Interrupted {
        eprintln!("interrupted; what is done is kept, and this goes on from there:");
        eprintln!("  {}", this_command());
        return Ok(Done::Interrupted);
    }

    let failure = |id: StageId| match schedule.state(id) {
        State::Failed(reason) => Some(reason.clone()),
        State::Blocked(upstream) => match schedule.state(*upstream) {
            State::Failed(reason) => Some(reason.clone()),
            _ => Some("a stage it needs failed".to_owned()),
        },
        _ => None,
    };
    let results = results::collect(&plan, &store, &failure);
    let written = write_tables(&results, &store, &dataset, &selection.results)?;
    // What could not be read back is missing in the tables.
    match schedule.counts().complete() && results.damaged.is_empty() {
        true => Ok(written),
        false => Ok(Done::WithFailures),
    }
}

/// A slot's device, as journals tell of it.
fn what_computes(slot: &Slot) -> String {
    match TRIVIAL {
        true => "none".to_owned(),
        false => slot.device.to_string(),
    }
}

/// Whether a stage's artefact is there and can be believed.
fn is_intact(store: &Store, stage: &Stage) -> bool {
    match store.verify(stage.spec.kind(), &stage.digest) {
        // It may have been made where its weights were not wanted.
        Found::Intact(_) => is_whole(store, stage),
        Found::Missing => false,
        Found::Damaged(why) => {
            eprintln!("warning: damaged, will be made again: {why}");
            false
        }
    }
}

/// Which scores of the wanted runs can be believed: looked at on all cores, since where there is nothing to
/// do this is all there is.
fn verify_scores(
    plan: &Plan,
    wanted: impl Fn(&Run) -> bool,
    store: &Store,
) -> HashMap<Digest, bool> {
    let evaluations: BTreeSet<StageId> = plan
        .runs
        .iter()
        .filter(|run| wanted(run))
        .map(|run| run.evaluation)
        .collect();
    let evaluations = evaluations.into_par_iter().map(|id| plan.stage(id));
    evaluations
        .map(|stage| (stage.digest, is_intact(store, stage)))
        .collect()
}

/// This command as it was typed.
fn this_command() -> String {
    let quoted = std::env::args().map(|word| {
        let plain = |c: char| c.is_alphanumeric() || "-_./=:,+".contains(c);
        match !word.is_empty() && word.chars().all(plain) {
            true => word,
            false => format!("'{}'", word.replace('\'', r"'\''")),
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn worker_command(
    arguments: &Arguments,
    imports: &BTreeMap<PathBuf, Digest>,
) -> Result<WorkerCommand, Failure> {
    let selection = &arguments.selection;
    let program = std::env::current_exe().map_err(|error| {
        Failure::Work(format!("the program's own file cannot be found: {error}"))
    })?;
    let keep_every = arguments.failing.save_every.as_secs_f64().to_string();
    let paths: [OsString; 5] = [
        "worker".into(),
        "--dataset".into(),
        selection.dataset_path().into(),
        "--results".into(),
        selection.results.clone().into(),
    ];
    Ok(WorkerCommand {
        program,
        arguments: paths
            .into_iter()
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
