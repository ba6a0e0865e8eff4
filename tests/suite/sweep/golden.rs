//! The committed bytes of the paper's three tables, as the program writes them in profile `smoke`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --release --locked --test suite -- sweep::golden` writes the
//! files under `tests/fixtures/golden/` anew. They change only where a result or its presentation
//! is meant to change; the difference is then to be read line by line.
//!
//! Every instruction set that this machine has computes them.
//!
//! Nothing is left out of the four files of each table: none holds a time or a path.

use std::path::Path;

use expertgrid::engine::lanes::Isa;

use crate::support::common::{compare_with_fixture, phantom, repository, run};

#[test]
fn the_papers_tables_have_the_committed_bytes_on_every_instruction_set() {
    let tables = ["table1", "table2", "table3"];
    let manifests = tables.map(|table| {
        let path = repository().join(format!("experiments/{table}.toml"));
        path.to_str().unwrap().to_owned()
    });
    let dataset = phantom().to_str().unwrap();
    for isa in Isa::available() {
        let folder = tempfile::tempdir().unwrap();
        let options = [
            "--profile",
            "smoke",
            "--isa",
            isa.name(),
            "--dataset",
            dataset,
        ];
        let arguments: Vec<&str> = ["run"]
            .into_iter()
            .chain(options)
            .chain(manifests.iter().map(String::as_str))
            .collect();
        run(folder.path(), &arguments, 0);
        let results = folder.path().join("results");
        // Every difference is to be seen, not the first file's alone.
        let different: Vec<String> = tables
            .iter()
            .flat_map(|table| compare(&results, table))
            .collect();
        assert!(different.is_empty(), "{isa}: {}", different.join("\n"));
    }
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
