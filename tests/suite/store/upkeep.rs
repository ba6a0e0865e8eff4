//! A part of a grid picked by an expression, and a store that is looked after.

use std::fs;

use crate::support::{common::*, faults::*};

#[test]
fn a_part_of_a_grid_is_planned_and_run_alone_and_the_table_shows_all_there_is() {
    let folder = tiny();
    let dataset = phantom().to_str().unwrap();
    let only = ["--only", "method=\"w/\" and start=28"];
    let planned = run(
        folder.path(),
        &[
            &["plan", "tiny.toml", "--json", "--dataset", dataset][..],
            &only,
        ]
        .concat(),
        0,
    );
    let planned: serde_json::Value = serde_json::from_str(&planned.out).unwrap();
    assert_eq!(planned["runs"], 1);
    assert_eq!(planned["stages"]["finetune"]["distinct"], 1);
    assert_eq!(planned["stages"]["scratch"]["distinct"], 0);
    let part = run(folder.path(), &tiny_run(&only), 0);
    assert_eq!(part.counts(), Some((3, 0)));
    let statuses = || -> Vec<String> {
        let rows = csv(&folder.path().join("results/tiny/paper/runs.csv"));
        rows.iter().map(|row| row["status"].clone()).collect()
    };
    assert_eq!(
        statuses()
            .iter()
            .filter(|status| *status == "missing")
            .count(),
        3
    );
    // The rest, then the part again: the table keeps what is there.
    assert_eq!(run(folder.path(), &tiny_run(&[]), 0).counts(), Some((6, 2)));
    run(folder.path(), &tiny_run(&only), 0);
    assert!(statuses().iter().all(|status| status != "missing"));
    let wrong = run(folder.path(), &tiny_run(&["--only", "epxert=6"]), 2);
    assert!(
        wrong.err.contains("one of table, expert, train_expert"),
        "{}",
        wrong.err
    );
}

