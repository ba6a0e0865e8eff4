//! What happens while stages run, as values.
//!
//! The rule: one closed enum with all that displays, journals and counters need, live or when it is
//! read again later. What emits events does not know its listeners.

use std::{path::PathBuf, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::{
    key::Digest,
    plan::{Kind, Work},
};

/// One step of a training curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Completed steps, from 1.
    pub step: usize,
    /// Learning rate of this step.
    pub lr: f64,
    /// The loss before the update: the mean over the pairs of image and expert.
    pub loss: f32,
    /// Its terms, in the training of a probabilistic U-Net.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent: Option<LatentTerms>,
}

/// The terms of a probabilistic U-Net's loss in one step: means over the pairs of image and mask.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentTerms {
    /// The cross-entropy, the mean over pixels.
    pub cross_entropy: f32,
    /// The divergence of the posterior from the prior, in nats.
    pub divergence: f32,
    /// How many deviations of the latents were beyond their bounds.
    pub clamped: usize,
}

impl LatentTerms {
    /// The terms of several masks of the same images together; none where there are none.
    pub fn mean(each: &[Self]) -> Option<Self> {
        let (first, rest) = each.split_first()?;
        let sum = rest.iter().fold(*first, |sum, more| Self {
            cross_entropy: sum.cross_entropy + more.cross_entropy,
            divergence: sum.divergence + more.divergence,
            clamped: sum.clamped + more.clamped,
        });
        let count = each.len() as f32;
        Some(Self {
            cross_entropy: sum.cross_entropy / count,
            divergence: sum.divergence / count,
            ..sum
        })
    }
}

/// How many stages are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// There before, or made by another process meanwhile.
    pub cached: usize,
    /// Waiting or ready.
    pub waiting: usize,
    /// Being worked on.
    pub running: usize,
    /// Being worked on by another process.
    pub elsewhere: usize,
    /// Published now.
    pub finished: usize,
    /// Failed.
    pub failed: usize,
    /// Without artefact, since a stage they need has failed.
    pub blocked: usize,
    /// Those that train a network, of the published ones; 0 in journals of earlier versions.
    #[serde(default)]
    pub trainings_finished: usize,
    /// Those that train a network, of all that are waiting or being worked on.
    #[serde(default)]
    pub trainings_left: usize,
}

impl Counts {
    /// Whether every needed stage has its artefact.
    pub fn complete(&self) -> bool {
        self.waiting + self.running + self.elsewhere + self.failed + self.blocked == 0
    }
}

/// What a display needs to know of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// What kind of work it is.
    pub kind: Kind,
    /// Its name, for people.
    pub name: String,
    /// How much work it is.
    pub work: Work,
}

/// An event in one run of stages, with its time and the counts at that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Seconds since 1970.
    pub at: f64,
    /// Which run of stages: the name of its scratch folder in the store.
    pub run: String,
    /// The states of all its stages.
    pub counts: Counts,
    /// What happened.
    pub event: Event,
}

/// Something that shows, records or counts events.
pub trait Listener {
    /// Takes a record. It neither fails nor slows the run.
    fn on(&mut self, record: &Record);
}

/// Seconds since 1970.
pub fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A run of stages began.
    Began {
        /// The command as it was typed.
        command: String,
        /// The program's version.
        version: String,
        /// The process on its machine.
        process: u32,
        /// The machine's name in its network.
        #[serde(default)]
        host: String,
        /// The file into which a cluster writes what it prints.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<PathBuf>,
        /// What computes in every slot: device, engine, instruction set.
        slots: Vec<String>,
        /// The outstanding work, as [`Work::cost`] counts.
        cost: u64,
        /// The work that was done before, counted the same.
        #[serde(default)]
        before: u64,
    },
    /// A stage started in a slot.
    Started {
        /// The stage.
        stage: Digest,
        /// The slot.
        slot: usize,
        /// What it is.
        subject: Subject,
    },
    /// It goes on from progress that was saved.
    Resumed {
        /// The stage.
        stage: Digest,
        /// The slot.
        slot: usize,
        /// The steps that were done before.
        steps: usize,
    },
    /// It completed a step.
    Progress {
        /// The stage.
        stage: Digest,
        /// The slot.
        slot: usize,
        /// The step.
        step: Step,
    },
    /// Its artefact is published.
    Finished {
        /// The stage.
        stage: Digest,
        /// The slot.
        slot: usize,
        /// How long this attempt took.
        seconds: f64,
    },
    /// Another process has made its artefact.
    Found {
        /// The stage.
        stage: Digest,
        /// What it would have cost.
        cost: u64,
    },
    /// Another process runs it.
    Elsewhere {
        /// The stage.
        stage: Digest,
    },
    /// It failed by accident, and will be tried again.
    Retried {
        /// The stage.
        stage: Digest,
        /// The slot.
        slot: usize,
        /// The number of the next attempt, from 2.
        attempt: usize,
        /// Why.
        reason: String,
    },
    /// It stopped before its end, its progress saved.
    Stopped {
        /// The stage.
        stage: Digest,
        /// The slot.
        slot: usize,
    },
    /// It has no artefact.
    Failed {
        /// The stage.
        stage: Digest,
        /// The slot.
        slot: usize,
        /// What it is.
        subject: Subject,
        /// Why.
        reason: String,
    },
    /// It has no artefact, and another process has given it up.
    FailedElsewhere {
        /// The stage.
        stage: Digest,
        /// What it is.
        subject: Subject,
        /// Why.
        reason: String,
    },
    /// It cannot run, since a stage it needs has no artefact.
    Blocked {
        /// The stage.
        stage: Digest,
        /// The stage it needs.
        upstream: Digest,
    },
    /// The user interrupted the run.
    Interrupted,
    /// The user has paused the run, which goes on now.
    Continued {
        /// How long it was paused.
        seconds: f64,
    },
    /// The run is over.
    Ended {
        /// How.
        how: Ended,
    },
}

/// How a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// Everything that could be done is done.
    Done,
    /// The user interrupted it.
    Interrupted,
    /// Too many stages failed.
    GaveUp,
    /// The disk is full, or a quota used up.
    DiskFull,
    /// Other processes run what is left, and nothing was to be done for long.
    Idle,
}

impl Event {
    /// The stage that it is about.
    pub fn stage(&self) -> Option<Digest> {
        match self {
            Self::Began { .. }
            | Self::Interrupted
            | Self::Continued { .. }
            | Self::Ended { .. } => None,
            Self::Started { stage, .. }
            | Self::Resumed { stage, .. }
            | Self::Progress { stage, .. }
            | Self::Finished { stage, .. }
            | Self::Found { stage, .. }
            | Self::Elsewhere { stage }
            | Self::Retried { stage, .. }
            | Self::Stopped { stage, .. }
            | Self::Failed { stage, .. }
            | Self::FailedElsewhere { stage, .. }
            | Self::Blocked { stage, .. } => Some(*stage),
        }
    }
}
