//! Section IV-E: how many experts annotate for pretraining.

use itertools::Itertools;

use super::{
    check::{TestedAs, compare, lacking, trend},
    names::{CUSTOMISED, paper_measures, position},
};
use crate::{
    grid::Axis,
    manifest::Experiment,
    report::{CheckOutcome, Claim, ClaimCheck, Table},
};

pub(super) fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let experts = &spec.grid.new_experts;
    let tests = [better_than_one, rises, caps];
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

fn rises(table: &Table, spec: &Experiment, expert: u8) -> Claim {
    let measured = paper_measures()
        .into_iter()
        .cartesian_product(&spec.grid.samples);
    let checks = measured.map(|(metric, samples)| {
        let at = |experts: usize| {
            let values = [
                (Axis::NEW_EXPERT, expert.into()),
                (Axis::EXPERTS, experts),
                (Axis::SAMPLES, *samples),
            ];
            position(table, spec, CUSTOMISED, &values)
        };
        trend(
            table,
            spec,
            metric,
            numbers(spec).into_iter().map(at).collect(),
        )
    });
    Claim {
        name: "improves-with-experts",
        section: "IV-E",
        statement: format!(
            "Adapting to expert {expert} improves with the number of experts that annotated for \
             pretraining, in every metric (Page's test of a trend). (Open where it shows neither a \
             gain nor a decline.)"
        ),
        experts: vec![expert],
        checks: checks.collect(),
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
