//! Descriptions and folders that do not fit: one message for one cause.

use std::{fs, path::Path};

use expertgrid::data::{DataProblem, grouped, guess::guess, survey::survey};

use crate::support::{common::run, nifti_file::NiftiFile, own_sets::*};

const SIZE: &str = "training = 6\ntest = 2\nexperts = 3\n";
const PATTERNS: &str = "images = \"{case}.png\"\nmasks = \"{case}_{expert}.png\"\n\
                        split = { test = 0.25 }\n";

/// Eight images with the masks of three experts beside them, under names that fit both patterns.
fn side_by_side(root: &Path) {
    for case in 1..=8 {
        write(&root.join(format!("c{case}.png")), &image(case));
        for expert in 1..=3 {
            write(
                &root.join(format!("c{case}_{expert}.png")),
                &mask(case, expert),
            );
        }
    }
}

/// What is said of a folder, like problems in one line.
fn said(root: &Path, keys: &str) -> Vec<String> {
    let survey = survey(root, &experiment(&format!("{SIZE}{keys}")).data);
    let problems: Vec<DataProblem> = survey.problems().cloned().collect();
    grouped(&problems)
}

#[test]
fn masks_whose_image_is_missing_are_no_images() {
    let dir = tempfile::tempdir().unwrap();
    side_by_side(dir.path());
    assert_eq!(said(dir.path(), PATTERNS), [""; 0]);
    for case in ["c3.png", "c6.png"] {
        fs::remove_file(dir.path().join(case)).unwrap();
    }
    let told = said(dir.path(), PATTERNS);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains("6 files have the same problem"),
        "{told:#?}"
    );
    assert!(
        told[0].contains("a mask of a case which has no image"),
        "{told:#?}"
    );
}

#[test]
fn a_pattern_that_fits_no_image_is_one_error() {
    let dir = tempfile::tempdir().unwrap();
    for case in 1..=8 {
        write(
            &dir.path().join(format!("images/c{case}.png")),
            &image(case),
        );
        for expert in 1..=3 {
            let path = dir.path().join(format!("masks/c{case}_{expert}.png"));
            write(&path, &mask(case, expert));
        }
    }
    let keys = "images = \"imgs/{case}.png\"\nmasks = \"masks/{case}_{expert}.png\"\n\
                split = { test = 0.25 }\n";
    let told = said(dir.path(), keys);
    let errors: Vec<&String> = told.iter().filter(|line| line.contains("error")).collect();
    assert_eq!(errors.len(), 1, "{told:#?}");
    assert!(
        errors[0].contains("has no file that fits `images"),
        "{told:#?}"
    );
}

#[test]
fn what_cannot_be_shared_out_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for case in 1..=4 {
        write(&dir.path().join(format!("here/c{case}.png")), &image(case));
        for expert in 1..=3 {
            let path = dir.path().join(format!("here/c{case}_{expert}.png"));
            write(&path, &mask(case, expert));
        }
    }
    let keys = "images = \"{site}/{case}.png\"\nmasks = \"{site}/{case}_{expert}.png\"\n\
                split = { test = 0.25 }\n";
    let told = said(dir.path(), keys).join("\n");
    assert!(told.contains("all cases have the {site} here"), "{told}");
}

#[test]
fn a_refused_name_of_an_expert_is_one_mistake() {
    let lists = "experts = [\"anna\", \"be/rt\", \"carla\"]";
    let told = problems(&format!("training = 6\ntest = 2\n{lists}"));
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.contains("the expert's name \"be/rt\" has a character"),
        "{told}"
    );
    let twice = problems("training = 6\ntest = 2\nexperts = [\"Anna\", \"bert\", \"anna\"]");
    assert!(twice.contains("\"anna\" stands for two experts"), "{twice}");
    let other = problems("training = 6\ntest = 2\nexperts = \"anna\"");
    assert!(other.contains("or a list of names in quotes"), "{other}");
}

#[test]
fn keys_that_say_nothing_are_told() {
    for (keys, wanted) in [
        ("path = \"\"", "`dataset.path` is empty"),
        (
            "slice = { keep = \"all\" }",
            "`dataset.slice.axis` is missing",
        ),
    ] {
        let told = problems(&format!("{SIZE}{keys}"));
        assert!(told.contains(wanted), "{keys}: {told}");
    }
    let dir = tempfile::tempdir().unwrap();
    side_by_side(dir.path());
    let told = said(dir.path(), &format!("{PATTERNS}channel_axis = \"z\"\n"));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains("without `channel`, so it has no effect"),
        "{told:#?}"
    );
}

