//! A sweep: from experiments and data to the runs that are missing, and to tables.
//!
//! The rule: this file holds the order of the steps; each step is implemented elsewhere. Nothing is
//! printed here: the caller gets notes and warnings, and [`Progress`] shows what runs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::PathBuf,
    thread,
    time::Duration,
};

use rayon::prelude::*;
use thiserror::Error;

use crate::{
    artefact::is_whole,
    asked_engine::{self, AskedEngine},
    data::Dataset,
    estimate,
    event::{Counts, Ended, Event, Listener, Record, now},
    exec::{Local, PilotLeases, RunControl, Slots, StoreLeases, WorkerCommand},
    grid::Only,
    host,
    journal::Journals,
    key::Digest,
    live_pages::LivePages,
    manifest::Experiment,
    paper,
    pilots::{self, LocksSeen, ReportLock, SharedFailures, SweepFolder},
    plan::{self, Inventory, Plan, Run, Stage, StageId},
    progress::Progress,
    report::{self, RicherTable, Tabled, Tables},
    results,
    results_dir::ResultsDir,
    schedule::{Leases, Policy, Schedule, Share, State},
    store::{Found, Store, StoreError},
    tensorboard::Curves,
    variant::Folders,
};

/// What is to be run, on what, and how.
pub struct Sweep<'a> {
    /// The experiments.
    pub experiments: Vec<Experiment>,
    /// What the plan must know of the data set and of imported files.
    pub inventory: Inventory,
    /// The data set, already checked against the experiments.
    pub dataset: &'a Dataset,
    /// The results folder.
    pub results: &'a ResultsDir,
    /// Which runs; `None` for all.
    pub only: Option<&'a Only>,
    /// The folder of TensorBoard's files; `None` for no such files.
    pub tensorboard: Option<PathBuf>,
    /// Whether no progress is shown.
    pub quiet: bool,
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
    /// The engine that the user asked for, where that was said.
    pub asked: Option<AskedEngine>,
    /// What it is in a sweep on a cluster; `None` for a run by itself.
    pub pilot: Option<Pilot>,
}

/// One of the pilots that share a sweep.
pub struct Pilot {
    /// The folder that they share.
    pub folder: SweepFolder,
    /// What is to be run, as it was submitted.
    pub digest: Digest,
    /// Its share of the stages.
    pub share: Share,
    /// The failures of all of them.
    pub failures: SharedFailures,
    /// Whether locks are shared with other machines.
    pub locks: LocksSeen,
    /// The file into which Slurm writes what it prints.
    pub log: Option<PathBuf>,
}

impl Pilot {
    /// Checks that what is to be run is what was submitted, and notes the scratch folder.
    fn begin(
        &self,
        plan: &Plan,
        wanted: impl Fn(&Run) -> bool,
        owner: &str,
    ) -> Result<(), SweepError> {
        if pilots::digest_of(plan, wanted) != self.digest {
            return Err(SweepError::Changed);
        }
        let noted = self.folder.note_scratch(owner);
        noted.map_err(SweepError::Unwritable)
    }

    /// Says that the tables are written, and removes what pilots were writing that were killed.
    fn has_reported(&self, report: ReportLock, store: &Store) -> Result<(), SweepError> {
        report.done().map_err(SweepError::Unwritten)?;
        if self.locks.are_shared() {
            self.folder.remove_ended(store);
        }
        Ok(())
    }
}

/// How a sweep reports to the code that started it.
pub struct Caller<'a> {
    /// Takes a warning: what went wrong without ending the sweep. Called from any thread.
    pub warn: &'a (dyn Fn(&str) + Sync),
    /// Takes a note on what the user might not expect.
    pub note: &'a dyn Fn(&str),
    /// Takes what interrupts the run once stages run, and `None` when they have ended.
    pub interruptible: &'a dyn Fn(Option<RunControl>),
}

/// How a sweep ended.
pub enum SweepEnd {
    /// The user interrupted it.
    Interrupted,
    /// The disk is full, or a quota used up; the reason has been shown.
    DiskFull,
    /// Other pilots run what is left, or write the tables.
    LeftToOthers(LeftOver),
    /// Everything that could be done is done.
    Ended(Written),
}

