//! Tests between cells, and the marks that follow from them.
//!
//! The rule: a test needs a defined value of every run of both cells. A mark needs a test that was
//! made: in a block without one nothing is bold. Nor is anything bold in a block in which a run has
//! no result, since that run could have been the best.

use std::collections::BTreeSet;

use itertools::Itertools;

use super::{
    position::Position,
    table::{Cell, Comparison, Test, Untestable},
};
use crate::{
    grid::{Axis, Coordinates},
    manifest::{Block, Experiment, Paired, Pairing, Unpaired},
    method::{Method, TrainedOn},
    stats::{self, Pairs, TTest},
};

/// Tests all cells of a table and gives the marks.
pub(super) fn mark(cells: &mut [Cell], spec: &Experiment) {
    counterparts(cells, spec);
    best(cells, spec);
}

fn counterparts(cells: &mut [Cell], spec: &Experiment) {
    for i in 0..cells.len() {
        let Some(without) = counterpart(cells, &cells[i], spec) else {
            continue;
        };
        let test = against(&cells[i], without, spec);
        let gained = match (cells[i].mean, without.mean) {
            (Some(with), Some(without)) => cells[i].metric.is_better(with, without),
            _ => false,
        };
        cells[i].underline = gained && test.p_of_marks().is_some_and(|p| p < spec.statistics.alpha);
        cells[i].against_counterpart = test;
    }
    let family = |cell: &Cell| (cell.position.on(&spec.table.panels), cell.metric);
    let families: BTreeSet<_> = cells.iter().map(family).collect();
    for this in families {
        let tests = cells.iter_mut().filter(|cell| family(cell) == this);
        adjust(tests.map(|cell| &mut cell.against_counterpart));
    }
}

/// The cell that another is compared with: the one at its counterpart's position, or the only one
/// that differs from that in the experts who annotated or trained, or in their pretraining.
fn counterpart<'a>(cells: &'a [Cell], of: &Cell, spec: &Experiment) -> Option<&'a Cell> {
    let counterpart = of.position.counterpart(&spec.table.compare)?;
    let measured = || cells.iter().filter(|cell| cell.metric == of.metric);
    let exact = measured().find(|cell| cell.position == counterpart);
    exact.or_else(|| {
        let whoever = [
            Axis::EXPERTS,
            Axis::ANNOTATORS,
            Axis::TRAIN_EXPERT,
            Axis::REPEAT,
        ]
        .map(|axis| (axis, None));
        let wanted = counterpart.with(&whoever);
        let alike = measured().filter(|cell| cell.position.with(&whoever) == wanted);
        alike.exactly_one().ok()
    })
}

fn best(cells: &mut [Cell], spec: &Experiment) {
    let key = |cell: &Cell| {
        let within = block(&cell.position, spec);
        let panel = cell.position.on(&spec.table.panels);
        (panel, cell.metric, within)
    };
    let blocks: BTreeSet<_> = cells.iter().map(key).collect();
    for this in blocks {
        let members: Vec<usize> = (0..cells.len())
            .filter(|i| key(&cells[*i]) == this)
            .collect();
        let unsettled = members.iter().any(|i| !cells[*i].settled());
        // A single result, as of a network that is tested as it is, tells no chance from merit.
        let several = members.iter().any(|i| cells[*i].results.len() > 1);
        let candidate = |i: &usize| !several || cells[*i].results.len() > 1;
        let best = members
            .iter()
            .copied()
            .filter(candidate)
            .filter_map(|i| Some((i, cells[i].mean?)))
            .reduce(
                |best, this| match cells[best.0].metric.is_better(this.1, best.1) {
                    true => this,
                    false => best,
                },
            );
        let best = match best {
            Some((best, _)) if !unsettled => best,
            _ => {
                for i in members {
                    cells[i].against_best = Test::Undefined(Untestable::BlockIncomplete);
                }
                continue;
            }
        };
        // Against a best with undefined values every test is undefined, so no cell is marked.
        let known = cells[best].complete();
        for i in members.iter().copied() {
            let test = match i == best {
                true if known => Test::Itself,
                true => Test::Undefined(Untestable::Incomplete),
                false => against(&cells[i], &cells[best], spec),
            };
            cells[i].best = known && i == best;
            cells[i].bold = test
                .p_of_marks()
                .is_some_and(|p| p >= spec.statistics.alpha);
            cells[i].against_best = test;
        }
        let made = |i: &usize| cells[*i].against_best.comparison().is_some();
        if !members.iter().any(made) {
            cells[best].bold = false;
        }
        let tests = cells.iter_mut().filter(|cell| key(cell) == this);
        adjust(tests.map(|cell| &mut cell.against_best));
    }
}

/// The printed row or column within which cells are compared, where the manifest asks for one;
/// beside measure and panel.
fn block(position: &Position, spec: &Experiment) -> Option<Coordinates> {
    match spec.statistics.block {
        Block::Table => None,
        Block::Row => Some(position.on(&spec.table.rows)),
        Block::Column => Some(position.on(&spec.table.columns)),
    }
}

