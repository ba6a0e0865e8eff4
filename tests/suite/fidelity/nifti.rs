//! The NIfTI reader on files of nibabel and SimpleITK, against nibabel's reading of them.

use std::fs;

use expertgrid::data::{
    Image,
    nifti::{Header, SpacingMm, decode_image, decode_mask, read_image, read_mask},
};

use super::reader::Tensors;
use crate::support::common::written_affine;

fn expected() -> Tensors {
    Tensors::read(include_bytes!("../../fixtures/nifti_files.safetensors"))
}

/// The names of all files, of which some end in .nii.gz.
fn names(expected: &Tensors) -> Vec<String> {
    let mut names: Vec<String> = expected
        .names()
        .into_iter()
        .filter_map(|name| name.strip_suffix("/file").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// The values as single precision, row by row.
fn values(expected: &Tensors, name: &str) -> Vec<f32> {
    let [width, height] = expected.shape(&format!("{name}/values"))[..] else {
        panic!("{name} is not 2-D");
    };
    let values = expected.values(&format!("{name}/values"));
    let places = (0..height).flat_map(|y| (0..width).map(move |x| x * height + y));
    places.map(|place| values[place] as f32).collect()
}

/// Asserts that an image is nibabel's, in values, shape, spacing and, once written, affine.
fn same(expected: &Tensors, name: &str, (image, header): &(Image, Header)) {
    let shape = expected.shape(&format!("{name}/values"));
    assert_eq!([image.width, image.height], shape[..], "{name}");
    assert_eq!(image.pixels, values(expected, name), "{name}");
    let [x_mm, y_mm] = expected.values(&format!("{name}/spacing"))[..] else {
        panic!("{name} has no spacing of two axes");
    };
    assert_eq!(header.spacing(), Ok(SpacingMm { x_mm, y_mm }), "{name}");
    let affine = format!("{name}/affine");
    let affine = expected.has(&affine).then(|| expected.values(&affine));
    assert_eq!(written_affine(image, header), affine, "{name}");
}

#[test]
fn every_file_is_read_as_by_nibabel() {
    let expected = expected();
    let names = names(&expected);
    // Ten types in two orders, scalings, masks, shapes, units, affines, another writer.
    assert!(names.len() > 70);
    for name in &names {
        let bytes = expected.bytes(&format!("{name}/file"));
        same(&expected, name, &decode_image(&bytes[..]).expect(name));
    }
}

#[test]
fn every_file_is_read_from_disk_under_its_name() {
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    for name in names(&expected) {
        let path = folder.path().join(&name);
        fs::write(&path, expected.bytes(&format!("{name}/file"))).unwrap();
        same(&expected, &name, &read_image(&path).expect(&name));
    }
}

#[test]
fn masks_are_the_same_however_they_are_stored() {
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    let mut masks = Vec::new();
    for name in names(&expected) {
        if !name.starts_with("mask_") {
            continue;
        }
        let values = values(&expected, &name);
        let bytes = expected.bytes(&format!("{name}/file"));
        let path = folder.path().join(&name);
        fs::write(&path, &bytes).unwrap();
        for read in [decode_mask(&bytes[..]).unwrap(), read_mask(&path).unwrap()] {
            let inside: Vec<bool> = values.iter().map(|value| *value > 0.5).collect();
            assert_eq!(read.mask.pixels, inside, "{name}");
            let highest = values.iter().copied().reduce(f32::max);
            assert_eq!(read.inside, highest, "{name}");
            masks.push(read.mask);
        }
    }
    assert_eq!(masks.len(), 12);
    // One mask was stored in six ways.
    assert!(masks.iter().all(|mask| *mask == masks[0]));
    assert!(masks[0].pixels.contains(&true) && masks[0].pixels.contains(&false));
}
