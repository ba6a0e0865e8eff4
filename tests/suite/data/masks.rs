//! What counts as a mask, and how like problems of many files are told.

use std::{fs, path::Path};

use expertgrid::data::{self, DataProblem, Severity, check::check, grouped, nifti::decode_mask};

use crate::support::{common::run, nifti_file::*};

/// A file of six pixels.
fn of(values: [u8; 6]) -> NiftiFile {
    NiftiFile::new(&[3, 2], &values)
}

#[test]
fn a_mask_is_0_and_one_other_value() {
    let inside = |values: [u8; 6]| decode_mask(&of(values).0[..]).unwrap();
    for value in [1, 2, 200, 255] {
        let read = inside([0, value, 0, 0, value, 0]);
        assert_eq!(read.inside, Some(f32::from(value)));
        assert_eq!(read.mask.pixels, [false, true, false, false, true, false]);
    }
    assert_eq!(inside([0; 6]).mask.area_px(), 0);
    assert_eq!(inside([1; 6]).mask.area_px(), 6);
    assert_eq!(inside([255; 6]).mask.area_px(), 6);

    // Scaled by a half and by a thousandth: what marks the inside need not be above a half.
    for slope in [0.5_f32, 1e-3] {
        let mut file = of([0, 1, 1, 0, 0, 0]);
        file.put(112, slope.to_le_bytes());
        assert_eq!(decode_mask(&file.0[..]).unwrap().mask.area_px(), 2);
    }
}

#[test]
fn anything_else_is_refused_with_its_values() {
    let said = |file: &NiftiFile| decode_mask(&file.0[..]).unwrap_err().to_string();
    let of = |values| said(&of(values));
    assert!(of([1, 2, 1, 1, 2, 1]).contains("has the values 1 and 2"));
    assert!(of([200, 100, 100, 100, 100, 100]).contains("has the values 100 and 200"));
    assert!(of([0, 1, 2, 2, 1, 0]).contains("the labels 0, 1, 2"));
    assert!(of([7; 6]).contains("has the value 7 everywhere"));
    // Bytes with a sign: 255 is -1.
    let mut signed = NiftiFile::new(&[3, 2], &[0, 255, 0, 0, 0, 0]);
    signed.put(70, 256_i16.to_le_bytes());
    assert!(said(&signed).contains("has the values -1 and 0"));
    let mut soft = NiftiFile::new(&[3, 2], &[0, 10, 5, 1, 0, 0]);
    soft.put(112, 0.1_f32.to_le_bytes());
    assert!(said(&soft).contains("from 0 to 1"), "{}", said(&soft));
    let many: Vec<u8> = (0..=255).collect();
    let many = said(&NiftiFile::new(&[16, 16], &many));
    assert!(
        many.contains("more than two different values, from 0 to 255"),
        "{many}"
    );
}

/// Cases of 4 x 4 pixels with the masks of these experts.
fn data_set(root: &Path, cases: u8, experts: &[u8]) {
    for case in 1..=cases {
        let part = if case < cases {
            "Training"
        } else {
            "Validation"
        };
        let folder = root.join(part).join(format!("case{case}"));
        fs::create_dir_all(&folder).unwrap();
        let image: Vec<u8> = (0..16).map(|i| i + case).collect();
        NiftiFile::new(&[4, 4], &image).write(folder.join("image.nii"));
        for expert in experts {
            let values: Vec<u8> = (0..16).map(|i| u8::from(i % 3 == expert % 3)).collect();
            NiftiFile::new(&[4, 4], &values)
                .write(folder.join(format!("task01_seg{expert:02}.nii")));
        }
    }
}

