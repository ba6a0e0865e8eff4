//! The data behind the numbers of a page, for its script: cells, tests, results, runs and their
//! digests.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools;
use serde::Serialize;

use super::{
    super::{
        advantage::base,
        position::Position,
        table::{Cell, Test},
    },
    PageSection, PageSources,
};
use crate::{
    grid::{Axis, Coordinates, Value},
    manifest::{Experiment, PAPER},
    metric::Score,
    shell,
};

#[derive(Serialize)]
struct ExperimentData {
    name: String,
    /// The measures of each run's scores, with their units.
    measures: Vec<String>,
    /// The axes that tell a cell's results apart, in words for one result and for all.
    one: String,
    all: String,
    /// The same axes, by the columns of the CSV files.
    by: Vec<String>,
    /// What cells are compared with.
    against: String,
    cells: Vec<CellData>,
    /// The runs behind each position, which its metrics share.
    places: Vec<Vec<RunData>>,
}

/// A cell.
#[derive(Serialize)]
struct CellData {
    title: String,
    /// Its position, by the columns of the CSV files.
    at: BTreeMap<String, String>,
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
    /// The index of the cell that it is compared with.
    beside: Option<usize>,
    results: Vec<(String, f64)>,
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
        #[serde(skip_serializing_if = "Option::is_none")]
        p_annotators: Option<f64>,
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
                with: in_words(&made.with),
                difference: made.difference,
                ci95: made.ci95,
                p: made.p,
                p_holm: made.p_holm,
                p_annotators: made.p_annotators,
                sign_flip: made.sign_flip,
            },
        }
    }
}

/// A run: its result, experts, scores (or why there is none), the first digits of its evaluation.
#[derive(Serialize)]
struct RunData(String, String, Vec<ScoreData>, String);

#[derive(Serialize)]
#[serde(untagged)]
enum ScoreData {
    Value(f64),
    Why(String),
}

/// The data of a page as JSON that can stand within a script element.
pub(super) fn json(sources: &PageSources<'_>, parts: &[PageSection<'_>]) -> String {
    let experiments: BTreeMap<String, ExperimentData> = parts
        .iter()
        .map(|part| (part.anchor(), experiment(sources, part)))
        .collect();
    let text = serde_json::to_string(&experiments).expect("numbers and words are plain data");
    text.replace('<', "\\u003c")
}

fn experiment(sources: &PageSources<'_>, part: &PageSection<'_>) -> ExperimentData {
    let positions: Vec<Position> = part
        .table
        .cells
        .iter()
        .map(|cell| cell.position.clone())
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
    let told = &part.spec.table.results;
    let compare = part.spec.table.compare.iter();
    let measures = part.spec.metrics.report.iter();
    ExperimentData {
        name: part.spec.name.clone(),
        measures: measures
            .map(|measure| measure.heading(part.spec.distances()))
            .collect(),
        one: told.iter().map(Axis::one).join(" and "),
        all: told.iter().map(Axis::all).join(" and "),
        by: told.iter().map(|axis| axis.column().to_owned()).collect(),
        against: compare.map(|(_, value)| value.to_string()).join(", "),
        cells: cells
            .map(|cell| number(cell, place(&cell.position), part))
            .collect(),
        places: positions
            .iter()
            .map(|position| runs(sources, part, position))
            .collect(),
    }
}

