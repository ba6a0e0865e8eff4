//! What is left of a plan in time and disk, estimated from what stages have taken here so far.
//!
//! The rule: an estimate names its basis. A size that was never measured is scaled from one that
//! was, and called a guess; without any measurement there is no estimate.

mod disk;
mod measured;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::{
    key::Digest,
    plan::{Plan, Run, Size, Stage, StageId, Work},
    results_dir::ResultsDir,
    store::Store,
};

pub use disk::{bytes as disk_bytes, shortage, size};
pub use measured::{Measured, Pace, TimeRange};

/// The devices that an estimate is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Devices {
    /// `cpu` for all cores of the processor, `cuda`.
    pub device: String,
    /// How many of them work at the same time.
    pub count: usize,
}

/// What is left to be done, and what has been.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// What it would be done on.
    #[serde(flatten)]
    pub devices: Devices,
    /// Stages that are left.
    pub stages: usize,
    /// How long it takes; `None` where nothing comparable was measured.
    pub time: Option<Time>,
    /// What the time is based on: every size of batch that is left.
    pub basis: Vec<Basis>,
    /// Bytes in the store, once it is done.
    pub disk_bytes: u64,
    /// Seconds of devices that the stages of the runs have taken so far, by the journals.
    pub spent_device_seconds: f64,
}

/// How long it takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Time {
    /// Until all is done.
    pub wall_seconds: TimeRange,
    /// Over all devices.
    pub device_seconds: TimeRange,
}

/// What is known of trainings with one size of batch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Basis {
    /// The size.
    pub size: Size,
    /// Batches that are left.
    pub batches: u64,
    /// Seconds of a device per batch.
    pub seconds_per_batch: Option<TimeRange>,
    /// How that is known.
    pub known: Known,
}

/// How a pace is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// From trainings of this size.
    Measured {
        /// How many.
        trainings: usize,
    },
    /// A guess from trainings of another size, by the multiplications of a batch.
    Guessed {
        /// The other size.
        from: Size,
    },
    /// Nothing was measured on this kind of device.
    Not,
}

/// The largest factor by which a guess from another size may be wrong: a larger batch may use the
/// cores better, or no longer fit their caches.
const GUESS: f64 = 3.0;

/// The stages that the `wanted` runs still need. Stages before an artefact that is stored are not
/// needed.
pub fn left(plan: &Plan, wanted: impl Fn(&Run) -> bool, there: &HashSet<Digest>) -> Vec<StageId> {
    let mut needed = vec![false; plan.stages.len()];
    let runs = plan.runs.iter().filter(|run| wanted(run));
    for end in runs.flat_map(Run::ends) {
        let mut next = Some(end);
        while let Some(id) = next {
            let stage = plan.stage(id);
            if needed[id.index()] || there.contains(&stage.digest) {
                break;
            }
            needed[id.index()] = true;
            next = stage.upstream;
        }
    }
    let ids = plan.ids().map(|(id, _)| id);
    ids.filter(|id| needed[id.index()]).collect()
}

/// Estimates what is left for the `wanted` runs, with `there` in the store.
pub fn of(
    plan: &Plan,
    wanted: impl Fn(&Run) -> bool,
    store: &Store,
    there: &HashSet<Digest>,
    measured: &Measured,
    devices: Devices,
) -> Estimate {
    let left = left(plan, &wanted, there);
    let mut batches: BTreeMap<Size, u64> = BTreeMap::new();
    for id in &left {
        let work = plan.stage(*id).spec.work();
        if let Some(size) = work.size {
            *batches.entry(size).or_default() += work.passes();
        }
    }
    let basis: Vec<Basis> = batches
        .into_iter()
        .map(|(size, batches)| basis(size, batches, measured, &devices.device))
        .collect();
    let stages = plan.demand(&wanted).into_iter().zip(&plan.stages);
    let stages = stages.filter(|(demand, _)| *demand > 0);
    let spent = |(_, stage): (usize, &Stage)| measured.spent().get(&stage.digest).copied();
    Estimate {
        time: time(plan, &left, &basis, measured, &devices),
        stages: left.len(),
        basis,
        disk_bytes: disk::bytes(plan, &left, store, there),
        spent_device_seconds: match measured.spent().is_empty() {
            true => 0.0,
            false => stages.filter_map(spent).sum(),
        },
        devices,
    }
}

/// Device-seconds that every stage has taken so far, by its digest, from the journals of a results
/// folder.
pub fn spent(results: &ResultsDir) -> HashMap<Digest, f64> {
    Measured::read(results).spent().clone()
}

fn basis(size: Size, batches: u64, measured: &Measured, device: &str) -> Basis {
    let (seconds_per_batch, known) = match measured.pace(device, size) {
        Some(Pace { batch, trainings }) => (Some(batch), Known::Measured { trainings }),
        None => match nearest(size, measured, device) {
            Some((from, pace)) => {
                let scale = cost(size) / cost(from);
                let guessed = TimeRange {
                    low: pace.batch.low * scale / GUESS,
                    expected: pace.batch.expected * scale,
                    high: pace.batch.high * scale * GUESS,
                };
                (Some(guessed), Known::Guessed { from })
            }
            None => (None, Known::Not),
        },
    };
    Basis {
        size,
        batches,
        seconds_per_batch,
        known,
    }
}

/// The measured size whose batches are closest in cost.
fn nearest(size: Size, measured: &Measured, device: &str) -> Option<(Size, Pace)> {
    let apart = |other: &Size| (cost(*other) / cost(size)).ln().abs();
    let nearest = measured
        .sizes(device)
        .min_by(|a, b| apart(a).total_cmp(&apart(b)))?;
    Some((nearest, measured.pace(device, nearest)?))
}

/// What a batch costs, as [`Work::cost`] counts.
fn cost(size: Size) -> f64 {
    let one = Work {
        steps: 1,
        batches: 1,
        size: Some(size),
    };
    one.cost() as f64
}

/// The time with all devices busy to the end, but at least that of the longest chain of dependent
/// stages.
fn time(
    plan: &Plan,
    left: &[StageId],
    basis: &[Basis],
    measured: &Measured,
    devices: &Devices,
) -> Option<Time> {
    let paces: HashMap<Size, TimeRange> = basis
        .iter()
        .map(|basis| Some((basis.size, basis.seconds_per_batch?)))
        .collect::<Option<_>>()?;
    // Negligible, so it counts as 0 where it was never measured.
    let evaluation = measured.evaluation(&devices.device).unwrap_or_default();
    let part = |of: fn(&TimeRange) -> f64| {
        let (mut total, mut longest) = (0.0, 0.0_f64);
        // When each stage ends, with a device for each.
        let mut ends = vec![0.0; plan.stages.len()];
        for id in left {
            let stage = plan.stage(*id);
            let work = stage.spec.work();
            let own = match work.size {
                Some(size) => work.passes() as f64 * of(&paces[&size]),
                None => of(&evaluation),
            };
            total += own;
            // In the plan, a stage comes after the one it needs.
            let begins = stage.upstream.map_or(0.0, |id| ends[id.index()]);
            ends[id.index()] = begins + own;
            longest = longest.max(begins + own);
        }
        (total, longest.max(total / devices.count.max(1) as f64))
    };
    let parts = [part(|r| r.low), part(|r| r.expected), part(|r| r.high)];
    let range = |[low, expected, high]: [f64; 3]| TimeRange {
        low,
        expected,
        high,
    };
    Some(Time {
        device_seconds: range(parts.map(|(total, _)| total)),
        wall_seconds: range(parts.map(|(_, wall)| wall)),
    })
}
