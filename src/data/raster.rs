//! A file to its images or masks, whatever its format: NIfTI-1 or PNG, told apart by their first
//! bytes.

use std::{io::BufRead, path::Path};

use super::{
    Image,
    nifti::{self, Decoded, Fault, FilePlane, Header, ReadMask},
    picture,
};
use crate::manifest::FileReading;

fn decoded(path: &Path, reading: &FileReading, is_mask: bool) -> Result<Decoded, Fault> {
    let mut source = nifti::open(path)?;
    let is_picture = source
        .fill_buf()
        .is_ok_and(|start| start.starts_with(picture::MAGIC));
    match is_picture {
        true => picture::values(source, reading, is_mask),
        false => nifti::values(source, reading, is_mask),
    }
}

/// The images of a file: one, or one for each slice.
///
/// # Errors
/// The file cannot be read, or is not made of such images.
pub(super) fn images(path: &Path, reading: &FileReading) -> Result<Vec<FilePlane>, Fault> {
    Ok(decoded(path, reading, false)?.planes(reading.channel))
}

/// The masks of a file: one, or one for each slice. What is inside is asked of the whole file.
///
/// # Errors
/// As [`images`], and where the values are not those of a mask.
pub(super) fn masks(path: &Path, reading: &FileReading) -> Result<Vec<ReadMask>, Fault> {
    let decoded = decoded(path, reading, true)?;
    let inside = nifti::inside(&decoded.values, &reading.labels)?;
    let planes = decoded.planes(None).into_iter();
    Ok(planes.map(|plane| plane.mask(&inside)).collect())
}

/// The values of a file that may be a mask.
///
/// # Errors
/// As [`images`].
pub(super) fn mask_values(path: &Path, reading: &FileReading) -> Result<Vec<f32>, Fault> {
    Ok(decoded(path, reading, true)?.values)
}

/// The one image of a file.
///
/// # Errors
/// The file cannot be read, or is not such an image.
pub fn image(path: &Path, reading: &FileReading) -> Result<(Image, Header), Fault> {
    let one = FileReading {
        slices: None,
        ..reading.clone()
    };
    let planes = images(path, &one)?;
    let FilePlane { header, image, .. } = planes.into_iter().next().expect("it has one plane");
    Ok((image, header))
}

/// The one mask of a file.
///
/// # Errors
/// The file cannot be read, or its values are not those of a mask.
pub fn mask(path: &Path, reading: &FileReading) -> Result<ReadMask, Fault> {
    let one = FileReading {
        slices: None,
        ..reading.clone()
    };
    let masks = masks(path, &one)?;
    Ok(masks.into_iter().next().expect("it has one plane"))
}
