//! Tables as `[table]` declares them: any axis in any place, what is averaged, paired and compared,
//! and what cannot be laid out.

use std::{collections::BTreeSet, fs, path::Path};

use expertgrid::{
    grid::{Axis, Value},
    key::Digest,
    manifest,
    metric::Score,
    plan::{Plan, Run},
    report::{
        self, Cell, Document, Format, Style, Table,
        document::{Element, Tabular},
    },
    results::{self, Results},
    store::Store,
};
use itertools::Itertools;

use crate::support::{
    common::{Metric, csv, expertgrid, phantom, repository, run},
    made_up::{grid, provenance},
};

const GRID: &str = r#"
[grid]
new_experts = [6, 7]
methods = ["w/", "w/o", "customised-inherit"]
annotators = { from = [1, 2, 3], choose = [1, 2] }
samples = [5, 10]
starts = [1, 4, 7]
"#;

/// A number from 0 to 1 that nothing but chance gives a run.
fn chance(run: &Run) -> f64 {
    let at = &run.at;
    let swept = at.swept.iter().map(|setting| setting.text()).join(" ");
    let name = format!(
        "{} {} {:?} {} {} {swept}",
        at.new_expert, at.method.word, at.experts, at.samples, at.start
    );
    let hex = Digest::of_bytes(name.as_bytes()).to_string();
    f64::from(u32::from_str_radix(&hex[..6], 16).unwrap()) / f64::from(1 << 24)
}

fn scores(run: &Run) -> Option<[Score; 3]> {
    let value = chance(run);
    Some([value, 100.0 * value, 100.0 * value].map(Score::Value))
}

fn collected<'a>(plan: &'a Plan, store: &Store) -> Results<'a> {
    results::collect(plan, store, &|_| None)
}

fn laid_out(results: &Results<'_>) -> (Table, Document) {
    let table = report::tabulate(results, 0);
    let document = report::lay_out(&table, results, 0, &provenance());
    (table, document)
}

fn panels(document: &Document) -> Vec<&Tabular> {
    let grids = document.elements.iter().filter_map(|block| match block {
        Element::Tabular(grid) => Some(grid),
        _ => None,
    });
    grids.collect()
}

/// What a manifest's text is refused with.
fn refused(text: &str) -> String {
    let read = manifest::parse(Path::new("m.toml"), text, "paper", &[]);
    read.err()
        .map(|problems| problems.to_string())
        .unwrap_or_default()
}

#[test]
fn every_axis_of_a_grid_can_stand_in_rows_and_in_columns() {
    let axes = [
        "expert",
        "samples",
        "experts",
        "annotators",
        "method",
        "start",
    ];
    for (row, column) in axes.into_iter().permutations(2).map(|two| (two[0], two[1])) {
        let others = axes.iter().filter(|axis| ![row, column].contains(axis));
        let others = others
            .filter(|axis| **axis != "start")
            .map(|axis| format!("\"{axis}\""));
        let results = if [row, column].contains(&"start") {
            "[]"
        } else {
            "\"start\""
        };
        let text = format!(
            "[table]\nrows = \"{row}\"\ncolumns = \"{column}\"\npanels = [{}]\n\
             results = {results}\naverage = []\n[sweep]\nseed = [1]\n{GRID}",
            others.format(", ")
        );
        let folder = tempfile::tempdir().unwrap();
        let (plan, store) = grid(folder.path(), &text, scores);
        let results = collected(&plan, &store);
        let (table, document) = laid_out(&results);
        // Every cell is shown once, where its values say.
        let mut shown = BTreeSet::new();
        for panel in panels(&document) {
            for printed in &panel.rows {
                for entry in &printed.entries {
                    if let Some(index) = entry.cell {
                        assert!(
                            shown.insert(index),
                            "{row}, {column}: a cell is shown twice"
                        );
                        let at = &table.cells[index].position;
                        let axis = Axis::named(row).unwrap();
                        let value = at.get(&axis).map(Value::to_string).unwrap_or_default();
                        let head = printed.head.as_str();
                        let same = head == value || head == format!("expert {value}");
                        assert!(same || (head, &*value) == ("none", ""), "{head}: {value}");
                    }
                }
            }
        }
        assert_eq!(shown.len(), table.cells.len(), "{row}, {column}");
        // And holds the mean of the runs that stand there.
        for cell in table
            .cells
            .iter()
            .filter(|cell| cell.metric == Metric::Dice)
        {
            let here = plan.runs.iter().filter(|run| {
                let mut values = cell.position.values();
                values.all(|(axis, value)| axis.of(&run.at).as_ref() == value)
            });
            let values = here.map(|run| 100.0 * chance(run)).collect_vec();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!(
                (cell.mean.unwrap() - mean).abs() < 1e-9,
                "{}",
                cell.position
            );
        }
    }
}

