//! Opening a data set: what is found, what it is called, and what is wrong with it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use expertgrid::data::{
    self, Image, Mask, Provenance, Severity,
    nifti::{Header, write_image, write_mask},
};
use tempfile::TempDir;

const W: usize = 6;
const H: usize = 5;

fn header() -> Header {
    Header::identity(W, H).unwrap()
}

fn image(value: f32) -> Image {
    let pixels = (0..W * H).map(|i| value + i as f32).collect();
    Image {
        height: H,
        width: W,
        pixels,
    }
}

fn mask(shift: usize) -> Mask {
    let pixels = (0..W * H).map(|i| (i + shift).is_multiple_of(3)).collect();
    Mask {
        height: H,
        width: W,
        pixels,
    }
}

fn write_case(folder: &Path, value: f32, experts: &[u8], suffix: &str) {
    fs::create_dir_all(folder).unwrap();
    write_image(
        &folder.join(format!("image.{suffix}")),
        &image(value),
        &header(),
    )
    .unwrap();
    for &e in experts {
        let path = folder.join(format!("task01_seg{e:02}.{suffix}"));
        write_mask(&path, &mask(e.into()), &header()).unwrap();
    }
}

/// Three training cases, one test case, experts 1, 2 and 9.
fn write_set(root: &Path, training: &str, test: &str, suffix: &str) {
    for (name, value) in [("case2", 2.0), ("case10", 10.0), ("case1", 1.0)] {
        write_case(&root.join(training).join(name), value, &[1, 2, 9], suffix);
    }
    write_case(&root.join(test).join("case35"), 35.0, &[1, 2, 9], suffix);
}

fn plain(suffix: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), "Training", "Validation", suffix);
    dir
}

fn problems(dir: &Path) -> Vec<(Severity, PathBuf, String)> {
    let found = match data::open(dir) {
        Ok(set) => set.warnings,
        Err(problems) => problems.0,
    };
    found
        .into_iter()
        .map(|p| {
            let path = p.path.strip_prefix(dir).unwrap_or(&p.path).to_owned();
            (p.severity, path, p.to_string())
        })
        .collect()
}

#[test]
fn cases_come_in_numerical_order_with_their_experts() {
    let dir = plain("nii.gz");
    let set = data::open(dir.path()).unwrap();
    let names: Vec<_> = set.cases().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["case1", "case2", "case10", "case35"]);
    assert_eq!(set.experts, [1, 2, 9]);
    assert_eq!(set.test[0].image, image(35.0));
    assert_eq!(set.training[2].mask(9), Some(&mask(9)));
    assert_eq!(set.warnings, []);
    assert_eq!(set.provenance, Provenance::Undeclared);
    let folder = dir.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(set.label, folder);
}

#[test]
fn digests_name_content_and_not_files() {
    let (a, b) = (plain("nii.gz"), plain("nii"));
    let (x, y) = (data::open(a.path()).unwrap(), data::open(b.path()).unwrap());
    assert_eq!(x.digest, y.digest);
    let (image_x, image_y) = (x.training[0].image_digest, y.training[0].image_digest);
    assert_eq!(image_x, image_y);
    assert_ne!(image_x, x.training[1].image_digest);
    let first = &x.training[0].annotations;
    assert_ne!(first[&1].digest, first[&2].digest);

    let mut changed = mask(2);
    changed.pixels[4] ^= true;
    let path = b.path().join("Training/case2/task01_seg02.nii");
    write_mask(&path, &changed, &header()).unwrap();
    let z = data::open(b.path()).unwrap();
    assert_ne!(z.digest, x.digest);
    assert_eq!(z.training[0].annotations[&2].digest, first[&2].digest);
}

#[test]
fn a_transposed_image_has_another_digest() {
    use expertgrid::key::Keyed;
    let wide = Image {
        height: 2,
        width: 3,
        pixels: vec![1.0; 6],
    };
    let tall = Image {
        height: 3,
        width: 2,
        pixels: vec![1.0; 6],
    };
    assert_ne!(wide.digest(), tall.digest());
}