/// What a pilot leaves to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOver {
    /// Stages that are not there and not given up.
    pub stages: usize,
    /// Stages that this pilot has seen fail.
    pub failed: usize,
}

/// What a sweep has written, and what it found.
pub struct Written {
    /// The tables.
    pub tables: Vec<Tabled>,
    /// Tables on disk that were not written over, since they have more results.
    pub kept: Vec<RicherTable>,
    /// The pages, if they changed.
    pub pages: report::WrittenPages,
    /// Damaged entries that were found in the store.
    pub damaged: Vec<String>,
    /// Whether every wanted run has its scores.
    pub whole: bool,
}

/// Why a sweep ends early.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The expression names what the plan does not have, or picks no run.
    #[error("{0}")]
    PicksNothing(String),
    /// What is to be run is not what was submitted.
    #[error(
        "the data set, or a file that the manifests name, has changed since the sweep was \
         submitted, or is another one on this machine; nothing was run here; give the command \
         again that submitted it"
    )]
    Changed,
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
/// The expression picks no run, or the results folder cannot be written.
pub fn run(mut sweep: Sweep<'_>, caller: &Caller<'_>) -> Result<SweepEnd, SweepError> {
    let (dataset, results) = (sweep.dataset, sweep.results);
    let plan = plan::build(sweep.experiments, &sweep.inventory);
    let picking = sweep.only.map(|only| plan.pick(only)).transpose();
    let picking = picking
        .map_err(SweepError::PicksNothing)?
        .unwrap_or_default();
    let wanted = |run: &Run| picking.wants(run, &plan);

    let store = Store::within(results.path());
    // Made before anything runs, so that a folder that cannot be written is noticed at once.
    let scratch = store.scratch().map_err(SweepError::Unwritable)?;
    let folders = Folders::claim(&plan.experiments, dataset, results);
    folders.notes().for_each(|note| (caller.note)(&note));

    let mut pilot = sweep.execution.pilot.take();
    if let Some(pilot) = &pilot {
        pilot.begin(&plan, wanted, &scratch.owner())?;
    }
    let share = pilot.as_ref().map_or(Share::ALL, |pilot| pilot.share);
    let mut schedule = scheduled(&plan, wanted, &store, share, caller);
    let asked = sweep.execution.asked.clone();
    let before = asked_engine::used(&plan, &schedule);
    let say_used = |what: &str, used: &BTreeSet<StageId>| {
        let told = asked
            .as_ref()
            .and_then(|asked| asked.told(what, &plan, &store, used));
        told.iter().for_each(|told| (caller.note)(told));
    };
    say_used("cached trainings that are used", &before);
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
        is_pilot: pilot.is_some(),
        log: pilot.as_ref().and_then(|pilot| pilot.log.clone()),
        quiet: sweep.quiet,
        caller,
    };
    let ended = match schedule.counts().complete() {
        true => running.with_nothing_left(),
        false => {
            let done = done_before(&plan, wanted, &schedule);
            warn_of_space(&plan, &store, &schedule, caller);
            let leases = StoreLeases::new(store.clone()).map_err(SweepError::Unwritable)?;
            let mut leases = leases_of(leases, pilot.as_mut(), &plan);
            let execution = sweep.execution;
            running.run(
                &mut schedule,
                &mut *leases,
                execution,
                done,
                curves.as_mut(),
            )
        }
    };
    let meanwhile = &asked_engine::used(&plan, &schedule) - &before;
    say_used("trainings that other processes did meanwhile", &meanwhile);
    if let Some(Err(error)) = curves.map(Curves::finish) {
        (caller.warn)(&format!("TensorBoard's files are not complete: {error}"));
    }
    match ended {
        Ended::Interrupted => return Ok(SweepEnd::Interrupted),
        // Tables could not be written either.
        Ended::DiskFull => return Ok(SweepEnd::DiskFull),
        Ended::Done | Ended::GaveUp | Ended::Idle => {}
    }

    let given_up = pilot.as_ref().map(|pilot| pilot.failures.given_up());
    let given_up = given_up.unwrap_or_default();
    let report = match &pilot {
        None => None,
        Some(pilot) => {
            let stages = left_over(&plan, wanted, &store, &given_up);
            let Some(report) = pilot.folder.report().filter(|_| stages == 0) else {
                let failed = schedule.counts().failed;
                return Ok(SweepEnd::LeftToOthers(LeftOver { stages, failed }));
            };
            Some((pilot, report))
        }
    };
    let failure = |id: StageId| {
        let elsewhere = || given_up.get(&plan.stage(id).digest).cloned();
        schedule.failure(id).or_else(elsewhere)
    };
    let results = results::collect(&plan, &store, &failure);
    let tables = Tables::of(&results, dataset, &store, &folders, paper::claims);
    let kept = tables.richer();
    let pages = tables.write_what_changed().map_err(SweepError::Unwritten)?;
    if let Some((pilot, report)) = report {
        pilot.has_reported(report, &store)?;
    }
    Ok(SweepEnd::Ended(Written {
        tables: tables.each,
        kept,
        pages,
        // What could not be read back is missing in the tables.
        whole: schedule.counts().complete() && results.damaged.is_empty(),
        damaged: results.damaged,
    }))
}

