//! The tables of the repository: a sample of the runs behind them is computed again.
//!
//! `make tables` writes them. Whoever has another processor gets the same numbers to the last
//! digit, so a difference is a change of a result.

use std::{collections::BTreeMap, path::Path};

use crate::support::common::{csv, phantom, repository, run};

/// A manifest and runs of it: a pretraining of three experts and one of a single one with their
/// fine-tunings, trainings from random initialisation for each table that has them.
const SAMPLE: [(&str, &str, usize); 5] = [
    ("table1", "expert=6 and train_expert=1 and start=1", 1),
    ("table1", "expert=7 and train_expert=7 and start=28", 1),
    ("table2", "annotators=1+2+3 and n=5 and start=1", 2),
    ("table2", "method=w/o and expert=7 and n=34 and start=28", 1),
    ("table3", "annotators=2 and start=4", 2),
];

#[test]
fn runs_of_the_committed_tables_are_computed_again_to_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = phantom().to_str().unwrap();
    for (table, only, count) in SAMPLE {
        let manifest = repository().join(format!("experiments/{table}.toml"));
        let arguments = [
            "run",
            manifest.to_str().unwrap(),
            "--profile",
            "phantom",
            "--dataset",
            dataset,
            "--only",
            only,
        ];
        run(folder.path(), &arguments, 0);
        let computed = runs(&folder.path().join("results"), table);
        let committed = runs(&repository().join("results"), table);
        let mut compared = 0;
        for (key, row) in &computed {
            if row["status"] != "missing" {
                assert_eq!(committed.get(key), Some(row), "{table}, {only}");
                compared += 1;
            }
        }
        assert!(compared >= count, "{table}, {only}: {compared}");
    }
}

/// The rows of a table's runs, by the address of their evaluation.
fn runs(results: &Path, table: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let rows = csv(&results.join(table).join("phantom/runs.csv"));
    rows.into_iter()
        .map(|row| (row["evaluation"].clone(), row))
        .collect()
}
