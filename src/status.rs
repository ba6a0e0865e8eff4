//! The state of the sweeps of some manifests, seen from outside: while they run or after a crash.
//!
//! The rule: it only reads. A stage is done if the store holds it, a process runs if it holds its
//! lock, and the journals have the last events.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
};

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    artefact::is_whole,
    event::{Ended, Record},
    journal,
    key::Digest,
    plan::{Kind, Plan, Run},
    progress::{Board, FailedStage},
    results_dir::VariantDir,
    store::Store,
    variant::Folders,
};

/// The state of a plan.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Runs, and how many of them have scores.
    pub runs: Completion,
    /// Stages, and how many of them are in the store.
    pub stages: Completion,
    /// The stages by kind.
    pub kinds: BTreeMap<Kind, StageTally>,
    /// Stages that failed when they were tried last.
    pub failures: Vec<FailedStage>,
    /// What runs now, and what ran last.
    pub sweeps: Vec<SweepState>,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// The part.
    pub done: usize,
    /// The whole.
    pub of: usize,
}

/// Stages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageTally {
    /// All that the runs need.
    pub needed: usize,
    /// In the store.
    pub done: usize,
    /// A process holds their lease.
    pub running: usize,
    /// Failed when they were tried last.
    pub failed: usize,
    /// None of these.
    pub left: usize,
}

/// One process that ran stages.
#[derive(Debug, Serialize)]
pub struct SweepState {
    /// Whether it still runs.
    pub life: Life,
    /// Its state by its journal.
    pub board: Board,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// It holds its lock.
    Running,
    /// Its journal says how it ended.
    Ended(Ended),
    /// It holds no lock, and its journal has no end: it was killed, or the machine went down.
    Gone,
}

/// Reads the store and the journals, for the runs that are `wanted`.
pub fn look(
    plan: &Plan,
    store: &Store,
    folders: &Folders,
    wanted: impl Fn(&Run) -> bool,
) -> Status {
    let done: HashSet<Digest> = store.list().into_iter().map(|(_, digest)| digest).collect();
    let leased = store.leased(|stage| !done.contains(stage));
    let leased: HashSet<Digest> = leased.into_iter().collect();
    let boards = boards(folders);
    let mut failed: BTreeMap<Digest, FailedStage> = BTreeMap::new();
    for failure in boards.iter().flat_map(|(_, board)| &board.failures) {
        failed.insert(failure.stage, failure.clone());
    }
    failed.retain(|stage, _| !done.contains(stage) && !leased.contains(stage));

    let mut kinds: BTreeMap<Kind, StageTally> = BTreeMap::new();
    let mut stages = Completion::default();
    let mut needed = HashSet::new();
    for (stage, demand) in plan.stages.iter().zip(plan.demand(&wanted)) {
        if demand == 0 {
            continue;
        }
        let digest = &stage.digest;
        let there = done.contains(digest) && is_whole(store, stage);
        needed.insert(*digest);
        let tally = kinds.entry(stage.spec.kind()).or_default();
        tally.needed += 1;
        stages.of += 1;
        *if there {
            stages.done += 1;
            &mut tally.done
        } else if leased.contains(digest) {
            &mut tally.running
        } else if failed.contains_key(digest) {
            &mut tally.failed
        } else {
            &mut tally.left
        } += 1;
    }
    let mut runs = Completion::default();
    for run in plan.runs.iter().filter(|run| wanted(run)) {
        runs.of += 1;
        runs.done += usize::from(done.contains(&plan.stage(run.evaluation).digest));
    }
    failed.retain(|stage, _| needed.contains(stage));
    Status {
        runs,
        stages,
        kinds,
        failures: failed.into_values().collect(),
        sweeps: sweeps(boards, store),
    }
}

/// The board of every process in the journals, in the order in which they began.
fn boards(folders: &Folders) -> Vec<(String, Board)> {
    let paths: Vec<PathBuf> = folders.each().flat_map(VariantDir::journals).collect();
    let mut boards = match folders.each().count() > 1 {
        false => of_one(paths),
        true => of_several(paths),
    };
    boards.sort_by(|(a, one), (b, other)| one.began.total_cmp(&other.began).then(a.cmp(b)));
    boards
}

/// Those of one experiment, of whose processes each writes into one journal.
fn of_one(paths: Vec<PathBuf>) -> Vec<(String, Board)> {
    let read = |path: PathBuf| {
        let mut boards: HashMap<String, Board> = HashMap::new();
        journal::read(&path, &mut |record| match boards.get_mut(&record.run) {
            Some(board) => board.on(&record),
            None => {
                let mut board = Board::default();
                board.on(&record);
                boards.insert(record.run.clone(), board);
            }
        });
        boards
    };
    let read: Vec<HashMap<String, Board>> = paths.into_par_iter().map(read).collect();
    read.into_iter().flatten().collect()
}

/// Those of several experiments. One process writes into the journals of all of them.
fn of_several(paths: Vec<PathBuf>) -> Vec<(String, Board)> {
    let read = |path: PathBuf| {
        let mut records: Vec<Record> = Vec::new();
        journal::read(&path, &mut |record| records.push(record));
        records
    };
    let read: Vec<Vec<Record>> = paths.into_par_iter().map(read).collect();
    let mut runs: HashMap<String, Vec<Record>> = HashMap::new();
    for record in read.into_iter().flatten() {
        match runs.get_mut(&record.run) {
            Some(records) => records.push(record),
            None => drop(runs.insert(record.run.clone(), vec![record])),
        }
    }
    let boards = runs.into_par_iter().map(|(run, mut records)| {
        records.sort_by(|a, b| a.at.total_cmp(&b.at));
        records.dedup();
        let mut board = Board::default();
        records.iter().for_each(|record| board.on(record));
        (run, board)
    });
    boards.collect()
}

/// The sweeps that run, or else the last one.
fn sweeps(boards: Vec<(String, Board)>, store: &Store) -> Vec<SweepState> {
    let last = boards.len().saturating_sub(1);
    let mut sweeps: Vec<SweepState> = Vec::new();
    for (i, (run, board)) in boards.into_iter().enumerate() {
        let life = match board.ended {
            Some(how) => Life::Ended(how),
            None if store.is_alive(&run) => Life::Running,
            None => Life::Gone,
        };
        if life == Life::Running || i == last {
            sweeps.push(SweepState { life, board });
        }
    }
    if sweeps.iter().any(|sweep| sweep.life == Life::Running) {
        sweeps.retain(|sweep| sweep.life == Life::Running);
    }
    sweeps
}