#[test]
fn a_folder_on_the_command_line_counts_before_those_of_manifests() {
    let dir = tempfile::tempdir().unwrap();
    side_by_side(&dir.path().join("set"));
    for (name, path) in [
        ("a.toml", "path = \"one\"\n"),
        ("b.toml", "path = \"two\"\n"),
    ] {
        let text = manifest(&format!("{SIZE}{path}{PATTERNS}"));
        fs::write(dir.path().join(name), text).unwrap();
    }
    let both = ["plan", "a.toml", "b.toml"];
    let apart = run(dir.path(), &both, 2).err;
    assert!(apart.contains("describe different data sets"), "{apart}");
    run(dir.path(), &[&both[..], &["--dataset", "set"]].concat(), 0);
}

#[test]
fn an_expert_that_is_not_there_is_not_looked_for_in_another_data_set() {
    let dir = tempfile::tempdir().unwrap();
    qubiq(&dir.path().join("data/phantom"), mask);
    let write = |keys: &str| {
        let text = manifest(&format!("{SIZE}{keys}")).replace("[3]", "[9]");
        fs::write(dir.path().join("own.toml"), text).unwrap();
        run(dir.path(), &["plan", "own.toml"], 2).err
    };
    assert!(write("").contains("data/phantom has masks of experts 1, 2, 3"));
    let described = write(&format!("path = \"set\"\n{PATTERNS}"));
    assert!(!described.contains("data/phantom"), "{described}");
}

#[test]
fn a_reference_without_the_label_is_empty_whatever_else_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(&at("prediction.png"), &mask(1, 1));
    write(&at("reference.png"), &mask(1, 1));
    let metric = [
        "metric",
        "prediction.png",
        "reference.png",
        "--json",
        "--label",
        "2",
    ];
    let told = run(dir.path(), &metric, 0);
    let rows: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(rows[0]["dice"].as_f64(), Some(0.0));
    for wanted in [
        "prediction.png: holds 0 and 1 and none of the labels 2; 1 is inside",
        "reference.png: has none of the labels 2",
    ] {
        assert!(told.err.contains(wanted), "{}", told.err);
    }
    let beyond = run(dir.path(), &[&metric[..5], &["99999999"]].concat(), 2).err;
    assert!(beyond.contains("16777216"), "{beyond}");
}

#[test]
fn labels_in_qubiqs_folders_are_guessed_too() {
    let dir = tempfile::tempdir().unwrap();
    qubiq(dir.path(), labels);
    let found = guess(dir.path()).unwrap();
    assert!(found.spec.files.is_none());
    assert_eq!(
        (found.spec.reading.labels, found.labels),
        (vec![2], vec![0, 1, 2])
    );
}

#[test]
fn planes_behind_each_other_are_channels_where_the_masks_are_flat() {
    let dir = tempfile::tempdir().unwrap();
    for case in 1..=8 {
        let colours = [image(case), image(case + 1), image(case + 2)].concat();
        let dims = [SIDE as i16, SIDE as i16, 3];
        NiftiFile::new(&dims, &colours).write(dir.path().join(format!("c{case}.nii")));
        for expert in 1..=3 {
            let path = dir.path().join(format!("c{case}_{expert}.nii"));
            write(&path, &mask(case, expert));
        }
    }
    let reading = guess(dir.path()).unwrap().spec.reading;
    assert!(reading.slices.is_none() && reading.channel.is_some());
    assert!(reading.channel_axis.is_some());
}

#[test]
fn a_name_that_no_expert_can_have_ends_a_guess() {
    let dir = tempfile::tempdir().unwrap();
    for case in 1..=8 {
        write(&dir.path().join(format!("c{case}.png")), &image(case));
        for rater in ["a+b", "c", "d"] {
            let path = dir.path().join(format!("c{case}_{rater}.png"));
            write(&path, &mask(case, 1));
        }
    }
    let told = guess(dir.path()).unwrap_err().to_string();
    assert!(
        told.contains("an expert \"a+b\", whose name has a character"),
        "{told}"
    );
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_in_a_circle_ends_no_guess() {
    let dir = tempfile::tempdir().unwrap();
    side_by_side(dir.path());
    std::os::unix::fs::symlink(".", dir.path().join("me")).unwrap();
    assert_eq!(
        guess(dir.path()).unwrap().spec.files.unwrap().images.text(),
        "{case}.png"
    );
}
