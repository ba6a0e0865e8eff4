//! What is particular to the paper: the claims of Hu & Qin (arXiv 2402.07330), sections IV-C, IV-D
//! and IV-E, as tests on results; and claims of our own on the methods that it relates itself to.
//!
//! The rule: a claim is taken literally. Where it says "significantly", the test decides; where it
//! is about means, the means decide, and a mean on the wrong side by an insignificant difference
//! leaves the check open. Where it is about means that rise over several steps, which noise seldom
//! lets them do without exception, a test of the trend decides. Only this module knows the paper's
//! experts, methods and measures by name.

mod adaptation;
mod annotators;
mod check;
mod cohort;
mod foreign;
mod fusion;
mod methods;
mod names;
mod noise;
mod parts;
mod scenarios;
mod selection;

use names::{CUSTOMISED, MAJORITY, ORIGINAL, PROBABILISTIC, SCRATCH, SINGLE, STAPLE, UNCERTAINTY};

use crate::{
    grid::Axis,
    report::{Claim, Table, effects::Factors},
    results::Results,
};

/// Tests the claims that are about a grid like that of an experiment, by its index in the plan;
/// none where there is no such claim.
pub fn claims(table: &Table, results: &Results<'_>, experiment: usize) -> Vec<Claim> {
    let spec = &results.plan.experiments[experiment];
    let has = |name: &str| {
        spec.grid
            .methods
            .iter()
            .any(|chosen| chosen.method.name == name)
    };
    // The paper claims nothing of other tables.
    let usual = table.axes.iter().all(|axis| matches!(axis, Axis::Grid(_)));
    let by_methods = spec.grid.annotators.choose.len() == 1;
    if usual && by_methods && has(UNCERTAINTY) && has(PROBABILISTIC) {
        return methods::claims(table, results, experiment);
    }
    let fused = has(MAJORITY) && has(STAPLE) && has(CUSTOMISED);
    if usual && fused && spec.grid.samples.contains(&0) {
        return fusion::claims(table, spec);
    }
    if usual && !table.selections.is_empty() {
        return selection::claims(table, spec);
    }
    if usual && spec.table.results == [Axis::REPEAT] && has(CUSTOMISED) {
        return noise::claims(table, spec);
    }
    if usual
        && by_methods
        && parts::NORMS
            .iter()
            .chain(&parts::HEADS)
            .all(|name| has(name))
    {
        return parts::claims(table, spec);
    }
    let as_they_are = spec.grid.samples.contains(&0);
    if usual && by_methods && as_they_are && has(cohort::BRANCHES) && has(cohort::POOLED) {
        return cohort::claims(table, spec);
    }
    if let Some(factors) = Factors::of(spec).filter(|_| usual && has(ORIGINAL)) {
        return scenarios::factors(table, spec, &factors);
    }
    if usual && !by_methods && has(ORIGINAL) && has(CUSTOMISED) {
        return scenarios::numbers(table, spec);
    }
    let rows = match spec.table.rows.as_slice() {
        [axis] if usual => axis,
        _ => return Vec::new(),
    };
    if *rows == Axis::TRAIN_EXPERT && has(SINGLE) {
        foreign::claims(table, spec)
    } else if *rows == Axis::SAMPLES && has(CUSTOMISED) && has(SCRATCH) {
        adaptation::claims(table, spec)
    } else if *rows == Axis::EXPERTS && has(CUSTOMISED) {
        annotators::claims(table, spec)
    } else {
        Vec::new()
    }
}
