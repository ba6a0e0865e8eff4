//! In crossed tables of several methods a mark needs two tests: over ways of sampling, and over
//! combinations of annotation experts.

use expertgrid::{
    metric::{Measure, Score},
    plan::Run,
    report::{self, Cell, Table},
    results, stats,
};

use crate::support::made_up::{grid, own_folder, write};

const CROSSED: &str = r#"
title = "made up"

[table]
rows = "method"
columns = "samples"

[grid]
new_experts = [6]
methods = ["scratch", "pool", "customised"]
annotators = { from = [1, 2, 3], choose = 2 }
samples = [10]
starts = [1, 4, 7, 10]

[statistics]
block = "column"
"#;

/// A table in which the customised method is better than one branch by so much, combination by
/// combination; and its text and CSV.
fn table(text: &str, better: [f64; 3]) -> (Table, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), text, |run: &Run| {
        let swing = 0.01 * [1.0, -1.0, 2.0, -2.0][(run.at.start - 1) / 3];
        let combination = usize::from(run.at.experts.iter().sum::<u8>()).saturating_sub(3);
        let dice = match &*run.method().name {
            "scratch" => 80.0,
            "pool" => 85.0 + swing,
            _ => 85.0 + better[combination],
        };
        Some([dice / 100.0, 12.0 - dice / 10.0, 40.0 - dice / 3.0].map(Score::Value))
    });
    let results = results::collect(&plan, &store, &|_| None);
    let text = write(&results, folder.path());
    let csv = std::fs::read_to_string(own_folder(folder.path()).table("csv")).unwrap();
    (report::tabulate(&results, 0), text, csv)
}

fn dice<'a>(table: &'a Table, method: &str) -> &'a Cell {
    let dice = Measure::named("dice").unwrap();
    let mut cells = table.cells.iter().filter(|cell| cell.metric == dice);
    let is = |cell: &&Cell| {
        cell.position
            .method()
            .is_some_and(|known| known.name == method)
    };
    cells.find(is).unwrap()
}

#[test]
fn one_lucky_pretraining_is_not_called_significant() {
    // Better by 3 with one combination, as good with the others.
    let (lucky, text, csv) = table(CROSSED, [3.0, 0.05, -0.05]);
    let pool = dice(&lucky, "pool");
    let test = pool.against_best.comparison().unwrap();
    assert!(test.p < 0.001, "{test:?}");
    let better = [(0, 0.0), (1, 0.0), (2, 0.0)];
    let by_hand = [(0, 3.0), (1, 0.05), (2, -0.05)];
    let pairs = stats::Pairs::join(&by_hand, &better).unwrap();
    let by_hand = stats::paired(&pairs).unwrap().p;
    assert!(
        (test.p_annotators.unwrap() - by_hand).abs() < 1e-9,
        "{test:?} {by_hand}"
    );
    assert!(pool.bold && dice(&lucky, "customised").bold);
    assert!(text.contains("Marks need two tests"), "{text}");
    let header = csv.lines().next().unwrap();
    assert!(
        header.contains("p_best_annotators,p_counterpart_annotators,unit"),
        "{header}"
    );
    // Without a pretraining there are no combinations: the others are tested against its mean.
    let gain = dice(&lucky, "customised")
        .against_counterpart
        .comparison()
        .unwrap();
    let pairs = [(0, 8.0), (1, 5.05), (2, 4.95)];
    let pairs = stats::Pairs::join(&pairs, &better).unwrap();
    let by_hand = stats::paired(&pairs).unwrap().p;
    assert!(
        (gain.p_annotators.unwrap() - by_hand).abs() < 1e-9,
        "{gain:?} {by_hand}"
    );
    assert!(dice(&lucky, "customised").underline && by_hand < 0.05);

    // Better with each combination.
    let (better, ..) = table(CROSSED, [1.0, 1.1, 0.9]);
    assert!(!dice(&better, "pool").bold && dice(&better, "customised").bold);
}

#[test]
fn the_papers_tables_and_matched_ones_have_one_test() {
    let paper = CROSSED.replace("\"pool\", ", "");
    let matched = CROSSED.replace("samples = [10]", "samples = [10]\npairing = \"matched\"");
    for text in [paper, matched] {
        let (table, text, csv) = table(&text, [3.0, 0.05, -0.05]);
        for cell in &table.cells {
            for test in [&cell.against_best, &cell.against_counterpart] {
                assert!(
                    test.comparison()
                        .is_none_or(|made| made.p_annotators.is_none())
                );
                assert_eq!(test.p_of_marks(), test.p());
            }
        }
        assert!(!text.contains("Marks need two tests"), "{text}");
        assert!(!csv.contains("annotators"), "{csv}");
    }
}