#[test]
fn what_cannot_be_laid_out_is_refused_with_the_axes_that_are_free() {
    let sweep = "[sweep]\nfinetune.lr = [1e-3, 3e-3]\nseed = [1, 2]\n";
    for (table, place, why) in [
        (
            "columns = [\"method\", \"experts\"]\nresults = [\"start\", \"seed\"]",
            "m.toml:5:16",
            "one place for cells that differ in `finetune.lr`; put it into `table.rows`",
        ),
        (
            "columns = \"experts\"\naverage = [\"annotators\", \"seed\", \"finetune.lr\"]",
            "",
            "`method`",
        ),
        (
            "rows = \"sample\"",
            "m.toml:2:8",
            "there is no axis `sample`; the axes are expert,",
        ),
        (
            "rows = \"scratch.lr\"",
            "m.toml:2:8",
            "`scratch.lr` has one value; list several",
        ),
        (
            "rows = \"n\"\ncolumns = [\"samples\"]",
            "m.toml:3:12",
            "`samples` stands in `table.rows` already",
        ),
        (
            "compare = \"w/o\"",
            "m.toml:2:11",
            "`w/o` is no comparison; write for example",
        ),
        (
            "compare = \"start=1\"",
            "m.toml:2:11",
            "cells do not differ in `start`",
        ),
        (
            "compare = \"method=single\"",
            "m.toml:2:11",
            "no cell has `method` = single; its values are w/, w/o, customised-inherit",
        ),
        (
            "compare = \"finetune.lr=1\"",
            "m.toml:2:11",
            "no cell has `finetune.lr` = 1; its values are 0.001, 0.003",
        ),
    ] {
        let found = refused(&format!("[table]\n{table}\n{sweep}{GRID}"));
        let line = found.lines().find(|line| line.contains(why));
        let line = line.unwrap_or_else(|| panic!("{table}: {found}"));
        assert!(line.starts_with(place), "{line}");
    }
    let both = refused(&format!(
        "rows = \"samples\"\n[table]\nrows = \"experts\"\n{GRID}"
    ));
    assert!(
        both.contains("`rows` and `table.rows` are one key"),
        "{both}"
    );
}

/// However many keys are swept, the one that stands nowhere is found.
#[test]
fn one_swept_key_of_many_that_stands_nowhere_is_refused() {
    let others = ["smooth", "eps", "beta1", "beta2", "lr_end", "lr_power"];
    let others = others.map(|key| format!("training.{key}"));
    let averaged = others.iter().map(|key| format!("\"{key}\"")).join(", ");
    let swept = others
        .iter()
        .map(|key| format!("{key} = [0.5, 0.25]\n"))
        .join("");
    let text = format!(
        "[table]\ncolumns = [\"method\", \"experts\"]\naverage = [\"annotators\", {averaged}]\n\
         [sweep]\nseed = [0, 1]\n{swept}{GRID}"
    );
    let found = refused(&text);
    assert!(
        found.contains("one place for cells that differ in `seed`;"),
        "{found}"
    );
    assert!(found.starts_with("m.toml:5:9:"), "{found}");
}

