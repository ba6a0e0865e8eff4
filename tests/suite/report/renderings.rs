//! One table in every format: whole, and with runs that are undefined, failed and missing.
//!
//! `UPDATE_SNAPSHOTS=1` writes the files that are compared with; they are then to be read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use expertgrid::{
    metric::{Reason, Score},
    plan::{Plan, Run},
    report::{self, Document, Format, Style, Table},
    results::{self, Results},
    store::Store,
};

use crate::support::{
    common::{Metric, csv, repository, word},
    made_up::{own_folder, provenance, with_scores},
};

/// Better with pretraining by .5 on average, and with more samples.
fn whole(run: &Run) -> f64 {
    let swing = if run.at.start.is_multiple_of(2) {
        0.1
    } else {
        -0.1
    };
    let method = if run.at.experts.is_empty() {
        0.5 + swing
    } else {
        0.0
    };
    2.0 - 0.1 * run.at.samples as f64 + 0.05 * run.at.start as f64 + method
}

/// The same with one undefined run of `w/` at n = 5, one failed of `w/o` at n = 5 and all of `w/o`
/// at n = 10 missing.
fn with_holes(folder: &Path) -> (Plan, Store) {
    with_scores(folder, |run| {
        let scratch = run.at.experts.is_empty();
        match (scratch, run.at.samples, run.at.start) {
            (false, 5, 4) if run.at.experts[..] == [1, 2] => {
                Some(Score::Undefined(Reason::EmptyPrediction))
            }
            (true, 5, 7) | (true, 10, _) => None,
            _ => Some(Score::Value(whole(run))),
        }
    })
}

fn collect_holes<'a>(plan: &'a Plan, store: &Store) -> Results<'a> {
    let failed = plan
        .runs
        .iter()
        .find(|run| run.at.experts.is_empty() && run.at.samples == 5 && run.at.start == 7)
        .unwrap()
        .evaluation;
    results::collect(plan, store, &|id| {
        (id == failed).then(|| "killed by 100% of memory & more_than_that".to_owned())
    })
}

fn laid_out(results: &Results<'_>) -> (Table, Document) {
    let table = report::tabulate(results, 0);
    let document = report::lay_out(&table, results, 0, &provenance());
    (table, document)
}

fn compare(name: &str, text: &str) {
    let path = repository().join("tests/fixtures/report").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} is now:\n{text}");
}

fn compare_all(name: &str, table: &Table, document: &Document) {
    let formats = [
        ("md", Format::Markdown),
        ("tex", Format::Latex),
        ("html", Format::Html),
        ("txt", Format::Terminal(Style::Characters, 100)),
        ("ansi", Format::Terminal(Style::Escapes, 100)),
    ];
    for (extension, format) in formats {
        let text = report::render(std::slice::from_ref(document), format);
        compare(&format!("{name}.{extension}"), &text);
    }
    let cells = String::from_utf8(report::cells_csv([table])).unwrap();
    compare(&format!("{name}.csv"), &cells);
}

#[test]
fn a_whole_table_looks_as_it_did_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = with_scores(folder.path(), |run| Some(Score::Value(whole(run))));
    let results = results::collect(&plan, &store, &|_| None);
    let (table, document) = laid_out(&results);
    compare_all("whole", &table, &document);
}

#[test]
fn a_table_with_holes_says_so_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = with_holes(folder.path());
    let results = collect_holes(&plan, &store);
    let (table, document) = laid_out(&results);
    for format in [
        Format::Markdown,
        Format::Html,
        Format::Latex,
        Format::Terminal(Style::Characters, 100),
        Format::Terminal(Style::Escapes, 100),
    ] {
        let text = report::render(std::slice::from_ref(&document), format);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for said in [
            "11/12",
            "3/4",
            "0/4",
            "1 have an undefined metric, 1 failed, 4 were not run yet",
            "Failed (1): killed by",
            "nothing is bold",
            "if every undefined value were the worst possible",
        ] {
            assert!(text.contains(said), "{format:?} lacks {said:?}: {text}");
        }
    }
    compare_all("holes", &table, &document);
}

#[test]
fn the_csv_counts_what_is_missing_and_says_why_nothing_was_tested() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = with_holes(folder.path());
    let results = collect_holes(&plan, &store);
    let table = report::table(&results, 0, &provenance(), &own_folder(folder.path()));
    table.write().unwrap();
    let rows = csv(&folder.path().join("made_up/paper/made_up.csv"));
    let row = |method: &str, samples: &str| {
        rows.iter()
            .find(|row| {
                row["method"] == method && row["samples"] == samples && row["metric"] == "assd"
            })
            .unwrap()
    };
    let counts = |method: &str, samples: &str| {
        let row = row(method, samples);
        [
            "runs",
            "runs_defined",
            "runs_undefined",
            "runs_failed",
            "runs_missing",
        ]
        .map(|column| row[column].clone())
        .join(" ")
    };
    assert_eq!(counts("w/", "5"), "12 11 1 0 0");
    assert_eq!(counts("w/o", "5"), "4 3 0 1 0");
    assert_eq!(counts("w/o", "10"), "4 0 0 0 4");
    assert_eq!(counts("w/", "10"), "12 12 0 0 0");
    assert!(
        row("w/", "10")["untested"]
            .contains("against the counterpart: runs of the other cell have no value")
    );
    assert!(
        row("w/", "10")["untested"].contains("against the best: runs of the block have no result")
    );
    for row in &rows {
        assert_eq!(
            (&*row["bold"], &*row["underline"]),
            ("false", "false"),
            "{row:?}"
        );
    }
}

