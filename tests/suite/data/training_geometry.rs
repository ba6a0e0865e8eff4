//! What headers say of the size and orientation of pixels, in short, and what differs.

use expertgrid::data::{
    nifti::{Header, decode_image},
    training_geometry::TrainingGeometry,
};

use crate::support::nifti_file::*;

fn header(file: &NiftiFile) -> Header {
    decode_image(&file.0[..]).unwrap().1
}

fn blank() -> NiftiFile {
    NiftiFile::disc([6, 5], [2, 2], 1)
}

fn of(files: &[NiftiFile]) -> TrainingGeometry {
    let headers: Vec<Header> = files.iter().map(header).collect();
    TrainingGeometry::of(&headers)
}

/// How one file differs from what is known.
fn told(known: &TrainingGeometry, file: &NiftiFile) -> Vec<String> {
    known.differences([("new.nii", &header(file))])
}

#[test]
fn sizes_are_a_range_and_orientations_a_set() {
    let placed = |x, y| blank().sform(rows(x, y, [0.0; 3]));
    let ra = placed([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
    let one = of(&[ra.clone(), ra.clone()]);
    assert_eq!(one.to_string(), "pixels of 1 x 1 mm, orientation RA");
    // Oblique, sagittal, by quaternion (half a turn about z), and silent of the place.
    let lp = placed([-0.5, 0.1, 0.0], [-0.15, -0.75, 0.0]);
    let lp = lp.pixdim(0.5_f32.hypot(0.1), 0.15_f32.hypot(0.75));
    let as_ = placed([0.0, 2.0, 0.0], [0.0, 0.0, 2.0]).pixdim(2.0, 2.0);
    let turned = blank().qform([0.0, 0.0, 1.0], [0.0; 3]);
    let several = of(&[
        ra.clone(),
        lp.clone(),
        as_.clone(),
        turned,
        blank().pixdim(0.25, 3.0),
    ]);
    assert_eq!(
        several.to_string(),
        "pixels of 0.25 to 2 x 0.7649 to 3 mm, orientation AS, LP, RA"
    );
    // What nobody wrote says nothing.
    let mut nobody = blank();
    nobody.put(123, [0]);
    let silent = of(&[nobody.clone(), blank().pixdim(0.0, 0.0)]);
    assert!(silent.is_silent());
    assert_eq!(silent.to_string(), "nothing of size and orientation");
    // Nor does a header of two answers.
    let double = rows([2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0; 3]);
    let two = of(&[blank().qform([0.0; 3], [0.0; 3]).sform(double)]);
    assert!(two.is_silent(), "{two}");

    for file in [&ra, &lp, &as_, &nobody] {
        assert_eq!(told(&several, file), [""; 0]);
    }
    let mm = |x, y| blank().pixdim(x, y);
    assert_eq!(told(&several, &mm(0.25, 3.0002)), [""; 0]);
    let large = told(&several, &mm(0.25, 3.1));
    assert!(
        large[0].starts_with("new.nii: pixels of 0.25 x 3.1 mm by the header"),
        "{large:?}"
    );
    assert!(
        large[0].contains("trained on pixels of 0.25 to 2 x 0.7649 to 3 mm"),
        "{large:?}"
    );
    // In another unit.
    let mut micro = blank().pixdim(1000.0, 1000.0);
    micro.put(123, [3]);
    assert_eq!(told(&one, &micro), [""; 0]);
    micro.put(123, [2]);
    assert!(told(&one, &micro)[0].contains("pixels of 1000 x 1000 mm"));
    let other = told(
        &one,
        &lp.pixdim(0.5, 0.7)
            .sform(rows([-0.5, 0.0, 0.0], [0.0, -0.7, 0.0], [0.0; 3])),
    );
    assert_eq!(other.len(), 2, "{other:?}");
    assert!(other[1].starts_with("new.nii: orientation LP"), "{other:?}");
    assert!(other[1].contains("was trained on RA"), "{other:?}");
    assert_eq!(told(&silent, &micro), [""; 0]);
}

#[test]
fn many_images_share_a_line() {
    let known = of(&[blank().sform(IDENTITY)]);
    let headers: Vec<Header> = (2..30_u8)
        .map(|n| header(&blank().pixdim(f32::from(n), 2.0)))
        .collect();
    let named = headers
        .iter()
        .enumerate()
        .map(|(i, header)| (format!("{i}.nii"), header));
    let [line] = &known.differences(named)[..] else {
        panic!("one line");
    };
    assert!(
        line.starts_with("0.nii, 1.nii, 2.nii and 25 more: pixels of 2 to 29 x 2 mm"),
        "{line}"
    );
}

#[test]
fn what_is_not_said_is_as_before_and_all_of_it_is_plain_data() {
    let before =
        of(&[blank()
            .pixdim(0.5, 0.5)
            .sform(rows([0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0; 3]))]);
    let sized = of(&[blank().pixdim(2.0, 2.0)]);
    let both = sized.clone().or(Some(&before));
    assert_eq!(both.to_string(), "pixels of 2 x 2 mm, orientation RA");
    assert_eq!(sized.clone().or(None), sized);
    assert_eq!(TrainingGeometry::default().or(Some(&before)), before);
    assert_eq!(before.clone().or(Some(&both)), before);
    for geometry in [before, sized, both, TrainingGeometry::default()] {
        let text = serde_json::to_string(&geometry).unwrap();
        let read: TrainingGeometry = serde_json::from_str(&text).unwrap();
        assert_eq!(read, geometry, "{text}");
    }
}
