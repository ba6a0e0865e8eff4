//! A training step as data: what is launched for each network, what it reads and what it gives.

use super::machine::launch::Launch;

/// A recorded step. Its launches serve every network whose parameters lie alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepPlan {
    pub(super) launches: Vec<Launch>,
    pub(super) constants: Vec<u64>,
    /// Words that the processor gives for each network: what the passes read, then two rates for
    /// each trained parameter.
    pub(super) feed: usize,
    /// Where the numbers are that the step gives: the share of each pass in the loss, then others.
    pub(super) outputs: Vec<u64>,
    /// Passes.
    pub(super) passes: usize,
    /// Floats of a network's memory.
    pub(super) floats: usize,
    /// The places of the trained parameters with a gradient.
    pub(super) written: Vec<usize>,
}

impl StepPlan {
    /// Floats of a network's memory.
    pub fn floats(&self) -> usize {
        self.floats
    }

    /// Whether the step gives a trained parameter a gradient.
    pub fn changes(&self, place: usize) -> bool {
        self.written.binary_search(&place).is_ok()
    }
}