#[test]
fn a_half_done_grid_marks_the_pairs_that_are_there_and_nothing_as_the_best() {
    let folder = tempfile::tempdir().unwrap();
    // All of n = 10, and of n = 5 one combination alone.
    let (plan, store) = with_scores(folder.path(), |run| {
        let there = run.at.samples == 10 || run.at.experts[..] == [1, 2];
        there.then(|| Score::Value(whole(run)))
    });
    let results = results::collect(&plan, &store, &|_| None);
    let (table, document) = laid_out(&results);
    for cell in &table.cells {
        assert!(!cell.bold && !cell.best, "{cell:?}");
        let pair = cell.position.samples() == Some(10) && cell.position.experts() == Some(2);
        // Of Dice more is better, and these have less.
        assert_eq!(
            cell.underline,
            pair && cell.metric != Metric::Dice,
            "{cell:?}"
        );
    }
    let text = report::markdown(&document);
    assert!(
        text.contains("… 4/12") && text.contains(" … 0/4 |"),
        "{text}"
    );
}

#[test]
fn intervals_and_holms_adjustment_are_those_of_the_textbook() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = with_scores(folder.path(), |run| Some(Score::Value(whole(run))));
    let results = results::collect(&plan, &store, &|_| None);
    let (table, _) = laid_out(&results);
    let find = |method: &str, samples| {
        let found = table.cells.iter().find(|cell| {
            word(&cell.position) == method
                && cell.position.samples() == Some(samples)
                && cell.metric == Metric::Assd
        });
        found.unwrap()
    };
    // 1.55, 1.7, 1.85, 2: mean 1.775, sd .15 sqrt(5 / 3); t(.975, 3) = 3.182446305284263 (tables).
    let (low, high) = find("w/", 5).ci95.unwrap();
    let margin = 3.182_446_305_284_263 * 0.15 * (5.0_f64 / 3.0).sqrt() / 2.0;
    assert!((low - (1.775 - margin)).abs() < 1e-12 && (high - (1.775 + margin)).abs() < 1e-12);
    // Both differences are -.4, -.6, -.4, -.6: t = -.5 / (sqrt(.04 / 3) / 2) = -5 sqrt(3), whose p
    // at 3 degrees of freedom is 1 - 2 / pi (x / (1 + x^2) + atan x) with x = 5. Two such tests:
    // the smaller counts twice, the other no less.
    let p = 1.0 - 2.0 / std::f64::consts::PI * (5.0 / 26.0 + 5.0_f64.atan());
    for samples in [5, 10] {
        let test = find("w/", samples)
            .against_counterpart
            .comparison()
            .unwrap();
        assert!((test.p - p).abs() < 1e-12 && (test.p_holm - 2.0 * p).abs() < 1e-12);
        assert!((test.difference + 0.5).abs() < 1e-12);
        // All signs alike: 2 of 16 assignments are as extreme.
        assert_eq!(test.sign_flip, Some(0.125));
    }
    // The runs behind a cell, with their keys.
    let cell = find("w/o", 10);
    let starts: Vec<usize> = cell
        .behind
        .iter()
        .map(|behind| plan.runs[behind.run].at.start)
        .collect();
    assert_eq!(starts, [1, 4, 7, 10]);
    for behind in &cell.behind {
        let run = &plan.runs[behind.run];
        assert_eq!(
            (run.at.samples, run.at.start),
            (10, behind.result[0].as_ref().unwrap().whole().unwrap())
        );
        assert_eq!(behind.evaluation, plan.stage(run.evaluation).digest);
        assert_eq!(behind.score, Some(Score::Value(whole(run))));
    }
}

/// A TeX of this machine.
fn tex() -> Option<&'static str> {
    ["pdflatex", "tectonic"].into_iter().find(|program| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    })
}

#[test]
fn latex_compiles_as_it_is() {
    let Some(tex) = tex() else {
        eprintln!(
            "skipped: neither pdflatex nor tectonic is installed (Debian: texlive-latex-base, \
             texlive-latex-recommended)"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = with_holes(folder.path());
    let results = collect_holes(&plan, &store);
    let (_, mut document) = laid_out(&results);
    document.title = r"every #$%&~_^\{}<>| “quoted” é Å 日本 ≤ × ± −".to_owned();
    fs::write(
        folder.path().join("made_up.tex"),
        report::latex(&[document]),
    )
    .unwrap();
    let committed = ["table1", "table2", "table3"]
        .map(|name| repository().join(format!("results/{name}/phantom/{name}.tex")));
    for path in committed {
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    for name in ["made_up", "table1", "table2", "table3"] {
        let mut command = Command::new(tex);
        if tex == "pdflatex" {
            command.args(["-interaction=nonstopmode", "-halt-on-error"]);
        }
        let output = command
            .arg(format!("{name}.tex"))
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}");
        let pdf: PathBuf = folder.path().join(format!("{name}.pdf"));
        assert!(fs::read(pdf).unwrap().starts_with(b"%PDF"));
    }
}