#[test]
fn fewer_than_two_results_earn_no_mark_and_every_format_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let text = GRID.replace("starts = [1, 4, 7]", "starts = [1]");
    let (plan, store) = grid(folder.path(), &text, scores);
    let results = collected(&plan, &store);
    let (table, document) = laid_out(&results);
    assert!(table.cells.iter().all(|cell| !cell.bold && !cell.underline));
    for format in [
        Format::Markdown,
        Format::Latex,
        Format::Html,
        Format::Terminal(Style::Characters, 100),
    ] {
        let text = report::render(std::slice::from_ref(&document), format);
        let words = text.split_whitespace().join(" ");
        assert!(
            words.contains("No cell is bold, since no test could be made"),
            "{text}"
        );
        for absent in ["Bold:", "Underlined:", "optimistic"] {
            assert!(!words.contains(absent), "{absent}: {text}");
        }
    }
}

/// The cells of a method, or at the value of a swept key.
fn cells<'a>(table: &'a Table, axis: &Axis, word: &str) -> Vec<&'a Cell> {
    let cells = table
        .cells
        .iter()
        .filter(|cell| cell.metric == Metric::Dice);
    let cells = cells.filter(|cell| cell.position.get(axis).is_some_and(|value| value.is(word)));
    cells.collect()
}

#[test]
fn a_cell_is_compared_with_what_the_table_says() {
    let text = format!(
        "[table]\nrows = \"finetune.lr\"\ncompare = \"finetune.lr=1e-3\"\n[sweep]\n\
         finetune.lr = [3e-3, 1e-3]\n{}",
        GRID.replace("[\"w/\", \"w/o\", \"customised-inherit\"]", "[\"w/\"]")
    );
    let folder = tempfile::tempdir().unwrap();
    // Better by 10 at the higher rate, and a little from one way of sampling to the other.
    let (plan, store) = grid(folder.path(), &text, |run| {
        let gain = if run.at.swept[0].text() == "0.003" {
            0.1
        } else {
            0.0
        };
        let swing = 0.001 * (run.at.start as f64 * (1.0 + gain)).sin();
        Some([0.5 + gain + swing, 3.0, 9.0].map(Score::Value))
    });
    let results = collected(&plan, &store);
    let (table, document) = laid_out(&results);
    let axis = Axis::Swept("finetune.lr".into());
    assert_eq!(cells(&table, &axis, "3e-3").len(), 2 * 2 * 2);
    for cell in cells(&table, &axis, "3e-3") {
        assert!(cell.underline, "{}", cell.position);
        let test = cell.against_counterpart.comparison().unwrap();
        assert!((test.difference - 10.0).abs() < 0.5, "{test:?}");
        assert_eq!(test.with.get(&axis).unwrap().to_string(), "0.001");
    }
    for cell in cells(&table, &axis, "0.001") {
        assert!(!cell.underline && cell.against_counterpart.comparison().is_none());
    }
    let text = report::markdown(&document);
    assert!(
        text.contains("significantly better than its counterpart with finetune.lr = 0.001."),
        "{text}"
    );
}

#[test]
fn methods_are_compared_with_one_that_has_other_annotators_or_none() {
    let with = |compare: &str| {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[table]\ncompare = \"{compare}\"\n{GRID}");
        let text = text.replace("choose = [1, 2]", "choose = 2");
        let (plan, store) = grid(folder.path(), &text, scores);
        let results = collected(&plan, &store);
        let (table, _) = laid_out(&results);
        let compared = |method: &str| {
            let cells = cells(&table, &Axis::METHOD, method);
            let made = cells
                .iter()
                .filter_map(|cell| cell.against_counterpart.comparison());
            let with = made.map(|made| made.with.chosen().unwrap().word.to_string());
            (cells.len(), with.collect_vec())
        };
        ["w/", "w/o", "customised-inherit"].map(compared)
    };
    let four = |word: &str| (4, vec![word.to_owned(); 4]);
    assert_eq!(with("method=w/o"), [four("w/o"), (4, vec![]), four("w/o")]);
    // Where only one number of annotators is pretrained on, the other method's cell is known.
    assert_eq!(with("method=w/"), [(4, vec![]), four("w/"), four("w/")]);
    assert_eq!(with("none"), [(4, vec![]), (4, vec![]), (4, vec![])]);
}

