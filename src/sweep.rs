//! A sweep: from experiments and data to the runs that are missing, and to tables.
//!
//! The rule: this file is the order of things; each of them is done elsewhere. Nothing is printed
//! here: the caller is told, and [`Progress`] shows what runs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    thread,
    time::Duration,
};

use rayon::prelude::*;
use thiserror::Error;

use crate::{
    artefact::is_whole,
    data::Dataset,
    event::{Counts, Ended, Event, Listener, Record, now},
    exec::{Local, Slot, Slots, StoreLeases, WorkerCommand},
    grid::Only,
    journal::Journals,
    key::Digest,
    live_pages::LivePages,
    manifest::Experiment,
    paper,
    plan::{self, Inventory, Plan, Run, Stage, StageId},
    progress::Progress,
    report::{self, Tabled, Tables},
    results,
    results_dir::ResultsDir,
    schedule::{Policy, Schedule, State},
    stage::TRIVIAL,
    store::{Found, Store, StoreError},
    tensorboard::Curves,
    variant::Folders,
};

/// What is to be run, on what, and how.
pub struct Sweep<'a> {
    /// The experiments.
    pub experiments: Vec<Experiment>,
    /// The digests of the weights that pretrainings start from, by file.
    pub imports: BTreeMap<PathBuf, Digest>,
    /// The data set, held against the experiments.
    pub dataset: &'a Dataset,
    /// Where everything goes.
    pub results: &'a ResultsDir,
    /// Which runs; all without.
    pub only: Option<&'a Only>,
    /// Where TensorBoard's files go.
    pub tensorboard: Option<PathBuf>,
    /// Where stages run.
    pub execution: Execution,
}

/// Where stages run, and what happens when they fail or take long.
pub struct Execution {
    /// The command as it was typed.
    pub command: String,
    /// How a worker is started.
    pub worker: WorkerCommand,
    /// The devices.
    pub slots: Slots,
    /// What happens when stages fail.
    pub policy: Policy,
    /// How long a stage may take.
    pub stage_timeout: Option<Duration>,
}

/// Who started the sweep.
pub struct Caller<'a> {
    /// Told what went wrong without ending the sweep, from any thread.
    pub warn: &'a (dyn Fn(&str) + Sync),
    /// Told what the user might not expect.
    pub note: &'a dyn Fn(&str),
    /// Given what interrupts the run, for as long as there is something to interrupt.
    pub interruptible: &'a dyn Fn(Option<Interrupt>),
}

/// Interrupts a run.
pub type Interrupt = Box<dyn Fn() + Send>;

/// How a sweep ended.
pub enum SweepEnd {
    /// The user ended it.
    Interrupted,
    /// Everything that could be done is done.
    Ended(Written),
}

/// What a sweep leaves.
pub struct Written {
    /// The tables, which are written.
    pub tables: Vec<Tabled>,
    /// The pages, if they changed.
    pub pages: report::WrittenPages,
    /// Damaged entries that were found in the store.
    pub damaged: Vec<String>,
    /// Whether no run misses its scores.
    pub whole: bool,
}

/// Why a sweep ends early.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The expression names what the plan does not have, or picks no run.
    #[error("{0}")]
    PicksNothing(String),
    /// Nothing can be written to the results folder; nothing has run yet.
    #[error(transparent)]
    Unwritable(StoreError),
    /// Tables or pages cannot be written, after everything has run.
    #[error("writing tables and pages")]
    Unwritten(#[source] StoreError),
}

/// Runs what is missing, then writes the tables.
///
/// # Errors
/// Where the results folder cannot be written.
pub fn run(sweep: Sweep<'_>, caller: &Caller<'_>) -> Result<SweepEnd, SweepError> {
    let (dataset, results) = (sweep.dataset, sweep.results);
    let inventory = Inventory {
        imports: sweep.imports,
        ..Inventory::of(dataset)
    };
    let plan = plan::build(sweep.experiments, &inventory);
    let picking = sweep.only.map(|only| plan.pick(only)).transpose();
    let picking = picking
        .map_err(SweepError::PicksNothing)?
        .unwrap_or_default();
    let wanted = |run: &Run| picking.wants(run, &plan);

    let store = Store::within(results.path());
    // Held to the end: whether the folder can be written is known before hours are spent.
    let scratch = store.scratch().map_err(SweepError::Unwritable)?;
    let folders = Folders::claim(&plan.experiments, dataset, results);
    folders.notes().for_each(|note| (caller.note)(&note));

    let mut schedule = scheduled(&plan, wanted, &store, caller);
    let mut curves = sweep.tensorboard.map(|to| {
        let curves = Curves::new(&plan, store.clone(), to);
        write_cached(&curves, &plan, &schedule);
        curves
    });
    let running = SweepRun {
        plan: &plan,
        store: &store,
        dataset,
        folders: &folders,
        owner: scratch.owner(),
        caller,
    };
    let ended = match schedule.counts().complete() {
        true => Ended::Done,
        false => running.run(&mut schedule, sweep.execution, curves.as_mut()),
    };
    if let Some(Err(error)) = curves.map(Curves::finish) {
        (caller.warn)(&format!("TensorBoard's files are not complete: {error}"));
    }
    if ended == Ended::Interrupted {
        return Ok(SweepEnd::Interrupted);
    }

    let results = results::collect(&plan, &store, &|id| schedule.failure(id));
    let tables = Tables::of(&results, dataset, &store, &folders, paper::claims);
    let pages = tables.write_what_changed().map_err(SweepError::Unwritten)?;
    Ok(SweepEnd::Ended(Written {
        tables: tables.each,
        pages,
        // What could not be read back is missing in the tables.
        whole: schedule.counts().complete() && results.damaged.is_empty(),
        damaged: results.damaged,
    }))
}

