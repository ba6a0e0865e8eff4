//! Tables computed from made-up scores: averages, tests, marks, and what is missing or undefined.

use expertgrid::{
    grid::Value,
    metric::{Reason, Score},
    plan::Run,
    report::{self, Cell, Table},
    results::{self, Results, RunStatus},
};

use crate::support::{
    common::{Metric, compare_with_fixture, csv, word},
    made_up::{with_scores, write},
};

fn table(results: &Results<'_>) -> Table {
    report::tabulate(results, 0)
}

fn cell<'a>(table: &'a Table, method: &str, samples: usize, metric: Metric) -> &'a Cell {
    let found = table.cells.iter().find(|cell| {
        word(&cell.position) == method
            && cell.position.samples() == Some(samples)
            && cell.metric == metric
    });
    found.unwrap()
}

/// Distances whose differences between arms have known means and deviations.
fn regular(run: &Run) -> f64 {
    let combination = f64::from(run.at.experts.iter().map(|e| u32::from(*e)).sum::<u32>());
    let start = run.at.start as f64;
    match (run.at.experts.len(), run.at.samples) {
        // Combinations add -1, 0, 1: their sums are 3, 4, 5.
        (2, 5) => 2.0 + 0.1 * start + (combination - 4.0),
        (2, _) => 1.0 + 0.1 * start + (combination - 4.0),
        // Starts 1, 4, 7, 10 swing by -.3, .3, -.3, .3 around one more than with pretraining.
        (_, 5) => {
            3.0 + 0.1 * start
                + if (start as usize).is_multiple_of(2) {
                    0.3
                } else {
                    -0.3
                }
        }
        _ => {
            1.0 + 0.1 * start
                + if (start as usize).is_multiple_of(2) {
                    0.3
                } else {
                    -0.3
                }
        }
    }
}

#[test]
fn combinations_are_averaged_before_ways_of_sampling() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = with_scores(folder.path(), |run| Some(Score::Value(regular(run))));
    let results = results::collect(&plan, &store, &|_| None);
    let table = table(&results);
    let with = cell(&table, "w/", 5, Metric::Assd);
    // One result per start: the combinations' -1, 0 and 1 cancel.
    let results: Vec<f64> = with.results.values().copied().collect();
    for (found, expected) in results.iter().zip([2.1, 2.4, 2.7, 3.0]) {
        assert!((found - expected).abs() < 1e-12);
    }
    assert!((with.mean.unwrap() - 2.55).abs() < 1e-12);
    // Standard deviation of 0, .3, .6, .9 with n - 1: sqrt(.45 / 3).
    assert!((with.sd.unwrap() - 0.15_f64.sqrt()).abs() < 1e-12);
    assert_eq!((with.runs, with.defined, with.results.len()), (12, 12, 4));
    // Dice is shown in per cent.
    assert!((cell(&table, "w/", 5, Metric::Dice).mean.unwrap() - 255.0).abs() < 1e-9);
}

#[test]
fn marks_follow_the_tests() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = with_scores(folder.path(), |run| Some(Score::Value(regular(run))));
    let results = results::collect(&plan, &store, &|_| None);
    let table = table(&results);
    let at = |method, samples| cell(&table, method, samples, Metric::Assd);
    // Differences at n = 5: .7, 1.3, .7, 1.3; mean 1, sd sqrt(.12), t = 1 / (sqrt(.12) / 2) = 5.77,
    // two-sided p at 3 degrees of freedom by its closed form, with x = t / sqrt(3) = 10 / 3:
    // 1 - 2 / pi (x / (1 + x^2) + atan x).
    assert!((at("w/", 5).against_counterpart.p().unwrap() - 0.010_330_707_045_141).abs() < 1e-12);
    assert!(at("w/", 5).underline);
    // At n = 10: -.3, .3, -.3, .3: no difference at all.
    assert!((at("w/", 10).against_counterpart.p().unwrap() - 1.0).abs() < 1e-9);
    assert!(!at("w/", 10).underline);
    // Distances: the smallest mean is the best; both at n = 10 share it.
    assert!(at("w/", 10).bold && at("w/o", 10).bold);
    assert!(!at("w/", 5).bold && !at("w/o", 5).bold);
    // A constant difference between rows is certain.
    assert_eq!(at("w/", 5).against_best.p().map(|p| p < 0.05), Some(true));
    // For Dice the largest is the best, and more distance is no gain.
    assert!(cell(&table, "w/o", 5, Metric::Dice).bold);
    assert!(!cell(&table, "w/", 5, Metric::Dice).underline);
}

