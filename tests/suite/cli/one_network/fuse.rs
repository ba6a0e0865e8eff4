//! `fuse`: what it writes, and what it refuses.

use std::{fs, path::Path};

use expertgrid::{
    data::{self, Mask, nifti},
    fusion::{Rule, fuse},
    method::FusionRegion,
};

use crate::support::{
    common::{csv, phantom, run},
    nifti_file::{NiftiFile, disc},
    own_sets,
};

const SIDE: [usize; 2] = [24, 24];

/// A case of an image and discs by expert, each at a column with a radius.
fn case(folder: &Path, discs: &[(u8, i32, i32)]) {
    fs::create_dir_all(folder).unwrap();
    let image: Vec<u8> = (0..24 * 24).map(|i| (i % 97) as u8).collect();
    NiftiFile::new(&[24, 24], &image).write(folder.join("image.nii.gz"));
    for (expert, x, radius) in discs {
        let mask = disc(SIDE, [*x, 12], *radius);
        let name = format!("task01_seg{expert:02}.nii.gz");
        NiftiFile::new(&[24, 24], &mask).write(folder.join(name));
    }
}

fn read(path: impl AsRef<Path>) -> Mask {
    nifti::read_mask(path.as_ref()).unwrap().mask
}

#[test]
fn a_data_set_is_fused_case_by_case() {
    let folder = tempfile::tempdir().unwrap();
    let set = phantom().to_str().unwrap();
    let said = run(folder.path(), &["fuse", set, "-o", "majority"], 0);
    assert!(said.out.contains("39 masks by majority"), "{}", said.out);
    let staple = [
        "--rule",
        "staple",
        "--region",
        "box",
        "--experts",
        "5,1,2,3,4",
    ];
    run(
        folder.path(),
        &[&["fuse", set, "-o", "staple"], &staple[..]].concat(),
        0,
    );
    let dataset = data::open(phantom()).unwrap();
    let rows = csv(&folder.path().join("staple/experts.csv"));
    assert_eq!(rows.len(), 39 * 5);
    for (i, case) in dataset.cases().enumerate() {
        let masks: Vec<&Mask> = case.annotations.values().map(|a| &a.mask).collect();
        let of = |folder_name: &str| {
            let path = folder.path().join(folder_name);
            read(path.join(format!("{}.nii.gz", case.name)))
        };
        let majority = fuse(&masks, Rule::Majority).unwrap();
        assert_eq!(of("majority"), majority.mask, "{}", case.name);
        let staple = fuse(&masks[..5], Rule::Staple(FusionRegion::Box)).unwrap();
        assert_eq!(of("staple"), staple.mask, "{}", case.name);
        for (expert, performance) in staple.performances.iter().enumerate() {
            let row = &rows[5 * i + expert];
            assert_eq!(row["case"], case.name);
            assert_eq!(row["expert"], (expert + 1).to_string());
            let found = ["sensitivity", "specificity"].map(|column| row[column].parse().ok());
            assert_eq!(found, [performance.sensitivity, performance.specificity]);
            assert_eq!(row["fused_area_px"], staple.mask.area_px().to_string());
            assert_eq!(row["rounds"], staple.rounds.unwrap().to_string());
        }
    }
    // The summary is the mean over the cases.
    let sensitivities = rows.iter().filter(|row| row["expert"] == "3");
    let sensitivities = sensitivities.map(|row| row["sensitivity"].parse::<f64>().unwrap());
    let mean = sensitivities.sum::<f64>() / 39.0;
    let said = run(
        folder.path(),
        &[&["fuse", set, "-o", "again"], &staple[..]].concat(),
        0,
    );
    let line = said
        .out
        .lines()
        .find(|line| line.starts_with("3 "))
        .unwrap();
    assert!(line.contains(&format!("{mean:.3}")), "{line}: {mean}");
}

#[test]
fn a_fused_mask_has_its_images_header() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    case(&here.join("cases/a"), &[(1, 12, 5), (2, 12, 7), (3, 12, 9)]);
    let image: Vec<u8> = (0..24 * 24).map(|i| (i % 97) as u8).collect();
    let header = NiftiFile::new(&[24, 24], &image).pixdim(0.7, 1.3);
    header.write(here.join("cases/a/image.nii.gz"));
    for (expert, radius) in [(1, 5), (2, 7), (3, 9)] {
        let mask = disc(SIDE, [12, 12], radius);
        let name = format!("cases/a/task01_seg{expert:02}.nii.gz");
        NiftiFile::new(&[24, 24], &mask)
            .pixdim(0.7, 1.3)
            .write(here.join(name));
    }
    // The folder of cases, and the folder of the case.
    for (cases, out) in [("cases", "one"), ("cases/a", "two")] {
        run(here, &["fuse", cases, "-o", out], 0);
        let found = nifti::read_mask(&here.join(out).join("a.nii.gz")).unwrap();
        assert_eq!(
            found.mask.pixels,
            disc(SIDE, [12, 12], 7)
                .iter()
                .map(|v| *v > 0)
                .collect::<Vec<_>>()
        );
        let spacing = found.header.spacing().unwrap();
        assert!((spacing.x_mm - 0.7).abs() < 1e-6 && (spacing.y_mm - 1.3).abs() < 1e-6);
    }
}

