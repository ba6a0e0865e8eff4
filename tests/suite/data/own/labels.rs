//! Which label of a mask is inside.

use std::{fs, path::Path};

use expertgrid::data::{self, Dataset};

use crate::support::{common::run, nifti_file::NiftiFile, own_sets::*};

const SIZE: &str = "training = 6\ntest = 2\nexperts = 3\n";

fn open(root: &Path, keys: &str) -> Dataset {
    let spec = experiment(&format!("{SIZE}{keys}")).data;
    data::open_as(root, &spec).unwrap()
}

#[test]
fn a_label_or_several_merged_are_inside_and_give_the_digests_of_masks_of_0_and_1() {
    let dir = tempfile::tempdir().unwrap();
    qubiq(&dir.path().join("labels"), labels);
    for (key, is_inside) in [
        ("label = 2", (|v| v == 2) as fn(u8) -> bool),
        ("label = 1", |v| v == 1),
        ("label = [1, 2]", |v| v > 0),
        ("label = [2, 7]", |v| v == 2),
        ("label = 0", |v| v == 0),
    ] {
        let plain = dir.path().join(key.replace([' ', '[', ']', ',', '='], "_"));
        let binary = |case, expert| {
            labels(case, expert)
                .into_iter()
                .map(|v| is_inside(v).into())
        };
        qubiq(&plain, |case, expert| binary(case, expert).collect());
        let chosen = open(&dir.path().join("labels"), key);
        assert_eq!(chosen.digest, open(&plain, "").digest, "{key}");
        assert_eq!(chosen.warnings, [], "{key}");
    }
    let prepared = |keys| open(&dir.path().join("labels"), keys).preparation;
    assert_eq!(
        prepared("label = 2").as_deref(),
        Some("label 2 of each mask")
    );
    assert_eq!(
        prepared("label = [1, 2]").as_deref(),
        Some("labels 1, 2 of each mask")
    );
}

#[test]
fn masks_of_labels_are_refused_with_the_labels_and_the_key() {
    let dir = tempfile::tempdir().unwrap();
    qubiq(dir.path(), labels);
    let set = dir.path().to_str().unwrap();
    let said = run(dir.path(), &["data", "check", set], 2);
    for wanted in ["the labels 0, 1, 2", "label = 1", "[dataset]", "[1, 2]"] {
        assert!(said.out.contains(wanted), "{wanted}: {}", said.out);
    }
    // 24 masks share the line.
    assert_eq!(said.out.matches("the labels").count(), 1, "{}", said.out);

    fs::write(
        dir.path().join("own.toml"),
        manifest(&format!("{SIZE}label = 2")),
    )
    .unwrap();
    let said = run(
        dir.path(),
        &["data", "check", "own.toml", "--dataset", set],
        0,
    );
    assert!(said.out.contains("0 errors, 0 warnings"), "{}", said.out);
}

#[test]
fn a_label_that_a_mask_lacks_is_told_and_one_that_all_lack_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    qubiq(dir.path(), labels);
    let one = dir.path().join("Training/case3/task01_seg02.nii");
    write(&one, &mask(3, 2));
    let set = open(dir.path(), "label = 2");
    let [warning] = set.warnings.as_slice() else {
        panic!("{:?}", set.warnings)
    };
    assert_eq!(warning.path, one);
    assert!(warning.what.contains("none of the labels 2"), "{warning}");
    assert!(warning.what.contains("only 0, 1"), "{warning}");

    let spec = experiment(&format!("{SIZE}label = 5")).data;
    let said = data::open_as(dir.path(), &spec).unwrap_err().to_string();
    assert!(said.contains("no mask has anything inside"), "{said}");
    assert!(said.contains("dataset.label"), "{said}");

    // A probability is no label.
    let mut soft = NiftiFile::new(&[SIDE as i16; 2], &mask(3, 2));
    soft.put(112, 0.5_f32.to_le_bytes());
    soft.write(&one);
    let spec = experiment(&format!("{SIZE}label = 2")).data;
    let said = data::open_as(dir.path(), &spec).unwrap_err().to_string();
    assert!(
        said.contains("has the value 0.5, which is no label"),
        "{said}"
    );
}

#[test]
fn mistakes_in_the_key_are_told_with_their_place() {
    for (keys, wanted) in [
        ("label = []", "is empty"),
        ("label = [1, 1]", "names 1 twice"),
        ("label = -1", "not negative"),
        ("label = 99999999999", "from 0 to 16777216"),
        ("label = \"cup\"", "a whole number"),
        ("labels = 2", "did you mean `label`"),
    ] {
        let said = problems(&format!("{SIZE}{keys}"));
        assert!(
            said.contains(wanted) && said.contains("own.toml:"),
            "{keys}: {said}"
        );
    }
}

#[test]
fn single_folders_and_files_take_the_label_as_an_option() {
    let dir = tempfile::tempdir().unwrap();
    qubiq(dir.path(), labels);
    let inner: Vec<u8> = labels(1, 1).into_iter().map(|v| u8::from(v == 2)).collect();
    write(&dir.path().join("prediction.nii"), &inner);
    let reference = "Training/case1/task01_seg01.nii";
    let said = run(dir.path(), &["metric", "prediction.nii", reference], 2);
    assert!(said.err.contains("--label"), "{}", said.err);
    let dice = |label: &str| {
        let json = [
            "metric",
            "prediction.nii",
            reference,
            "--json",
            "--label",
            label,
        ];
        let rows: serde_json::Value = serde_json::from_str(&run(dir.path(), &json, 0).out).unwrap();
        rows[0]["dice"].as_f64().unwrap()
    };
    assert_eq!(dice("2"), 1.0);
    let all: usize = labels(1, 1).iter().filter(|v| **v > 0).count();
    let some: usize = inner.iter().filter(|v| **v > 0).count();
    assert!((dice("1,2") - 2.0 * some as f64 / (some + all) as f64).abs() < 1e-12);
}