#[test]
fn the_store_is_listed_measured_verified_and_rid_of_what_no_manifest_reaches() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    run(folder.path(), &tiny_run(&["--set", "finetune.steps=3"]), 0);
    let store = |arguments: &[&str], code: i32| {
        run(folder.path(), &[&["store"], arguments].concat(), code).out
    };
    let listed: Vec<serde_json::Value> =
        serde_json::from_str(&store(&["ls", "--json"], 0)).unwrap();
    assert_eq!(listed.len(), 9 + 4);
    let on_disk: usize = files(&folder.path().join("results/store"))
        .values()
        .map(Vec::len)
        .sum();
    let told: u64 = listed
        .iter()
        .map(|row| row["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(told as usize, on_disk);
    assert!(store(&["ls", "--kind", "pretrain"], 0).contains("synthetic"));
    assert_eq!(store(&["ls", "--kind", "pretrain"], 0).lines().count(), 1);
    assert!(store(&["du"], 0).contains("finetune         4 stages"));
    assert!(store(&["verify"], 0).contains("13 of 13 stages are intact"));

    let dataset = phantom().to_str().unwrap();
    let gc = |more: &[&str]| {
        let base = ["gc", "--keep-manifests", "tiny.toml", "--dataset", dataset];
        store(&[&base[..], more].concat(), 0)
    };
    let dry = gc(&["--dry-run"]);
    assert!(
        dry.contains("4 stages would be removed") && dry.contains("9 stay"),
        "{dry}"
    );
    assert!(
        store(&["verify"], 0).contains("13 of 13"),
        "nothing has gone"
    );
    assert!(gc(&["--dry-run", "--set", "finetune.steps=3"]).contains("0 stages would be removed"));
    let base = [
        "store",
        "gc",
        "--keep-manifests",
        "tiny.toml",
        "--dataset",
        dataset,
    ];
    let asked = run(folder.path(), &base, 2).err;
    assert!(
        asked.contains("4 stages would be removed") && asked.contains("`--yes`"),
        "{asked}"
    );
    assert!(
        store(&["verify"], 0).contains("13 of 13"),
        "nothing has gone"
    );
    assert!(gc(&["--yes"]).contains("4 stages removed"));
    assert_eq!(run(folder.path(), &tiny_run(&[]), 0).counts(), None);

    let scores = files(&folder.path().join("results/store"));
    let scores = scores
        .keys()
        .find(|name| name.ends_with("scores.json"))
        .unwrap();
    fs::write(folder.path().join("results/store").join(scores), "{}").unwrap();
    let damaged = store(&["verify"], 1);
    assert!(
        damaged.contains("damaged: evaluate") && damaged.contains("8 of 9"),
        "{damaged}"
    );
}

#[test]
fn only_what_is_of_the_named_data_set_is_removed_and_never_all_of_it() {
    let folder = tiny();
    let other = ["data", "phantom", "--out", "other", "--seed", "2"];
    run(folder.path(), &other, 0);
    // Another data set of the same label: the label alone does not tell them apart.
    let label = "{\"label\": \"part of the phantom\", \"synthetic\": true}";
    fs::write(folder.path().join("other/dataset.json"), label).unwrap();
    fs::write(folder.path().join("small.toml"), small_manifest()).unwrap();
    run(folder.path(), &small_run(&[]), 0);
    run(
        folder.path(),
        &["run", "tiny.toml", "--dataset", "other"],
        0,
    );
    run(folder.path(), &tiny_run(&["--set", "finetune.steps=3"]), 0);
    run(folder.path(), &tiny_run(&[]), 0);
    let before = files(&folder.path().join("results/store"));
    let gc = |manifest: &str, dataset: &str, code: i32| {
        let base = ["store", "gc", "--keep-manifests", manifest, "--dataset"];
        run(
            folder.path(),
            &[&base[..], &[dataset, "--yes"]].concat(),
            code,
        )
    };
    let phantom = phantom().to_str().unwrap();
    // Nothing is left of the phantom: these are not the manifests that were run.
    fs::write(
        folder.path().join("never.toml"),
        TINY.replace("seed = 3", "seed = 4"),
    )
    .unwrap();
    let refused = gc("never.toml", phantom, 2).err;
    assert!(refused.contains("none of the 13 stages"), "{refused}");
    // Nor does a manifest that does not fit the data keep anything.
    let unfit = gc("tiny.toml", few().to_str().unwrap(), 2).err;
    assert!(unfit.contains("tiny is written for"), "{unfit}");
    assert!(files(&folder.path().join("results/store")) == before);

    let said = gc("tiny.toml", phantom, 0).out;
    assert!(
        said.contains("4 stages removed") && said.contains("9 stay"),
        "{said}"
    );
    assert!(
        said.contains("18 stages of another data set stay: part of the phantom"),
        "{said}"
    );
    let said = gc("small.toml", few().to_str().unwrap(), 0).out;
    assert!(said.contains("0 stages removed"), "{said}");
    assert!(
        said.contains("9 stages of another data set stay: part of the phantom"),
        "{said}"
    );
    assert_eq!(run(folder.path(), &tiny_run(&[]), 0).counts(), None);
    assert_eq!(run(folder.path(), &small_run(&[]), 0).counts(), None);
}

#[test]
fn weights_are_kept_where_a_manifest_wants_them_and_scores_stay_what_they_are() {
    let folder = tiny();
    let keep = ["--set", "keep=\"all\""];
    let weights = || {
        let store = files(&folder.path().join("results/store"));
        store
            .keys()
            .filter(|name| name.ends_with("weights.safetensors"))
            .count()
    };
    run(folder.path(), &tiny_run(&[]), 0);
    assert_eq!(weights(), 1, "the pretraining's");
    let scores = fs::read(folder.path().join("results/tiny/paper/runs.csv")).unwrap();
    let finetune = csv(&folder.path().join("results/tiny/paper/runs.csv"))[0]["training"].clone();
    let refused = run(
        folder.path(),
        &["store", "export", &finetune, "-o", "net.safetensors"],
        2,
    );
    assert!(refused.err.contains("keep=\"all\""), "{}", refused.err);

    // Only what has no weights is made again, and nothing that follows from it.
    let dataset = phantom().to_str().unwrap();
    let planned = run(
        folder.path(),
        &[
            &["plan", "tiny.toml", "--json", "--dataset", dataset][..],
            &keep,
        ]
        .concat(),
        0,
    );
    let planned: serde_json::Value = serde_json::from_str(&planned.out).unwrap();
    assert_eq!(planned["trainings"]["left"], 4);
    assert_eq!(
        run(folder.path(), &tiny_run(&keep), 0).counts(),
        Some((4, 5))
    );
    assert_eq!(weights(), 1 + 4);
    assert_eq!(
        fs::read(folder.path().join("results/tiny/paper/runs.csv")).unwrap(),
        scores
    );
    run(
        folder.path(),
        &["store", "export", &finetune, "-o", "net.safetensors"],
        0,
    );
    run(folder.path(), &["store", "verify"], 0);
    // With or without them: the same stages, and what is kept stays.
    assert_eq!(run(folder.path(), &tiny_run(&[]), 0).counts(), None);
    assert_eq!(run(folder.path(), &tiny_run(&keep), 0).counts(), None);
    assert_eq!(weights(), 1 + 4);
    let wrong = run(folder.path(), &tiny_run(&["--set", "keep=\"some\""]), 2);
    assert!(wrong.err.contains("pretrained"), "{}", wrong.err);
}

#[test]
fn curves_are_written_for_tensorboard_also_of_trainings_that_were_done_before() {
    let folder = tiny();
    let board = ["--tensorboard", "curves"];
    let count = || files(&folder.path().join("curves")).len();
    run(folder.path(), &tiny_run(&board), 0);
    // One pretraining, two fine-tunings, two trainings from scratch.
    assert_eq!(count(), 5);
    fs::remove_dir_all(folder.path().join("curves")).unwrap();
    run(folder.path(), &tiny_run(&board), 0);
    assert_eq!(count(), 5);
    let written = files(&folder.path().join("curves"));
    let (name, bytes) = written
        .iter()
        .find(|(name, _)| name.starts_with("pretrain"))
        .unwrap();
    assert!(name.starts_with("pretrain_on_1+2_"), "{name}");
    // Four steps of two values.
    assert_eq!(
        bytes.windows(4).filter(|window| window == b"loss").count(),
        4
    );
    // A folder that cannot be written is said, and keeps no run from its end.
    fs::write(folder.path().join("taken"), "").unwrap();
    let said = run(folder.path(), &tiny_run(&["--tensorboard", "taken"]), 0);
    assert!(
        said.err.contains("TensorBoard's files are not complete"),
        "{}",
        said.err
    );
}
