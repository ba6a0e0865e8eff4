//! The address of a run: one value on every axis of its grid.

use std::sync::Arc;

use super::{Chosen, ExpertNames, Setting};
use crate::method::TrainedOn;

/// The position of a run in its grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The expert it is tested against.
    pub new_expert: u8,
    /// The method that gives its network.
    pub method: Arc<Chosen>,
    /// The experts who annotated its pretraining; without pretraining, another expert whose masks
    /// it is trained on. Empty where all its masks are the new expert's.
    pub experts: Arc<[u8]>,
    /// What experts are called.
    pub names: ExpertNames,
    /// Annotated samples.
    pub samples: usize,
    /// First case of its way of sampling, from 1.
    pub start: usize,
    /// Which of several pretrainings of its experts it comes from, from 0; none where there is one
    /// or none.
    pub repeat: Option<usize>,
    /// The values of the keys that its manifest sweeps, in the manifest's order.
    pub swept: Arc<[Setting]>,
}

impl Address {
    /// The expert whose masks its network is trained on, where that is another than the new expert
    /// by its method.
    pub fn train_expert(&self) -> Option<u8> {
        match self.method.method.trained_on {
            TrainedOn::AnotherExpert => self.experts.first().copied(),
            TrainedOn::NewExpert => None,
        }
    }
}