#[test]
fn an_undefined_score_is_counted_shown_and_earns_no_mark() {
    let folder = tempfile::tempdir().unwrap();
    let undefined =
        |run: &Run| run.at.experts[..] == [1, 2] && run.at.samples == 5 && run.at.start == 4;
    let (plan, store) = with_scores(folder.path(), |run| {
        Some(match undefined(run) {
            true => Score::Undefined(Reason::EmptyPrediction),
            false => Score::Value(regular(run)),
        })
    });
    let results = results::collect(&plan, &store, &|_| None);
    assert_eq!((results.tally(0).ok, results.tally(0).undefined), (31, 1));
    let table = table(&results);
    let with = cell(&table, "w/", 5, Metric::Assd);
    assert_eq!((with.runs, with.defined), (12, 11));
    // Start 4 keeps the combinations +0 and +1 of 2.4: 2.9.
    assert!((with.results[&vec![Some(Value::Whole(4))]] - 2.9).abs() < 1e-12);
    assert!((with.mean.unwrap() - (2.1 + 2.9 + 2.7 + 3.0) / 4.0).abs() < 1e-12);
    // The worst case is the image's diagonal: (1.4 -> 100) / 3 more in one of four.
    let worst = (2.1 + (100.0 + 2.4 + 3.4) / 3.0 + 2.7 + 3.0) / 4.0;
    assert!((with.worst.unwrap() - worst).abs() < 1e-9);
    assert_eq!(
        (
            with.against_counterpart.p(),
            with.against_best.p(),
            with.bold,
            with.underline
        ),
        (None, None, false, false)
    );
    // Dice is defined for the same run.
    assert!(cell(&table, "w/", 5, Metric::Dice).complete());
    // Neighbours are marked as before.
    assert!(cell(&table, "w/", 10, Metric::Assd).bold);

    let text = write(&results, folder.path());
    assert!(text.contains("2.67† 11/12"), "{text}");
    assert!(text.contains("1 have an undefined metric"), "{text}");
    let rows = csv(&folder.path().join("made_up/paper/runs.csv"));
    let row = rows
        .iter()
        .find(|row| row["status"] == "undefined")
        .unwrap();
    assert_eq!(
        (&*row["annotators"], &*row["samples"], &*row["start"]),
        ("1+2", "5", "4")
    );
    assert_eq!((&*row["assd"], &*row["dice_percent"]), ("", "0"));
    assert!(row["reason"].contains("the prediction is empty"));
}

#[test]
fn nobody_is_best_next_to_a_better_cell_with_undefined_scores() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = with_scores(folder.path(), |run| {
        let best = run.at.samples == 10 && run.at.experts.len() == 2;
        Some(
            match best && run.at.start == 1 && run.at.experts[..] == [1, 2] {
                true => Score::Undefined(Reason::EmptyPrediction),
                false => Score::Value(regular(run) - if best { 0.9 } else { 0.0 }),
            },
        )
    });
    let results = results::collect(&plan, &store, &|_| None);
    let table = table(&results);
    for cell in table
        .cells
        .iter()
        .filter(|cell| cell.metric == Metric::Assd)
    {
        assert_eq!(
            (cell.against_best.p(), cell.bold),
            (None, false),
            "{cell:?}"
        );
    }
}

#[test]
fn missing_and_failed_runs_leave_holes_that_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = with_scores(folder.path(), |run| {
        (run.at.samples == 5 || run.at.experts.len() == 2).then(|| Score::Value(regular(run)))
    });
    let lost = plan
        .runs
        .iter()
        .find(|run| run.at.experts.is_empty() && run.at.samples == 10)
        .unwrap()
        .evaluation;
    let results = results::collect(&plan, &store, &|id| {
        (id == lost).then(|| "out of memory".to_owned())
    });
    let tally = results.tally(0);
    assert_eq!((tally.ok, tally.failed, tally.missing), (28, 1, 3));
    assert!(
        results
            .outcomes
            .iter()
            .any(|o| o.status == RunStatus::Failed("out of memory".into()))
    );
    let table = table(&results);
    let hole = cell(&table, "w/o", 10, Metric::Assd);
    assert_eq!((hole.mean, hole.runs, hole.present), (None, 4, 0));
    assert_eq!(
        cell(&table, "w/", 10, Metric::Assd).against_counterpart.p(),
        None
    );
    let text = write(&results, folder.path());
    assert!(text.contains('–'), "{text}");
    assert!(text.contains("1 failed, 3 were not run yet"), "{text}");
}

#[test]
fn the_markdown_has_the_papers_layout() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = with_scores(folder.path(), |run| Some(Score::Value(regular(run))));
    let results = results::collect(&plan, &store, &|_| None);
    let text = write(&results, folder.path());
    compare_with_fixture("made_up.md", text.as_bytes()).unwrap();
}