#[test]
fn a_mask_that_is_its_image_and_an_image_that_is_a_mask_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 3, &[1, 2]);
    let case = dir.path().join("Training/case2");
    fs::copy(case.join("image.nii"), case.join("task01_seg02.nii")).unwrap();
    let other = dir.path().join("Training/case1");
    fs::copy(other.join("task01_seg01.nii"), other.join("image.nii")).unwrap();
    let said = data::open(dir.path()).unwrap_err().to_string();
    assert!(
        said.contains("task01_seg02.nii: is a copy of its image"),
        "{said}"
    );
    assert!(
        said.contains("case1/image.nii: has no more than two"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn like_masks_share_a_line_and_the_odd_one_has_its_own() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 5, &[1, 2]);
    for (i, folder) in (1..=5).map(|n| (n, if n < 5 { "Training" } else { "Validation" })) {
        for expert in [1, 2] {
            let path = dir
                .path()
                .join(format!("{folder}/case{i}/task01_seg0{expert}.nii"));
            let mut bytes = fs::read(&path).unwrap();
            bytes[352..].iter_mut().for_each(|value| *value *= 255);
            fs::write(path, bytes).unwrap();
        }
    }
    let found = check(dir.path());
    assert!(found.usable());
    assert_eq!(found.problems.len(), 10);
    let text = found.to_string();
    assert!(text.contains("0 errors, 10 warnings"), "{text}");
    let lines = text.lines().filter(|line| line.contains("0 and 255"));
    assert_eq!(lines.count(), 1, "{text}");
    assert!(text.contains("10 files have the same problem"), "{text}");
    assert!(text.contains("and 7 more"), "{text}");

    let path = dir.path().join("Training/case3/task01_seg02.nii");
    let grey: Vec<u8> = (0..16).map(|i| i % 8).collect();
    NiftiFile::new(&[4, 4], &grey).write(&path);
    let found = check(dir.path());
    assert!(!found.usable());
    let text = found.to_string();
    assert!(text.contains("seg02.nii: has more than two different values, the labels 0, 1, 2, 3"));
    assert!(text.contains("9 files have the same problem"), "{text}");

    // The line names three of the files, and JSON all of them.
    assert!(text.contains("`--json` names every file"), "{text}");
    let path = dir.path().to_str().unwrap();
    let said = run(dir.path(), &["data", "check", path, "--json"], 2);
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let problems = found["problems"].as_array().unwrap();
    assert_eq!((problems.len(), &found["usable"]), (10, &false.into()));
    let mut named: Vec<&str> = problems.iter().filter_map(|p| p["path"].as_str()).collect();
    named.dedup();
    assert_eq!(named.len(), 10, "{named:?}");
    assert_eq!(problems[0]["severity"], "error");
    assert_eq!(problems[1]["what"], "has the values 0 and 255");
}

#[test]
fn odd_kinds_of_numbers_are_masks_where_they_say_what_is_inside() {
    let real = |values: [f32; 6]| {
        let mut file = NiftiFile::new(&[3, 2], &values.map(f32::to_le_bytes).concat());
        file.put(70, 16_i16.to_le_bytes())
            .put(72, 32_i16.to_le_bytes());
        decode_mask(&file.0[..]).map_err(|fault| fault.to_string())
    };
    let read = real([0.0, 1.0, 1.0, -0.0, 0.0, 0.0]).unwrap();
    assert_eq!((read.mask.area_px(), read.inside), (2, Some(1.0)));
    for (values, said) in [
        (
            [-1.0, 1.0, 1.0, -1.0, -1.0, -1.0],
            "has the values -1 and 1, so it does not say",
        ),
        (
            [0.0, 1.0, f32::NAN, 0.0, 0.0, 0.0],
            "not finite (NaN) at x = 2, y = 0",
        ),
        (
            [0.0, 1.0, f32::INFINITY, 0.0, 0.0, 0.0],
            "not finite (inf) at x = 2, y = 0",
        ),
        ([0.0, 0.0, -1.0, 0.0, 0.0, 0.0], "has the values -1 and 0"),
        (
            [0.0, 1.0, 0.9999, 0.0, 0.0, 0.0],
            "from 0 to 1, so it is not a mask",
        ),
    ] {
        let refused = real(values).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn a_few_like_problems_have_a_line_each() {
    let warn = |name: &str, what: &str| DataProblem::warning(name, what, "see to it");
    let few = [
        warn("a", "is odd"),
        warn("b", "is empty"),
        warn("c", "is odd"),
    ];
    assert_eq!(grouped(&few), few.each_ref().map(ToString::to_string));
    let many: Vec<_> = ["a", "b", "c", "d", "e"]
        .map(|name| warn(name, "is odd"))
        .into();
    assert_eq!(
        grouped(&many),
        ["warning: 5 files have the same problem: each is odd; see to it: a, b, c and 2 more"]
    );
    // An error is not told among warnings.
    let error = DataProblem {
        severity: Severity::Error,
        ..warn("f", "is odd")
    };
    assert_eq!(grouped(&[many, vec![error]].concat()).len(), 2);
}

#[test]
fn a_set_without_any_mask_is_no_data_set() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 3, &[]);
    let found = check(dir.path());
    assert!(!found.usable());
    let text = found.to_string();
    assert!(
        text.contains("1 error,") && text.contains("has no mask of any expert"),
        "{text}"
    );
}

