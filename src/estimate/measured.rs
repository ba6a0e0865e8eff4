//! The time that stages took, by the journals of a results folder.
//!
//! The rule: a device is all cores of the processor, or one GPU. Where n slots share it, a second
//! in one of them counts as 1/n second of the device.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use crate::{
    event::{Event, Record, Subject},
    journal,
    key::Digest,
    plan::Size,
    results_dir::ResultsDir,
};

/// The times of stages that ran from their beginning to their end.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// For each device and size of a batch, the trainings.
    trainings: BTreeMap<(String, Size), Vec<Timed>>,
    /// For each device, seconds of it per evaluation.
    evaluations: BTreeMap<String, Vec<f64>>,
    /// For each stage, seconds of devices over all attempts.
    spent: HashMap<Digest, f64>,
}

/// One training.
#[derive(Clone, Copy, Debug)]
struct Timed {
    /// Of its device.
    seconds: f64,
    /// Batches that passed through the network.
    passes: u64,
}

/// A time in seconds: what is expected, and the range that was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct TimeRange {
    /// At the pace of the fastest tenth.
    pub low: f64,
    /// At the mean pace.
    pub expected: f64,
    /// At the pace of the slowest tenth.
    pub high: f64,
}

/// The pace of trainings with one size of batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Seconds of the device per batch.
    pub batch: TimeRange,
    /// How many trainings it was measured in.
    pub trainings: usize,
}

/// One attempt at a stage.
struct Attempt {
    stage: Digest,
    subject: Subject,
    device: String,
    /// The part of the device that its slot has.
    share: f64,
    /// The time of the last record of its run while it ran.
    heard: f64,
    /// How long it took, where it reached its end.
    finished: Option<f64>,
    /// Whether it continued where another one stopped.
    resumed: bool,
}

/// What identifies an attempt: the run that made it, the slot, and when it began. An attempt in
/// several journals counts once.
type Which = (String, usize, u64);

impl Measured {
    /// Reads every journal of a results folder.
    pub fn read(results: &ResultsDir) -> Self {
        let mut attempts = BTreeMap::new();
        for path in results.journals() {
            attempts_of(&path, &mut attempts);
        }
        let mut attempts: Vec<((String, usize, u64), Attempt)> = attempts.into_iter().collect();
        attempts.sort_by_key(|((_, _, began), _)| *began);
        let mut measured = Self::default();
        let mut tried = HashSet::new();
        for ((_, _, began), attempt) in attempts {
            let Attempt {
                stage,
                subject,
                device,
                share,
                heard,
                finished,
                resumed,
            } = attempt;
            let took = finished.unwrap_or(heard - f64::from_bits(began)) * share;
            *measured.spent.entry(stage).or_default() += took;
            // A second attempt may have continued where the first one stopped.
            let whole = tried.insert(stage) && finished.is_some() && !resumed;
            match subject.work.size {
                Some(size) if whole && subject.work.passes() > 0 => {
                    let trainings = measured.trainings.entry((device, size)).or_default();
                    trainings.push(Timed {
                        seconds: took,
                        passes: subject.work.passes(),
                    });
                }
                None if whole => measured.evaluations.entry(device).or_default().push(took),
                _ => {}
            }
        }
        measured
    }

    /// Device-seconds that every stage has taken so far, failed and interrupted attempts included.
    pub fn spent(&self) -> &HashMap<Digest, f64> {
        &self.spent
    }

    /// Every size of batch that was measured on a kind of device.
    pub fn sizes<'a>(&'a self, device: &'a str) -> impl Iterator<Item = Size> + 'a {
        let known = self.trainings.keys();
        known.filter_map(move |(on, size)| (on == device).then_some(*size))
    }

    /// The pace of trainings of a size on a kind of device, where there were any.
    pub fn pace(&self, device: &str, size: Size) -> Option<Pace> {
        let timed = self.trainings.get(&(device.to_owned(), size))?;
        let seconds: f64 = timed.iter().map(|t| t.seconds).sum();
        let passes: u64 = timed.iter().map(|t| t.passes).sum();
        let each = timed.iter().map(|t| t.seconds / t.passes as f64);
        Some(Pace {
            batch: range(seconds / passes as f64, each.collect()),
            trainings: timed.len(),
        })
    }

    /// Seconds of a kind of device per evaluation, where there were any.
    pub fn evaluation(&self, device: &str) -> Option<TimeRange> {
        let seconds = self.evaluations.get(device)?;
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        Some(range(mean, seconds.clone()))
    }
}

fn range(expected: f64, mut each: Vec<f64>) -> TimeRange {
    each.sort_by(f64::total_cmp);
    let tenth = (each.len() - 1) / 10;
    TimeRange {
        low: each[tenth].min(expected),
        expected,
        high: each[each.len() - 1 - tenth].max(expected),
    }
}

/// Collects the attempts in one journal.
fn attempts_of(path: &Path, attempts: &mut BTreeMap<Which, Attempt>) {
    // For each run of stages its devices, and what is in its slots.
    let mut runs: HashMap<String, (Vec<String>, BTreeMap<usize, Which>)> = HashMap::new();
    journal::read_turns(path, &mut |record: Record| {
        let Record { at, run, event, .. } = record;
        let (devices, busy) = runs.entry(run.clone()).or_default();
        for which in busy.values() {
            if let Some(attempt) = attempts.get_mut(which) {
                attempt.heard = at;
            }
        }
        match event {
            Event::Began { slots, .. } => *devices = slots,
            Event::Started {
                stage,
                slot,
                subject,
            } => {
                let Some(device) = devices.get(slot) else {
                    return;
                };
                // Every core has a slot; those of a card share it as far as they are busy.
                let is_there = |other: &usize| devices.get(*other) == Some(device);
                let sharing = match device.as_str() {
                    "cpu" => devices.iter().filter(|other| *other == device).count(),
                    _ => 1 + busy.keys().filter(|other| is_there(other)).count(),
                };
                let kind = device.split(':').next().unwrap_or(device);
                let which = (run, slot, at.to_bits());
                busy.insert(slot, which.clone());
                attempts.insert(
                    which,
                    Attempt {
                        stage,
                        subject,
                        device: kind.to_owned(),
                        share: 1.0 / sharing as f64,
                        heard: at,
                        finished: None,
                        resumed: false,
                    },
                );
            }
            Event::Finished { slot, seconds, .. } => {
                if let Some(attempt) = busy
                    .remove(&slot)
                    .and_then(|which| attempts.get_mut(&which))
                {
                    attempt.finished = Some(seconds);
                }
            }
            Event::Retried { slot, .. }
            | Event::Stopped { slot, .. }
            | Event::Failed { slot, .. } => {
                busy.remove(&slot);
            }
            Event::Resumed { slot, .. } => {
                let attempt = busy.get(&slot).and_then(|which| attempts.get_mut(which));
                if let Some(attempt) = attempt {
                    attempt.resumed = true;
                }
            }
            Event::Progress { .. }
            | Event::Found { .. }
            | Event::Elsewhere { .. }
            | Event::FailedElsewhere { .. }
            | Event::Blocked { .. }
            | Event::Interrupted
            | Event::Continued { .. }
            | Event::Ended { .. } => {}
        }
    });
}
