//! From results to the cells of a table: means, deviations, intervals.
//!
//! The rule: results of one way of sampling are averaged over the combinations of experts first;
//! a cell's statistics are over the ways of sampling. What is undefined is neither dropped nor
//! averaged away: it is counted.

use std::collections::BTreeMap;

use super::{
    marks,
    table::{Behind, Cell, Position, Table, Test},
};
use crate::{
    metric::Measure,
    plan::Run,
    results::{Outcome, Results, Status},
    stats::{self, t_distribution},
};

/// The runs behind a position, with their indices in the plan.
type Group<'a> = Vec<(usize, &'a Run, &'a Outcome)>;

/// Computes an experiment's table.
pub fn tabulate(results: &Results<'_>, experiment: usize) -> Table {
    let spec = &results.plan.experiments[experiment];
    let mut groups: BTreeMap<Position, Group<'_>> = BTreeMap::new();
    let runs = results.plan.runs.iter().zip(&results.outcomes).enumerate();
    for (index, (run, outcome)) in runs {
        if run.experiment == experiment {
            let group = groups.entry(Position::of(run)).or_default();
            group.push((index, run, outcome));
        }
    }
    let mut cells = Vec::new();
    for (position, group) in &groups {
        for metric in &spec.metrics.report {
            cells.push(cell(results, *position, *metric, group));
        }
    }
    marks::mark(&mut cells, spec);
    Table {
        name: spec.name.clone(),
        cells,
    }
}

fn cell(results: &Results<'_>, position: Position, metric: Measure, group: &Group<'_>) -> Cell {
    let behind: Vec<Behind> = group
        .iter()
        .map(|(index, run, outcome)| Behind {
            run: *index,
            start: run.start,
            experts: run.experts.clone(),
            evaluation: results.plan.stage(run.evaluation).digest,
            score: outcome.mean(metric),
        })
        .collect();
    let by_start = by_start(
        behind
            .iter()
            .filter_map(|run| Some((run.start, run.score?.value()?))),
    );
    let values: Vec<f64> = by_start.values().copied().collect();
    let count = |wanted: &dyn Fn(&Behind) -> bool| behind.iter().filter(|run| wanted(run)).count();
    let present = count(&|run| run.score.is_some());
    let defined = count(&|run| run.score.is_some_and(|score| score.value().is_some()));
    Cell {
        position,
        metric,
        runs: behind.len(),
        defined,
        present,
        failed: group
            .iter()
            .filter(|(.., outcome)| matches!(outcome.status, Status::Failed(_)))
            .count(),
        behind,
        mean: stats::mean(&values),
        sd: stats::sd(&values),
        ci95: interval(&values),
        worst: (present > defined).then(|| worst(metric, group)).flatten(),
        by_start,
        against_best: Test::NoPartner,
        against_counterpart: Test::NoPartner,
        best: false,
        bold: false,
        underline: false,
    }
}

/// The mean of each way of sampling.
fn by_start(values: impl Iterator<Item = (usize, f64)>) -> BTreeMap<usize, f64> {
    let mut groups: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (start, value) in values {
        groups.entry(start).or_default().push(value);
    }
    let means = groups
        .into_iter()
        .filter_map(|(start, values)| Some((start, stats::mean(&values)?)));
    means.collect()
}

/// The 95 % confidence interval of a mean (Student, 1908); `None` for fewer than two values.
fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let (mean, sd) = (stats::mean(values)?, stats::sd(values)?);
    let n = values.len() as f64;
    let margin = t_distribution::critical(0.05, n - 1.0) * sd / n.sqrt();
    Some((mean - margin, mean + margin))
}

/// The mean over the ways of sampling with the worst for what is undefined; `None` where no number
/// is the worst.
fn worst(metric: Measure, group: &Group<'_>) -> Option<f64> {
    let present = group
        .iter()
        .filter(|(.., outcome)| outcome.mean(metric).is_some());
    let worst: Vec<(usize, f64)> = present
        .map(|(_, run, outcome)| Some((run.start, outcome.worst(metric)?)))
        .collect::<Option<_>>()?;
    let worst = by_start(worst.into_iter());
    stats::mean(&worst.into_values().collect::<Vec<_>>())
}
