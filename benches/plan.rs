//! The time and memory to plan: the paper's tables, and a grid of a million runs.

use std::{fs, hint::black_box, time::Instant};

use expertgrid::{
    manifest,
    plan::{self, Inventory, Summary},
};

/// 31 combinations of five experts and one arm without, 2 new experts, 40 sample counts, 391 starts.
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

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let large = folder.path().join("million.toml");
    fs::write(&large, million()).expect("the folder can be written");
    let tables: Vec<_> = (1..=3)
        .map(|i| format!("{}/experiments/table{i}.toml", env!("CARGO_MANIFEST_DIR")).into())
        .collect();
    for (name, paths) in [
        ("the paper's three tables", tables),
        ("a million runs", vec![large]),
    ] {
        let started = Instant::now();
        let experiments =
            manifest::read(&paths, manifest::PAPER, &[]).expect("the manifests are good");
        let inventory = Inventory::assumed(&experiments[0].cohort);
        let plan = plan::build(experiments, &inventory);
        let summary = black_box(Summary::of(&plan, |_| false));
        println!(
            "{name}: {} runs, {} trainings planned in {:.3} s; peak memory {} so far",
            summary.runs,
            summary.trainings.distinct,
            started.elapsed().as_secs_f64(),
            peak_memory(),
        );
    }
}

fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".to_owned(), |line| line.trim().to_owned())
}
