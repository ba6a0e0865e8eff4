//! Section IV-D: adapting a pretrained network against training on the new expert's samples alone.

use super::{
    check::{TestedAs, compare, lacking},
    names::{CUSTOMISED, SCRATCH, paper_measures, position},
};
use crate::{
    grid::Axis,
    manifest::Experiment,
    metric::Measure,
    report::{CheckOutcome, Claim, ClaimCheck, MARGINAL, Position, Table},
};

/// Annotated samples below which pretraining is claimed to help, and above which to help little.
const FEW: usize = 20;

/// The expert of whom the paper claims that few samples do as well as all.
const MATCHED: u8 = 6;

pub(super) fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let experts = &spec.grid.new_experts;
    let each = |test: fn(&Table, &Experiment, u8) -> Claim| {
        let claims = experts.iter().map(move |expert| test(table, spec, *expert));
        claims.collect::<Vec<_>>()
    };
    let mut claims = each(helps);
    if experts.contains(&MATCHED) {
        claims.push(comparable(table, spec, MATCHED));
    }
    claims.extend(each(marginal));
    claims
}

/// Positions of a table like the paper's Table II.
struct Cells<'a> {
    table: &'a Table,
    spec: &'a Experiment,
    new_expert: u8,
}

fn cells<'a>(table: &'a Table, spec: &'a Experiment, new_expert: u8) -> Cells<'a> {
    Cells {
        table,
        spec,
        new_expert,
    }
}

impl Cells<'_> {
    fn with(&self, experts: usize, samples: usize) -> Position {
        self.at(CUSTOMISED, experts, samples)
    }

    fn without(&self, samples: usize) -> Position {
        self.at(SCRATCH, 0, samples)
    }

    fn at(&self, method: &str, experts: usize, samples: usize) -> Position {
        let values = [
            (Axis::NEW_EXPERT, self.new_expert.into()),
            (Axis::EXPERTS, experts),
            (Axis::SAMPLES, samples),
        ];
        position(self.table, self.spec, method, &values)
    }
}

/// The grid's numbers of samples that satisfy something, in ascending order.
fn samples(spec: &Experiment, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut samples = spec.grid.samples.clone();
    samples.retain(|n| wanted(*n));
    samples.sort_unstable();
    samples
}

/// Every number of annotation experts with every metric.
fn columns(spec: &Experiment) -> impl Iterator<Item = (usize, Measure)> {
    let choose = spec.grid.annotators.choose.iter();
    choose.flat_map(|k| paper_measures().map(|metric| (*k, metric)))
}

fn helps(table: &Table, spec: &Experiment, expert: u8) -> Claim {
    let few = samples(spec, |n| n < FEW);
    let at = cells(table, spec, expert);
    let mut checks = Vec::new();
    for (k, metric) in columns(spec) {
        for n in &few {
            let pair = [at.with(k, *n), at.without(*n)];
            checks.push(compare(
                (table, spec),
                metric,
                pair,
                TestedAs::Pairs,
                |tested| (tested.gain() > 0.0 && tested.test.p < spec.statistics.alpha).into(),
            ));
        }
    }
    if few.is_empty() {
        checks = lacking("number of samples below 20");
    }
    Claim {
        name: "pretraining-helps-below-20",
        section: "IV-D",
        statement: format!(
            "With fewer than {FEW} annotated samples of expert {expert}, the adapted network is \
             significantly better than one trained on them alone, in every metric."
        ),
        experts: vec![expert],
        checks,
    }
}

/// The mean gain at the fewest samples of the grid.
fn first_gain(
    table: &Table,
    spec: &Experiment,
    expert: u8,
    k: usize,
    metric: Measure,
) -> Option<f64> {
    let fewest = samples(spec, |_| true).first().copied()?;
    let at = cells(table, spec, expert);
    let mean = |position: Position| {
        let cell = table.cell(&position, metric)?;
        cell.mean.filter(|_| cell.complete())
    };
    let gained = metric.gain(mean(at.with(k, fewest))?, mean(at.without(fewest))?);
    (gained > 0.0).then_some(gained)
}

/// A check that compares with the gain at the fewest samples, `first`.
fn measured(
    (table, spec): (&Table, &Experiment),
    pair: [Position; 2],
    metric: Measure,
    first: Option<f64>,
    so: impl Fn(f64, (f64, f64), f64) -> CheckOutcome,
) -> ClaimCheck {
    let check = compare(
        (table, spec),
        metric,
        pair,
        TestedAs::Pairs,
        |tested| match first {
            Some(first) => so(tested.gain(), tested.interval(), MARGINAL * first),
            None => CheckOutcome::Unknown,
        },
    );
    let measure = match first {
        Some(first) => format!(
            "a fifth of the gain at the fewest samples is {:.2}",
            MARGINAL * first
        ),
        None => "there is no gain at the fewest samples to measure by".to_owned(),
    };
    ClaimCheck {
        numbers: format!("{}; {measure}", check.numbers),
        ..check
    }
}

fn comparable(table: &Table, spec: &Experiment, expert: u8) -> Claim {
    let at = cells(table, spec, expert);
    let all = samples(spec, |_| true).last().copied();
    let all = all.filter(|all| *all > FEW && spec.grid.samples.contains(&FEW));
    let checks = match all {
        None => lacking("cell with 20 samples, or none with more"),
        Some(all) => columns(spec)
            .map(|(k, metric)| {
                let pair = [at.with(k, FEW), at.without(all)];
                let first = first_gain(table, spec, expert, k, metric);
                measured(
                    (table, spec),
                    pair,
                    metric,
                    first,
                    |gain, (low, high), margin| match (gain >= 0.0 || low > -margin, high < -margin)
                    {
                        (true, _) => CheckOutcome::Yes,
                        (false, true) => CheckOutcome::No,
                        (false, false) => CheckOutcome::Unknown,
                    },
                )
            })
            .collect(),
    };
    Claim {
        name: "20-samples-match-all",
        section: "IV-D",
        statement: format!(
            "Adapted with {FEW} samples of expert {expert}, a network is comparable to one trained \
             on all samples alone: its mean is no worse, or the 95 % interval of what it is worse \
             by stays within a fifth of the gain at the fewest samples. (Open where it is worse \
             and the interval holds both more and less than that.)"
        ),
        experts: vec![expert],
        checks,
    }
}

fn marginal(table: &Table, spec: &Experiment, expert: u8) -> Claim {
    let at = cells(table, spec, expert);
    let many = samples(spec, |n| n > FEW);
    let mut checks = Vec::new();
    for (k, metric) in columns(spec) {
        let first = first_gain(table, spec, expert, k, metric);
        for n in &many {
            let pair = [at.with(k, *n), at.without(*n)];
            checks.push(measured(
                (table, spec),
                pair,
                metric,
                first,
                |gain, (low, _), margin| match (gain <= margin, low > margin) {
                    (true, _) => CheckOutcome::Yes,
                    (false, true) => CheckOutcome::No,
                    (false, false) => CheckOutcome::Unknown,
                },
            ));
        }
    }
    if many.is_empty() {
        checks = lacking("number of samples above 20");
    }
    Claim {
        name: "gain-marginal-above-20",
        section: "IV-D",
        statement: format!(
            "With more than {FEW} samples of expert {expert}, pretraining gains little: the mean \
             gain is at most a fifth of that at the fewest samples, in every metric. (Open where \
             it is more, but its 95 % interval holds less.)"
        ),
        experts: vec![expert],
        checks,
    }
}