/// What a run of stages works on.
struct SweepRun<'a> {
    plan: &'a Plan,
    store: &'a Store,
    dataset: &'a Dataset,
    folders: &'a Folders,
    /// The name of the run, which is that of its scratch folder in the store.
    owner: String,
    /// Whether it is one of several pilots, of which the last writes the pages.
    is_pilot: bool,
    /// Where what it prints is kept.
    log: Option<PathBuf>,
    /// Whether no progress is shown.
    quiet: bool,
    caller: &'a Caller<'a>,
}

impl SweepRun<'_> {
    /// Where every stage is done. A run that was killed after its last stage left files behind.
    fn with_nothing_left(&self) -> Ended {
        self.store.remove_left_behind();
        Ended::Done
    }

    /// Runs a schedule; journals, curves, the display and the pages listen.
    fn run(
        &self,
        schedule: &mut Schedule<'_>,
        leases: &mut dyn Leases,
        execution: Execution,
        before: u64,
        curves: Option<&mut Curves>,
    ) -> Ended {
        let (mut journals, unwritten) = Journals::open(self.plan, self.folders, &self.owner);
        for why in unwritten {
            (self.caller.warn)(&format!("there will be no journal for `status`: {why}"));
        }
        let pages = LivePages {
            plan: self.plan,
            store: self.store,
            dataset: self.dataset,
            folders: self.folders,
        };
        let began = self.began(schedule, &execution, before);
        let Execution {
            worker,
            slots,
            policy,
            stage_timeout,
            command: _,
            asked: _,
            pilot: _,
        } = execution;
        let results = self.folders.dir().clone();
        let mut executor = Local::new(worker, slots, stage_timeout, results);
        thread::scope(|scope| {
            let mut pages = (!self.is_pilot).then(|| pages.follow(scope));
            let mut display = match (self.quiet, self.is_pilot) {
                (true, _) => Progress::quiet(),
                (false, true) => Progress::of_pilot(),
                (false, false) => Progress::default(),
            };
            let mut listeners: Vec<&mut dyn Listener> = vec![&mut journals];
            listeners.extend(curves.map(|curves| curves as &mut dyn Listener));
            listeners.push(&mut display);
            listeners.extend(pages.as_mut().map(|pages| pages as &mut dyn Listener));
            let mut tell = |counts: &Counts, event: Event| {
                let record = self.record(*counts, event);
                listeners.iter_mut().for_each(|each| each.on(&record));
            };
            tell(&schedule.counts(), began);
            (self.caller.interruptible)(Some(executor.control()));
            let how = schedule.run(&mut executor, leases, policy, &mut tell);
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

    fn began(&self, schedule: &Schedule<'_>, execution: &Execution, before: u64) -> Event {
        let outstanding = schedule.outstanding();
        let cost = outstanding.map(|id| self.plan.stage(id).spec.work().cost());
        Event::Began {
            command: execution.command.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            host: host::name(),
            log: self.log.clone(),
            slots: execution
                .slots
                .slots
                .iter()
                .map(|slot| slot.device.to_string())
                .collect(),
            cost: cost.sum(),
            before,
        }
    }
}

/// The schedule of the stages that the wanted runs need.
fn scheduled<'a>(
    plan: &'a Plan,
    wanted: impl Fn(&Run) -> bool,
    store: &Store,
    share: Share,
    caller: &Caller<'_>,
) -> Schedule<'a> {
    let scored = verify_scores(plan, &wanted, store, caller.warn);
    let mut intact = |stage: &Stage| {
        let known = scored.get(&stage.digest).copied();
        known.unwrap_or_else(|| is_intact(store, stage, caller.warn))
    };
    Schedule::new(plan, wanted, &mut intact, share)
}