#[test]
fn an_expert_who_missed_cases_is_told_of_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 8, &[1, 2, 3]);
    let case = dir.path().join("Training/case2");
    fs::remove_file(case.join("task01_seg03.nii")).unwrap();
    let set = data::open(dir.path()).unwrap();
    assert_eq!(set.experts, [1, 2]);
    // The masks that are there are kept.
    assert!(set.training[0].mask(3).is_some() && set.training[1].mask(3).is_none());
    let [warning] = &set.warnings[..] else {
        panic!("{:?}", set.warnings);
    };
    assert!(
        warning
            .to_string()
            .contains("case2/task01_seg03.nii.gz: is missing"),
        "{warning}"
    );

    // One who annotated a single case is the odd one: one line, of the file that is there.
    fs::copy(case.join("task01_seg01.nii"), case.join("task01_seg09.nii")).unwrap();
    let set = data::open(dir.path()).unwrap();
    assert_eq!(set.experts, [1, 2]);
    let of_nine: Vec<_> = set
        .warnings
        .iter()
        .filter(|w| w.what.contains("expert 9"))
        .collect();
    assert_eq!(of_nine.len(), 1, "{of_nine:?}");
    assert!(of_nine[0].path.ends_with("case2/task01_seg09.nii"));

    // Nobody is left.
    for (case, expert) in [("case3", 1), ("case4", 2)] {
        let path = dir
            .path()
            .join(format!("Training/{case}/task01_seg0{expert}.nii"));
        fs::remove_file(path).unwrap();
    }
    let said = data::open(dir.path()).unwrap_err().to_string();
    assert!(
        said.contains("has no expert who annotated every case"),
        "{said}"
    );
}

#[test]
fn no_remedy_is_to_remove_a_file() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 3, &[1]);
    for name in [
        "expert1.nii.gz",
        "task02_seg01.nii.gz",
        "task01_seg01.nii.gz",
    ] {
        fs::write(dir.path().join("Training/case1").join(name), "").unwrap();
    }
    fs::write(dir.path().join("Training/notes.txt"), "").unwrap();
    fs::write(dir.path().join("dataset.json"), "{").unwrap();
    let text = check(dir.path()).to_string();
    assert!(text.contains("expert1.nii.gz: is neither"), "{text}");
    assert!(text.contains("rename it"), "{text}");
    assert!(
        !text.contains("remove") && !text.contains("delete"),
        "{text}"
    );
}

const GRID: &str = r#"
title = "who annotated what"
[grid]
new_experts = [8]
arms = ["w/"]
annotators = { from = [1, 3], choose = 2 }
samples = [2]
starts = [1, 2]
[dataset]
training = 7
test = 1
experts = 8
[image]
crop = 32
cut_masks = "allow"
"#;

/// Cases of 40 x 40 pixels with the masks of experts 1, 3 and 8.
fn for_the_grid(root: &Path) {
    for case in 1..=8_u8 {
        let part = if case < 8 { "Training" } else { "Validation" };
        let folder = root.join("set").join(part).join(format!("case{case}"));
        fs::create_dir_all(&folder).unwrap();
        // Background all round.
        let shown = |i: u32| (1..39).contains(&(i % 40)) && (40..1560).contains(&i);
        let pixel = |i: u32| if shown(i) { (i % 97) as u8 + case } else { 0 };
        let image: Vec<u8> = (0..1600).map(pixel).collect();
        NiftiFile::new(&[40, 40], &image).write(folder.join("image.nii"));
        for expert in [1, 3, 8] {
            NiftiFile::disc([40, 40], [20, 20 + expert], 6)
                .write(folder.join(format!("task01_seg0{expert}.nii")));
        }
    }
    fs::write(root.join("grid.toml"), GRID).unwrap();
}

#[test]
fn the_number_of_experts_is_the_manifests_and_the_experts_are_the_data_sets() {
    let dir = tempfile::tempdir().unwrap();
    for_the_grid(dir.path());
    let plan = ["plan", "grid.toml", "--dataset", "set"];
    run(dir.path(), &plan, 0);
    let fewer = GRID.replace("experts = 8", "experts = 4");
    fs::write(dir.path().join("grid.toml"), fewer).unwrap();
    let said = run(dir.path(), &plan, 2).err;
    assert!(
        said.contains("no expert 8 where `dataset.experts` is 4"),
        "{said}"
    );
    assert!(said.contains("set has masks of experts 1, 3, 8"), "{said}");
    assert!(!said.contains("the data set has experts 1 to 4"), "{said}");
}

#[test]
fn a_grid_runs_on_the_experts_who_annotated_every_case() {
    let dir = tempfile::tempdir().unwrap();
    for_the_grid(dir.path());
    let case = dir.path().join("set/Training/case2");
    fs::copy(case.join("task01_seg01.nii"), case.join("task01_seg09.nii")).unwrap();
    let plan = ["plan", "grid.toml", "--dataset", "set"];
    let said = run(dir.path(), &plan, 0).err;
    assert_eq!(said.matches("expert 9").count(), 2, "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    fs::remove_file(case.join("task01_seg03.nii")).unwrap();
    let said = run(dir.path(), &plan, 2).err;
    assert!(
        said.contains("asks for expert 3, who did not annotate every case"),
        "{said}"
    );
    assert!(said.contains("choose among its experts 1, 8"), "{said}");
}
