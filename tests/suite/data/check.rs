//! The figures of a folder, against arithmetic on a data set small enough for it.

use std::{fs, path::Path};

use expertgrid::data::{
    Image, Mask,
    check::{MeanAndRange, check},
    nifti::{Header, write_image, write_mask},
};

/// A case of 4 x 2 pixels whose brain is `brain` and whose masks hold the given pixels.
fn write_case(folder: &Path, brain: &[(usize, f32)], masks: [&[usize]; 3]) {
    fs::create_dir_all(folder).unwrap();
    let header = Header::identity(4, 2).unwrap();
    let mut image = Image {
        height: 2,
        width: 4,
        pixels: vec![0.0; 8],
    };
    brain.iter().for_each(|(i, v)| image.pixels[*i] = *v);
    write_image(&folder.join("image.nii"), &image, &header).unwrap();
    for (expert, inside) in masks.iter().enumerate() {
        let mask = Mask {
            height: 2,
            width: 4,
            pixels: (0..8).map(|i| inside.contains(&i)).collect(),
        };
        let name = format!("task01_seg{:02}.nii", expert + 1);
        write_mask(&folder.join(name), &mask, &header).unwrap();
    }
}

fn small() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("small").tempdir().unwrap();
    write_case(
        &dir.path().join("Training/case1"),
        &[(0, 1.0), (1, 3.0)],
        [&[0, 1], &[1, 2], &[0, 1, 2, 3]],
    );
    write_case(
        &dir.path().join("Validation/case2"),
        &[(0, 4.0), (1, 4.0), (2, 4.0), (3, 8.0)],
        [&[5], &[5], &[]],
    );
    let marker = r#"{"label": "small", "synthetic": true}"#;
    fs::write(dir.path().join("dataset.json"), marker).unwrap();
    dir
}

#[test]
fn figures_are_those_of_arithmetic() {
    let dir = small();
    let check = check(dir.path());
    let figures = check.figures.as_ref().unwrap();
    let spread = |mean, min, max| MeanAndRange { mean, min, max };
    assert_eq!((check.training, check.test), (1, 1));
    assert_eq!(check.sizes.get(&(4, 2)), Some(&2));
    assert_eq!(figures.intensity, (1.0, 8.0));
    assert_eq!(figures.brain_share, spread(0.375, 0.25, 0.5));
    assert_eq!(figures.brain_mean, spread(3.5, 2.0, 5.0));
    // Standard deviations 1 of mean 2, and the root of 3 of mean 5.
    let root = 3_f64.sqrt() / 5.0;
    assert_eq!(figures.brain_variation.max, 0.5);
    assert!((figures.brain_variation.min - root).abs() < 1e-12);
    assert_eq!(figures.mask_share[&1], spread(3.0 / 16.0, 0.125, 0.25));
    assert_eq!(figures.mask_share[&3], spread(0.25, 0.0, 0.5));
    // Case 1: 2 / 4, 4 / 6, 4 / 6. Case 2: 1, 0, 0.
    assert_eq!(figures.mutual_dice[&(1, 2)], 0.75);
    assert!((figures.mutual_dice[&(1, 3)] - 1.0 / 3.0).abs() < 1e-12);
    assert_eq!(figures.mutual_dice.len(), 3);
    // Pixel 1 of four, and none of one.
    assert_eq!(figures.consensus, 0.2);
}

#[test]
fn the_text_says_all_of_it() {
    let dir = small();
    let text = check(dir.path()).to_string();
    let wanted = [
        "small (synthetic)\n",
        "cases        1 training, 1 test (2 of 4 x 2 px)\n",
        "experts      1, 2, 3\n",
        "intensity    1.0 to 8.0 within the brain\n",
        "brain, % of the frame   37.50  25.00  50.00\n",
        "expert 3   %             25.00   0.00  50.00\n",
        "    2  0.750     - 0.333\n",
        "pairs        0.333 to 0.750\n",
        "all experts  0.200 intersection over union",
        "problems     0 errors, 1 warning\n",
        "task01_seg03.nii: is empty;",
    ];
    for line in wanted {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
}

#[test]
fn what_cannot_be_read_leaves_the_rest_readable() {
    let dir = small();
    fs::write(dir.path().join("Validation/case2/image.nii"), b"").unwrap();
    let found = check(dir.path());
    assert_eq!((found.training, found.test), (1, 0));
    assert_eq!(found.figures.as_ref().unwrap().consensus, 0.25);
    assert!(found.to_string().contains("1 error,"));

    let nowhere = check(&dir.path().join("nowhere"));
    assert!(nowhere.figures.is_none());
    let text = nowhere.to_string();
    assert!(
        text.contains("0 training, 0 test (none readable)"),
        "{text}"
    );
    assert!(text.contains("does not exist"), "{text}");
}

#[test]
fn a_file_in_place_of_a_folder_is_one_error() {
    let folder = small();
    let file = folder.path().join("Training/case1/image.nii");
    let problems = check(&file).problems;
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("image.nii: is not a folder; "), "{told:?}");
}