#[test]
fn seeds_are_repeats_where_they_tell_results_apart_and_averaged_where_the_table_says_so() {
    let text = |table: &str| format!("[table]\n{table}\n[sweep]\nseed = [0, 1, 2]\n{GRID}");
    let tabulated = |table: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (plan, store) = grid(folder.path(), &text(table), scores);
        let results = collected(&plan, &store);
        let (table, document) = laid_out(&results);
        (table.cells[0].results.len(), report::markdown(&document))
    };
    let (results, text_of) = tabulated("results = [\"start\", \"seed\"]");
    assert_eq!(results, 9);
    assert!(
        text_of.contains(
            "the mean of 9 results, one per way of sampling and value of seed, each averaged over \
             all combinations of annotation experts."
        ),
        "{text_of}"
    );
    let (results, text_of) = tabulated("average = [\"annotators\", \"seed\"]");
    assert_eq!(results, 3);
    assert!(
        text_of.contains(
            "the mean of 3 results, one per way of sampling, each averaged over all combinations \
             of annotation experts and values of seed."
        ),
        "{text_of}"
    );
}

#[test]
fn repeats_of_the_pretraining_are_an_axis() {
    let grid_text = || {
        let grid = GRID.replace("starts =", "repeats = 3\nstarts =");
        grid.replace("choose = [1, 2]", "choose = 2")
    };
    let text = |table: &str| format!("[table]\n{table}\n{}", grid_text());
    let tabulated = |table: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (plan, store) = grid(folder.path(), &text(table), scores);
        let results = collected(&plan, &store);
        let (table, document) = laid_out(&results);
        let numbers = |method: &str| -> BTreeSet<usize> {
            let cells = cells(&table, &Axis::METHOD, method);
            cells.iter().map(|cell| cell.results.len()).collect()
        };
        let numbers = ["w/", "w/o"].map(numbers);
        (numbers, report::markdown(&document))
    };
    // Averaged over, where the table says nothing.
    let (numbers, text_of) = tabulated("");
    assert_eq!(numbers, [BTreeSet::from([3]), BTreeSet::from([3])]);
    assert!(
        text_of.contains(
            "each averaged over all combinations of annotation experts and repeats of the \
             pretraining."
        ),
        "{text_of}"
    );
    // Results of their own: one per pretraining. A method without one has no pairs for them.
    let results = "[table]\nresults = [\"start\", \"repeat\"]\n";
    let pretrained = grid_text().replace("[\"w/\", \"w/o\", \"customised-inherit\"]", "[\"w/\"]");
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), &format!("{results}{pretrained}"), scores);
    let (table, _) = laid_out(&collected(&plan, &store));
    let numbers = cells(&table, &Axis::METHOD, "w/");
    assert!(numbers.iter().all(|cell| cell.results.len() == 9));
    let said = refused(&format!("{results}{}", grid_text()));
    assert!(
        said.contains("w/o has no pretraining to be repeated"),
        "{said}"
    );
    // Rows.
    let rows = "rows = \"repeat\"\ncolumns = [\"samples\", \"method\"]";
    let (_, text_of) = tabulated(rows);
    for wanted in ["| Repeat |", "|      2 |"] {
        assert!(text_of.contains(wanted), "{text_of}");
    }
    // Each repeat is compared with the networks that have no pretraining.
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), &text(rows), scores);
    let (table, _) = laid_out(&collected(&plan, &store));
    for cell in cells(&table, &Axis::METHOD, "w/") {
        assert!(
            cell.against_counterpart.comparison().is_some(),
            "{}",
            cell.position
        );
    }
    // Nothing is repeated where nothing is pretrained.
    let alone = grid_text().replace("[\"w/\", \"w/o\", \"customised-inherit\"]", "[\"w/o\"]");
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), &alone, scores);
    let (_, document) = laid_out(&collected(&plan, &store));
    let text_of = report::markdown(&document);
    assert!(!text_of.contains("repeats of"), "{text_of}");
}