fn number(cell: &Cell, place: usize, part: &PageSection<'_>) -> CellData {
    let spec = part.spec;
    let report = &spec.metrics.report;
    let base = base(&cell.position, &spec.table.compare);
    let is_beside =
        |other: &Cell| other.metric == cell.metric && base.as_ref() == Some(&other.position);
    let at = cell.position.values();
    let at = at.filter_map(|(axis, value)| Some((axis.column().to_owned(), value?.to_string())));
    CellData {
        title: format!(
            "{}: {}",
            cell.metric.heading(spec.distances()),
            in_words(&cell.position)
        ),
        at: at.collect(),
        metric: cell.metric.column(),
        column: report.iter().position(|m| *m == cell.metric).unwrap_or(0),
        mean: cell.mean,
        sd: cell.sd,
        ci95: cell.ci95,
        n: cell.results.len(),
        runs: cell.runs,
        defined: cell.defined,
        failed: cell.failed,
        missing: cell.missing(),
        worst: cell.worst,
        bold: cell.bold,
        underline: cell.underline,
        best: Against::of(&cell.against_best),
        counterpart: Against::of(&cell.against_counterpart),
        beside: part.table.cells.iter().position(is_beside),
        results: cell.results.iter().map(|(at, v)| (words(at), *v)).collect(),
        place,
        trace: trace(cell, spec),
    }
}

/// A position for readers who do not know the letters: `expert 6, w/, 3 annotation experts, 10
/// samples`.
fn in_words(position: &Position) -> String {
    let words = |(axis, value): (&Axis, Option<&Value>)| {
        let (axis, value) = (axis.clone(), value?);
        let counted = |one: &str, many: &str| match value.whole() {
            Some(1) => format!("1 {one}"),
            _ => format!("{value} {many}"),
        };
        match axis {
            Axis::EXPERTS if value.whole() == Some(0) => None,
            Axis::EXPERTS => Some(counted("annotation expert", "annotation experts")),
            Axis::SAMPLES => Some(counted("sample", "samples")),
            Axis::METHOD => Some(value.to_string()),
            Axis::ANNOTATORS if value.to_string().is_empty() => None,
            Axis::ANNOTATORS => Some(format!("annotators {value}")),
            axis => Some(axis.head(value)),
        }
    };
    position.values().filter_map(words).join(", ")
}

/// The values of coordinates, separated by commas.
fn words(place: &Coordinates) -> String {
    place.iter().flatten().map(Value::to_string).join(", ")
}

/// The command that traces a cell to its runs.
fn trace(cell: &Cell, spec: &Experiment) -> String {
    let each = cell.position.values().filter_map(|(axis, value)| {
        let value = value?.to_string();
        let plain = |c: char| c.is_alphanumeric() || "_-./+".contains(c);
        match value.is_empty() || !value.chars().all(plain) {
            true => Some(format!("{axis}=\"{value}\"")),
            false => Some(format!("{axis}={value}")),
        }
    });
    let metric = cell.metric.word();
    // A dot would be read as the beginning of the file's extension.
    let manifest = match spec.name.contains('.') {
        true => format!("{}.toml", spec.name),
        false => spec.name.clone(),
    };
    let manifest = shell::word(&manifest);
    let asked = shell::quoted(&each.chain([format!("metric={metric}")]).join(" "));
    let mut command = format!("expertgrid trace {manifest} --only {asked}");
    if spec.profile != PAPER {
        command.push_str(&format!(" --profile {}", shell::word(&spec.profile)));
    }
    for set in &spec.overrides {
        command.push_str(&format!(" --set {}", shell::quoted(set)));
    }
    command
}

fn runs(sources: &PageSources<'_>, part: &PageSection<'_>, position: &Position) -> Vec<RunData> {
    let Some(cell) = part.table.cells.iter().find(|c| c.position == *position) else {
        return Vec::new();
    };
    let report = &part.spec.metrics.report;
    let outcome = |run: usize| &sources.results.outcomes[run];
    let shown = |run: usize, metric| match outcome(run).mean(metric) {
        Some(Score::Value(value)) => ScoreData::Value(value),
        Some(Score::Undefined(reason)) => ScoreData::Why(reason.to_string()),
        None => ScoreData::Why(outcome(run).status.to_string()),
    };
    cell.behind
        .iter()
        .map(|behind| {
            let at = &sources.results.plan.runs[behind.run].at;
            RunData(
                words(&behind.result),
                at.names.joined(&at.experts),
                report
                    .iter()
                    .map(|metric| shown(behind.run, *metric))
                    .collect(),
                behind.evaluation.short(),
            )
        })
        .collect()
}
