//! The best of a row, a column or a table is the best of what a reader of the printed table sees as
//! that row, column or table; whatever the layout.

use std::collections::BTreeMap;

use expertgrid::{
    key::Digest,
    metric::Score,
    plan::Run,
    report::{
        self, Document, Position,
        document::{Element, Mark, Tabular},
    },
    results,
};

use crate::support::{
    common::{Metric, position},
    made_up::{grid, provenance},
};

/// Grids whose tables differ in what their rows and columns are.
const LAYOUTS: [(&str, &str); 8] = [
    (
        "two arms side by side",
        r#"rows = "samples"
[grid]
new_experts = [6, 7]
arms = ["w/", "w/o"]
annotators = { from = [1, 2, 3], choose = 2 }
samples = [5, 10, 15]"#,
    ),
    (
        "two numbers of experts side by side",
        r#"rows = "samples"
[grid]
new_experts = [6, 7]
arms = ["w/", "w/o"]
annotators = { from = [1, 2, 3], choose = [1, 3] }
samples = [5, 10]"#,
    ),
    (
        "one column, whose first row is without pretraining",
        r#"rows = "experts"
[grid]
new_experts = [6, 7]
arms = ["w/", "w/o"]
annotators = { from = [1, 2, 3], choose = [1, 2, 3] }
samples = [10]"#,
    ),
    (
        "two numbers of samples side by side",
        r#"rows = "experts"
[grid]
new_experts = [6]
arms = ["w/", "w/o"]
annotators = { from = [1, 2, 3], choose = [1, 2, 3] }
samples = [5, 10]"#,
    ),
    (
        "trainers in rows",
        r#"rows = "train_expert"
[grid]
new_experts = [6, 7]
arms = ["single"]
train_experts = [1, 2, 6]
samples = [5, 34]"#,
    ),
    (
        "trainers in rows, beside two numbers of experts",
        r#"rows = "train_expert"
[grid]
new_experts = [6]
arms = ["single", "w/"]
train_experts = [1, 2]
annotators = { from = [1, 2, 3], choose = [1, 2] }
samples = [5, 10]"#,
    ),
    (
        "trainers side by side",
        r#"rows = "samples"
[grid]
new_experts = [6]
arms = ["single", "w/o"]
train_experts = [1, 2, 3]
samples = [5, 10]"#,
    ),
    (
        "trainers beside a number of experts that is one as well",
        r#"rows = "experts"
[grid]
new_experts = [6]
arms = ["w/", "w/o", "single"]
annotators = { from = [1, 2, 3], choose = [1, 2] }
train_experts = [4, 5]
samples = [5]"#,
    ),
];

/// A number from 0 to 1 that nothing but chance gives a cell.
fn level(position: &Position, metric: Metric) -> f64 {
    let name = format!("{position} {}", metric.measure().column());
    let hex = Digest::of_bytes(name.as_bytes()).to_string();
    f64::from(u32::from_str_radix(&hex[..6], 16).unwrap()) / f64::from(1 << 24)
}

/// Far apart from cell to cell, close together from one way of sampling to the other.
fn scores(run: &Run) -> Option<[Score; 3]> {
    let position = position(run);
    Some(Metric::ALL.map(|metric| {
        let level = level(&position, metric);
        let value = level + 1e-5 * (run.at.start as f64 * (1.0 + level)).sin();
        Score::Value(match metric {
            // Shown in per cent.
            Metric::Dice => value,
            Metric::Assd | Metric::Hd95 => 100.0 * value,
        })
    }))
}

fn document(layout: &str, block: &str) -> (Document, usize) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{layout}\nstarts = [1, 4, 7, 10]\n[statistics]\nblock = \"{block}\"\n");
    let (plan, store) = grid(folder.path(), &text, scores);
    let results = results::collect(&plan, &store, &|_| None);
    let table = report::tabulate(&results, 0);
    let cells = table.cells.len();
    (report::lay_out(&table, &results, 0, &provenance()), cells)
}

fn grids(document: &Document) -> impl Iterator<Item = &Tabular> {
    document.elements.iter().filter_map(|block| match block {
        Element::Tabular(grid) => Some(grid),
        _ => None,
    })
}

/// What is printed: where, under which metric, which number, and whether it is bold.
struct Printed {
    row: usize,
    column: usize,
    metric: String,
    value: f64,
    bold: bool,
}

fn printed(grid: &Tabular) -> Vec<Printed> {
    let mut found = Vec::new();
    for (row, cells) in grid.rows.iter().enumerate() {
        for (column, (entry, head)) in cells.entries.iter().zip(&grid.columns).enumerate() {
            let Some(span) = entry.text.0.first() else {
                continue;
            };
            found.push(Printed {
                row,
                column,
                metric: head.over.clone(),
                value: span.text.parse().unwrap(),
                bold: matches!(span.mark, Mark::Bold | Mark::Both),
            });
        }
    }
    found
}

/// Asserts that in every block as a reader sees it the best number is bold, and no other.
fn holds(what: &str, grid: &Tabular, seen_as: impl Fn(&Printed) -> (String, usize)) -> usize {
    let mut blocks: BTreeMap<(String, usize), Vec<Printed>> = BTreeMap::new();
    for cell in printed(grid) {
        blocks.entry(seen_as(&cell)).or_default().push(cell);
    }
    let count = blocks.len();
    for ((metric, place), mut cells) in blocks {
        cells.sort_by(|a, b| a.value.total_cmp(&b.value));
        if metric.contains('↑') {
            cells.reverse();
        }
        if let [first, second, ..] = &cells[..] {
            let gap = (first.value - second.value).abs();
            assert!(
                gap > 0.0,
                "{what}: {metric} {place} cannot tell which is the best"
            );
        }
        let bold: Vec<f64> = cells.iter().filter(|c| c.bold).map(|c| c.value).collect();
        // There is nothing to test a single number against.
        let best = match &cells[..] {
            [_] => Vec::new(),
            [best, ..] => vec![best.value],
            [] => unreachable!("a block has a cell"),
        };
        assert_eq!(bold, best, "{what}, {}: {metric} {place}", grid.heading);
    }
    count
}

