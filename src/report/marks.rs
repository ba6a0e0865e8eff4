//! Tests between cells, and the marks they earn.
//!
//! The rule: a test needs every run of both cells, defined. A mark stands on a test that was made; nothing is bold
//! in a block of which a run has no result, since that run could have been the best.

use std::collections::BTreeSet;

use super::{
    layout::{ColumnKey, row_of},
    table::{Cell, Comparison, Position, Test, Untestable},
};
use crate::{
    manifest::{Arm, Block, Experiment, Unpaired},
    stats::{self, Alternative, Pairs, TTest},
};

/// Tests all cells of a table and gives the marks.
pub(super) fn mark(cells: &mut [Cell], spec: &Experiment) {
    counterparts(cells, spec);
    best(cells, spec);
}

fn counterparts(cells: &mut [Cell], spec: &Experiment) {
    for i in 0..cells.len() {
        let Some(counterpart) = cells[i].position.counterpart() else {
            continue;
        };
        let without = cells
            .iter()
            .find(|cell| cell.position == counterpart && cell.metric == cells[i].metric);
        let Some(without) = without else { continue };
        let test = paired(&cells[i], without);
        let gained = match (cells[i].mean, without.mean) {
            (Some(with), Some(without)) => cells[i].metric.is_better(with, without),
            _ => false,
        };
        cells[i].underline = gained && test.p().is_some_and(|p| p < spec.statistics.alpha);
        cells[i].against_counterpart = test;
    }
    let family = |cell: &Cell| (cell.position.new_expert, cell.metric);
    let families: BTreeSet<_> = cells.iter().map(family).collect();
    for this in families {
        let tests = cells.iter_mut().filter(|cell| family(cell) == this);
        adjust(tests.map(|cell| &mut cell.against_counterpart));
    }
}

fn best(cells: &mut [Cell], spec: &Experiment) {
    let key = |cell: &Cell| {
        let within = block(&cell.position, spec);
        (cell.position.new_expert, cell.metric, within)
    };
    let blocks: BTreeSet<_> = cells.iter().map(key).collect();
    for this in blocks {
        let members: Vec<usize> = (0..cells.len())
            .filter(|i| key(&cells[*i]) == this)
            .collect();
        let unsettled = members.iter().any(|i| !cells[*i].settled());
        let best = members
            .iter()
            .copied()
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
        // Against a best with undefined values every test is undefined: nobody earns a mark.
        let known = cells[best].complete();
        for i in members.iter().copied() {
            let test = match i == best {
                true if known => Test::Itself,
                true => Test::Undefined(Untestable::Incomplete),
                false => against(&cells[i], &cells[best], spec.statistics.unpaired),
            };
            cells[i].best = known && i == best;
            cells[i].bold = test.p().is_some_and(|p| p >= spec.statistics.alpha);
            cells[i].against_best = test;
        }
        let tests = cells.iter_mut().filter(|cell| key(cell) == this);
        adjust(tests.map(|cell| &mut cell.against_best));
    }
}

/// The printed row or column within which cells are compared, where the manifest asks for one;
/// beside metric and new expert.
fn block(position: &Position, spec: &Experiment) -> (Option<usize>, Option<ColumnKey>) {
    match spec.statistics.block {
        Block::Table => (None, None),
        Block::Row => (Some(row_of(position, spec)), None),
        Block::Column => (None, Some(ColumnKey::of(position, spec))),
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

/// The test that fits the arms: the networks of arm `single` are other trainings in every row, so that nothing pairs them.
fn against(a: &Cell, b: &Cell, test: Unpaired) -> Test {
    match [a, b].iter().any(|cell| cell.position.arm == Arm::Single) {
        true => unpaired(a, b, test),
        false => paired(a, b),
    }
}

/// The paired test of two cells; pairs are joined by the way of sampling. Holm's adjustment of it alone is none.
pub(super) fn paired(a: &Cell, b: &Cell) -> Test {
    testable(a, b).unwrap_or_else(|| {
        let keyed = |cell: &Cell| -> Vec<(usize, f64)> {
            let values = cell.by_start.iter();
            values.map(|(start, value)| (*start, *value)).collect()
        };
        let Ok(pairs) = Pairs::join(&keyed(a), &keyed(b)) else {
            return Test::Undefined(Untestable::Unpaired);
        };
        let test = stats::paired(&pairs, Alternative::TwoSided);
        made(b, test, stats::sign_flip(&pairs).ok())
    })
}

/// The unpaired test of two cells. Holm's adjustment of it alone is none.
pub(super) fn unpaired(a: &Cell, b: &Cell, test: Unpaired) -> Test {
    testable(a, b).unwrap_or_else(|| {
        let values = |cell: &Cell| -> Vec<f64> { cell.by_start.values().copied().collect() };
        let (a, values_b) = (values(a), values(b));
        let test = match test {
            Unpaired::Student => stats::student(&a, &values_b, Alternative::TwoSided),
            Unpaired::Welch => stats::welch(&a, &values_b, Alternative::TwoSided),
        };
        made(b, test, None)
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

fn made(with: &Cell, test: Result<TTest, stats::Undefined>, sign_flip: Option<f64>) -> Test {
    match test {
        Ok(test) => Test::Made(Comparison {
            with: with.position,
            difference: test.difference,
            ci95: test.ci95,
            t: test.t,
            df: test.df,
            p: test.p,
            p_holm: test.p,
            sign_flip,
        }),
        Err(why) => Test::Undefined(Untestable::Numbers(why)),
    }
}