#[test]
fn a_matched_table_says_that_its_results_have_a_pretraining_each() {
    let tabulated = |more: &str| {
        let text = GRID.replace(
            "starts =",
            &format!("pairing = \"matched\"\n{more}starts ="),
        );
        let folder = tempfile::tempdir().unwrap();
        let (plan, store) = grid(folder.path(), &text, scores);
        let results = collected(&plan, &store);
        let (table, document) = laid_out(&results);
        for cell in &table.cells {
            assert_eq!(cell.results.len(), 3, "{}", cell.position);
        }
        report::markdown(&document)
    };
    let said = "mean of 3 results, one per way of sampling. Each way of sampling has";
    let once = tabulated("");
    let wanted = "a pretraining of its own, the combinations of annotation experts in turn.";
    assert!(once.contains(&format!("{said} {wanted}")), "{once}");
    let twice = tabulated("repeats = 2\n");
    let wanted = "2 pretrainings of its own, averaged over, the combinations";
    assert!(twice.contains(&format!("{said} {wanted}")), "{twice}");
}

#[test]
fn the_standard_deviation_stands_beside_a_mean_where_the_manifest_wants_it() {
    let tabulated = |spread: &str| {
        let text = format!("{GRID}\n[statistics]\nspread = \"{spread}\"\n");
        let folder = tempfile::tempdir().unwrap();
        let (plan, store) = grid(folder.path(), &text, scores);
        let results = collected(&plan, &store);
        let (table, document) = laid_out(&results);
        (
            table,
            [report::markdown(&document), report::latex(&[document])],
        )
    };
    let (table, [plain, _]) = tabulated("none");
    assert!(!plain.contains('±'), "{plain}");
    assert!(
        plain.contains("Each cell is the mean of 3 results"),
        "{plain}"
    );
    let (_, [markdown, latex]) = tabulated("sd");
    assert!(
        markdown.contains("Each cell is the mean ± SD of 3 results"),
        "{markdown}"
    );
    for cell in &table.cells {
        let sd = cell.sd.unwrap();
        let values: Vec<f64> = cell.results.values().copied().collect();
        assert!((sd - expertgrid::stats::sd(&values).unwrap()).abs() < 1e-12);
        let mean = format!("{:.2}", cell.mean.unwrap());
        let (markdown, latex) = (markdown.replace("**", ""), latex.replace('}', ""));
        let (markdown, latex) = (markdown.replace("</u>", ""), latex.replace('$', ""));
        assert!(
            markdown.contains(&format!("{mean} ± {sd:.2}")),
            "{markdown}"
        );
        assert!(latex.contains(&format!("{mean} \\pm {sd:.2}")), "{latex}");
    }
}

#[test]
fn annotators_in_rows_and_methods_in_columns_with_one_of_the_manifests_own() {
    let folder = tempfile::tempdir().unwrap();
    let table2 = fs::read_to_string(repository().join("experiments/table2.toml")).unwrap();
    fs::write(folder.path().join("table2.toml"), table2).unwrap();
    let text = r#"extends = "table2.toml"
table = { rows = "annotators", columns = ["method", "samples"] }
grid.methods = ["w/", "customised-inherit", "mine"]

[method.mine]
annotation = "every"
multitask = "norms"
branch = "inherit"
adapt = "expert-layers"

[profile.smoke.grid]
annotators = { from = [1, 2, 3], choose = 2 }
samples = [5]
"#;
    fs::write(folder.path().join("who.toml"), text).unwrap();
    let dataset = phantom().to_str().unwrap();
    let arguments = [
        "run",
        "who.toml",
        "--profile",
        "smoke",
        "--dataset",
        dataset,
    ];
    let said = run(folder.path(), &arguments, 0).out;
    for wanted in [
        "| Annotators | Dice (%) ↑ w/ | Dice (%) ↑ customised-inherit | Dice (%) ↑ mine |",
        "|        1+3 |",
        "Each cell is the mean of 2 results, one per way of sampling. ",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let rows = csv(&folder.path().join("results/who/smoke/who.csv"));
    let places: BTreeSet<_> = rows
        .iter()
        .map(|row| (&row["annotators"], &row["method"]))
        .collect();
    assert_eq!(places.len(), 3 * 3);
    let wrong = text.replace("\"expert-layers\"", "\"expert-layer\"");
    fs::write(folder.path().join("who.toml"), wrong).unwrap();
    let output = expertgrid(folder.path(), &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(
            "who.toml:9:9: `adapt` cannot be \"expert-layer\"; did you mean \"expert-layers\"?"
        ),
        "{said}"
    );
}
