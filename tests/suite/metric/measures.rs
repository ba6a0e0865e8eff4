//! What a manifest reports: which measures its tables have, and what files of scores hold.

use expertgrid::{
    artefact::{CaseScores, Scores},
    manifest,
    metric::{Measure, Reason, Score},
    plan::{self, Inventory, Plan},
    results,
};

use crate::{
    manifest::options::problems,
    support::made_up::{MANIFEST, grid, write},
};

#[test]
fn a_table_has_the_measures_that_are_reported_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{MANIFEST}\n[metrics]\nreport = [\"hd95\", \"dice\"]\n");
    let scores = |start: usize| [0.5, 1.0, 20.0 + start as f64].map(Score::Value);
    let (plan, store) = grid(folder.path(), &text, |run| Some(scores(run.at.start)));
    let results = results::collect(&plan, &store, &|_| None);
    assert_eq!(results.tally(0).ok, plan.runs.len());
    let written = write(&results, folder.path());
    let head = written.lines().find(|line| line.contains("95HD")).unwrap();
    assert!(head.find("95HD ↓") < head.find("Dice (%) ↑"), "{head}");
    assert!(!written.contains("ASSD"), "{written}");
    let runs = std::fs::read_to_string(folder.path().join("made_up/paper/runs.csv")).unwrap();
    assert!(runs.starts_with(
        "table,new_expert,method,experts,annotators,samples,start,hd95,dice_percent,status"
    ));
    assert!(runs.contains(",5,1,21,50,ok,"), "{runs}");
}

#[test]
fn a_measure_that_is_not_reported_leaves_a_run_defined() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{MANIFEST}\n[metrics]\nreport = [\"dice\"]\n");
    let empty = Score::Undefined(Reason::EmptyPrediction);
    let (plan, store) = grid(folder.path(), &text, |_| {
        Some([Score::Value(0.0), empty, empty])
    });
    let results = results::collect(&plan, &store, &|_| None);
    assert_eq!(results.tally(0).undefined, 0);
}

#[test]
fn the_standard_measures_in_any_order_are_one_evaluation() {
    let evaluations = |report: &str| -> Vec<_> {
        let text = format!("{MANIFEST}\n[metrics]\nreport = {report}\n");
        let plan = planned(&text);
        let evaluations = plan
            .runs
            .iter()
            .map(|run| plan.stage(run.evaluation).digest);
        evaluations.collect()
    };
    let standard = evaluations("[\"dice\", \"assd\", \"hd95\"]");
    assert_eq!(evaluations("[\"hd95\", \"dice\"]"), standard);
    assert_ne!(evaluations("[\"dice\", \"rad\"]"), standard);
}

#[test]
fn a_tolerance_is_in_the_key_of_an_evaluation_that_measures_by_it() {
    let evaluation = |more: &str| {
        let plan = planned(&format!("{MANIFEST}\n[metrics]\n{more}\n"));
        plan.stage(plan.runs[0].evaluation).digest
    };
    let standard = evaluation("");
    assert_eq!(evaluation("nsd_tolerance = 2.0"), standard);
    let nsd = evaluation("report = [\"nsd\"]");
    assert_ne!(nsd, standard);
    assert_eq!(evaluation("report = [\"nsd\"]\nnsd_tolerance = 1"), nsd);
    assert_ne!(evaluation("report = [\"nsd\"]\nnsd_tolerance = 2"), nsd);
    let said = problems("metrics.nsd_tolerance=-1");
    assert!(said.contains("it must be from 0 to 1000"), "{said}");
}

#[test]
fn a_stored_definition_has_a_tolerance_where_it_is_not_the_default() {
    let stored = |more: &str| {
        let text = format!("{MANIFEST}\n[metrics]\n{more}\n");
        let experiment = manifest::parse("made_up.toml".as_ref(), &text, "paper", &[]).unwrap();
        serde_json::to_string(&experiment.metrics).unwrap()
    };
    let plain = r#"{"assd":"pooled","hd95":"pooled","spacing":"unit"}"#;
    assert_eq!(stored(""), plain);
    let read: manifest::Metrics = serde_json::from_str(plain).unwrap();
    assert_eq!(read.nsd_tolerance, 1.0);
    let two = r#"{"assd":"pooled","hd95":"pooled","nsd_tolerance":2.0,"spacing":"unit"}"#;
    assert_eq!(stored("nsd_tolerance = 2"), two);
    let read: manifest::Metrics = serde_json::from_str(two).unwrap();
    assert_eq!(read.definition().nsd_tolerance, 2.0);
}

