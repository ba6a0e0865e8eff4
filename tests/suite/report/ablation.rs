//! The ablation that the README shows, as somebody writes it: twelve lines over the paper's second
//! table; planned, run, tabulated, and its page.

use std::{collections::BTreeSet, fs};

use itertools::Itertools;

use crate::support::common::{csv, phantom, repository, run};

#[test]
fn an_ablation_of_twelve_lines_is_planned_run_tabulated_and_has_a_page() {
    let ablation = fs::read_to_string(repository().join("experiments/rate.toml")).unwrap();
    let (schema, ablation) = ablation.split_once('\n').unwrap();
    assert!(schema.starts_with("#:schema "));
    assert_eq!(ablation.lines().count(), 12);
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    assert!(readme.contains(ablation), "{ablation}");
    let folder = tempfile::tempdir().unwrap();
    let table2 = fs::read_to_string(repository().join("experiments/table2.toml")).unwrap();
    fs::write(folder.path().join("table2.toml"), table2).unwrap();
    fs::write(folder.path().join("rate.toml"), ablation).unwrap();
    let published = "reference/hu_qin_2024.csv";
    fs::create_dir(folder.path().join("reference")).unwrap();
    let from = repository().join("experiments").join(published);
    fs::copy(from, folder.path().join(published)).unwrap();
    let dataset = phantom().to_str().unwrap();
    let with = |command: &'static str, more: &[&'static str]| {
        let usual = [
            command,
            "rate.toml",
            "--profile",
            "smoke",
            "--dataset",
            dataset,
        ];
        [&usual, more].concat()
    };
    let planned = run(folder.path(), &with("plan", &["--json"]), 0).out;
    let planned: serde_json::Value = serde_json::from_str(&planned).unwrap();
    // Two experts, two numbers, two ways of sampling, three rates; one pretraining serves all.
    assert_eq!(planned["runs"], 24);
    assert_eq!(planned["stages"]["pretrain"]["distinct"], 1);
    assert_eq!(planned["stages"]["finetune"]["distinct"], 24);
    let said = run(folder.path(), &with("run", &[]), 0).out;
    assert!(said.contains("| finetune.lr | Dice (%) ↑ n=5 |"), "{said}");
    assert!(
        said.contains("finetune.lr takes 0.001, 0.003, 0.01."),
        "{said}"
    );
    let of = folder.path().join("results/rate/smoke");
    let rows = csv(&of.join("runs.csv"));
    let rates: BTreeSet<&str> = rows.iter().map(|row| row["finetune.lr"].as_str()).collect();
    assert_eq!(rates, BTreeSet::from(["0.001", "0.003", "0.01"]));
    assert!(rows.iter().all(|row| row["status"] == "ok"));
    // A part by the swept key, by its last part, too.
    let part = with(
        "plan",
        &["--json", "--only", "lr>=3e-3 and not finetune.lr=0.01"],
    );
    let planned = run(folder.path(), &part, 0).out;
    let planned: serde_json::Value = serde_json::from_str(&planned).unwrap();
    assert_eq!(planned["runs"], 8);
    // The page's plot has the rates across, and its popups lead back here.
    let page = fs::read_to_string(of.join("index.html")).unwrap();
    assert!(page.contains(">0.003</text>"), "{page}");
    // The paper says nothing of such a table.
    for absent in ["The paper’s claims", "Beside the paper"] {
        assert!(!page.contains(absent), "{absent}");
    }
    let command = page.split("\"trace\":\"expertgrid ").nth(1).unwrap();
    let command = command
        .split("\",\"")
        .next()
        .unwrap()
        .split("\"}")
        .next()
        .unwrap();
    let words = command
        .split('\'')
        .enumerate()
        .flat_map(|(i, part)| match i % 2 {
            0 => part.split_whitespace().collect_vec(),
            _ => vec![part],
        });
    let words = words.chain(["--dataset", dataset]).collect_vec();
    let said = run(folder.path(), &words, 0).out;
    assert_eq!(said.matches("over 2 results").count(), 1, "{said}");
    // A second time, nothing is left to do.
    let again = run(folder.path(), &with("run", &[]), 0);
    assert_eq!(again.counts(), None, "{}", again.err);
}
