//! What cannot be drawn, and what is said of it.

use std::fs;

use crate::support::{
    common::{phantom, run},
    own_sets,
};

#[test]
fn an_unknown_case_is_refused_with_those_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let set = phantom().to_str().unwrap();
    let show = |case: &str| {
        let arguments = ["data", "show", set, "--case", case, "-o", "new.svg"];
        run(folder.path(), &arguments, 2).err
    };
    let said = show("case2O");
    assert!(
        said.contains("there is no case \"case2O\" in phantom"),
        "{said}"
    );
    assert!(said.contains("did you mean \"case2"), "{said}");
    let said = show("P07");
    assert!(
        said.contains("known here: \"case01\", \"case02\", ") && said.contains(" and 15 more"),
        "{said}"
    );
    assert!(!folder.path().join("new.svg").exists());
}

#[test]
fn the_ending_of_the_file_must_be_a_known_one() {
    let folder = tempfile::tempdir().unwrap();
    let set = phantom().to_str().unwrap();
    for name in ["new.pdf", "new", "svg", "new.svg.gz"] {
        let said = run(folder.path(), &["data", "show", set, "-o", name], 2).err;
        assert!(
            said.contains(&format!("{name}: a figure is written as .svg or .png")),
            "{said}"
        );
        assert!(!folder.path().join(name).exists());
    }
    let said = run(folder.path(), &["data", "show", set], 2).err;
    assert!(said.contains("--out <FILE>"), "{said}");
}

#[test]
fn a_file_that_exists_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let set = phantom().to_str().unwrap();
    let path = folder.path().join("mine.svg");
    fs::write(&path, "mine").unwrap();
    let said = run(folder.path(), &["data", "show", set, "-o", "mine.svg"], 2).err;
    assert!(
        said.contains("mine.svg exists already; choose another name"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(path).unwrap(), "mine");
}

#[test]
fn a_folder_without_a_data_set_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for set in ["absent", "."] {
        let said = run(folder.path(), &["data", "show", set, "-o", "new.svg"], 2).err;
        assert!(said.contains("error: "), "{said}");
    }
    let damaged = folder.path().join("set");
    own_sets::qubiq(&damaged, own_sets::mask);
    fs::write(damaged.join("Training/case2/image.nii"), b"no image").unwrap();
    let said = run(folder.path(), &["data", "show", "set", "-o", "new.svg"], 2).err;
    assert!(said.contains("case2/image.nii"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
