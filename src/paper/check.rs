//! The checks that claims are made of: one or two cells, a yes or no, and the numbers.
//!
//! The rule: a check of a cell in which runs have no value stays open.

use crate::{
    manifest::Experiment,
    metric::Measure,
    report::{Cell, CheckOutcome, ClaimCheck, Comparison, Position, Table, Test, paired, unpaired},
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

/// An open check, since the grid lacks something that the claim needs.
pub(super) fn lacking(what: &str) -> Vec<ClaimCheck> {
    vec![ClaimCheck {
        outcome: CheckOutcome::Unknown,
        numbers: format!("the grid has no {what}"),
    }]
}
