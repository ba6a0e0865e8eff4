//! `expertgrid trace`: a cell of a table down to its runs, their scores, their keys and their files.

use std::path::{Path, PathBuf};

use clap::Args;
use itertools::Itertools;
use serde::Serialize;

use super::{Done, Failure, Selection, output::print};
use crate::{
    artefact::{CaseScores, SCORES, Scores},
    key::Digest,
    metric::{Measure, Score},
    plan::{Kind, Only, Plan, StageId},
    report::{Behind, Cell, Comparison, Test, tabulate},
    results::{self, Results},
    store::{Found, Store},
};

#[derive(Debug, Args)]
#[command(
    after_help = "The cell comes last, in the words of --only and a metric: dice, assd or 95hd. Without a metric all three
are traced, and what picks more than one cell traces them all.

Example: expertgrid trace experiments/table2.toml 'expert=6 n=10 arm=w/ metric=dice' --profile phantom"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which numbers are asked for.
struct Asked {
    runs: Option<Only>,
    metric: Option<Measure>,
}

/// A cell with what stands behind it.
#[derive(Serialize)]
struct Traced {
    table: String,
    cell: String,
    metric: &'static str,
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
    by_start: Vec<(usize, f64)>,
    behind: Vec<TracedRun>,
}

/// A run behind a cell.
#[derive(Serialize)]
struct TracedRun {
    start: usize,
    combination: String,
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
    let mut selection = arguments.selection.clone();
    let (Some(asked), false) = (selection.manifests.pop(), selection.manifests.is_empty()) else {
        return Err(Failure::input(
            "name a manifest and then a cell, for example `expertgrid trace experiments/table2.toml 'expert=6 n=10 arm=w/ \
             metric=dice'`",
        ));
    };
    let asked = Asked::parse(&asked.to_string_lossy()).map_err(Failure::Input)?;
    let plan = selection.plan()?;
    let store = Store::within(&selection.results);
    let results = results::collect(&plan, &store, &|_: StageId| None);
    let mut traced = Vec::new();
    for (index, experiment) in plan.experiments.iter().enumerate() {
        for cell in &tabulate(&results, index).cells {
            if let Some(cell) = asked.trace(cell, &experiment.name, &results, &store) {
                traced.push(cell);
            }
        }
    }
    if traced.is_empty() {
        return Err(Failure::input(
            "no cell of these tables is that; `expertgrid report` shows what there is",
        ));
    }
    match arguments.json {
        true => print(serde_json::to_string_pretty(&traced).expect("cells are plain data")),
        false => traced.iter().for_each(Traced::say),
    }
    Ok(Done::Whole)
}

impl Asked {
    fn parse(text: &str) -> Result<Self, String> {
        let is_metric = |word: &&str| word.starts_with("metric=");
        let metrics: Vec<&str> = text.split_whitespace().filter(is_metric).collect();
        let metric = match metrics.as_slice() {
            [] => None,
            [word] => {
                let word = word["metric=".len()..].trim_matches('"');
                let known = || Measure::all().map(Measure::word).format(", ");
                let unknown = || format!("`{word}` is no measure; they are {}", known());
                Some(Measure::named(word).ok_or_else(unknown)?)
            }
            _ => return Err("name one measure, or none for all".to_owned()),
        };
        let rest = text.split_whitespace().filter(|word| !is_metric(word));
        // As `a and metric=b` leaves an `and` at the end.
        let rest = rest.collect::<Vec<_>>();
        let rest = rest.strip_suffix(&["and"]).unwrap_or(&rest).join(" ");
        let rest = rest.replace("and and ", "and ");
        let runs = (!rest.is_empty()).then(|| rest.parse()).transpose()?;
        Ok(Self { runs, metric })
    }

    /// A cell with those of its runs that are asked for.
    fn trace(
        &self,
        cell: &Cell,
        table: &str,
        results: &Results<'_>,
        store: &Store,
    ) -> Option<Traced> {
        if self.metric.is_some_and(|metric| metric != cell.metric) {
            return None;
        }
        let plan = results.plan;
        let wanted = |behind: &&Behind| {
            let run = &plan.runs[behind.run];
            self.runs
                .as_ref()
                .is_none_or(|only| only.matches(run, plan))
        };
        let behind = cell.behind.iter().filter(wanted);
        let behind: Vec<TracedRun> = behind
            .map(|behind| TracedRun::of(behind, cell.metric, plan, store))
            .collect();
        (!behind.is_empty()).then(|| Traced {
            table: table.to_owned(),
            cell: cell.position.to_string(),
            metric: cell.metric.column(),
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
            by_start: cell.by_start.iter().map(|(s, v)| (*s, *v)).collect(),
            behind,
        })
    }
}

impl TracedRun {
    fn of(behind: &Behind, metric: Measure, plan: &Plan, store: &Store) -> Self {
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
        let scores = match store.read(Kind::Evaluate, &behind.evaluation, &[SCORES]) {
            Found::Intact(artefact) => Scores::parse(&artefact.files[SCORES]).ok(),
            Found::Missing | Found::Damaged(_) => None,
        };
        let cases = scores.map_or_else(Vec::new, |scores| scores.cases);
        Self {
            start: behind.start,
            combination: behind.experts.iter().join("+"),
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

/// What came of a test, in words.
fn told(test: &Test) -> String {
    match test {
        Test::NoPartner => "there is no cell to test it against".to_owned(),
        Test::Itself => "it is the best itself".to_owned(),
        Test::Undefined(why) => format!("cannot be tested: {why}"),
        Test::Made(Comparison {
            with,
            difference,
            ci95: (low, high),
            t,
            df,
            p,
            p_holm,
            sign_flip,
        }) => {
            let exact = sign_flip.map_or_else(String::new, |p| format!(", sign-flip p = {p:.4}"));
            format!(
                "against {with}: {difference:+.3} (95 % {low:+.3} to {high:+.3}), t = {t:.3}, df = {df:.1}, p = {p:.4}, \
                 Holm-adjusted {p_holm:.4}{exact}"
            )
        }
    }
}

impl Traced {
    fn say(&self) {
        let number =
            |value: Option<f64>| value.map_or("undefined".to_owned(), |v| format!("{v:.3}"));
        print(format_args!(
            "{}, {}: {}",
            self.table, self.cell, self.metric
        ));
        let interval = match self.ci95 {
            Some((low, high)) => format!(", 95 % {low:.3} to {high:.3}"),
            None => String::new(),
        };
        print(format_args!(
            "  mean {}, SD {}{interval}, over {} ways of sampling",
            number(self.mean),
            number(self.sd),
            self.by_start.len()
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
            "  {runs} runs: {defined} with a value, {undefined} undefined, {failed} failed, {missing} missing"
        ));
        let marks = [(self.bold, "bold"), (self.underline, "underlined")];
        let marks = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark);
        let marks: Vec<&str> = marks.collect();
        if !marks.is_empty() {
            print(format_args!("  marked {}", marks.join(" and ")));
        }
        print(format_args!("  best:        {}", self.against_best));
        print(format_args!("  counterpart: {}", self.against_counterpart));
        for run in &self.behind {
            run.say();
        }
    }
}

impl TracedRun {
    fn say(&self) {
        let combination = match self.combination.is_empty() {
            true => String::new(),
            false => format!(", experts {}", self.combination),
        };
        let score = self
            .score
            .map_or("no result".to_owned(), |score| said(&score));
        print(format_args!("  start {}{combination}: {score}", self.start));
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
