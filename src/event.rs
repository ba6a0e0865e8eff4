//! What happens while stages run, as values.
//!
//! The rule: one closed enum. Whoever shows or records what happens listens to it; nobody who
//! makes things happen knows who listens.

use serde::{Deserialize, Serialize};

use crate::plan::StageId;

/// One step of a training curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Completed steps, from 1.
    pub step: usize,
    /// Learning rate of this step.
    pub lr: f64,
    /// Mean Dice loss over the pairs of image and expert, before the update.
    pub loss: f32,
}

/// Something that happened to a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A slot began to work on it.
    Started {
        /// The stage.
        stage: StageId,
        /// The slot.
        slot: usize,
    },
    /// It got on.
    Progress {
        /// The stage.
        stage: StageId,
        /// The slot.
        slot: usize,
        /// How far.
        step: Step,
    },
    /// Its artefact is published.
    Finished {
        /// The stage.
        stage: StageId,
        /// The slot.
        slot: usize,
    },
    /// Another process has made its artefact.
    Found {
        /// The stage.
        stage: StageId,
    },
    /// It failed by accident, and will be tried again.
    Retried {
        /// The stage.
        stage: StageId,
        /// The slot.
        slot: usize,
        /// The number of the attempt to come, from 2.
        attempt: usize,
        /// Why.
        reason: String,
    },
    /// It stopped before its end, its progress saved.
    Stopped {
        /// The stage.
        stage: StageId,
        /// The slot.
        slot: usize,
    },
    /// The user wants to end.
    Interrupted,
    /// It has no artefact.
    Failed {
        /// The stage.
        stage: StageId,
        /// Why.
        reason: String,
    },
    /// It cannot run, since a stage it needs has no artefact.
    Blocked {
        /// The stage.
        stage: StageId,
        /// The stage it needs.
        upstream: StageId,
    },
}
