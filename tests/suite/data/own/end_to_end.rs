//! Whole grids on data of one's own.

use std::{fs, path::Path};

use crate::support::{
    common::{csv, results_of, run},
    nifti_file::NiftiFile,
    own_sets::*,
};

/// Eight images and three raters' masks of labels as PNG, in one folder, under names of their own.
fn pictures(root: &Path) {
    for case in 1..=8 {
        write(&root.join(format!("scan {case}.png")), &image(case));
        for (expert, name) in [(1, "anna"), (2, "bert"), (3, "carla")] {
            let name = format!("labels/scan {case}-{name}.png");
            write(&root.join(name), &labels(case, expert));
        }
    }
}

const PICTURES: &str = "path = \"scans\"\ntraining = 6\ntest = 2\n\
    experts = [\"anna\", \"bert\", \"carla\"]\nimages = \"{case}.png\"\n\
    masks = \"labels/{case}-{expert}.png\"\nsplit = { test = 0.25, seed = 1 }\nlabel = 2";

#[test]
fn a_folder_of_pictures_gets_to_a_table_with_the_names_of_its_experts() {
    let dir = tempfile::tempdir().unwrap();
    pictures(&dir.path().join("scans"));
    let text = manifest(PICTURES)
        .replace("[3]", "[\"carla\"]")
        .replace("[1, 2]", "[\"anna\", \"bert\"]");
    let text = text.replace("starts = [\"anna\", \"bert\"]", "starts = [1, 2]");
    fs::write(dir.path().join("own.toml"), &text).unwrap();
    let said = run(dir.path(), &["data", "check", "own.toml"], 0);
    assert!(said.out.contains("6 training, 2 test"), "{}", said.out);
    assert!(said.out.contains("1 anna, 2 bert, 3 carla"), "{}", said.out);
    run(dir.path(), &["run", "own.toml"], 0);
    let folder = results_of(dir.path(), "own", "paper@scans-");
    let table = fs::read_to_string(folder.join("own.md")).unwrap();
    assert!(table.contains("Adapted to expert carla"), "{table}");
    assert!(table.contains("label 2 of each mask"), "{table}");
    let runs = csv(&folder.join("runs.csv"));
    assert!(runs.iter().all(|run| run["new_expert"] == "carla"));
    let combinations: Vec<&str> = runs.iter().map(|run| run["annotators"].as_str()).collect();
    assert!(combinations.contains(&"anna+bert"), "{combinations:?}");
    // By name, by number, and not by another name.
    for (only, code) in [
        ("expert=carla", 0),
        ("expert=3", 0),
        ("annotators=anna+bert", 0),
        ("expert=anna", 2),
        ("expert=dora", 2),
    ] {
        run(dir.path(), &["plan", "own.toml", "--only", only], code);
    }
    let unknown = run(
        dir.path(),
        &["plan", "own.toml", "--set", "grid.new_experts=[\"dora\"]"],
        2,
    );
    assert!(
        unknown.err.contains("there is no expert \"dora\""),
        "{}",
        unknown.err
    );
    assert!(unknown.err.contains("anna, bert, carla"), "{}", unknown.err);
}

#[test]
fn a_key_follows_the_content_and_not_the_way_it_is_described() {
    let dir = tempfile::tempdir().unwrap();
    pictures(&dir.path().join("scans"));
    let split = "split = { test = [\"scan 7\", \"scan 8\"] }";
    let keys = PICTURES.replace("split = { test = 0.25, seed = 1 }", split);
    fs::write(dir.path().join("own.toml"), manifest(&keys)).unwrap();
    run(dir.path(), &["run", "own.toml"], 0);
    // The same cases on the same sides, as NIfTI files of 0 and 1 in QUBIQ's folders.
    for case in 1..=8 {
        let part = if case <= 6 { "Training" } else { "Validation" };
        let folder = dir
            .path()
            .join("qubiq")
            .join(part)
            .join(format!("scan {case}"));
        write(&folder.join("image.nii"), &image(case));
        for expert in 1..=3 {
            let inside = labels(case, expert).into_iter().map(|v| u8::from(v == 2));
            let name = format!("task01_seg{expert:02}.nii");
            write(&folder.join(name), &inside.collect::<Vec<u8>>());
        }
    }
    let size = "training = 6\ntest = 2\nexperts = 3";
    fs::write(dir.path().join("plain.toml"), manifest(size)).unwrap();
    let plan = run(dir.path(), &["plan", "plain.toml", "--dataset", "qubiq"], 0);
    assert!(plan.out.contains("nothing is left to do"), "{}", plan.out);
    let both = ["plan", "plain.toml", "own.toml", "--dataset", "qubiq"];
    let said = run(dir.path(), &both, 2);
    assert!(
        said.err.contains("describe different data sets"),
        "{}",
        said.err
    );
}

