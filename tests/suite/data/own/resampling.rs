//! Images and masks on pixels of another size.
//!
//! The expected values are in `tests/fixtures/resample.json`; `tests/reference/resample.py` made
//! them with SimpleITK and checked them with SciPy.

use std::path::Path;

use expertgrid::data::{self, Dataset};
use serde::Deserialize;

use crate::support::{common::written_affine, nifti_file::*, own_sets::*};

#[derive(Deserialize)]
struct Resampled {
    width: usize,
    height: usize,
    spacing: [f64; 2],
    new_spacing: [f64; 2],
    along_x: [f64; 2],
    along_y: [f64; 2],
    origin: [f64; 2],
    image: Vec<i16>,
    mask: Vec<u8>,
    new_width: usize,
    new_height: usize,
    new_origin: [f64; 2],
    new_image: Vec<f64>,
    new_mask: Vec<u8>,
}

const KEYS: &str = "training = 6\ntest = 2\nexperts = 3\nimages = \"{case}.nii\"\n\
                    masks = \"{case}_{expert}.nii\"\nsplit = { test = [\"b\"] }\n";

fn open(root: &Path, more: &str) -> Result<Dataset, String> {
    let spec = experiment(&format!("{KEYS}{more}")).data;
    data::open_as(root, &spec).map_err(|why| why.to_string())
}

/// Two cases with this image and mask, by their affine or by their quaternion.
fn draw(root: &Path, of: &Resampled, by_quaternion: bool) {
    let dims = [of.width as i16, of.height as i16];
    let wide = |plane: [f64; 2]| [plane[0] as f32, plane[1] as f32, 0.0];
    let first = wide(of.origin);
    let placed = |file: NiftiFile| {
        let file = file.pixdim(of.spacing[0] as f32, of.spacing[1] as f32);
        match by_quaternion {
            false => file.sform(rows(wide(of.along_x), wide(of.along_y), first)),
            true => {
                // A turn about z: its sine of half the angle.
                let half = (of.along_x[1].atan2(of.along_x[0]) / 2.0).sin().abs();
                let sign = of.along_x[1].signum();
                file.qform([0.0, 0.0, (sign * half) as f32], first)
            }
        }
    };
    for case in ["a", "b"] {
        // 16-bit numbers with a sign.
        let bytes: Vec<u8> = of.image.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut image = placed(NiftiFile::new(&dims, &bytes));
        image
            .put(70, 4_i16.to_le_bytes())
            .put(72, 16_i16.to_le_bytes());
        image.write(root.join(format!("{case}.nii")));
        placed(NiftiFile::new(&dims, &of.mask)).write(root.join(format!("{case}_1.nii")));
    }
}

#[test]
fn images_and_masks_are_those_of_itk_on_a_grid_about_the_same_centre() {
    let all: Vec<Resampled> =
        serde_json::from_str(include_str!("../../../fixtures/resample.json")).unwrap();
    assert!(all.len() > 5);
    for of in &all {
        let dir = tempfile::tempdir().unwrap();
        draw(dir.path(), of, false);
        let [x, y] = of.new_spacing;
        let set = open(dir.path(), &format!("spacing_mm = [{x}, {y}]")).unwrap();
        let case = &set.test[0];
        assert_eq!(
            (case.image.width, case.image.height),
            (of.new_width, of.new_height)
        );
        for (found, expected) in case.image.pixels.iter().zip(&of.new_image) {
            assert!(
                (f64::from(*found) - expected).abs() < 2e-5,
                "{found} {expected}"
            );
        }
        let mask: Vec<u8> = case
            .mask(1)
            .unwrap()
            .pixels
            .iter()
            .map(|v| u8::from(*v))
            .collect();
        assert_eq!(mask, of.new_mask);
        let spacing = case.spacing().unwrap();
        assert!((spacing.x_mm - x).abs() < 1e-6 && (spacing.y_mm - y).abs() < 1e-6);
        let affine = written_affine(&case.image, &case.header).unwrap();
        let expected = [
            (0, of.along_x[0] * x / of.spacing[0]),
            (4, of.along_x[1] * x / of.spacing[0]),
            (1, of.along_y[0] * y / of.spacing[1]),
            (5, of.along_y[1] * y / of.spacing[1]),
            (3, of.new_origin[0]),
            (7, of.new_origin[1]),
        ];
        for (i, expected) in expected {
            assert!(
                (affine[i] - expected).abs() < 1e-4,
                "{i}: {affine:?} {expected}"
            );
        }
        // By its quaternion it lies at the same place.
        let turned = tempfile::tempdir().unwrap();
        draw(turned.path(), of, true);
        let again = open(turned.path(), &format!("spacing_mm = [{x}, {y}]")).unwrap();
        assert_eq!(again.digest, set.digest);
        let grid = |set: &Dataset| set.test[0].header.geometry().grid().unwrap().unwrap();
        for (a, b) in std::iter::zip(grid(&again).first, grid(&set).first) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }
}

#[test]
fn pixels_of_that_size_stay_as_they_are() {
    let all: Vec<Resampled> =
        serde_json::from_str(include_str!("../../../fixtures/resample.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    draw(dir.path(), &all[4], false);
    let same = open(dir.path(), "spacing_mm = 1.0").unwrap();
    assert_eq!(same.digest, open(dir.path(), "").unwrap().digest);
    assert_eq!(
        same.preparation.as_deref(),
        Some("resampled to pixels of 1 x 1 mm")
    );
    assert_ne!(
        open(dir.path(), "spacing_mm = 0.9").unwrap().digest,
        same.digest
    );
}

#[test]
fn images_that_do_not_say_how_large_their_pixels_are_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut silent = NiftiFile::new(&[SIDE as i16; 2], &image(1));
    silent.put(123, [0]);
    for case in ["a", "b"] {
        silent.write(dir.path().join(format!("{case}.nii")));
        write(&dir.path().join(format!("{case}_1.nii")), &mask(1, 1));
    }
    assert!(open(dir.path(), "").is_ok());
    let said = open(dir.path(), "spacing_mm = 1.0").unwrap_err();
    assert!(
        said.contains("does not say how large its pixels are"),
        "{said}"
    );
    silent.pixdim(200.0, 200.0).write(dir.path().join("a.nii"));
    let said = open(dir.path(), "spacing_mm = 0.001").unwrap_err();
    assert!(said.contains("once resampled"), "{said}");
}

#[test]
fn a_grid_of_too_many_pixels_is_refused_before_it_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for case in ["a", "b"] {
        let blob = NiftiFile::new(&[SIDE as i16; 2], &image(1)).pixdim(1.0, 1.0);
        blob.write(dir.path().join(format!("{case}.nii")));
        let disc = NiftiFile::new(&[SIDE as i16; 2], &mask(1, 1)).pixdim(1.0, 1.0);
        disc.write(dir.path().join(format!("{case}_1.nii")));
    }
    let said = open(dir.path(), "spacing_mm = 0.004").unwrap_err();
    assert!(
        said.contains("would have 10000 x 10000 pixels once resampled"),
        "{said}"
    );
}
