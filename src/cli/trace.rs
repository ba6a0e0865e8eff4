//! `expertgrid trace`: a cell of a table down to its runs, their scores, their keys and their
//! files.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use clap::Args;
use itertools::Itertools;
use serde::Serialize;

use super::{Done, Failure, Selection, output::print};
use crate::{
    artefact::{CaseScores, SCORES, Scores},
    grid::{Axis, Coordinates, Field, Only, Pick, Value},
    key::Digest,
    manifest::Experiment,
    metric::{Measure, Score},
    plan::{Fields, Kind, Plan, StageId},
    report::{Behind, Cell, Comparison, Test, tabulate},
    results::{self, Results},
    store::{Found, Store},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  expertgrid trace experiments/table2.toml --only 'expert=6 n=10 method=w/ metric=dice'
  expertgrid trace experiments/table2.toml --only 'expert=6 n=10 start=1 metric=dice' --all")]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Only the cells, and of them the runs, that an expression picks: by metric, table, expert,
    /// method, experts, annotators, samples, start and swept keys.
    #[arg(long, value_name = "EXPRESSION")]
    only: Option<Only>,
    /// List every run behind a cell, with its cases and its files.
    #[arg(short, long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A cell with its tests and runs.
#[derive(Serialize)]
struct Traced {
    table: String,
    cell: String,
    metric: &'static str,
    /// The metric with its unit.
    #[serde(skip)]
    heading: String,
    mean: Option<f64>,
    sd: Option<f64>,
    ci95: Option<(f64, f64)>,
    runs: usize,
    defined: usize,
    failed: usize,
    missing: usize,
    bold: bool,
    underline: bool,
    against_best: String,
    against_counterpart: String,
    /// What tells its results apart.
    by: String,
    results: Vec<(String, f64)>,
    behind: Vec<TracedRun>,
}

/// A run behind a cell.
#[derive(Serialize)]
struct TracedRun {
    start: usize,
    annotators: String,
    /// Which of several pretrainings of its experts.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat: Option<usize>,
    /// The values of swept keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    swept: BTreeMap<String, String>,
    score: Option<Score>,
    cases: Vec<(String, Score)>,
    stages: Vec<TracedStage>,
}

#[derive(Serialize)]
struct TracedStage {
    kind: Kind,
    digest: Digest,
    artefact: PathBuf,
    there: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let selection = &arguments.selection;
    let plan = selection.plan()?;
    let fields = Fields::of(&plan);
    let metric = Field {
        name: "metric".to_owned(),
        others: vec!["measure".to_owned()],
        numeric: false,
    };
    let all = [fields.list(), &[metric]].concat();
    let pick = arguments.only.as_ref().map(|only| only.among(&all));
    let asked = CellFilter {
        pick: pick.transpose().map_err(Failure::refused)?,
        fields,
        details: arguments.all || arguments.json,
    };
    let store = Store::within(&selection.results);
    let results = results::collect(&plan, &store, &|_: StageId| None);
    let mut traced = Vec::new();
    for (index, experiment) in plan.experiments.iter().enumerate() {
        for cell in &tabulate(&results, index).cells {
            if let Some(cell) = asked.trace(cell, experiment, &results, &store) {
                traced.push(cell);
            }
        }
    }
    if traced.is_empty() {
        let reported = plan
            .experiments
            .iter()
            .flat_map(|spec| &spec.metrics.report);
        let reported = reported.map(|metric| metric.word()).unique().format(", ");
        return Err(Failure::Input(anyhow!(
            "no cell of these tables is `{}`; there are {}; metric {reported}",
            arguments.only.as_ref().map_or("", Only::text),
            plan.listed(&asked.fields),
        )));
    }
    match arguments.json {
        true => print(serde_json::to_string_pretty(&traced).expect("cells are plain data")),
        false => traced.iter().for_each(|cell| cell.say(arguments.all)),
    }
    Ok(Done::Whole)
}

/// Which cells and runs are asked for; without an expression, all.
struct CellFilter {
    /// Over the fields of runs, followed by the metric.
    pick: Option<Pick>,
    fields: Fields,
    /// Whether the cases of runs are asked for.
    details: bool,
}

impl CellFilter {
    /// A cell with those of its runs that are asked for.
    fn trace(
        &self,
        cell: &Cell,
        experiment: &Experiment,
        results: &Results<'_>,
        store: &Store,
    ) -> Option<Traced> {
        let plan = results.plan;
        let wanted = |behind: &&Behind| {
            let run = &plan.runs[behind.run];
            let value = |field: usize| match field == self.fields.list().len() {
                true => Some(Value::Measure(cell.metric)),
                false => self.fields.value(field, run, plan),
            };
            self.pick.as_ref().is_none_or(|pick| pick.holds(&value))
        };
        let behind = cell.behind.iter().filter(wanted);
        let behind: Vec<TracedRun> = behind
            .map(|behind| TracedRun::of(behind, cell.metric, plan, store, self.details))
            .collect();
        (!behind.is_empty()).then(|| Traced {
            table: experiment.name.clone(),
            cell: cell.position.to_string(),
            metric: cell.metric.column(),
            heading: cell.metric.heading(experiment.distances()),
            mean: cell.mean,
            sd: cell.sd,
            ci95: cell.ci95,
            runs: cell.runs,
            defined: cell.defined,
            failed: cell.failed,
            missing: cell.missing(),
            bold: cell.bold,
            underline: cell.underline,
            against_best: told(&cell.against_best),
            against_counterpart: told(&cell.against_counterpart),
            by: experiment.table.results.iter().map(Axis::one).join(" and "),
            results: cell.results.iter().map(|(at, v)| (words(at), *v)).collect(),
            behind,
        })
    }
}

/// The values of coordinates, separated by commas.
fn words(place: &Coordinates) -> String {
    place.iter().flatten().map(Value::to_string).join(", ")
}

impl TracedRun {
    /// With its cases where `details` are asked for.
    fn of(behind: &Behind, metric: Measure, plan: &Plan, store: &Store, details: bool) -> Self {
        let run = &plan.runs[behind.run];
        let stages = plan.chain(run.evaluation).into_iter().map(|id| {
            let stage = plan.stage(id);
            let kind = stage.spec.kind();
            TracedStage {
                kind,
                digest: stage.digest,
                artefact: store.path(kind, &stage.digest),
                there: store.contains(kind, &stage.digest),
            }
        });
        let found = details.then(|| store.read(Kind::Evaluate, &behind.evaluation, &[SCORES]));
        let scores = match found {
            Some(Found::Intact(artefact)) => Scores::parse(&artefact.files[SCORES]).ok(),
            Some(Found::Missing | Found::Damaged(_)) | None => None,
        };
        let cases = scores.map_or_else(Vec::new, |scores| scores.cases);
        Self {
            start: run.at.start,
            annotators: run.at.names.joined(&run.at.experts),
            repeat: run.at.repeat,
            swept: run
                .at
                .swept
                .iter()
                .map(|setting| (setting.key().to_owned(), setting.text().to_owned()))
                .collect(),
            score: behind.score,
            cases: cases
                .iter()
                .filter_map(|case| named(case, metric))
                .collect(),
            stages: stages.collect(),
        }
    }
}

fn named(case: &CaseScores, metric: Measure) -> Option<(String, Score)> {
    Some((case.case.clone(), metric.in_table(case.of(metric)?)))
}

/// The result of a test, in words.
fn told(test: &Test) -> String {
    match test {
        Test::NoPartner => "there is no cell to test it against".to_owned(),
        Test::Itself => "it is the best itself".to_owned(),
        Test::Undefined(why) => format!("cannot be tested: {why}"),
        Test::Made(Comparison {
            with,
            paired: _,
            difference,
            ci95: (low, high),
            t,
            df,
            p,
            p_holm,
            p_annotators,
            sign_flip,
        }) => {
            let exact = sign_flip.map_or_else(String::new, |p| format!(", sign-flip p = {p:.4}"));
            let over = p_annotators
                .map_or_else(String::new, |p| format!(", over combinations p = {p:.4}"));
            format!(
                "against {with}: {difference:+.3} (95 % {low:+.3} to {high:+.3}), t = {t:.3}, df = \
                 {df:.1}, p = {p:.4}, Holm-adjusted {p_holm:.4}{over}{exact}"
            )
        }
    }
}

/// `1 run`, `2 runs`.
fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// How many results stand in a line.
const IN_A_LINE: usize = 6;

impl Traced {
    /// Prints it, with the runs behind it where `all` are asked for.
    fn say(&self, all: bool) {
        let number =
            |value: Option<f64>| value.map_or("undefined".to_owned(), |v| format!("{v:.3}"));
        print(format_args!(
            "{}, {}: {}",
            self.table, self.cell, self.heading
        ));
        let interval = match self.ci95 {
            Some((low, high)) => format!(", 95 % {low:.3} to {high:.3}"),
            None => String::new(),
        };
        let spread = self
            .sd
            .map_or_else(String::new, |sd| format!(", SD {sd:.3}"));
        print(format_args!(
            "  mean {}{spread}{interval}, over {}",
            number(self.mean),
            counted(self.results.len(), "result"),
        ));
        let Self {
            runs,
            defined,
            failed,
            missing,
            ..
        } = self;
        let undefined = runs - defined - failed - missing;
        print(format_args!(
            "  {}: {defined} with a value, {undefined} undefined, {failed} failed, {missing} \
             missing",
            counted(*runs, "run")
        ));
        let marks = [(self.bold, "bold"), (self.underline, "underlined")];
        let marks = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark);
        let marks: Vec<&str> = marks.collect();
        if !marks.is_empty() {
            print(format_args!("  marked {}", marks.join(" and ")));
        }
        print(format_args!("  best:        {}", self.against_best));
        print(format_args!("  counterpart: {}", self.against_counterpart));
        if all {
            self.behind.iter().for_each(TracedRun::say);
            return;
        }
        let results = self.results.iter();
        let results = results.map(|(result, value)| format!("{result}: {value:.3}"));
        let results: Vec<String> = results.collect();
        for (i, line) in results.chunks(IN_A_LINE).enumerate() {
            let head = match i {
                0 => format!("by {}:", self.by),
                _ => String::new(),
            };
            print(format_args!("  {head:<20} {}", line.join("  ")));
        }
        match self.behind.len() {
            1 => print("  --all shows the run behind it, with its cases and files"),
            several => print(format_args!(
                "  --all lists the {several} runs behind it, with their cases and files"
            )),
        }
    }
}