#[test]
fn the_challenges_own_trees_are_found_from_either_end() {
    let dir = tempfile::tempdir().unwrap();
    write_set(
        dir.path(),
        "training_data_v3_QC/brain-growth/Training",
        "validation_data_qubiq2021_QC/brain-growth/Validation",
        "nii.gz",
    );
    for root in [
        "",
        "training_data_v3_QC/brain-growth",
        "validation_data_qubiq2021_QC/brain-growth",
    ] {
        let set = data::open(&dir.path().join(root)).unwrap();
        assert_eq!((set.training.len(), set.test.len()), (3, 1), "{root}");
        assert_eq!(set.label, "QUBIQ 2021 brain-growth");
        assert_eq!(set.provenance, Provenance::Acquired);
    }
}

#[test]
fn nothing_else_is_called_qubiq() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("brain-growth");
    write_set(&root, "Training", "Validation", "nii.gz");
    assert_eq!(data::open(&root).unwrap().label, "brain-growth");
}

#[test]
fn a_marker_gives_the_label() {
    let dir = plain("nii");
    let marker = dir.path().join("dataset.json");
    for (text, label, provenance) in [
        (
            r#"{"label": "phantom", "synthetic": true, "seed": 1, "generator": 3}"#,
            "phantom (synthetic, seed 1)",
            Provenance::Synthetic,
        ),
        (
            r#"{"label": "clinic", "synthetic": false}"#,
            "clinic",
            Provenance::Undeclared,
        ),
    ] {
        fs::write(&marker, text).unwrap();
        let set = data::open(dir.path()).unwrap();
        assert_eq!((set.label.as_str(), set.provenance), (label, provenance));
        assert_eq!(set.warnings, []);
    }
    let older = r#"{"label": "phantom", "synthetic": true, "seed": 1, "generator": 2}"#;
    fs::write(&marker, older).unwrap();
    let warnings = data::open(dir.path()).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].what.contains("a phantom of version 2"),
        "{}",
        warnings[0].what
    );
    fs::write(&marker, r#"{"label": "x", "synthetic": true, "sed": 3}"#).unwrap();
    let found = problems(dir.path());
    assert_eq!((found.len(), found[0].0), (1, Severity::Error));
    assert!(found[0].2.contains("unknown field `sed`"), "{}", found[0].2);
}

#[test]
fn a_marker_written_for_other_content_is_noticed() {
    let dir = plain("nii");
    let digest = data::open(dir.path()).unwrap().digest;
    let text = format!(r#"{{"label": "p", "synthetic": true, "digest": "{digest}"}}"#);
    fs::write(dir.path().join("dataset.json"), text).unwrap();
    assert_eq!(data::open(dir.path()).unwrap().label, "p (synthetic)");
    let path = dir.path().join("Validation/case35/image.nii");
    write_image(&path, &image(36.0), &header()).unwrap();
    let set = data::open(dir.path()).unwrap();
    assert_eq!(set.label, "p (synthetic), changed since");
    assert!(set.warnings[0].what.contains("other content"));
}

#[test]
fn a_missing_folder_says_how_to_get_data() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("nowhere"), dir.path().to_owned()] {
        let said = data::open(&path).unwrap_err().to_string();
        assert!(said.contains("expertgrid data phantom --out"), "{said}");
        assert!(
            said.contains("https://qubiq21.grand-challenge.org"),
            "{said}"
        );
    }
    fs::create_dir(dir.path().join("Training")).unwrap();
    let said = data::open(dir.path()).unwrap_err().to_string();
    assert!(
        said.contains("Validation: does not exist, though"),
        "{said}"
    );
}

