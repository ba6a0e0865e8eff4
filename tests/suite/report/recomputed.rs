//! Every number and mark of a table against pandas and SciPy, on drawn runs of which some have no
//! value.

use std::fs;

use std::collections::BTreeMap;

use expertgrid::{
    manifest,
    metric::{Reason, Score},
    plan::{self, Inventory},
    report::{self, Cell},
    results::{Outcome, Results, RunStatus},
};
use itertools::Itertools;
use serde_json::Value;

use crate::support::common::{Metric, repository, word};

const GRID: &str = r#"
[grid]
new_experts = [6, 7]
arms = ["w/", "w/o"]
annotators = { from = [1, 2, 3], choose = 2 }
samples = [5, 10, 20]
starts = [1, 4, 7, 10, 13]
"#;

/// What a run of the fixture came to.
fn outcome(run: &Value) -> Outcome {
    let undefined = Score::Undefined(Reason::EmptyPrediction);
    let score = |metric: Metric| {
        run[metric.measure().column()]
            .as_f64()
            .map_or(undefined, Score::Value)
    };
    let status = match run["status"].as_str().unwrap() {
        "ok" => RunStatus::Ok,
        "undefined" => RunStatus::Undefined("drawn".into()),
        "failed" => RunStatus::Failed("drawn".into()),
        _ => RunStatus::Missing,
    };
    let there = matches!(status, RunStatus::Ok | RunStatus::Undefined(_));
    Outcome {
        status,
        means: match there {
            true => Metric::ALL
                .map(|metric| (metric.measure(), score(metric)))
                .into(),
            false => Vec::new(),
        },
        worst: Vec::new(),
        made_by: std::collections::BTreeSet::new(),
    }
}

/// A cell's numbers, by the fixture's names; marks as 0 and 1.
fn numbers(cell: &Cell) -> Vec<(&'static str, Option<f64>)> {
    let gain = cell.against_counterpart.comparison();
    let count = |count: usize| Some(count as f64);
    let mark = |mark: bool| Some(f64::from(u8::from(mark)));
    vec![
        ("runs", count(cell.runs)),
        ("runs_defined", count(cell.defined)),
        ("runs_undefined", count(cell.undefined())),
        ("runs_failed", count(cell.failed)),
        ("runs_missing", count(cell.missing())),
        ("n", count(cell.results.len())),
        ("mean", cell.mean),
        ("sd", cell.sd),
        ("ci95_low", cell.ci95.map(|ci| ci.0)),
        ("ci95_high", cell.ci95.map(|ci| ci.1)),
        ("p_best", cell.against_best.p()),
        ("p_best_holm", cell.against_best.p_holm()),
        ("p_counterpart", cell.against_counterpart.p()),
        ("p_counterpart_holm", cell.against_counterpart.p_holm()),
        (
            "p_counterpart_sign_flip",
            gain.and_then(|gain| gain.sign_flip),
        ),
        ("gain", gain.map(|gain| gain.difference)),
        ("gain_ci95_low", gain.map(|gain| gain.ci95.0)),
        ("gain_ci95_high", gain.map(|gain| gain.ci95.1)),
        ("bold", mark(cell.bold)),
        ("underline", mark(cell.underline)),
        ("best", mark(cell.best)),
    ]
}

#[test]
fn every_number_and_mark_is_that_of_pandas_and_scipy() {
    let path = repository().join("tests/fixtures/recomputed.json");
    let fixture: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drawn.toml");
    fs::write(&path, GRID).unwrap();
    let experiments = manifest::read(&[&path], "paper", &[]).unwrap();
    let inventory = Inventory::assumed(&experiments[0].cohort);
    let plan = plan::build(experiments, &inventory);
    let drawn = fixture["runs"].as_array().unwrap();
    assert_eq!(drawn.len(), plan.runs.len());
    let outcomes = plan.runs.iter().map(|run| {
        let found = drawn.iter().find(|drawn| {
            drawn["new_expert"] == run.at.new_expert
                && drawn["method"] == *run.at.method.word
                && drawn["annotators"] == run.at.experts.iter().join("+")
                && drawn["samples"] == run.at.samples
                && drawn["start"] == run.at.start
        });
        outcome(found.unwrap())
    });
    let results = Results {
        outcomes: outcomes.collect(),
        plan: &plan,
        latents: BTreeMap::new(),
        thresholds: BTreeMap::new(),
        agreements: BTreeMap::new(),
        branches: BTreeMap::new(),
        damaged: Vec::new(),
    };
    let table = report::tabulate(&results, 0);
    let cells = fixture["cells"].as_array().unwrap();
    assert_eq!(cells.len(), table.cells.len());
    for cell in &table.cells {
        let expected = cells.iter().find(|expected| {
            expected["new_expert"] == cell.position.new_expert().unwrap()
                && expected["method"] == word(&cell.position)
                && expected["experts"] == cell.position.experts().unwrap()
                && expected["samples"] == cell.position.samples().unwrap()
                && expected["metric"] == cell.metric.column()
        });
        let expected = expected.unwrap();
        for (name, found) in numbers(cell) {
            let wanted = match &expected[name] {
                Value::Bool(mark) => Some(f64::from(u8::from(*mark))),
                other => other.as_f64(),
            };
            let close = match (found, wanted) {
                (Some(found), Some(wanted)) => {
                    (found - wanted).abs() <= 1e-9 * wanted.abs().max(1e-3)
                }
                (found, wanted) => found.is_none() && wanted.is_none(),
            };
            assert!(
                close,
                "{} {:?} {name}: {found:?}, not {wanted:?}",
                cell.position, cell.metric
            );
        }
    }
    // The fixture has both kinds of each mark, and cells without tests.
    let count = |wanted: &dyn Fn(&Cell) -> bool| table.cells.iter().filter(|c| wanted(c)).count();
    assert!(count(&|cell| cell.bold) > 3 && count(&|cell| !cell.bold) > 20);
    assert!(count(&|cell| cell.underline) > 3);
    assert!(count(&|cell| cell.against_best.p().is_none()) >= 18);
}