#[test]
fn a_further_measure_trains_nothing_anew() {
    let trainings = |report: &str| -> Vec<_> {
        let plan = planned(&format!("{MANIFEST}\n[metrics]\nreport = {report}\n"));
        plan.runs
            .iter()
            .map(|run| plan.stage(run.network).digest)
            .collect()
    };
    assert_eq!(trainings("[\"dice\"]"), trainings("[\"dice\", \"rad\"]"));
}

fn planned(text: &str) -> Plan {
    let experiment = manifest::parse("made_up.toml".as_ref(), text, "paper", &[]).unwrap();
    let inventory = Inventory::assumed(&experiment.cohort);
    plan::build(vec![experiment], &inventory)
}

#[test]
fn of_a_signed_measure_the_best_mean_is_the_one_nearest_to_zero() {
    let rad = Measure::named("rad").unwrap();
    assert_eq!(rad.heading("px"), "RAD (%) → 0");
    assert!(rad.is_better(-2.0, 5.0) && rad.is_better(2.0, -5.0));
    assert!(!rad.is_better(-5.0, 2.0));
    assert_eq!(rad.gain(-2.0, 5.0), 3.0);
    assert_eq!(rad.in_table(Score::Value(-0.25)), Score::Value(-25.0));
}

#[test]
fn an_unknown_measure_is_refused_with_those_there_are() {
    let said = problems("metrics.report=[\"dice\", \"jaccard\"]");
    assert!(said.contains("there is no measure \"jaccard\""), "{said}");
    assert!(said.contains("dice, assd, hd95"), "{said}");
    let twice = problems("metrics.report=[\"dice\", \"dice\"]");
    assert!(
        twice.contains("`metrics.report` names dice twice"),
        "{twice}"
    );
}

#[test]
fn scores_are_read_as_they_were_always_written_and_keep_words_that_are_not_known() {
    let text = r#"{
  "cases": [
    {
      "case": "case35",
      "dice": {
        "value": 0.5
      },
      "assd": {
        "undefined": "empty_prediction"
      },
      "hd95": {
        "undefined": "empty_prediction"
      },
      "later": {
        "value": 2.0
      },
      "diagonal": 362.0
    }
  ]
}
"#;
    let scores = Scores::parse(text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(scores.to_bytes()).unwrap(), text);
    let dice = Measure::named("dice").unwrap();
    assert_eq!(scores.cases[0].of(dice), Some(Score::Value(0.5)));
}

#[test]
fn scores_without_a_case_or_with_one_word_twice_are_refused() {
    for (text, why) in [
        ("{\"cases\": []}", "it holds no case"),
        (
            r#"{"cases": [
                {"case": "a", "dice": {"value": 1}, "dice": {"value": 0}, "diagonal": 1}
            ]}"#,
            "`dice` occurs twice",
        ),
        (
            r#"{"cases": [{"case": "a", "dice": {"value": 1}}]}"#,
            "diagonal",
        ),
        (
            r#"{"cases": [{"case": "a", "dice": 1, "diagonal": 1}]}"#,
            "scores.json",
        ),
    ] {
        let said = Scores::parse(text.as_bytes()).unwrap_err();
        assert!(said.contains(why), "{text}: {said}");
    }
}

#[test]
fn scores_that_lack_a_reported_measure_are_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), MANIFEST, |_| Some([Score::Value(1.0); 3]));
    let run = &plan.runs[0];
    let stage = plan.stage(run.evaluation);
    let path = store.path(stage.spec.kind(), &stage.digest);
    let scores = Scores {
        cases: vec![CaseScores {
            case: "case35".into(),
            scores: vec![("dice".into(), Score::Value(1.0))],
            diagonal: 1.0,
        }],
    };
    assert!(path.join("scores.json").exists());
    std::fs::write(path.join("scores.json"), scores.to_bytes()).unwrap();
    // The store notices that the file is not the one it was given.
    let results = results::collect(&plan, &store, &|_| None);
    assert_eq!(results.damaged.len(), 1);
    assert_eq!(results.tally(0).missing, 1);
}