#[test]
fn every_problem_is_reported_at_once_errors_first() {
    let dir = plain("nii.gz");
    let at = |path: &str| dir.path().join(path);
    // Five errors ...
    fs::remove_file(at("Training/case1/task01_seg02.nii.gz")).unwrap();
    fs::remove_file(at("Training/case2/image.nii.gz")).unwrap();
    fs::write(at("Training/case2/task01_seg01.nii.gz"), b"nonsense").unwrap();
    let copy = at("Training/case10/task01_seg09.nii");
    write_mask(&copy, &mask(0), &header()).unwrap();
    let small = Mask {
        height: H,
        width: 4,
        pixels: vec![true; 4 * H],
    };
    let path = at("Validation/case35/task01_seg01.nii.gz");
    write_mask(&path, &small, &Header::identity(4, H).unwrap()).unwrap();
    let bytes = fs::read(at("Validation/case35/task01_seg02.nii.gz")).unwrap();
    fs::write(at("Validation/case35/task01_seg02.nii.gz"), &bytes[..40]).unwrap();
    // ... and five warnings, the missing mask and the small one's fullness among them; hidden files
    // are none.
    fs::write(at("Training/notes.txt"), "").unwrap();
    fs::write(at("Training/case1/task02_seg01.nii.gz"), "").unwrap();
    let empty = Mask {
        height: H,
        width: W,
        pixels: vec![false; W * H],
    };
    write_mask(
        &at("Training/case10/task01_seg01.nii.gz"),
        &empty,
        &header(),
    )
    .unwrap();
    fs::write(at("Training/.DS_Store"), "").unwrap();
    fs::write(at("Training/case1/._image.nii.gz"), "").unwrap();

    let found = problems(dir.path());
    let wanted = [
        (Severity::Error, "Training/case2/image.nii.gz", "is missing"),
        (
            Severity::Error,
            "Training/case2/task01_seg01.nii.gz",
            "ends within its header",
        ),
        (
            Severity::Error,
            "Training/case10/task01_seg09.nii.gz",
            "is a mask of expert 9, and so is `task01_seg09.nii`",
        ),
        (
            Severity::Error,
            "Validation/case35/task01_seg01.nii.gz",
            "4 x 5 pixels, its image 6 x 5",
        ),
        (
            Severity::Error,
            "Validation/case35/task01_seg02.nii.gz",
            "ends early",
        ),
        (
            Severity::Warning,
            "Training/case1/task01_seg02.nii.gz",
            "is missing, though expert 2",
        ),
        (
            Severity::Warning,
            "Training/case1/task02_seg01.nii.gz",
            "is ignored",
        ),
        (
            Severity::Warning,
            "Training/case10/task01_seg01.nii.gz",
            "is empty",
        ),
        (Severity::Warning, "Training/notes.txt", "is ignored"),
        (
            Severity::Warning,
            "Validation/case35/task01_seg01.nii.gz",
            "covers the whole image",
        ),
    ];
    let list: Vec<_> = found.iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(found.len(), wanted.len(), "{}", list.join("\n"));
    for ((severity, path, said), wanted) in found.iter().zip(wanted) {
        assert_eq!((*severity, path.as_path()), (wanted.0, Path::new(wanted.1)));
        assert!(
            said.contains(wanted.2),
            "`{said}` does not say `{}`",
            wanted.2
        );
    }
}

#[test]
fn repeated_images_are_warnings() {
    let dir = plain("nii");
    let folder = dir.path().join("Training/case2");
    write_image(&folder.join("image.nii"), &image(35.0), &header()).unwrap();
    let found = problems(dir.path());
    assert_eq!((found.len(), found[0].0), (1, Severity::Warning));
    assert!(
        found[0].2.contains("case35 has the same image as case2"),
        "{}",
        found[0].2
    );
}

#[test]
fn a_folder_that_holds_something_else_is_told_the_layout() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.nii.gz"), "").unwrap();
    let said = data::open(dir.path()).unwrap_err().to_string();
    assert!(said.contains("put a folder for each case"), "{said}");
    assert!(!said.contains("phantom"), "{said}");
}
