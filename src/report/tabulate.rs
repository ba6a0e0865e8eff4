//! From results to the cells of a table: means, deviations, intervals.
//!
//! The rule: runs are averaged first over the axes that the table names for that; a cell's
//! statistics are over the results that are left, one for each value of the axes of results.
//! Undefined values are counted, never dropped in silence.

use std::collections::BTreeMap;

use super::{
    marks,
    position::Position,
    selection::selections,
    table::{Behind, Cell, Table, Test},
};
use crate::{
    grid::{Axis, Coordinates},
    metric::Measure,
    plan::Run,
    results::{Outcome, Results, RunStatus},
    stats::{self, t_distribution},
};

/// The runs behind a position, with their indices in the plan.
type Group<'a> = Vec<(usize, &'a Run, &'a Outcome)>;

/// Computes an experiment's table.
pub fn tabulate(results: &Results<'_>, experiment: usize) -> Table {
    let spec = &results.plan.experiments[experiment];
    let axes = spec.table.standing(&spec.grid, &spec.sweep);
    let mut groups: BTreeMap<Position, Group<'_>> = BTreeMap::new();
    let runs = results.plan.runs.iter().zip(&results.outcomes).enumerate();
    for (index, (run, outcome)) in runs {
        if run.experiment == experiment {
            let group = groups.entry(Position::of(&run.at, &axes)).or_default();
            group.push((index, run, outcome));
        }
    }
    let mut cells = Vec::new();
    for (position, group) in &groups {
        for metric in &spec.metrics.report {
            cells.push(cell(results, position, *metric, group, &spec.table.results));
        }
    }
    marks::mark(&mut cells, spec);
    Table {
        name: spec.name.clone(),
        axes,
        distances: spec.distances(),
        cells,
        selections: selections(results, experiment),
    }
}

fn cell(
    results: &Results<'_>,
    position: &Position,
    metric: Measure,
    group: &Group<'_>,
    told_by: &[Axis],
) -> Cell {
    let result =
        |run: &Run| -> Coordinates { told_by.iter().map(|axis| axis.of(&run.at)).collect() };
    let behind: Vec<Behind> = group
        .iter()
        .map(|(index, run, outcome)| Behind {
            run: *index,
            result: result(run),
            evaluation: results.plan.stage(run.evaluation).digest,
            score: outcome.mean(metric),
        })
        .collect();
    let values = behind.iter();
    let values = values.filter_map(|run| Some((run.result.clone(), run.score?.value()?)));
    let averaged = averaged(values);
    let by_annotators = group.iter().filter_map(|(_, run, outcome)| {
        let annotators = vec![Axis::ANNOTATORS.of(&run.at)];
        Some((annotators, outcome.mean(metric)?.value()?))
    });
    let by_annotators = self::averaged(by_annotators);
    let values: Vec<f64> = averaged.values().copied().collect();
    let count = |wanted: &dyn Fn(&Behind) -> bool| behind.iter().filter(|run| wanted(run)).count();
    let present = count(&|run| run.score.is_some());
    let defined = count(&|run| run.score.is_some_and(|score| score.value().is_some()));
    Cell {
        position: position.clone(),
        metric,
        runs: behind.len(),
        defined,
        present,
        failed: group
            .iter()
            .filter(|(.., outcome)| matches!(outcome.status, RunStatus::Failed(_)))
            .count(),
        behind,
        mean: stats::mean(&values),
        sd: stats::sd(&values),
        ci95: interval(&values),
        worst: (present > defined)
            .then(|| worst(metric, group, &result))
            .flatten(),
        results: averaged,
        by_annotators,
        against_best: Test::NoPartner,
        against_counterpart: Test::NoPartner,
        best: false,
        bold: false,
        underline: false,
    }
}

/// The mean of what contributes to each result.
fn averaged(values: impl Iterator<Item = (Coordinates, f64)>) -> BTreeMap<Coordinates, f64> {
    let mut groups: BTreeMap<Coordinates, Vec<f64>> = BTreeMap::new();
    for (result, value) in values {
        groups.entry(result).or_default().push(value);
    }
    let means = groups
        .into_iter()
        .filter_map(|(result, values)| Some((result, stats::mean(&values)?)));
    means.collect()
}

/// The 95 % confidence interval of a mean (Student, 1908); `None` for fewer than two values.
fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let (mean, sd) = (stats::mean(values)?, stats::sd(values)?);
    let n = values.len() as f64;
    let margin = t_distribution::critical(0.05, n - 1.0) * sd / n.sqrt();
    Some((mean - margin, mean + margin))
}

/// The mean over the results with the worst case in place of undefined values; `None` where a
/// measure has no worst case.
fn worst(metric: Measure, group: &Group<'_>, result: &dyn Fn(&Run) -> Coordinates) -> Option<f64> {
    let present = group
        .iter()
        .filter(|(.., outcome)| outcome.mean(metric).is_some());
    let worst: Vec<(Coordinates, f64)> = present
        .map(|(_, run, outcome)| Some((result(run), outcome.worst(metric)?)))
        .collect::<Option<_>>()?;
    let worst = averaged(worst.into_iter());
    stats::mean(&worst.into_values().collect::<Vec<_>>())
}
