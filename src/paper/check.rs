//! The checks that claims are made of: one or two cells, a yes or no, and the numbers.
//!
//! The rule: a check of a cell in which runs have no value stays open.

use itertools::Itertools;

use super::names::{paper_measures, position};
use crate::{
    grid::Axis,
    manifest::Experiment,
    metric::Measure,
    report::{Cell, CheckOutcome, ClaimCheck, Comparison, Position, Table, Test, paired, unpaired},
    stats,
};

/// Two cells of one metric with the test between them.
pub(super) struct Tested<'a> {
    pub(super) metric: Measure,
    pub(super) this: &'a Cell,
    pub(super) other: &'a Cell,
    pub(super) test: Comparison,
}

impl Tested<'_> {
    /// How much better this cell is.
    pub(super) fn gain(&self) -> f64 {
        self.metric.gain(self.test.difference, 0.0)
    }

    /// The 95 % interval of that.
    pub(super) fn interval(&self) -> (f64, f64) {
        let ends = [self.test.ci95.0, self.test.ci95.1].map(|end| self.metric.gain(end, 0.0));
        (ends[0].min(ends[1]), ends[0].max(ends[1]))
    }

    pub(super) fn numbers(&self) -> String {
        let mean = |cell: &Cell| cell.mean.map_or("–".into(), |mean| format!("{mean:.2}"));
        format!(
            "{} {}: {} against {} of {}, {}",
            self.metric.name(),
            self.this.position,
            mean(self.this),
            mean(self.other),
            self.other.position,
            p_value(self.test.p),
        )
    }
}

/// `p = 0.042`, or `p < 0.001`.
pub(super) fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "p < 0.001".to_owned(),
        p => format!("p = {p:.3}"),
    }
}

/// How two cells are tested.
#[derive(Clone, Copy)]
pub(super) enum TestedAs {
    /// Pairs of ways of sampling.
    Pairs,
    /// Two groups.
    Groups,
}

/// Compares two cells: `so` decides by the test between them.
pub(super) fn compare(
    (table, spec): (&Table, &Experiment),
    metric: Measure,
    [this, other]: [Position; 2],
    by: TestedAs,
    so: impl Fn(&Tested<'_>) -> CheckOutcome,
) -> ClaimCheck {
    let unknown = |why: String| ClaimCheck {
        outcome: CheckOutcome::Unknown,
        numbers: format!("{} {this} against {other}: {why}", metric.name()),
    };
    let (Some(a), Some(b)) = (table.cell(&this, metric), table.cell(&other, metric)) else {
        return unknown("the grid does not hold both".into());
    };
    let test = match by {
        TestedAs::Pairs => paired(a, b, spec),
        TestedAs::Groups => unpaired(a, b, spec),
    };
    let tested = match test {
        Test::Made(test) => Tested {
            metric,
            this: a,
            other: b,
            test,
        },
        Test::Undefined(why) => return unknown(why.to_string()),
        Test::NoPartner | Test::Itself => return unknown("nothing to test".into()),
    };
    ClaimCheck {
        outcome: so(&tested),
        numbers: tested.numbers(),
    }
}

/// Whether results improve along cells in their order; the results at the same coordinates make a
/// block.
pub(super) fn trend(
    table: &Table,
    spec: &Experiment,
    metric: Measure,
    along: Vec<Position>,
) -> ClaimCheck {
    let [Some(first), Some(last)] = [along.first(), along.last()] else {
        return lacking_one("two cells to compare");
    };
    let what = format!("{} {first} to {last}", metric.name());
    let unknown = |why: &str| ClaimCheck {
        outcome: CheckOutcome::Unknown,
        numbers: format!("{what}: {why}"),
    };
    let cells: Option<Vec<&Cell>> = along.iter().map(|at| table.cell(at, metric)).collect();
    let Some(cells) = cells else {
        return unknown("the grid does not hold them all");
    };
    if !cells.iter().all(|cell| cell.complete()) {
        return unknown("runs of the cells have no value");
    }
    let same = |cell: &&Cell| cell.results.keys().eq(cells[0].results.keys());
    if !cells.iter().all(same) {
        return unknown("the results of the cells do not belong together");
    }
    let blocks: Vec<Vec<f64>> = cells[0]
        .results
        .keys()
        .map(|key| {
            let values = cells.iter().map(|cell| cell.results[key]);
            values.map(|value| metric.gain(value, 0.0)).collect()
        })
        .collect();
    match stats::page(&blocks) {
        Err(why) => unknown(&why.to_string()),
        Ok(found) => {
            let alpha = spec.statistics.alpha;
            let means = cells.iter().filter_map(|cell| cell.mean);
            let fall = found.p_fall < found.p_rise;
            ClaimCheck {
                outcome: match (found.p_rise < alpha, found.p_fall < alpha) {
                    (true, _) => CheckOutcome::Yes,
                    (false, true) => CheckOutcome::No,
                    (false, false) => CheckOutcome::Unknown,
                },
                numbers: format!(
                    "{what}: {}; L = {}, {} of a {}",
                    means.map(|mean| format!("{mean:.2}")).join(", "),
                    found.l,
                    p_value(if fall { found.p_fall } else { found.p_rise }),
                    if fall { "decline" } else { "gain" },
                ),
            }
        }
    }
}

/// The cells of a table like one of the paper's, and claims on pairs of them.
#[derive(Clone, Copy)]
pub(super) struct ClaimCells<'a> {
    pub(super) table: &'a Table,
    pub(super) spec: &'a Experiment,
}

