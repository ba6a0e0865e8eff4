//! Stages computed again and compared.

use std::fs;

use serde_json::Value;

use super::trained;
use crate::support::{common::*, faults::*};

#[test]
fn an_audit_finds_what_would_come_out_otherwise() {
    let (folder, digest) = trained();
    let dataset = phantom().to_str().unwrap();
    let audit = |more: &[&str], code: i32| {
        let mut arguments = vec!["store", "audit", "--dataset", dataset, "--sample", "100"];
        arguments.extend(more);
        run(folder.path(), &arguments, code).out
    };
    let clean = audit(&["--threads", "2"], 0);
    assert!(
        clean.contains("9 of 9 stages came out with the same bytes"),
        "{clean}"
    );
    let drawn = run(
        folder.path(),
        &[
            "store",
            "audit",
            "--dataset",
            dataset,
            "--sample",
            "2",
            "--json",
        ],
        0,
    );
    let rows: Vec<Value> = serde_json::from_str(&drawn.out).unwrap();
    assert_eq!(rows.len(), 2);

    // An artefact that is intact and wrong: another curve, with its digest in the description.
    let artefact = folder
        .path()
        .join(format!("results/store/pretrain/{}/{digest}", &digest[..2]));
    let curve = fs::read_to_string(artefact.join("curve.csv")).unwrap();
    let forged = curve.replace("1,", "2,");
    let description = fs::read_to_string(artefact.join("artefact.json")).unwrap();
    let digest_of = |text: &str| blake3::hash(text.as_bytes()).to_string();
    let description = description.replace(&digest_of(&curve), &digest_of(&forged));
    fs::write(artefact.join("curve.csv"), &forged).unwrap();
    fs::write(artefact.join("artefact.json"), description).unwrap();
    let found = audit(&[], 1);
    assert!(
        found.contains(&format!("different: pretrain {}: curve.csv", &digest[..12])),
        "{found}"
    );
    assert!(found.contains("8 of 9 stages"), "{found}");

    // Without the images nothing can be computed, and that is no agreement.
    let elsewhere = tempfile::tempdir().unwrap();
    run(
        elsewhere.path(),
        &["data", "phantom", "--out", "other", "--seed", "2"],
        0,
    );
    let other = elsewhere.path().join("other");
    let lost = run(
        folder.path(),
        &[
            "store",
            "audit",
            "--dataset",
            other.to_str().unwrap(),
            "--sample",
            "100",
        ],
        1,
    );
    assert!(
        lost.out
            .contains("0 of 9 stages came out with the same bytes"),
        "{}",
        lost.out
    );
    assert!(lost.out.contains("is not in the data set"), "{}", lost.out);
}

#[test]
fn an_audit_finds_every_form_of_every_stage_reproducible() {
    let folder = every_form();
    run(folder.path(), &small_run(&["chosen.toml"]), 0);
    let dataset = few().to_str().unwrap();
    let audit = ["store", "audit", "--dataset", dataset, "--sample", "1000"];
    let found = run(folder.path(), &audit, 0).out;
    let stages = |kind: &str| {
        let below = files(&folder.path().join("results/store").join(kind));
        let descriptions = below.keys().filter(|name| name.ends_with("artefact.json"));
        descriptions.count()
    };
    let kinds = [
        "pretrain", "finetune", "scratch", "serve", "agree", "evaluate",
    ];
    let counts = kinds.map(stages);
    assert_eq!(counts, [8 + 2, 7 + 2, 1, 11, 1, 19 + 2]);
    let all: usize = counts.iter().sum();
    assert!(
        found.contains(&format!(
            "{all} of {all} stages came out with the same bytes"
        )),
        "{counts:?}: {found}"
    );
}