/// Adjusts the p-values of a family by Holm's method.
fn adjust<'a>(tests: impl Iterator<Item = &'a mut Test>) {
    let mut made: Vec<&mut Comparison> = tests
        .filter_map(|test| match test {
            Test::Made(comparison) => Some(comparison),
            Test::NoPartner | Test::Itself | Test::Undefined(_) => None,
        })
        .collect();
    let p: Vec<f64> = made.iter().map(|comparison| comparison.p).collect();
    for (comparison, adjusted) in made.iter_mut().zip(stats::holm(&p)) {
        comparison.p_holm = adjusted;
    }
}

/// The test that fits the methods: networks trained on another expert's masks are different
/// trainings in every cell, so that their results are not paired.
fn against(a: &Cell, b: &Cell, spec: &Experiment) -> Test {
    let foreign = |method: &Method| method.trained_on == TrainedOn::AnotherExpert;
    match [a, b]
        .iter()
        .any(|cell| cell.position.method().is_some_and(foreign))
    {
        true => unpaired(a, b, spec),
        false => paired(a, b, spec),
    }
}

/// Whether marks need a second test, over combinations of annotation experts: in tables of several
/// methods that pretrain, where every combination meets every way of sampling. Over these alone,
/// one lucky pretraining would make a method significantly better.
pub(super) fn need_both(spec: &Experiment) -> bool {
    let pretrained = spec.grid.methods.iter();
    let pretrained = pretrained.filter(|chosen| chosen.method.is_pretrained());
    spec.grid.pairing == Pairing::Crossed && pretrained.count() > 1
}

/// p of the paired test over combinations of annotation experts. A cell that has none is the same
/// for each combination of the other. None where there is one combination only.
fn over_annotators(a: &Cell, b: &Cell) -> Option<f64> {
    let values = |of: &Cell, other: &Cell| -> Vec<(Coordinates, f64)> {
        let only = of.by_annotators.values().next().copied();
        let others = other.by_annotators.iter();
        match (of.by_annotators.len(), only) {
            (1, Some(value)) => others.map(|(key, _)| (key.clone(), value)).collect(),
            _ => of
                .by_annotators
                .iter()
                .map(|(key, value)| (key.clone(), *value))
                .collect(),
        }
    };
    let pairs = Pairs::join(&values(a, b), &values(b, a)).ok()?;
    Some(stats::paired(&pairs).ok()?.p)
}

/// The paired test of two cells; results at the same coordinates make a pair. `p_holm` is `p`, as
/// for a family of one test.
pub fn paired(a: &Cell, b: &Cell, spec: &Experiment) -> Test {
    testable(a, b).unwrap_or_else(|| {
        let keyed = |cell: &Cell| -> Vec<(Coordinates, f64)> {
            let values = cell.results.iter();
            values
                .map(|(result, value)| (result.clone(), *value))
                .collect()
        };
        let Ok(pairs) = Pairs::join(&keyed(a), &keyed(b)) else {
            return Test::Undefined(Untestable::Unpaired);
        };
        let test = match spec.statistics.paired {
            Paired::Student => stats::paired(&pairs),
            Paired::NadeauBengio => {
                let samples = [a, b].map(|cell| trained_on(cell, spec) as f64);
                let ratio = spec.cohort.test as f64 / samples[0].min(samples[1]);
                stats::paired_overlapping(&pairs, ratio)
            }
        };
        let mut test = made(b, test, true, stats::sign_flip(&pairs).ok());
        if let Test::Made(comparison) = &mut test {
            comparison.p_annotators = need_both(spec).then(|| over_annotators(a, b)).flatten();
        }
        test
    })
}

/// How many cases the networks of a cell are trained on for the new expert: the fewest, where that
/// differs; without samples, for the annotators.
fn trained_on(cell: &Cell, spec: &Experiment) -> usize {
    let fewest = spec.grid.samples.iter().copied().min();
    match cell.position.samples().or(fewest) {
        None | Some(0) => spec.cohort.training.max(1),
        Some(samples) => samples,
    }
}

/// The unpaired test of two cells. `p_holm` is `p`, as for a family of one test.
pub fn unpaired(a: &Cell, b: &Cell, spec: &Experiment) -> Test {
    testable(a, b).unwrap_or_else(|| {
        let values = |cell: &Cell| -> Vec<f64> { cell.results.values().copied().collect() };
        let (a, values_b) = (values(a), values(b));
        let test = match spec.statistics.unpaired {
            Unpaired::Student => stats::student(&a, &values_b),
            Unpaired::Welch => stats::welch(&a, &values_b),
        };
        made(b, test, false, None)
    })
}

/// Why two cells cannot be tested, if so.
fn testable(a: &Cell, b: &Cell) -> Option<Test> {
    match (a.complete(), b.complete()) {
        (true, true) => None,
        (false, _) => Some(Test::Undefined(Untestable::Incomplete)),
        (true, false) => Some(Test::Undefined(Untestable::PartnerIncomplete)),
    }
}

fn made(
    with: &Cell,
    test: Result<TTest, stats::Undefined>,
    paired: bool,
    sign_flip: Option<f64>,
) -> Test {
    match test {
        Ok(test) => Test::Made(Comparison {
            with: with.position.clone(),
            paired,
            difference: test.difference,
            ci95: test.ci95,
            t: test.t,
            df: test.df,
            p: test.p,
            p_holm: test.p,
            p_annotators: None,
            sign_flip,
        }),
        Err(why) => Test::Undefined(Untestable::Numbers(why)),
    }
}
