//! The cells of a table: means, deviations, tests and marks.
//!
//! The rule: results of one way of sampling are averaged over the combinations of experts first;
//! a cell's statistics are over the ways of sampling. What is undefined is neither dropped nor
//! averaged away: it is counted, and a test that would need it is undefined and earns no mark.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    manifest::{Arm, Block, Experiment, Unpaired},
    metric::Score,
    plan::Run,
    results::{Metric, Outcome, Results},
    stats::{self, Alternative, Pairs, TTest},
};

/// Which cell of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// One number of a table with what stands behind it.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Which cell.
    pub position: Position,
    /// What is measured.
    pub metric: Metric,
    /// For each way of sampling, the mean over the combinations' defined runs.
    pub by_start: BTreeMap<usize, f64>,
    /// Runs behind the cell.
    pub runs: usize,
    /// Of those, with a defined value.
    pub defined: usize,
    /// Of those, with any result at all, defined or not.
    pub present: usize,
    /// The mean over the ways of sampling.
    pub mean: Option<f64>,
    /// The standard deviation over the ways of sampling (n - 1).
    pub sd: Option<f64>,
    /// The mean if every undefined value were the worst possible; where something is undefined.
    pub worst: Option<f64>,
    /// p of the test against the best cell of the block; 1 for that cell itself.
    pub p_best: Option<f64>,
    /// p of the paired test against the counterpart without pretraining.
    pub p_counterpart: Option<f64>,
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
}

/// All cells of an experiment.
#[derive(Clone, Debug)]
pub struct Table {
    /// The experiment's name.
    pub name: String,
    /// By position, then metric.
    pub cells: Vec<Cell>,
}

