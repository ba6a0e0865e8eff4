//! Tables with networks that are tested as they are, without samples of the new expert.

use expertgrid::{metric::Score, plan::Run, report, results};

use crate::support::made_up::{MANIFEST, grid, provenance};

const SENTENCE: &str = "Without samples all ways of sampling are one: such a cell is one result, \
                        is not tested and earns no mark.";

fn table(text: &str) -> (report::Table, String) {
    let folder = tempfile::tempdir().unwrap();
    // Best without samples; with five, better with pretraining than without.
    let dice = |run: &Run| match (run.at.samples, run.method().is_pretrained()) {
        (0, _) => 0.95,
        (_, true) => 0.90 + 0.001 * run.at.start as f64,
        (_, false) => 0.80 + 0.0013 * run.at.start as f64,
    };
    let (plan, store) = grid(folder.path(), text, |run| {
        Some([dice(run), 2.0 - dice(run), 8.0 - dice(run)].map(Score::Value))
    });
    let results = results::collect(&plan, &store, &|_| None);
    let table = report::tabulate(&results, 0);
    let document = report::lay_out(&table, &results, 0, &provenance());
    (table, report::markdown(&document))
}

#[test]
fn a_single_result_is_shown_but_neither_tested_nor_the_best() {
    let text = MANIFEST.replace("samples = [5, 10]", "samples = [0, 5]");
    let (table, markdown) = table(&text);
    let mut as_it_is = 0;
    for cell in &table.cells {
        let tested = cell.against_best.p().is_some() || cell.against_counterpart.p().is_some();
        match cell.position.samples() {
            Some(0) => {
                as_it_is += 1;
                // One for each of three combinations, averaged.
                assert_eq!((cell.runs, cell.results.len()), (3, 1));
                assert!(!cell.best && !cell.bold && !cell.underline && !tested);
                assert!(cell.ci95.is_none());
            }
            _ => assert!(cell.best || tested, "{}", cell.position),
        }
    }
    assert_eq!(as_it_is, 3, "one for each measure, none from scratch");
    assert!(markdown.contains(SENTENCE), "{markdown}");
    assert!(markdown.contains("95.00"), "{markdown}");
}

#[test]
fn where_ways_of_sampling_have_networks_of_their_own_so_have_they_without_samples() {
    let text = MANIFEST.replace(
        "samples = [5, 10]",
        "samples = [0, 5]\npairing = \"matched\"",
    );
    let (table, markdown) = table(&text);
    let cells = table.cells.iter();
    let as_it_is = cells.filter(|cell| cell.position.samples() == Some(0));
    for cell in as_it_is {
        assert_eq!((cell.runs, cell.results.len()), (4, 4));
    }
    assert!(!markdown.contains("Without samples"), "{markdown}");
}