#[test]
fn the_store_is_kept_and_audited_by_the_manifests_that_describe_its_data() {
    let dir = tempfile::tempdir().unwrap();
    pictures(&dir.path().join("scans"));
    let outer = PICTURES.replace("label = 2", "label = [1, 2]");
    for (name, keys) in [("inner.toml", PICTURES), ("outer.toml", &outer)] {
        fs::write(dir.path().join(name), manifest(keys)).unwrap();
        run(dir.path(), &["run", name], 0);
    }
    let gc = |manifests: &[&str]| {
        let mut arguments = vec!["store", "gc", "--dry-run", "--keep-manifests"];
        arguments.extend(manifests);
        run(dir.path(), &arguments, 0).out
    };
    let both = gc(&["inner.toml", "outer.toml"]);
    assert!(both.starts_with("0 stages would be removed"), "{both}");
    // The masks of the other are other content, and nobody named them.
    let one = gc(&["inner.toml"]);
    assert!(one.starts_with("0 stages would be removed"), "{one}");
    assert!(
        one.contains("stages of another data set stay: scans"),
        "{one}"
    );
    let audit = [
        "store",
        "audit",
        "--dataset",
        "outer.toml",
        "--sample",
        "100",
    ];
    let audited = run(dir.path(), &audit, 1).out;
    let last = audited.lines().last().unwrap();
    assert!(
        last.contains(" 0 different,") && !last.starts_with("0 of"),
        "{audited}"
    );
}

#[test]
fn distances_of_resampled_images_are_those_of_the_new_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("scans");
    fs::create_dir(&root).unwrap();
    for case in 1..=8 {
        let file = |values: &[u8]| NiftiFile::new(&[SIDE as i16; 2], values).pixdim(0.5, 0.5);
        file(&image(case)).write(root.join(format!("c{case}.nii")));
        for expert in 1..=3 {
            file(&mask(case, expert)).write(root.join(format!("c{case}_{expert}.nii")));
        }
    }
    let keys = "path = \"scans\"\ntraining = 6\ntest = 2\nexperts = 3\nimages = \"{case}.nii\"\n\
                masks = \"{case}_{expert}.nii\"\nsplit = { test = [\"c7\", \"c8\"] }\n";
    let spaced = format!("{keys}spacing_mm = 0.4");
    let text = manifest(&spaced) + "\n[metrics]\nspacing = \"header\"\n";
    fs::write(dir.path().join("own.toml"), text).unwrap();
    run(dir.path(), &["run", "own.toml"], 0);
    let folder = results_of(dir.path(), "own", "paper@scans-");
    let table = fs::read_to_string(folder.join("own.md")).unwrap();
    assert!(
        table.contains("resampled to pixels of 0.4 x 0.4 mm"),
        "{table}"
    );
    assert!(table.contains("(mm)"), "{table}");
    // Every distance is again that of the stored predictions and references.
    run(dir.path(), &["report", "own.toml", "--verify"], 0);
    // Without resampling, other content and other keys.
    fs::write(dir.path().join("own.toml"), manifest(keys)).unwrap();
    let plan = run(dir.path(), &["plan", "own.toml"], 0);
    assert!(!plan.out.contains("nothing is left to do"), "{}", plan.out);
}