/// The position that a run contributes to.
pub fn position(run: &Run) -> Position {
    Position {
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

/// Computes an experiment's table.
pub fn tabulate(results: &Results<'_>, experiment: usize) -> Table {
    let spec = &results.plan.experiments[experiment];
    let mut groups: BTreeMap<Position, BTreeMap<usize, Vec<&Outcome>>> = BTreeMap::new();
    for (run, outcome) in results.of(experiment) {
        let by_start = groups.entry(position(run)).or_default();
        by_start.entry(run.start).or_default().push(outcome);
    }
    let mut cells = Vec::new();
    for (position, by_start) in &groups {
        for metric in Metric::ALL {
            cells.push(cell(*position, metric, by_start));
        }
    }
    mark_counterparts(&mut cells, spec);
    mark_best(&mut cells, spec);
    Table {
        name: spec.name.clone(),
        cells,
    }
}

fn cell(position: Position, metric: Metric, outcomes: &BTreeMap<usize, Vec<&Outcome>>) -> Cell {
    let mut by_start = BTreeMap::new();
    let mut worst_by_start = Vec::new();
    let (mut runs, mut defined, mut present) = (0, 0, 0);
    for (start, outcomes) in outcomes {
        runs += outcomes.len();
        let scores: Vec<Score> = outcomes
            .iter()
            .filter_map(|outcome| outcome.mean(metric))
            .collect();
        present += scores.len();
        let values: Vec<f64> = scores.iter().filter_map(|score| score.value()).collect();
        defined += values.len();
        if let Some(mean) = stats::mean(&values) {
            by_start.insert(*start, mean);
        }
        let worst: Vec<f64> = outcomes
            .iter()
            .filter_map(|outcome| Some(outcome.worst?[metric as usize]))
            .collect();
        worst_by_start.extend(stats::mean(&worst));
    }
    let values: Vec<f64> = by_start.values().copied().collect();
    Cell {
        position,
        metric,
        mean: stats::mean(&values),
        sd: stats::sd(&values),
        worst: match present > defined {
            true => stats::mean(&worst_by_start),
            false => None,
        },
        by_start,
        runs,
        defined,
        present,
        p_best: None,
        p_counterpart: None,
        bold: false,
        underline: false,
    }
}

/// A test needs both cells complete; pairs are joined by the way of sampling.
fn paired(a: &Cell, b: &Cell) -> Option<TTest> {
    if !a.complete() || !b.complete() {
        return None;
    }
    let keyed = |cell: &Cell| -> Vec<(usize, f64)> {
        cell.by_start
            .iter()
            .map(|(start, value)| (*start, *value))
            .collect()
    };
    let pairs = Pairs::join(&keyed(a), &keyed(b)).ok()?;
    stats::paired(&pairs, Alternative::TwoSided).ok()
}

fn unpaired(a: &Cell, b: &Cell, test: Unpaired) -> Option<TTest> {
    if !a.complete() || !b.complete() {
        return None;
    }
    let values = |cell: &Cell| -> Vec<f64> { cell.by_start.values().copied().collect() };
    match test {
        Unpaired::Student => stats::student(&values(a), &values(b), Alternative::TwoSided),
        Unpaired::Welch => stats::welch(&values(a), &values(b), Alternative::TwoSided),
    }
    .ok()
}

fn better(metric: Metric, a: f64, b: f64) -> bool {
    match metric.larger_is_better() {
        true => a > b,
        false => a < b,
    }
}

fn mark_counterparts(cells: &mut [Cell], spec: &Experiment) {
    for i in 0..cells.len() {
        let Position { arm: Arm::With, .. } = cells[i].position else {
            continue;
        };
        let counterpart = Position {
            arm: Arm::Without,
            experts: 0,
            ..cells[i].position
        };
        let Some(without) = cells
            .iter()
            .find(|cell| cell.position == counterpart && cell.metric == cells[i].metric)
        else {
            continue;
        };
        let Some(test) = paired(&cells[i], without) else {
            continue;
        };
        let gained = match (cells[i].mean, without.mean) {
            (Some(with), Some(without)) => better(cells[i].metric, with, without),
            _ => false,
        };
        cells[i].p_counterpart = Some(test.p);
        cells[i].underline = gained && test.p < spec.statistics.alpha;
    }
}

fn mark_best(cells: &mut [Cell], spec: &Experiment) {
    // Cells that are compared with each other have this in common.
    let block = |cell: &Cell| {
        let Position {
            new_expert,
            train_expert,
            samples,
            experts,
            arm,
        } = cell.position;
        let within = match spec.statistics.block {
            Block::Table => None,
            Block::Row => Some(match spec.rows {
                crate::manifest::Rows::TrainExpert => usize::from(train_expert.unwrap_or(0)),
                crate::manifest::Rows::Samples => samples,
                crate::manifest::Rows::Experts => experts,
            }),
            Block::Column => Some(arm as usize),
        };
        (new_expert, cell.metric, within)
    };
    let blocks: BTreeSet<_> = cells.iter().map(block).collect();
    for this in blocks {
        let members: Vec<usize> = (0..cells.len())
            .filter(|i| block(&cells[*i]) == this)
            .collect();
        let best = members
            .iter()
            .copied()
            .filter(|i| cells[*i].mean.is_some())
            .reduce(|best, i| {
                let (new, old) = (
                    cells[i].mean.unwrap_or(0.0),
                    cells[best].mean.unwrap_or(0.0),
                );
                if better(this.1, new, old) { i } else { best }
            });
        let Some(best) = best else { continue };
        // Against a best with undefined values every test is undefined: nobody earns a mark.
        if !cells[best].complete() {
            continue;
        }
        for i in members {
            // The networks of arm `single` are other trainings in every row: nothing pairs them.
            let single =
                cells[i].position.arm == Arm::Single || cells[best].position.arm == Arm::Single;
            let test = match single {
                true => unpaired(&cells[i], &cells[best], spec.statistics.unpaired),
                false => paired(&cells[i], &cells[best]),
            };
            cells[i].p_best = test.map(|test| test.p);
            cells[i].bold = i == best || test.is_some_and(|test| test.p >= spec.statistics.alpha);
        }
    }
}
