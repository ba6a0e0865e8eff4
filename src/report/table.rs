//! The model of a table: cells with everything that any renderer shows of them.
//!
//! The rule: numbers are computed once, in [`tabulate`](super::tabulate()); whoever shows a cell
//! computes nothing. What could not be computed or tested says why.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::{
    key::Digest,
    manifest::Arm,
    metric::{Measure, Score},
    plan::Run,
    stats,
};

/// All cells of an experiment.
#[derive(Clone, Debug)]
pub struct Table {
    /// The experiment's name.
    pub name: String,
    /// By position, then metric.
    pub cells: Vec<Cell>,
}

impl Table {
    /// The cell at a position.
    pub fn cell(&self, position: &Position, metric: Measure) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| cell.position == *position && cell.metric == metric)
    }
}

/// Which cell of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The expert tested against.
    pub new_expert: u8,
    /// The expert whose masks trained the network, in arm `single`.
    pub train_expert: Option<u8>,
    /// Annotated samples.
    pub samples: usize,
    /// Annotation experts in pretraining; 1 in arm `single`.
    pub experts: usize,
    /// How the networks came about.
    pub arm: Arm,
}

impl Position {
    /// The position that a run contributes to.
    pub fn of(run: &Run) -> Self {
        Self {
            new_expert: run.new_expert,
            train_expert: match run.arm {
                Arm::Single => run.experts.first().copied(),
                Arm::With | Arm::Without => None,
            },
            samples: run.samples,
            experts: run.experts.len(),
            arm: run.arm,
        }
    }

    /// The position of the same samples without pretraining, for one with.
    pub fn counterpart(&self) -> Option<Self> {
        (self.arm == Arm::With).then_some(Self {
            arm: Arm::Without,
            experts: 0,
            ..*self
        })
    }
}

/// `expert 6, w/, k = 3, n = 10`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expert {}, ", self.new_expert)?;
        match (self.arm, self.train_expert) {
            (Arm::Single, Some(trainer)) => write!(f, "trained on expert {trainer}")?,
            (Arm::With, _) => write!(f, "{}, k = {}", self.arm, self.experts)?,
            (arm, _) => write!(f, "{arm}")?,
        }
        write!(f, ", n = {}", self.samples)
    }
}

/// One number of a table with what stands behind it.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Which cell.
    pub position: Position,
    /// What is measured.
    pub metric: Measure,
    /// The runs behind the cell, in the plan's order.
    pub behind: Vec<Behind>,
    /// For each way of sampling, the mean over the combinations' defined runs.
    pub by_start: BTreeMap<usize, f64>,
    /// Runs behind the cell.
    pub runs: usize,
    /// Of those, with a defined value.
    pub defined: usize,
    /// Of those, with any result at all, defined or not.
    pub present: usize,
    /// Of those, without result because a stage failed; the rest of what is not present is not run yet.
    pub failed: usize,
    /// The mean over the ways of sampling.
    pub mean: Option<f64>,
    /// The standard deviation over the ways of sampling (n - 1).
    pub sd: Option<f64>,
    /// The 95 % confidence interval of the mean over the ways of sampling, by the t distribution.
    pub ci95: Option<(f64, f64)>,
    /// The mean if every undefined value were the worst possible; where something is undefined.
    pub worst: Option<f64>,
    /// The test against the best cell of the block, two-sided. Holm's adjustment is over the tests that could be made in this
    /// block (one metric, one new expert, and the row or column where the manifest says so).
    pub against_best: Test,
    /// The paired test against the counterpart without pretraining, two-sided. Holm's adjustment is over the tests against
    /// counterparts that could be made for the same metric and new expert.
    pub against_counterpart: Test,
    /// The best mean of its block.
    pub best: bool,
    /// The best of its block, or not significantly different from it.
    pub bold: bool,
    /// Significantly better than its counterpart without pretraining.
    pub underline: bool,
}

impl Cell {
    /// Whether every run behind it has a defined value.
    pub fn complete(&self) -> bool {
        self.runs > 0 && self.defined == self.runs
    }

    /// Whether every run behind it has a result, defined or not.
    pub fn settled(&self) -> bool {
        self.present == self.runs
    }

    /// Runs with an undefined value.
    pub fn undefined(&self) -> usize {
        self.present - self.defined
    }

    /// Runs that have not been run yet.
    pub fn missing(&self) -> usize {
        self.runs - self.present - self.failed
    }
}

/// A run behind a cell.
#[derive(Clone, Debug)]
pub struct Behind {
    /// Its index in [`Plan::runs`](crate::plan::Plan::runs).
    pub run: usize,
    /// First case of its way of sampling, from 1.
    pub start: usize,
    /// The experts who annotated for it.
    pub experts: Arc<[u8]>,
    /// The key of the stage that scored it: the folder in the store.
    pub evaluation: Digest,
    /// What it contributes; nothing where it failed or has not been run.
    pub score: Option<Score>,
}

/// A test of a cell against another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Test {
    /// The grid has no cell to test it against.
    NoPartner,
    /// It is itself the best.
    Itself,
    /// It cannot be made, and why.
    Undefined(Untestable),
    /// It was made.
    Made(Comparison),
}

impl Test {
    /// What came of it.
    pub fn comparison(&self) -> Option<&Comparison> {
        match self {
            Self::Made(comparison) => Some(comparison),
            Self::NoPartner | Self::Itself | Self::Undefined(_) => None,
        }
    }

    /// p; 1 for the best against itself.
    pub fn p(&self) -> Option<f64> {
        match self {
            Self::Itself => Some(1.0),
            other => other.comparison().map(|comparison| comparison.p),
        }
    }

    /// p adjusted by Holm's method; 1 for the best against itself, which is none of the tests.
    pub fn p_holm(&self) -> Option<f64> {
        match self {
            Self::Itself => Some(1.0),
            other => other.comparison().map(|comparison| comparison.p_holm),
        }
    }
}

/// Why two cells cannot be tested against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untestable {
    /// Runs of the cell itself have no value.
    Incomplete,
    /// Runs of the other cell have no value.
    PartnerIncomplete,
    /// Runs of the block have no result yet: which mean is the best is not known.
    BlockIncomplete,
    /// They do not hold the same ways of sampling.
    Unpaired,
    /// The numbers do not allow it.
    Numbers(stats::Undefined),
}

impl fmt::Display for Untestable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("runs of the cell have no value"),
            Self::PartnerIncomplete => f.write_str("runs of the other cell have no value"),
            Self::BlockIncomplete => {
                f.write_str("runs of the block have no result, so that the best is not known")
            }
            Self::Unpaired => f.write_str("the cells do not hold the same ways of sampling"),
            Self::Numbers(why) => why.fmt(f),
        }
    }
}

/// What came of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The cell tested against.
    pub with: Position,
    /// This cell's mean minus the other's, in the metric's unit.
    pub difference: f64,
    /// Its 95 % confidence interval.
    pub ci95: (f64, f64),
    /// Student's statistic.
    pub t: f64,
    /// Its degrees of freedom.
    pub df: f64,
    /// Two-sided p, by which marks are given.
    pub p: f64,
    /// p adjusted by Holm's method over the family that the cell's field names.
    pub p_holm: f64,
    /// Two-sided p of the exact sign-flip test of the pairs; where there are pairs, and not too many.
    pub sign_flip: Option<f64>,
}