impl TracedRun {
    fn say(&self) {
        let annotators = match self.annotators.is_empty() {
            true => String::new(),
            false => format!(", annotators {}", self.annotators),
        };
        let score = self
            .score
            .map_or("no result".to_owned(), |score| said(&score));
        let swept = self
            .swept
            .iter()
            .map(|(key, value)| format!(", {key} = {value}"));
        let swept: String = swept.collect();
        let repeat = self.repeat.map(|repeat| format!(", repeat {repeat}"));
        let repeat = repeat.unwrap_or_default();
        print(format_args!(
            "  start {}{annotators}{repeat}{swept}: {score}",
            self.start
        ));
        let cases = self.cases.iter();
        let cases = cases.map(|(case, score)| format!("{case} {}", said(score)));
        if !self.cases.is_empty() {
            print(format_args!("    {}", cases.format(", ")));
        }
        for stage in &self.stages {
            let missing = if stage.there { "" } else { "  (not there)" };
            print(format_args!("    {}{missing}", shown(&stage.artefact)));
        }
    }
}

fn said(score: &Score) -> String {
    match score {
        Score::Value(value) => format!("{value:.3}"),
        Score::Undefined(reason) => format!("undefined ({reason})"),
    }
}

fn shown(path: &Path) -> impl std::fmt::Display + '_ {
    path.display()
}
