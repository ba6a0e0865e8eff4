//! What stands behind the numbers, as data for the page's script: cells, tests, results, runs and their digests.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools;
use serde::Serialize;

use super::{
    super::table::{Cell, Position, Test},
    Part, Sources,
};
use crate::{
    manifest::{Arm, Experiment as Spec, PAPER},
    metric::Score,
};

#[derive(Serialize)]
struct Experiment {
    name: String,
    cells: Vec<Number>,
    /// The runs behind each position, which its metrics share.
    places: Vec<Vec<Run>>,
}

/// A cell.
#[derive(Serialize)]
struct Number {
    title: String,
    new_expert: u8,
    train_expert: Option<u8>,
    arm: Arm,
    experts: usize,
    samples: usize,
    metric: &'static str,
    /// Its column in a run's scores.
    column: usize,
    mean: Option<f64>,
    sd: Option<f64>,
    ci95: Option<(f64, f64)>,
    n: usize,
    runs: usize,
    defined: usize,
    failed: usize,
    missing: usize,
    worst: Option<f64>,
    bold: bool,
    underline: bool,
    best: Against,
    counterpart: Against,
    results: Vec<(usize, f64)>,
    place: usize,
    trace: String,
}

/// A test.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Against {
    None,
    Itself,
    Undefined(String),
    Made {
        with: String,
        difference: f64,
        ci95: (f64, f64),
        p: f64,
        p_holm: f64,
        sign_flip: Option<f64>,
    },
}

impl Against {
    fn of(test: &Test) -> Self {
        match test {
            Test::NoPartner => Self::None,
            Test::Itself => Self::Itself,
            Test::Undefined(why) => Self::Undefined(why.to_string()),
            Test::Made(made) => Self::Made {
                with: made.with.to_string(),
                difference: made.difference,
                ci95: made.ci95,
                p: made.p,
                p_holm: made.p_holm,
                sign_flip: made.sign_flip,
            },
        }
    }
}

/// A run: way of sampling, experts, scores (or why there is none), the first digits of its evaluation.
#[derive(Serialize)]
struct Run(usize, String, Vec<Shown>, String);

#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Value(f64),
    Why(String),
}

/// The data of a page, safe to stand within a script element.
pub(super) fn json(sources: &Sources<'_>, parts: &[Part<'_>]) -> String {
    let experiments: BTreeMap<String, Experiment> = parts
        .iter()
        .map(|part| (part.anchor(), experiment(sources, part)))
        .collect();
    let text = serde_json::to_string(&experiments).expect("numbers and words are plain data");
    text.replace('<', "\\u003c")
}

fn experiment(sources: &Sources<'_>, part: &Part<'_>) -> Experiment {
    let positions: Vec<Position> = part
        .table
        .cells
        .iter()
        .map(|cell| cell.position)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let place = |position: &Position| {
        positions
            .iter()
            .position(|known| known == position)
            .expect("it is a cell's")
    };
    let cells = part.table.cells.iter();
    Experiment {
        name: part.spec.name.clone(),
        cells: cells
            .map(|cell| number(cell, place(&cell.position), part.spec))
            .collect(),
        places: positions
            .iter()
            .map(|position| runs(sources, part, position))
            .collect(),
    }
}

fn number(cell: &Cell, place: usize, spec: &Spec) -> Number {
    let Position {
        new_expert,
        train_expert,
        samples,
        experts,
        arm,
    } = cell.position;
    let report = &spec.metrics.report;
    Number {
        title: format!("{}, {}", cell.metric.heading(), cell.position),
        new_expert,
        train_expert,
        arm,
        experts,
        samples,
        metric: cell.metric.column(),
        column: report.iter().position(|m| *m == cell.metric).unwrap_or(0),
        mean: cell.mean,
        sd: cell.sd,
        ci95: cell.ci95,
        n: cell.by_start.len(),
        runs: cell.runs,
        defined: cell.defined,
        failed: cell.failed,
        missing: cell.missing(),
        worst: cell.worst,
        bold: cell.bold,
        underline: cell.underline,
        best: Against::of(&cell.against_best),
        counterpart: Against::of(&cell.against_counterpart),
        results: cell.by_start.iter().map(|(s, v)| (*s, *v)).collect(),
        place,
        trace: trace(cell, spec),
    }
}

/// The command that traces a cell to its runs, in the words of `--only`.
fn trace(cell: &Cell, spec: &Spec) -> String {
    let Position {
        new_expert,
        train_expert,
        samples,
        experts,
        arm,
    } = cell.position;
    let source = match (arm, train_expert) {
        (Arm::Single, Some(trainer)) => format!(" combination={trainer}"),
        (Arm::With, _) => format!(" experts={experts}"),
        _ => String::new(),
    };
    let metric = cell.metric.word();
    let name = &spec.name;
    let mut command = format!(
        "expertgrid trace {name} 'expert={new_expert}{source} n={samples} arm={arm} metric={metric}'"
    );
    if spec.profile != PAPER {
        command.push_str(&format!(" --profile {}", spec.profile));
    }
    for set in &spec.overrides {
        command.push_str(&format!(" --set '{set}'"));
    }
    command
}

fn runs(sources: &Sources<'_>, part: &Part<'_>, position: &Position) -> Vec<Run> {
    let Some(cell) = part.table.cells.iter().find(|c| c.position == *position) else {
        return Vec::new();
    };
    let report = &part.spec.metrics.report;
    let outcome = |run: usize| &sources.results.outcomes[run];
    let shown = |run: usize, metric| match outcome(run).mean(metric) {
        Some(Score::Value(value)) => Shown::Value(value),
        Some(Score::Undefined(reason)) => Shown::Why(reason.to_string()),
        None => Shown::Why(outcome(run).status.to_string()),
    };
    cell.behind
        .iter()
        .map(|behind| {
            Run(
                behind.start,
                behind.experts.iter().join("+"),
                report
                    .iter()
                    .map(|metric| shown(behind.run, *metric))
                    .collect(),
                behind.evaluation.short(),
            )
        })
        .collect()
}