/// The leases of a run: those of the store, with failures that pilots share.
fn leases_of<'a>(
    leases: StoreLeases,
    pilot: Option<&'a mut Pilot>,
    plan: &Plan,
) -> Box<dyn Leases + 'a> {
    let Some(Pilot {
        share, failures, ..
    }) = pilot
    else {
        return Box::new(leases);
    };
    let own = plan.ids().filter(|(id, _)| share.has(*id));
    let own = share
        .fixed
        .then(|| own.map(|(_, stage)| stage.digest).collect());
    let leases = leases.shared_by_machines();
    Box::new(PilotLeases::new(leases, failures, own))
}

/// How many stages of the wanted runs are neither there nor given up, by listing.
fn left_over(
    plan: &Plan,
    wanted: impl Fn(&Run) -> bool,
    store: &Store,
    given_up: &BTreeMap<Digest, String>,
) -> usize {
    let there: HashSet<Digest> = store.list().into_iter().map(|(_, digest)| digest).collect();
    let hopeless = |id: StageId| {
        let mut needed = plan.chain(id).into_iter();
        needed.any(|id| given_up.contains_key(&plan.stage(id).digest))
    };
    let ends = plan.runs.iter().filter(|run| wanted(run));
    let ends: BTreeSet<StageId> = ends.flat_map(Run::ends).collect();
    let left = ends.into_iter().filter(|id| {
        let stage = plan.stage(*id);
        !there.contains(&stage.digest) && !hopeless(*id)
    });
    left.count()
}

/// The cost of the stages of the wanted runs that need not be run.
fn done_before(plan: &Plan, wanted: impl Fn(&Run) -> bool, schedule: &Schedule<'_>) -> u64 {
    let demand = plan.demand(wanted);
    let done = plan.ids().filter(|(id, _)| {
        demand[id.index()] > 0 && matches!(schedule.state(*id), State::Cached | State::Unneeded)
    });
    done.map(|(_, stage)| stage.spec.work().cost()).sum()
}

/// Warns where the store's disk has less space than the outstanding stages need.
fn warn_of_space(plan: &Plan, store: &Store, schedule: &Schedule<'_>, caller: &Caller<'_>) {
    let left: Vec<StageId> = schedule.outstanding().collect();
    let stages = plan.ids();
    let cached = stages.filter(|(id, _)| *schedule.state(*id) == State::Cached);
    let there = cached.map(|(_, stage)| stage.digest).collect();
    let need = estimate::disk_bytes(plan, &left, store, &there);
    if let Some(why) = estimate::shortage(store, need) {
        (caller.warn)(&why);
    }
}

/// Whether the scores of each wanted run are intact, by the digest of the evaluation. They are
/// verified on all cores, since a sweep with nothing left to run does little else.
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

/// Whether a stage's artefact is in the store, whole and undamaged.
fn is_intact(store: &Store, stage: &Stage, warn: &(dyn Fn(&str) + Sync)) -> bool {
    match store.verify(stage.spec.kind(), &stage.digest) {
        // A run that keeps no weights may have made it.
        Found::Intact(_) => is_whole(store, stage),
        Found::Missing => false,
        Found::Damaged(why) => {
            warn(&format!("damaged, will be made again: {why}"));
            false
        }
    }
}

/// Writes the curves of the trainings that were in the store before.
fn write_cached(curves: &Curves, plan: &Plan, schedule: &Schedule<'_>) {
    let stages = plan.ids().map(|(id, _)| id);
    let cached = stages.filter(|id| *schedule.state(*id) == State::Cached);
    // The schedule does not look at what comes before a stored evaluation.
    let behind: BTreeSet<StageId> = cached.flat_map(|id| plan.chain(id)).collect();
    for id in behind {
        curves.write(&plan.stage(id).digest, now());
    }
}
