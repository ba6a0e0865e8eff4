//! Section IV-E: how many experts annotate for pretraining.

use itertools::Itertools;

use super::{
    check::{TestedAs, compare, lacking},
    names::{CUSTOMISED, paper_measures, position},
};
use crate::{
    grid::Axis,
    manifest::Experiment,
    report::{CheckOutcome, Claim, ClaimCheck, Table},
};

pub(super) fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let experts = &spec.grid.new_experts;
    let tests = [better_than_one, monotone, caps];
    tests
        .into_iter()
        .flat_map(|test| experts.iter().map(move |expert| test(table, spec, *expert)))
        .collect()
}

/// The numbers of annotation experts, ascending.
fn numbers(spec: &Experiment) -> Vec<usize> {
    let choose = spec.grid.annotators.choose.iter();
    choose.copied().sorted_unstable().collect()
}

/// Checks pairs of numbers of annotation experts, each with more than the other, in every metric.
fn each(
    table: &Table,
    spec: &Experiment,
    new_expert: u8,
    pairs: &[(usize, usize)],
    what: &str,
    so: impl Fn(f64, f64) -> CheckOutcome,
) -> Vec<ClaimCheck> {
    if pairs.is_empty() {
        return lacking(what);
    }
    let mut checks = Vec::new();
    for metric in paper_measures() {
        for (samples, (more, fewer)) in spec.grid.samples.iter().cartesian_product(pairs) {
            let at = |experts| {
                let values = [
                    (Axis::NEW_EXPERT, new_expert.into()),
                    (Axis::EXPERTS, experts),
                    (Axis::SAMPLES, *samples),
                ];
                position(table, spec, CUSTOMISED, &values)
            };
            let pair = [at(*more), at(*fewer)];
            checks.push(compare(
                (table, spec),
                metric,
                pair,
                TestedAs::Pairs,
                |tested| so(tested.gain(), tested.test.p),
            ));
        }
    }
    checks
}

fn better_than_one(table: &Table, spec: &Experiment, expert: u8) -> Claim {
    let numbers = numbers(spec);
    let many = numbers.iter().filter(|k| **k > 3 && numbers.contains(&1));
    let pairs: Vec<_> = many.map(|k| (*k, 1)).collect();
    let so = |gain: f64, p| CheckOutcome::of_means(gain > 0.0, p, spec.statistics.alpha);
    let what = "more than 3 annotation experts beside a single one";
    Claim {
        name: "many-experts-beat-one",
        section: "IV-E",
        statement: format!(
            "Pretraining on more than 3 experts adapts better to expert {expert} than on a single \
             one: a better mean in every metric."
        ),
        experts: vec![expert],
        checks: each(table, spec, expert, &pairs, what, so),
    }
}

fn monotone(table: &Table, spec: &Experiment, expert: u8) -> Claim {
    let steps = numbers(spec).into_iter().tuple_windows();
    let pairs: Vec<_> = steps.map(|(fewer, more)| (more, fewer)).collect();
    // Means are compared as they are printed in the paper: to two digits.
    let so = |gain: f64, p| CheckOutcome::of_means(gain > -0.005, p, spec.statistics.alpha);
    Claim {
        name: "more-experts-no-worse",
        section: "IV-E",
        statement: format!(
            "Adapting to expert {expert} improves monotonically with the number of experts that \
             annotated for pretraining: no step up has a worse mean, to two digits, in any metric."
        ),
        experts: vec![expert],
        checks: each(
            table,
            spec,
            expert,
            &pairs,
            "two numbers of annotation experts",
            so,
        ),
    }
}

fn caps(table: &Table, spec: &Experiment, expert: u8) -> Claim {
    // The paper: 3 or more for expert 6, 2 or more for expert 7.
    let enough = if expert == 7 { 2 } else { 3 };
    let numbers = numbers(spec);
    let more = numbers
        .iter()
        .filter(|k| **k > enough && numbers.contains(&enough));
    let pairs: Vec<_> = more.map(|k| (*k, enough)).collect();
    let alpha = spec.statistics.alpha;
    Claim {
        name: "significance-caps-early",
        section: "IV-E",
        statement: format!(
            "For expert {expert}, more than {enough} annotation experts are not significantly \
             better than {enough}, in any metric."
        ),
        experts: vec![expert],
        checks: each(
            table,
            spec,
            expert,
            &pairs,
            &format!("{enough} annotation experts, or none with more"),
            |gain, p| (gain <= 0.0 || p >= alpha).into(),
        ),
    }
}
