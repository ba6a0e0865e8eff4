//! Files that commands write: none is written over another, onto its own input, in part, or where
//! it could only be found out after the work that it cannot be written.

use std::fs;

use expertgrid::store::create_file;

use super::{export, some_cases, trained};
use crate::support::common::*;

#[test]
fn an_output_that_cannot_be_written_is_told_before_the_work() {
    let (folder, digest) = trained();
    let at = folder.path();
    let weights = export(at, &digest);
    some_cases(at, &["case01"]);
    let adapt = |out: &str, code: i32| {
        let words = [
            "adapt",
            "--weights",
            "pretrained.safetensors",
            "--cases",
            "cases",
        ];
        let more = ["--expert", "6", "--steps", "1", "-o", out];
        run(at, &[&words[..], &more].concat(), code).err
    };
    // A file where its folder would be; a folder; its own input; another's output.
    let bytes = fs::read(&weights).unwrap();
    let said = adapt("pretrained.safetensors/new.safetensors", 2);
    assert!(said.contains("pretrained.safetensors"), "{said}");
    assert!(!said.contains("cases: 1"), "before any work: {said}");
    for out in ["cases", "pretrained.safetensors"] {
        assert!(adapt(out, 2).contains("exists already"));
        let onto = ["store", "export", &digest, "-o", out];
        assert!(run(at, &onto, 2).err.contains("exists already"));
    }
    assert!(fs::read(&weights).unwrap() == bytes);
    adapt("new/name.safetensors", 0);
    let new = fs::read_dir(at.join("new")).unwrap();
    assert_eq!(new.count(), 1, "nothing else is left there");
}

#[test]
fn a_file_that_has_come_meanwhile_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    create_file(&path, b"mine").unwrap();
    let error = create_file(&path, b"yours").unwrap_err().to_string();
    assert!(error.contains("writing"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn masks_are_not_predicted_onto_their_own_images_nor_two_onto_one() {
    let (folder, digest) = trained();
    let at = folder.path();
    export(at, &digest);
    let image = phantom().join("Validation/case35/image.nii.gz");
    fs::create_dir(at.join("new")).unwrap();
    fs::create_dir(at.join("more")).unwrap();
    // The same letter as one character and as two, as different systems store it.
    for name in ["new/caf\u{e9}.nii.gz", "more/cafe\u{301}.nii.gz"] {
        fs::copy(&image, at.join(name)).unwrap();
    }
    let predict = |images: &[&str], out: &str, code: i32| {
        let weights = ["--weights", "pretrained.safetensors", "--expert", "2"];
        run(
            at,
            &[&["predict"][..], &weights, images, &["-o", out]].concat(),
            code,
        )
        .err
    };
    let before = files(at);
    let said = predict(&["new"], "new", 2);
    assert!(said.contains("exists already"), "{said}");
    let said = predict(&["new", "more"], "masks", 2);
    assert!(said.contains("would both be written to"), "{said}");
    assert!(files(at) == before);
}
