//! The time to plan: the paper's three tables, and a grid of a million runs; items are runs.

use std::{fs, path::PathBuf};

use divan::{Bencher, counter::ItemsCount};
use expertgrid::{
    manifest,
    plan::{self, Inventory, Summary},
};

fn main() {
    divan::main();
}

/// 31 combinations of five experts and one arm without, 2 new experts, 40 sample counts, 391
/// starts.
fn million() -> String {
    let list = |numbers: std::ops::RangeInclusive<usize>| {
        let numbers: Vec<String> = numbers.map(|n| n.to_string()).collect();
        numbers.join(", ")
    };
    format!(
        "[grid]\nnew_experts = [6, 7]\narms = [\"w/\", \"w/o\"]\n\
         annotators = {{ from = [1, 2, 3, 4, 5], choose = [1, 2, 3, 4, 5] }}\n\
         samples = [{}]\nstarts = [{}]\n[dataset]\ntraining = 400\n",
        list(1..=40),
        list(1..=391),
    )
}

#[divan::bench]
fn the_papers_tables(bencher: Bencher) {
    let table = |i| format!("{}/experiments/table{i}.toml", env!("CARGO_MANIFEST_DIR")).into();
    time(bencher, (1..=3).map(table).collect());
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn a_million_runs(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = folder.path().join("million.toml");
    fs::write(&manifest, million()).expect("the folder can be written");
    time(bencher, vec![manifest]);
}

fn time(bencher: Bencher, manifests: Vec<PathBuf>) {
    let plan = || {
        let experiments =
            manifest::read(&manifests, manifest::PAPER, &[]).expect("the manifests are good");
        let inventory = Inventory::assumed(&experiments[0].cohort);
        Summary::of(&plan::build(experiments, &inventory), |_| true, |_| false)
    };
    let runs = plan().runs;
    bencher.counter(ItemsCount::new(runs)).bench(plan);
}