/// What a run of stages is about.
struct SweepRun<'a> {
    plan: &'a Plan,
    store: &'a Store,
    dataset: &'a Dataset,
    folders: &'a Folders,
    /// The name of what the run holds in the store.
    owner: String,
    caller: &'a Caller<'a>,
}

impl SweepRun<'_> {
    /// Runs a schedule, heard by journals, curves, the display and the pages.
    fn run(
        &self,
        schedule: &mut Schedule<'_>,
        execution: Execution,
        curves: Option<&mut Curves>,
    ) -> Ended {
        let (mut journals, unwritten) = Journals::open(self.plan, self.folders);
        for why in unwritten {
            (self.caller.warn)(&format!("there will be no journal for `status`: {why}"));
        }
        let pages = LivePages {
            plan: self.plan,
            store: self.store,
            dataset: self.dataset,
            folders: self.folders,
        };
        let began = self.began(schedule, &execution);
        let Execution {
            worker,
            slots,
            policy,
            stage_timeout,
            command: _,
        } = execution;
        let results = self.folders.dir().clone();
        let mut executor = Local::new(worker, slots, stage_timeout, results);
        let mut claims = StoreLeases::new(self.store.clone());
        thread::scope(|scope| {
            let mut pages = pages.follow(scope);
            let mut display = Progress::default();
            let mut listeners: Vec<&mut dyn Listener> = vec![&mut journals];
            listeners.extend(curves.map(|curves| curves as &mut dyn Listener));
            listeners.extend([&mut display as &mut dyn Listener, &mut pages]);
            let mut tell = |counts: &Counts, event: Event| {
                let record = self.record(*counts, event);
                listeners.iter_mut().for_each(|each| each.on(&record));
            };
            tell(&schedule.counts(), began);
            (self.caller.interruptible)(Some(Box::new(executor.interrupter())));
            let how = schedule.run(&mut executor, &mut claims, policy, &mut tell);
            (self.caller.interruptible)(None);
            tell(&schedule.counts(), Event::Ended { how });
            how
        })
    }

    fn record(&self, counts: Counts, event: Event) -> Record {
        Record {
            at: now(),
            run: self.owner.clone(),
            counts,
            event,
        }
    }

    fn began(&self, schedule: &Schedule<'_>, execution: &Execution) -> Event {
        let outstanding = schedule.outstanding();
        let cost = outstanding.map(|id| self.plan.stage(id).spec.work().cost());
        Event::Began {
            command: execution.command.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            slots: execution.slots.slots.iter().map(what_computes).collect(),
            cost: cost.sum(),
        }
    }
}

/// A slot's device, as journals tell of it.
fn what_computes(slot: &Slot) -> String {
    match TRIVIAL {
        true => "none".to_owned(),
        false => slot.device.to_string(),
    }
}

/// What is to be done for the wanted runs.
fn scheduled<'a>(
    plan: &'a Plan,
    wanted: impl Fn(&Run) -> bool,
    store: &Store,
    caller: &Caller<'_>,
) -> Schedule<'a> {
    let scored = verify_scores(plan, &wanted, store, caller.warn);
    let mut intact = |stage: &Stage| {
        let known = scored.get(&stage.digest).copied();
        known.unwrap_or_else(|| is_intact(store, stage, caller.warn))
    };
    Schedule::new(plan, wanted, &mut intact)
}

/// Which scores of the wanted runs can be believed: looked at on all cores, since where there is
/// nothing to do this is all there is.
fn verify_scores(
    plan: &Plan,
    wanted: impl Fn(&Run) -> bool,
    store: &Store,
    warn: &(dyn Fn(&str) + Sync),
) -> HashMap<Digest, bool> {
    let runs = plan.runs.iter().filter(|run| wanted(run));
    let evaluations: BTreeSet<StageId> = runs.map(|run| run.evaluation).collect();
    let evaluations = evaluations.into_par_iter().map(|id| plan.stage(id));
    evaluations
        .map(|stage| (stage.digest, is_intact(store, stage, warn)))
        .collect()
}

/// Whether a stage's artefact is there and can be believed.
fn is_intact(store: &Store, stage: &Stage, warn: &(dyn Fn(&str) + Sync)) -> bool {
    match store.verify(stage.spec.kind(), &stage.digest) {
        // It may have been made where its weights were not wanted.
        Found::Intact(_) => is_whole(store, stage),
        Found::Missing => false,
        Found::Damaged(why) => {
            warn(&format!("damaged, will be made again: {why}"));
            false
        }
    }
}

/// Writes the curves of the trainings that were there before.
fn write_cached(curves: &Curves, plan: &Plan, schedule: &Schedule<'_>) {
    let stages = plan.ids().map(|(id, _)| id);
    let cached = stages.filter(|id| *schedule.state(*id) == State::Cached);
    // What stands behind an evaluation that is there has not been looked at.
    let behind: BTreeSet<StageId> = cached.flat_map(|id| plan.chain(id)).collect();
    for id in behind {
        curves.write(&plan.stage(id).digest, now());
    }
}
