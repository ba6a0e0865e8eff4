//! What two headers say of each other: the same place, another order of pixels, a contradiction.

use std::{fs, path::Path};

use expertgrid::data::{
    self, Mask, Severity,
    alignment::{Aligned, align},
    folder::annotated,
    nifti::{Fault, decode_image, decode_mask},
};

use expertgrid::manifest::FileReading;

use crate::support::nifti_file::*;

const SHAPE: [usize; 2] = [40, 32];

fn mask() -> NiftiFile {
    NiftiFile::disc(SHAPE, [14, 11], 7)
}

/// The first on the second's grid.
fn aligned(mask: &NiftiFile, onto: &NiftiFile) -> Result<Aligned, Fault> {
    let read = decode_mask(&mask.0[..]).unwrap();
    let (_, header) = decode_image(&onto.0[..]).unwrap();
    align(read.mask, &read.header, &header, "image")
}

fn pixels(values: &[u8], [width, height]: [usize; 2]) -> Mask {
    Mask {
        height,
        width,
        pixels: values.iter().map(|v| *v != 0).collect(),
    }
}

#[test]
fn every_order_of_pixels_is_turned_to_the_images() {
    let values = disc(SHAPE, [14, 11], 7);
    let wanted = pixels(&values, SHAPE);
    let [w, h] = SHAPE;
    // Anisotropic, oblique, away from the origin.
    let (x, y) = ([0.48, 0.0, 0.14], [-0.24, 0.64, 0.0]);
    let first = [10.0, -20.0, 30.0];
    let at = |u: usize, v: usize| -> [f32; 3] {
        std::array::from_fn(|i| first[i] + x[i] * u as f32 + y[i] * v as f32)
    };
    let minus = |v: [f32; 3]| v.map(|v| -v);
    let lengths = [x, y].map(|step| step.iter().map(|v| v * v).sum::<f32>().sqrt());
    let image = mask()
        .pixdim(lengths[0], lengths[1])
        .sform(rows(x, y, first));
    for (flip_x, flip_y, swap) in (0..8).map(|i| (i & 1 != 0, i & 2 != 0, i & 4 != 0)) {
        let mut stored = values.clone();
        if flip_x {
            stored = mirrored(&stored, w);
        }
        if flip_y {
            stored = stored.chunks(w).rev().flatten().copied().collect();
        }
        let corner = at(
            if flip_x { w - 1 } else { 0 },
            if flip_y { h - 1 } else { 0 },
        );
        let steps = [
            if flip_x { minus(x) } else { x },
            if flip_y { minus(y) } else { y },
        ];
        let file = match swap {
            false => NiftiFile::new(&[w as i16, h as i16], &stored)
                .pixdim(lengths[0], lengths[1])
                .sform(rows(steps[0], steps[1], corner)),
            true => NiftiFile::new(&[h as i16, w as i16], &transposed(&stored, w))
                .pixdim(lengths[1], lengths[0])
                .sform(rows(steps[1], steps[0], corner)),
        };
        let Aligned { mask, turned } = aligned(&file, &image).unwrap();
        assert_eq!(mask, wanted, "{flip_x} {flip_y} {swap}");
        assert_eq!(turned.is_some(), flip_x || flip_y || swap);
    }
}

#[test]
fn what_lies_elsewhere_or_has_other_pixels_is_refused() {
    let image = mask().sform(IDENTITY);
    let moved = |by: f32| {
        let mut rows = IDENTITY;
        rows[0][3] = by;
        mask().sform(rows)
    };
    let fault = |file: &NiftiFile| aligned(file, &image).unwrap_err().to_string();
    assert!(fault(&moved(10.0)).contains("first pixel (10, 0, 0)"));
    // A thousandth of a pixel is no rounding, a ten-thousandth is.
    assert!(fault(&moved(1e-3)).contains("lies elsewhere"));
    assert!(aligned(&moved(0.9e-4), &image).unwrap().turned.is_none());
    // Beside the plane.
    let mut slice = IDENTITY;
    slice[2][3] = 3.0;
    assert!(fault(&mask().sform(slice)).contains("first pixel (0, 0, 3)"));
    // Other pixels, and turned by what is no quarter.
    let coarse = rows([2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0; 3]);
    assert!(fault(&mask().pixdim(2.0, 2.0).sform(coarse)).contains("along x (2, 0, 0)"));
    let skew = rows([0.8, 0.6, 0.0], [-0.6, 0.8, 0.0], [0.0; 3]);
    assert!(fault(&mask().sform(skew)).contains("along x (0.8, 0.6, 0)"));
    // The sizes of the pixels alone.
    let (thin, bare) = (mask().pixdim(0.5, 0.5), mask().pixdim(0.8, 0.8));
    let said = aligned(&thin, &bare).unwrap_err().to_string();
    assert!(
        said.contains("pixels of 0.5 x 0.5 mm") && said.contains("0.8 x 0.8 mm"),
        "{said}"
    );
    let small = NiftiFile::disc([38, 32], [14, 11], 7).sform(IDENTITY);
    assert!(fault(&small).contains("has 38 x 32 pixels, its image 40 x 32"));
}

