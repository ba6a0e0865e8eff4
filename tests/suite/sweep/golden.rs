//! The committed bytes of the paper's three tables, as the program writes them in profile `smoke`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --release --locked --test suite -- sweep::golden` writes the
//! files under `tests/fixtures/golden/` anew. They change only where a result or its presentation
//! is meant to change; the difference is then to be read line by line.
//!
//! Everything is computed with `--isa portable`, which every machine has. Its kernels add,
//! multiply, divide and take square roots, each rounded on its own: they are the same to the bit
//! everywhere by construction. Outside the kernels the mathematical library's exp, sin, cos and pow
//! are called (the phantom, rotation, blur, the sigmoid, the schedule of learning rates), whose
//! last bits may differ between libraries. These bytes are the same with glibc's fused and unfused
//! variants of those functions; with another library they are not promised.
//!
//! Nothing is left out of the four files of each table: none holds a time or a path.

use std::path::Path;

use crate::support::common::{compare_with_fixture, phantom, repository, run};

#[test]
fn the_papers_tables_have_the_committed_bytes_on_the_portable_instruction_set() {
    let folder = tempfile::tempdir().unwrap();
    let tables = ["table1", "table2", "table3"];
    let manifests = tables.map(|table| {
        let path = repository().join(format!("experiments/{table}.toml"));
        path.to_str().unwrap().to_owned()
    });
    let dataset = phantom().to_str().unwrap();
    let options = [
        "run",
        "--profile",
        "smoke",
        "--isa",
        "portable",
        "--dataset",
        dataset,
    ];
    let arguments: Vec<&str> = options
        .into_iter()
        .chain(manifests.iter().map(String::as_str))
        .collect();
    run(folder.path(), &arguments, 0);
    let results = folder.path().join("results");
    // Every difference is to be seen, not the first file's alone.
    let different: Vec<String> = tables
        .iter()
        .flat_map(|table| compare(&results, table))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The first difference of each file of a table.
fn compare(results: &Path, table: &str) -> Vec<String> {
    let names = [
        "runs.csv".to_owned(),
        format!("{table}.csv"),
        format!("{table}.md"),
        format!("{table}.tex"),
    ];
    let compared = names.iter().map(|name| {
        let found = std::fs::read(results.join(table).join("smoke").join(name)).unwrap();
        compare_with_fixture(&format!("golden/{table}/{name}"), &found)
    });
    compared.filter_map(Result::err).collect()
}
