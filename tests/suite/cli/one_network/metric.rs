//! Masks scored against reference masks.

use std::{fs, path::Path};

use expertgrid::data::{
    Mask,
    nifti::{self, Header},
};
use serde_json::Value;

use super::{export, trained};
use crate::support::{common::*, nifti_file::*};

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
        unpaired.contains("ref/c.nii: has no prediction of its name in pred"),
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
        // No affine.
        bytes[254..256].copy_from_slice(&0_i16.to_le_bytes());
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
    assert!(
        bare.contains("has a header that gives no spacing"),
        "{bare}"
    );
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

#[test]
fn equal_places_are_scored_and_other_places_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let shape = [40, 32];
    let mask = NiftiFile::disc(shape, [14, 11], 7);
    mask.clone().sform(IDENTITY).write(at("mask.nii"));
    let other_way = rows([-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [39.0, 0.0, 0.0]);
    NiftiFile::new(&[40, 32], &mirrored(&disc(shape, [14, 11], 7), 40))
        .sform(other_way)
        .write(at("mirrored.nii"));
    let elsewhere = rows([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [10.0, -4.0, 0.0]);
    mask.clone().sform(elsewhere).write(at("elsewhere.nii"));
    mask.clone()
        .qform([0.0; 3], [0.0; 3])
        .write(at("quaternion.nii"));
    mask.write(at("silent.nii"));

    let perfect = |prediction: &str, reference: &str| {
        let said = run(
            folder.path(),
            &["metric", prediction, reference, "--json"],
            0,
        );
        let rows: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(rows[0]["dice"], 1.0, "{prediction} {reference}");
        said.err
    };
    assert!(perfect("mirrored.nii", "mask.nii").contains("x reversed"));
    assert!(perfect("mask.nii", "mirrored.nii").contains("x reversed"));
    for (prediction, reference) in [
        ("mask.nii", "quaternion.nii"),
        ("silent.nii", "mask.nii"),
        ("silent.nii", "silent.nii"),
    ] {
        assert_eq!(perfect(prediction, reference), "");
    }
    let said = run(folder.path(), &["metric", "mask.nii", "elsewhere.nii"], 2);
    assert!(
        said.err.contains("lies elsewhere than its reference"),
        "{}",
        said.err
    );
    assert_eq!(said.out, "");
}

#[test]
fn values_that_do_not_say_what_is_inside_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let labels = |name: &str, low: u8, high: u8| {
        let values = disc([40, 32], [14, 11], 7);
        let values: Vec<u8> = values
            .iter()
            .map(|v| if *v == 1 { high } else { low })
            .collect();
        NiftiFile::new(&[40, 32], &values).write(folder.path().join(name));
    };
    labels("mask.nii", 0, 1);
    labels("two.nii", 0, 2);
    labels("one-two.nii", 1, 2);
    labels("hundreds.nii", 100, 200);
    for (name, values) in [("one-two.nii", "1 and 2"), ("hundreds.nii", "100 and 200")] {
        for pair in [["mask.nii", name], [name, "mask.nii"], [name, name]] {
            let said = run(folder.path(), &["metric", pair[0], pair[1]], 2);
            assert!(
                said.err
                    .contains(&format!("{name}: has the values {values}")),
                "{said:#?}"
            );
        }
    }
    let same = run(
        folder.path(),
        &["metric", "two.nii", "mask.nii", "--json"],
        0,
    );
    assert!(same.out.contains("\"dice\": 1.0"), "{}", same.out);
}

#[test]
fn hidden_files_are_no_masks() {
    let folder = tempfile::tempdir().unwrap();
    for dir in ["pred", "ref"] {
        fs::create_dir(folder.path().join(dir)).unwrap();
        write_mask(folder.path(), &format!("{dir}/a.nii.gz"), &[1, 2]);
    }
    fs::write(folder.path().join("ref/._a.nii.gz"), [0, 5, 22, 7]).unwrap();
    fs::create_dir(folder.path().join("pred/.Trash")).unwrap();
    let said = run(folder.path(), &["metric", "pred", "ref", "--json"], 0);
    let rows: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    assert_eq!((rows.len(), &rows[0]["dice"]), (1, &1.0.into()));
}

#[test]
fn folders_are_read_in_numerical_order_and_what_is_left_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for dir in ["pred", "ref/case2", "ref/case10", "ref/case11"] {
        fs::create_dir_all(folder.path().join(dir)).unwrap();
    }
    // An expert's number need not have two digits.
    for (name, inside) in [
        ("pred/case2.nii.gz", &[1, 2][..]),
        ("pred/case10.NII", &[1, 2]),
        ("pred/case2_probability.nii.gz", &[1, 2]),
        ("ref/case2/task01_seg6.nii", &[1, 2]),
        ("ref/case10/task01_seg06.nii.gz", &[1]),
    ] {
        write_mask(folder.path(), name, inside);
    }
    fs::write(folder.path().join("pred/overlay.png"), "").unwrap();
    let arguments = ["metric", "pred", "ref", "--expert", "6", "--json"];
    fs::write(folder.path().join("ref/case11/notes.txt"), "").unwrap();
    let said = run(folder.path(), &arguments, 0);
    let rows: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    let cases: Vec<&str> = rows.iter().filter_map(|row| row["case"].as_str()).collect();
    assert_eq!(cases, ["case2", "case10"]);
    assert_eq!(rows[0]["dice"], 1.0);
    for told in [
        "pred/overlay.png: is a PNG beside NIfTI files",
        "pred: probabilities and logits beside masks are left out (1)",
        "ref/case11: has no mask of expert 6 and is left out",
        "ref/case11/notes.txt: is neither a NIfTI file",
    ] {
        assert!(said.err.contains(told), "{}", said.err);
    }
    let nobody = run(
        folder.path(),
        &["metric", "pred", "ref", "--expert", "7"],
        2,
    )
    .err;
    assert!(
        nobody.contains("ref: has no mask of expert 7, only of experts 6"),
        "{nobody}"
    );
}

#[test]
fn like_faults_of_many_pairs_share_a_line() {
    let folder = tempfile::tempdir().unwrap();
    for dir in ["pred", "ref"] {
        fs::create_dir(folder.path().join(dir)).unwrap();
        for case in 1..=7 {
            let values: Vec<u8> = (0..12).map(|i| 1 + u8::from(i == case)).collect();
            NiftiFile::new(&[4, 3], &values)
                .write(folder.path().join(format!("{dir}/c{case}.nii")));
        }
    }
    write_mask(folder.path(), "pred/extra.nii", &[1]);
    let said = run(folder.path(), &["metric", "pred", "ref"], 2).err;
    assert!(
        said.contains("pred/extra.nii: has no reference of its name in ref"),
        "{said}"
    );
    fs::remove_file(folder.path().join("pred/extra.nii")).unwrap();
    let said = run(folder.path(), &["metric", "pred", "ref"], 2).err;
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("14 files have the same problem: each has the values 1 and 2"),
        "{said}"
    );
}