#[test]
fn what_may_surprise_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    case(&here.join("cases/disjoint"), &[(1, 5, 3), (2, 18, 3)]);
    case(&here.join("cases/alone"), &[(2, 12, 5)]);
    case(
        &here.join("cases/three"),
        &[(1, 12, 5), (2, 12, 6), (3, 12, 7)],
    );
    case(&here.join("cases/nobody"), &[]);
    let said = run(here, &["fuse", "cases", "-o", "fused"], 0);
    for wanted in [
        "nothing is inside the fused mask, though experts marked something: disjoint",
        "the fused mask is the mask of the only expert: alone",
        "fused from fewer experts than others: disjoint",
        "nobody: has no mask and is left out",
    ] {
        assert!(said.err.contains(wanted), "{}", said.err);
    }
    assert_eq!(read(here.join("fused/disjoint.nii.gz")).area_px(), 0);
    assert!(!here.join("fused/nobody.nii.gz").exists());
    let rows = csv(&here.join("fused/experts.csv"));
    let row = |name: &str, expert: &str| {
        let mut rows = rows.iter();
        let row = rows.find(|row| row["case"] == name && row["expert"] == expert);
        row.unwrap().clone()
    };
    // Nothing is inside, so that no share of it can be marked.
    assert_eq!(row("disjoint", "1")["sensitivity"], "");
    assert_eq!(row("alone", "2")["sensitivity"], "1");
    // An expert who marks the background.
    let outside: Vec<u8> = disc(SIDE, [12, 12], 6).iter().map(|v| 1 - v).collect();
    let path = here.join("cases/three/task01_seg03.nii.gz");
    NiftiFile::new(&[24, 24], &outside).write(path);
    let said = run(
        here,
        &["fuse", "cases/three", "-o", "staple", "--rule", "staple"],
        0,
    );
    assert!(
        said.err.contains("no better than chance") && said.err.contains("expert 3"),
        "{}",
        said.err
    );
}

#[test]
fn nothing_is_replaced_and_wrong_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    case(&here.join("cases/a"), &[(1, 12, 5), (2, 12, 7)]);
    case(&here.join("cases/b"), &[(1, 12, 5)]);
    fs::create_dir(here.join("taken")).unwrap();
    fs::write(here.join("taken/b.nii.gz"), "precious").unwrap();
    let refused = |arguments: &[&str]| {
        let said = run(here, &[&["fuse"], arguments].concat(), 2);
        assert!(!here.join("out").exists(), "{arguments:?}");
        said.err
    };
    let said = refused(&["cases", "-o", "taken"]);
    assert!(said.contains("b.nii.gz: is in taken already"), "{said}");
    assert_eq!(fs::read(here.join("taken/b.nii.gz")).unwrap(), b"precious");
    assert_eq!(fs::read_dir(here.join("taken")).unwrap().count(), 1);
    for (arguments, wanted) in [
        (&["cases", "--experts", "3"][..], "the experts are 1, 2"),
        (&["cases", "--experts", "1,2"], "b has no mask of 2"),
        (&["cases", "--region", "box"], "add `--rule staple`"),
        (&["cases/a/image.nii.gz"], "give the folder of its case"),
        (&["nowhere"], "does not exist"),
        (&["."], "has no mask"),
    ] {
        let said = refused(&[arguments, &["-o", "out"]].concat());
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
    let set = phantom().to_str().unwrap();
    let said = refused(&[set, "--label", "2", "-o", "out"]);
    assert!(said.contains("under `[dataset]` in a manifest"), "{said}");
}

#[test]
fn a_manifest_says_how_a_data_set_is_read_and_what_its_experts_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (part, case) in [("train", 1), ("train", 2), ("test", 3)] {
        let at = here.join("scans").join(part);
        fs::create_dir_all(&at).unwrap();
        let path = |what: &str| at.join(format!("p{case}_{what}.nii.gz"));
        own_sets::write(&path("mri"), &own_sets::image(case));
        for (expert, name) in [(1, "ann"), (2, "bo"), (3, "cy")] {
            own_sets::write(&path(name), &own_sets::mask(case, expert));
        }
    }
    let manifest = r#"
[grid]
new_experts = ["cy"]
methods = ["w/o"]
samples = [1]
starts = [1]
[dataset]
path = "scans"
training = 2
test = 1
experts = ["ann", "bo", "cy"]
images = "{split}/{case}_mri.nii.gz"
masks = "{split}/{case}_{expert}.nii.gz"
split = { training = "train", test = "test" }
"#;
    fs::write(here.join("mine.toml"), manifest).unwrap();
    run(
        here,
        &["fuse", "mine.toml", "--experts", "ann,cy", "-o", "out"],
        0,
    );
    let rows = csv(&here.join("out/experts.csv"));
    let experts: Vec<&str> = rows.iter().map(|row| row["expert"].as_str()).collect();
    assert_eq!(experts, ["ann", "cy", "ann", "cy", "ann", "cy"]);
    assert!(here.join("out/p3.nii.gz").exists());
}