#[test]
fn headers_that_say_the_same_or_nothing_agree() {
    let agree = |a: &NiftiFile, b: &NiftiFile| {
        let Aligned { mask, turned } = aligned(a, b).unwrap();
        assert_eq!(mask, pixels(&disc(SHAPE, [14, 11], 7), SHAPE));
        assert_eq!(turned, None);
    };
    agree(&mask(), &mask());
    agree(&mask(), &mask().sform(IDENTITY));
    agree(&mask().sform(IDENTITY), &mask());
    // Nobody set the size of pixels that are 1 x 1 without a unit.
    let mut nothing = mask();
    nothing.put(123, [0]);
    agree(&nothing, &mask().pixdim(0.5, 0.5));
    // By quaternion and by matrix: nothing turned, and half a turn about z.
    let quaternion = mask().qform([0.0; 3], [5.0, 6.0, 7.0]);
    let mut place = IDENTITY;
    (place[0][3], place[1][3], place[2][3]) = (5.0, 6.0, 7.0);
    agree(&quaternion, &mask().sform(place));
    agree(&mask().sform(place), &quaternion.clone().sform(place));
    let half = mask()
        .pixdim(0.5, 0.75)
        .qform([0.0, 0.0, 1.0], [9.0, 8.0, 0.0]);
    let matrix = rows([-0.5, 0.0, 0.0], [0.0, -0.75, 0.0], [9.0, 8.0, 0.0]);
    agree(&half, &mask().pixdim(0.5, 0.75).sform(matrix));
    // The same place in micrometres and in millimetres.
    let mut micro = mask().pixdim(500.0, 500.0);
    micro.put(123, [3]);
    let micro = micro.sform(rows(
        [500.0, 0.0, 0.0],
        [0.0, 500.0, 0.0],
        [1000.0, 0.0, 0.0],
    ));
    let milli = rows([0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [1.0, 0.0, 0.0]);
    agree(&micro, &mask().pixdim(0.5, 0.5).sform(milli));
}

#[test]
fn a_header_that_contradicts_itself_gives_no_answer() {
    let double = rows([2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0; 3]);
    let (_, header) = decode_image(&mask().sform(double).0[..]).unwrap();
    let said = header.spacing().unwrap_err().to_string();
    assert!(
        said.contains("two spacings: 1 x 1 mm (pixdim) and 2 x 2 mm (sform)"),
        "{said}"
    );

    let mut other = IDENTITY;
    other[1][3] = 4.0;
    let two = mask().qform([0.0; 3], [0.0; 3]).sform(other);
    // Equal headers say the same of equal pixels, whatever it is.
    assert!(aligned(&two, &two).is_ok());
    let said = aligned(&two, &mask().sform(IDENTITY))
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("has a header that puts its pixels at two places"),
        "{said}"
    );
    let said = aligned(&mask().sform(IDENTITY), &two)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("the header of its image puts its pixels at two places"),
        "{said}"
    );
    let flat = mask().sform([[0.0; 4]; 3]);
    let said = aligned(&flat, &mask().sform(IDENTITY))
        .unwrap_err()
        .to_string();
    assert!(said.contains("gives its pixels no size"), "{said}");
}

fn write_case(folder: &Path, seed: u8) {
    fs::create_dir_all(folder).unwrap();
    let values: Vec<u8> = (0..40 * 32).map(|i| (i * 7 % 251) as u8 ^ seed).collect();
    NiftiFile::new(&[40, 32], &values)
        .sform(IDENTITY)
        .write(folder.join("image.nii"));
    mask()
        .sform(IDENTITY)
        .write(folder.join("task01_seg01.nii"));
}

#[test]
fn a_data_sets_masks_are_turned_to_their_images_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_case(&dir.path().join("Training/case1"), 1);
    write_case(&dir.path().join("Validation/case2"), 2);
    let path = dir.path().join("Training/case1/task01_seg01.nii");
    let straight = data::open(dir.path()).unwrap();
    assert_eq!(straight.warnings, []);

    let values = mirrored(&disc(SHAPE, [14, 11], 7), 40);
    let other_way = rows([-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [39.0, 0.0, 0.0]);
    let stored = NiftiFile::new(&[40, 32], &values).sform(other_way);
    stored.write(&path);
    let turned = data::open(dir.path()).unwrap();
    assert_eq!(turned.digest, straight.digest);
    let [warning] = &turned.warnings[..] else {
        panic!("{:?}", turned.warnings);
    };
    assert_eq!(warning.severity, Severity::Warning);
    assert!(warning.what.contains("(x reversed)"), "{warning}");
    let adapted = annotated(&dir.path().join("Training"), 1, &FileReading::default()).unwrap();
    assert_eq!(adapted.warnings, turned.warnings);
    assert_eq!(adapted.cases[0].mask(1), straight.training[0].mask(1));

    let elsewhere = rows([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [10.0, -4.0, 0.0]);
    mask().sform(elsewhere).write(&path);
    let said = data::open(dir.path()).unwrap_err().to_string();
    assert!(said.contains("lies elsewhere than its image"), "{said}");
    let adapted = annotated(&dir.path().join("Training"), 1, &FileReading::default()).unwrap_err();
    assert!(said.starts_with(&adapted.to_string()), "{adapted}");
}