#[test]
fn the_best_of_a_printed_column_is_bold_and_no_other() {
    let mut several = 0;
    for (what, layout) in LAYOUTS {
        for grid in grids(&document(layout, "column").0) {
            let columns = holds(what, grid, |cell| (cell.metric.clone(), cell.column));
            assert_eq!(columns, grid.columns.len(), "{what}");
            several += usize::from(columns > Metric::ALL.len());
        }
    }
    assert!(several > 3, "metrics have several columns in most layouts");
}

#[test]
fn the_best_of_a_printed_row_is_bold_for_each_metric_and_no_other() {
    for (what, layout) in LAYOUTS {
        for grid in grids(&document(layout, "row").0) {
            let rows = holds(what, grid, |cell| (cell.metric.clone(), cell.row));
            assert_eq!(rows, grid.rows.len() * Metric::ALL.len(), "{what}");
        }
    }
}

#[test]
fn the_best_of_a_printed_table_is_bold_for_each_metric_and_no_other() {
    for (what, layout) in LAYOUTS {
        for grid in grids(&document(layout, "table").0) {
            let tables = holds(what, grid, |cell| (cell.metric.clone(), 0));
            assert_eq!(tables, Metric::ALL.len(), "{what}");
        }
    }
}

#[test]
fn every_cell_is_printed_once_under_a_head_of_its_own() {
    for (what, layout) in LAYOUTS {
        let (document, cells) = document(layout, "table");
        let entries = grids(&document)
            .flat_map(|grid| &grid.rows)
            .flat_map(|row| &row.entries);
        let mut shown: Vec<usize> = entries.filter_map(|entry| entry.cell).collect();
        shown.sort_unstable();
        assert_eq!(shown, (0..cells).collect::<Vec<_>>(), "{what}");
        for grid in grids(&document) {
            let mut heads: Vec<String> = grid.columns.iter().map(|c| c.line()).collect();
            heads.sort_unstable();
            heads.dedup();
            assert_eq!(heads.len(), grid.columns.len(), "{what}: {heads:?}");
        }
    }
}

#[test]
fn without_pretraining_is_the_first_row_of_the_column_of_numbers_of_experts() {
    // Dice in per cent: 25.45 stands below 16.88, in one column.
    let layout = LAYOUTS[2].1;
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{layout}\nstarts = [1, 4, 7, 10]\n[statistics]\nblock = \"column\"\n");
    let (plan, store) = grid(folder.path(), &text, |run| {
        let swing = 0.0001 * (run.at.start as f64).sin();
        let dice = match run.at.experts.len() {
            0 => 0.1688,
            k => 0.2545 - 0.01 * (k as f64 - 1.0),
        };
        Some([dice + swing, 2.0 + swing, 3.0 + swing].map(Score::Value))
    });
    let results = results::collect(&plan, &store, &|_| None);
    let table = report::tabulate(&results, 0);
    let document = report::lay_out(&table, &results, 0, &provenance());
    for grid in grids(&document) {
        let dice: Vec<(f64, bool)> = printed(grid)
            .into_iter()
            .filter(|cell| cell.column == 0)
            .map(|cell| (cell.value.round(), cell.bold))
            .collect();
        assert_eq!(
            dice,
            [(17.0, false), (25.0, true), (24.0, false), (23.0, false)]
        );
    }
}

#[test]
fn the_note_names_the_block_in_which_the_best_was_sought() {
    for (block, words) in [
        ("table", "the best mean of its metric and expert, and"),
        ("row", "the best mean of its metric in its row, and"),
        ("column", "the best mean of its column, and"),
    ] {
        for (what, layout) in LAYOUTS {
            let text = report::markdown(&document(layout, block).0);
            let lonely = grids(&document(layout, block).0)
                .into_iter()
                .all(|grid| match block {
                    "row" => grid.columns.len() == Metric::ALL.len(),
                    "column" => grid.rows.len() == 1,
                    _ => false,
                });
            let words = match lonely {
                true => "No cell is bold, since there is nothing to test it against.",
                false => words,
            };
            assert!(text.contains(words), "{what}, {block}: {text}");
        }
    }
}

#[test]
fn a_block_without_all_results_has_no_best_and_the_note_says_which_blocks_those_are() {
    // One run of the smallest number of samples, without pretraining, is missing.
    for (block, words, bold) in [
        (
            "table",
            "Where runs of a metric and expert have no result",
            0,
        ),
        ("row", "Where runs of a metric in a row have no result", 6),
        ("column", "Where runs of a column have no result", 3),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "{}\nstarts = [1, 4, 7, 10]\n[statistics]\nblock = \"{block}\"\n",
            LAYOUTS[0].1.replace("[6, 7]", "[6]")
        );
        let (plan, store) = grid(folder.path(), &text, |run| {
            let missing = run.at.experts.is_empty() && (run.at.samples, run.at.start) == (5, 4);
            scores(run).filter(|_| !missing)
        });
        let results = results::collect(&plan, &store, &|_| None);
        let table = report::tabulate(&results, 0);
        let found = table.cells.iter().filter(|cell| cell.bold).count();
        assert_eq!(found, bold, "{block}");
        let text = report::markdown(&report::lay_out(&table, &results, 0, &provenance()));
        assert!(text.contains(words), "{block}: {text}");
    }
}
