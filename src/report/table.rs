//! The model of a table: its cells, with everything that any renderer shows of them.
//!
//! The rule: numbers are computed once, in [`tabulate`](super::tabulate()); renderers compute
//! nothing. What could not be computed or tested has a reason.

use std::{collections::BTreeMap, fmt};

use super::{position::Position, selection::SelectionAt};
use crate::{
    grid::{Axis, Coordinates},
    key::Digest,
    metric::{Measure, Score},
    stats,
};

/// All cells of an experiment.
#[derive(Clone, Debug)]
pub struct Table {
    /// The experiment's name.
    pub name: String,
    /// The axes on which its cells stand.
    pub axes: Vec<Axis>,
    /// The unit of distances.
    pub distances: &'static str,
    /// By position, then metric.
    pub cells: Vec<Cell>,
    /// What rules for choosing annotators would have got, place by place; empty where the manifest
    /// names no rules.
    pub selections: Vec<SelectionAt>,
}

impl Table {
    /// The cell at a position.
    pub fn cell(&self, position: &Position, metric: Measure) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| cell.position == *position && cell.metric == metric)
    }
}

/// One number of a table, with its runs, results and tests.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Which cell.
    pub position: Position,
    /// What is measured.
    pub metric: Measure,
    /// The runs behind the cell, in the plan's order.
    pub behind: Vec<Behind>,
    /// The results of the cell, by their values on the axes of results: each is the mean over the
    /// defined runs that the table averages first.
    pub results: BTreeMap<Coordinates, f64>,
    /// The means of its runs by their combination of annotation experts; one where nothing is
    /// pretrained.
    pub by_annotators: BTreeMap<Coordinates, f64>,
    /// Runs behind the cell.
    pub runs: usize,
    /// Of those, with a defined value.
    pub defined: usize,
    /// Of those, with any result at all, defined or not.
    pub present: usize,
    /// Of those, without result because a stage failed. Runs that are neither present nor failed
    /// have not been run yet.
    pub failed: usize,
    /// The mean over the results.
    pub mean: Option<f64>,
    /// The standard deviation over the results (n - 1).
    pub sd: Option<f64>,
    /// The 95 % confidence interval of the mean over the results, by the t distribution.
    pub ci95: Option<(f64, f64)>,
    /// The mean if every undefined value were the worst possible; where something is undefined.
    pub worst: Option<f64>,
    /// The test against the best cell of the block, two-sided. Holm's adjustment is over the tests
    /// that could be made in this block: one measure, one panel, and the row or column where the
    /// manifest says so.
    pub against_best: Test,
    /// The test against the cell that the table compares it with, two-sided. Holm's adjustment is
    /// over the tests against counterparts that could be made for the same measure and panel.
    pub against_counterpart: Test,
    /// The best mean of its block.
    pub best: bool,
    /// The best of its block, or not significantly different from it.
    pub bold: bool,
    /// Significantly better than the cell that it is compared with.
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
    /// Which of the cell's results it contributes to.
    pub result: Coordinates,
    /// The key of the stage that scored it: the folder in the store.
    pub evaluation: Digest,
    /// What it contributes; nothing where it failed or has not been run.
    pub score: Option<Score>,
}

/// A test of a cell against another.
#[derive(Clone, Debug, PartialEq)]
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
    /// Its result, where it was made.
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

    /// The p by which marks are given: the larger one, where two tests were made.
    pub fn p_of_marks(&self) -> Option<f64> {
        let over_annotators = self.comparison().and_then(|made| made.p_annotators);
        Some(self.p()?.max(over_annotators.unwrap_or(0.0)))
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
    /// They do not hold the same results.
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
            Self::Unpaired => f.write_str("the cells do not hold results of the same places"),
            Self::Numbers(why) => why.fmt(f),
        }
    }
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The cell tested against.
    pub with: Position,
    /// Whether results were compared pair by pair.
    pub paired: bool,
    /// This cell's mean minus the other's, in the metric's unit.
    pub difference: f64,
    /// Its 95 % confidence interval.
    pub ci95: (f64, f64),
    /// Student's statistic.
    pub t: f64,
    /// Its degrees of freedom.
    pub df: f64,
    /// Two-sided p.
    pub p: f64,
    /// p adjusted by Holm's method over the family that the cell's field names.
    pub p_holm: f64,
    /// Two-sided p of the paired test over combinations of annotation experts, in tables where a
    /// mark needs both tests.
    pub p_annotators: Option<f64>,
    /// Two-sided p of the exact sign-flip test of the pairs; where there are pairs, and not too
    /// many.
    pub sign_flip: Option<f64>,
}
