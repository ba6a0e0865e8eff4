//! What `store gc` must not remove: stages of other folds of one data set, of a sweep that runs, of
//! another version of the program.

use std::{fs, path::Path, process::Stdio};

use crate::support::{common::*, faults::*};

/// A data set of these cases of the phantom's, the last one to test on, that is called as all
/// others here.
fn fold(folder: &Path, name: &str, cases: [&str; 4]) {
    let to = folder.join(name);
    fs::create_dir_all(&to).unwrap();
    let label = "{\"label\": \"folds of one data set\", \"synthetic\": true}";
    fs::write(to.join("dataset.json"), label).unwrap();
    for (i, case) in cases.into_iter().enumerate() {
        let part = if i < 3 { "Training" } else { "Validation" };
        let from = ["Training", "Validation"].map(|part| phantom().join(part).join(case));
        let from = from.iter().find(|from| from.exists()).unwrap();
        fs::create_dir_all(to.join(part).join(case)).unwrap();
        for (file, bytes) in files(from) {
            fs::write(to.join(part).join(case).join(file), bytes).unwrap();
        }
    }
}

fn gc(folder: &Path, dataset: &str, code: i32) -> Said {
    let words = ["store", "gc", "--keep-manifests", "small.toml", "--yes"];
    run(
        folder,
        &[&words[..], &["--dataset", dataset]].concat(),
        code,
    )
}

#[test]
fn stages_of_another_fold_with_shared_cases_and_the_same_label_stay() {
    let folder = small();
    let at = folder.path();
    fold(at, "a", ["case01", "case02", "case03", "case04"]);
    // The test case of one is a training case of the other; most are in both.
    fold(at, "b", ["case01", "case02", "case04", "case03"]);
    let of = |dataset: &'static str| vec!["run", "small.toml", "--dataset", dataset];
    run(at, &of("a"), 0);
    run(at, &of("b"), 0);
    let both = files(&at.join("results/store"));
    let said = gc(at, "a", 0).out;
    assert!(said.contains("0 stages removed"), "{said}");
    assert!(files(&at.join("results/store")) == both);
    // What is of the named one alone goes.
    run(
        at,
        &[&of("a")[..], &["--set", "finetune.steps=3"]].concat(),
        0,
    );
    let said = gc(at, "a", 0).out;
    assert!(said.contains("4 stages removed"), "{said}");
    assert!(files(&at.join("results/store")) == both);
}

#[test]
fn nothing_is_removed_while_a_sweep_runs() {
    let folder = small();
    let at = folder.path();
    run(at, &small_run(&[]), 0);
    run(at, &small_run(&["--set", "finetune.steps=3"]), 0);
    let endless = small_run(&["--set", "scratch.steps=10000000", "--set", "seed=9"]);
    let mut command = expertgrid(at, &endless);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pretrained = || {
        let listed = run(at, &["store", "ls", "--kind", "pretrain"], 0).out;
        listed.lines().count()
    };
    // Of the sweep that runs: its own manifest is not among those that are kept.
    until("its pretraining", || pretrained() == 2);
    let dataset = few().to_str().unwrap();
    let words = ["store", "gc", "--keep-manifests", "small.toml", "--yes"];
    let mut command = expertgrid(at, &[&words[..], &["--dataset", dataset]].concat());
    let refused = command.output().unwrap();
    signal(child.id(), "-INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert_eq!(refused.status.code(), Some(2));
    let said = Said::of(&refused).err;
    assert!(said.contains("while a process works on"), "{said}");
    assert_eq!(pretrained(), 2);
    gc(at, dataset, 0);
    assert_eq!(pretrained(), 1);
}

#[test]
fn stages_of_another_version_whose_images_are_not_known_stay() {
    let folder = small();
    let at = folder.path();
    run(at, &small_run(&[]), 0);
    run(at, &small_run(&["--set", "scratch.steps=3"]), 0);
    let runs = csv(&results_of(at, "small", "paper+").join("runs.csv"));
    let digest = &runs.iter().find(|row| row["method"] == "w/o").unwrap()["training"];
    let path = format!(
        "results/store/scratch/{}/{digest}/artefact.json",
        &digest[..2]
    );
    let text = fs::read_to_string(at.join(&path)).unwrap();
    let newer = text.replace("\"support\"", "\"cohort\"");
    assert_ne!(newer, text);
    fs::write(at.join(&path), newer).unwrap();
    let said = gc(at, few().to_str().unwrap(), 0).out;
    assert!(said.contains("1 stages of another version"), "{said}");
    assert!(said.contains("3 stages removed"), "{said}");
    assert!(at.join(path).exists());
}
