//! Masks scored against reference masks.

use std::{fs, path::Path};

use expertgrid::data::{
    Mask,
    nifti::{self, Header},
};
use serde_json::Value;

use super::{export, trained};
use crate::support::common::*;

/// A file of 4 x 3 pixels.
fn write_mask(folder: &Path, name: &str, inside: &[usize]) {
    let mask = Mask {
        height: 3,
        width: 4,
        pixels: (0..12).map(|i| inside.contains(&i)).collect(),
    };
    nifti::write_mask(&folder.join(name), &mask, &Header::identity(4, 3).unwrap()).unwrap();
}

#[test]
fn masks_are_scored_one_by_one_and_by_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    for dir in ["pred", "ref"] {
        fs::create_dir(folder.path().join(dir)).unwrap();
    }
    write_mask(folder.path(), "pred/a.nii.gz", &[0, 1]);
    write_mask(folder.path(), "ref/a.nii.gz", &[1, 2]);
    write_mask(folder.path(), "pred/b.nii", &[]);
    write_mask(folder.path(), "ref/b.nii.gz", &[5]);
    let json = |arguments: &[&str]| -> Vec<Value> {
        let mut all = vec!["metric"];
        all.extend(arguments);
        all.push("--json");
        serde_json::from_str(&run(folder.path(), &all, 0).out).unwrap()
    };
    let rows = json(&["pred/a.nii.gz", "ref/a.nii.gz"]);
    // Pixels 0 and 1 against 1 and 2: one of two in common; distances 1, 0 and 0, 1.
    assert_eq!(rows[0]["dice"], 0.5);
    assert_eq!(rows[0]["assd"], 0.5);
    assert_eq!(rows[0]["hd95"], 1.0);
    assert_eq!(rows[0]["status"], "ok");
    let rows = json(&["pred", "ref"]);
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["case"], &rows[1]["case"]),
        (&"a".into(), &"b".into())
    );
    assert_eq!(rows[1]["dice"], 0.0);
    assert_eq!(rows[1]["assd"], Value::Null);
    assert_eq!(rows[1]["status"], "the prediction is empty");
    let table = run(folder.path(), &["metric", "pred", "ref"], 0).out;
    assert!(table.contains("mean of 1 of 2"), "{table}");

    write_mask(folder.path(), "ref/c.nii", &[1]);
    let unpaired = run(folder.path(), &["metric", "pred", "ref"], 2).err;
    assert!(
        unpaired.contains("ref/c.nii: there is no prediction for it"),
        "{unpaired}"
    );
}

#[test]
fn distances_follow_the_headers_spacing_and_the_definition_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let spaced = |name: &str, inside: &[usize], spacing: [f32; 2]| {
        write_mask(folder.path(), name, inside);
        let path = folder.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[80..84].copy_from_slice(&spacing[0].to_le_bytes());
        bytes[84..88].copy_from_slice(&spacing[1].to_le_bytes());
        fs::write(path, bytes).unwrap();
    };
    spaced("p.nii", &[0, 3], [0.5, 2.0]);
    spaced("r.nii", &[0], [0.5, 2.0]);
    let value = |more: &[&str], field: &str| -> f64 {
        let mut arguments = vec!["metric", "p.nii", "r.nii", "--json"];
        arguments.extend(more);
        let rows: Value = serde_json::from_str(&run(folder.path(), &arguments, 0).out).unwrap();
        rows[0][field].as_f64().unwrap()
    };
    // Distances 0 and 3 one way, 0 the other.
    assert_eq!(value(&[], "assd"), 1.0);
    assert_eq!(value(&["--definition", "assd=macro"], "assd"), 0.75);
    assert_eq!(value(&["--spacing", "header"], "assd"), 0.5);
    // The 95th percentile of 0, 0, 3 and that of 0, 3, both linear.
    assert!((value(&[], "hd95") - 2.7).abs() < 1e-12);
    let larger = value(&["--definition", "assd=macro,hd95=max_directed"], "hd95");
    assert!((larger - 2.85).abs() < 1e-12);

    // The border of pixel 3 is as long as that of pixel 0, and 2 to 3 columns from it.
    let nsd = |definition: &str| {
        let more = ["--report", "nsd", "--definition", definition];
        value(&more, "nsd")
    };
    assert!((nsd("nsd_tolerance=0") - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(nsd("nsd_tolerance=3"), 1.0);
    assert_eq!(value(&["--report", "nsd"], "nsd"), nsd("nsd_tolerance=1"));

    spaced("bare.nii", &[0], [0.0, 0.0]);
    let refused = |arguments: &[&str]| run(folder.path(), arguments, 2).err;
    let bare = refused(&["metric", "p.nii", "bare.nii", "--spacing", "header"]);
    assert!(bare.contains("its header has no spacing"), "{bare}");
    let word = refused(&["metric", "p.nii", "r.nii", "--definition", "hd95=largest"]);
    assert!(word.contains("hd95=max_directed"), "{word}");
    let negative = [
        "metric",
        "p.nii",
        "r.nii",
        "--definition",
        "nsd_tolerance=-1",
    ];
    let negative = refused(&negative);
    assert!(negative.contains("number from 0.0 to 1000.0"), "{negative}");
    let image = phantom().join("Validation/case35/image.nii.gz");
    let scan = refused(&["metric", image.to_str().unwrap(), image.to_str().unwrap()]);
    assert!(scan.contains("more than two different values"), "{scan}");
    let mixed = refused(&["metric", "p.nii", phantom().to_str().unwrap()]);
    assert!(mixed.contains("is a folder"), "{mixed}");
    let shapes = refused(&[
        "metric",
        "p.nii",
        phantom()
            .join("Validation/case35/task01_seg01.nii.gz")
            .to_str()
            .unwrap(),
    ]);
    assert!(shapes.contains("256"), "{shapes}");
}

#[test]
fn predictions_are_scored_against_an_experts_masks_in_a_folder_of_cases() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let validation = phantom().join("Validation");
    let validation = validation.to_str().unwrap();
    run(
        folder.path(),
        &[
            "predict",
            "--weights",
            "pretrained.safetensors",
            "--expert",
            "1",
            validation,
            "-o",
            "masks",
            "--probabilities",
        ],
        0,
    );
    let whose = run(folder.path(), &["metric", "masks", validation], 2).err;
    assert!(whose.contains("`--expert N`"), "{whose}");
    let said = run(
        folder.path(),
        &["metric", "masks", validation, "--expert", "6", "--json"],
        0,
    );
    let rows: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[0]["case"], "case35");
}