impl ClaimCells<'_> {
    /// The position of a method's cell, by numbers on other axes. A method that does not pretrain
    /// has no annotation experts.
    pub(super) fn at(&self, method: &str, values: &[(Axis, usize)]) -> Position {
        let mut methods = self.spec.grid.methods.iter().map(|chosen| &chosen.method);
        let pretrained = methods.any(|known| known.name == method && known.is_pretrained());
        let values = values
            .iter()
            .map(|(axis, value)| match *axis == Axis::EXPERTS {
                true if !pretrained => (axis.clone(), 0),
                _ => (axis.clone(), *value),
            });
        position(self.table, self.spec, method, &values.collect::<Vec<_>>())
    }

    /// Every pair in every measure.
    pub(super) fn each(
        &self,
        pairs: impl IntoIterator<Item = [Position; 2]>,
        so: impl Fn(&Tested<'_>) -> CheckOutcome + Copy,
    ) -> Vec<ClaimCheck> {
        let pairs: Vec<[Position; 2]> = pairs.into_iter().collect();
        if pairs.is_empty() {
            return lacking("cells that it is about");
        }
        let checks = paper_measures().into_iter().flat_map(|metric| {
            let pairs = pairs.iter().cloned();
            let both = (self.table, self.spec);
            pairs.map(move |pair| compare(both, metric, pair, TestedAs::Pairs, so))
        });
        checks.collect()
    }

    /// Every first cell has the better mean.
    pub(super) fn better(&self, pairs: impl IntoIterator<Item = [Position; 2]>) -> Vec<ClaimCheck> {
        let alpha = self.spec.statistics.alpha;
        self.each(pairs, |tested| {
            CheckOutcome::of_means(tested.gain() > 0.0, tested.test.p, alpha)
        })
    }

    /// No pair differs significantly.
    pub(super) fn alike(&self, pairs: impl IntoIterator<Item = [Position; 2]>) -> Vec<ClaimCheck> {
        let alpha = self.spec.statistics.alpha;
        self.each(pairs, |tested| (tested.test.p >= alpha).into())
    }

    /// The numbers of samples, but none.
    pub(super) fn samples(&self) -> impl Iterator<Item = usize> {
        let samples = self.spec.grid.samples.iter().copied();
        samples.filter(|samples| *samples > 0)
    }
}

/// An open check, since the grid lacks something that the claim needs.
pub(super) fn lacking(what: &str) -> Vec<ClaimCheck> {
    vec![lacking_one(what)]
}

fn lacking_one(what: &str) -> ClaimCheck {
    ClaimCheck {
        outcome: CheckOutcome::Unknown,
        numbers: format!("the grid has no {what}"),
    }
}
