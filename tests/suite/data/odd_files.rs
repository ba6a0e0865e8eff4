//! Valid but unusual files and streams, against nibabel's reading of them, which is ITK's but for
//! three: ITK stops at zeros between two gzip members, and adds an intercept whose slope is 0 or
//! NaN.

use std::collections::BTreeMap;

use expertgrid::data::nifti::{SpacingMm, decode_image};
use serde::Deserialize;

#[derive(Deserialize)]
struct OddFile {
    file: String,
    width: usize,
    height: usize,
    bits: Vec<u32>,
    spacing: [f64; 2],
    /// For each of the patient's axes: the first pixel, the steps along x and y.
    place: Option<[[f64; 3]; 3]>,
}

impl OddFile {
    fn bytes(&self) -> Vec<u8> {
        let digits = self.file.as_bytes().chunks(2);
        let byte = |two: &[u8]| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap();
        digits.map(byte).collect()
    }
}

#[test]
fn unusual_files_are_read_as_nibabel_and_itk_read_them() {
    let text = include_str!("../../fixtures/nifti/odd.json");
    let files: BTreeMap<String, OddFile> = serde_json::from_str(text).unwrap();
    assert_eq!(files.len(), 51);
    for (name, file) in files {
        let (image, header) = decode_image(&file.bytes()[..]).expect(&name);
        assert_eq!(
            (image.width, image.height),
            (file.width, file.height),
            "{name}"
        );
        let bits: Vec<u32> = image.pixels.iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, file.bits, "{name}");
        let [x_mm, y_mm] = file.spacing;
        assert_eq!(header.spacing(), Ok(SpacingMm { x_mm, y_mm }), "{name}");
        let grid = header.geometry().grid().expect(&name);
        assert_eq!(grid.is_some(), file.place.is_some(), "{name}");
        if let (Some(grid), Some(place)) = (grid, file.place) {
            for (axis, [first, x, y]) in place.into_iter().enumerate() {
                let found = [grid.first[axis], grid.along_x[axis], grid.along_y[axis]];
                for (found, expected) in std::iter::zip(found, [first, x, y]) {
                    assert!((found - expected).abs() < 1e-6, "{name}: {grid:?}");
                }
            }
        }
        // They are valid; what lies behind the pixels is told.
        let remarks: Vec<String> = header.remarks().map(|fault| fault.to_string()).collect();
        assert_eq!(
            remarks.len(),
            usize::from(name.contains("bytes_behind")),
            "{name}: {remarks:?}"
        );
    }
}
