//! A NIfTI-1 file (`.nii`, `.nii.gz`) to its values, one image or mask, and back.
//!
//! The rule: a header is checked against the data. Memory grows with the pixels that are read,
//! within fixed bounds, whatever size the header names; and the same pixels always give the same
//! bytes. The `nifti` crate reads the header. Pixels are decoded here, because the crate scales by
//! a NaN slope, casts before it scales, and recognises gzip by the file's name; files are written
//! here, because it writes `a.b.nii` as `a.nii`.

mod axes;
mod decode;
mod encode;
mod geometry;
mod gzip;
mod mask_values;
mod other_format;

use std::{io::BufRead, path::Path};

use ::nifti::{Endianness, NiftiHeader, NiftiType};

pub use self::geometry::{HeaderGeometry, PixelGrid};
pub(super) use self::{
    axes::{FilePlane, channel_count},
    decode::{Decoded, open, values},
    geometry::{rounded, same_spacing},
    mask_values::inside,
};
use super::{Image, Mask};
use crate::manifest::FileReading;

/// Longest axis that is read.
pub const MAX_AXIS_PX: usize = 16_384;
/// Most pixels that are read.
pub const MAX_PIXELS: usize = 64 << 20;
/// Where pixels start in a single-file NIfTI-1 without extensions: the header and four bytes.
const DATA_OFFSET: usize = 352;

/// Why a file is not an image or a mask, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Fault {
    /// Of these two texts.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// Size of a pixel along x (NIfTI's first remaining axis) and y, in millimetres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpacingMm {
    /// Width of a pixel.
    pub x_mm: f64,
    /// Height of a pixel.
    pub y_mm: f64,
}

/// The header of a file. A prediction is written with its image's, so that a viewer overlays them.
// Not `PartialEq`: headers hold NaN, and would differ from themselves.
#[derive(Clone, Debug)]
pub struct Header {
    raw: NiftiHeader,
    /// Whether bytes that are no gzip data lay behind those of its file.
    behind_gzip: bool,
    /// Whether bytes other than 0 lay behind the pixels.
    behind_pixels: bool,
    /// Whether it is that of a picture, which says nothing of size and place.
    is_picture: bool,
    /// Whether its third axis was read as that of channels, which nobody named.
    assumed_channels: bool,
}

impl Header {
    /// A new header: `width` by `height` pixels of 1 mm, identity affine (sform 2, qform 0).
    ///
    /// # Errors
    /// An axis is empty or longer than [`MAX_AXIS_PX`].
    pub fn identity(width: usize, height: usize) -> Result<Self, Fault> {
        let axis = |n: usize| match u16::try_from(n) {
            Ok(n) if n > 0 && usize::from(n) <= MAX_AXIS_PX => Ok(n),
            _ => Err(axis_fault(n)),
        };
        let raw = NiftiHeader {
            dim: [2, axis(width)?, axis(height)?, 1, 1, 1, 1, 1],
            sform_code: 2,
            qform_code: 0,
            xyzt_units: 2,
            endianness: Endianness::Little,
            ..NiftiHeader::default()
        };
        Ok(Self {
            raw,
            behind_gzip: false,
            behind_pixels: false,
            is_picture: false,
            assumed_channels: false,
        })
    }

    /// The header of a picture, which says nothing of the size and the place of its pixels.
    ///
    /// # Errors
    /// As [`Header::identity`].
    pub(super) fn of_picture(width: usize, height: usize) -> Result<Self, Fault> {
        let mut header = Self::identity(width, height)?;
        header.raw.sform_code = 0;
        header.raw.xyzt_units = 0;
        header.is_picture = true;
        Ok(header)
    }

    /// Whether it is that of a picture, which says nothing of size and place.
    pub(super) fn is_picture(&self) -> bool {
        self.is_picture
    }

    /// Lengths of all axes, singletons included.
    pub fn dims(&self) -> &[u16] {
        let axes = usize::from(self.raw.dim[0]).min(7);
        &self.raw.dim[1..=axes]
    }

    /// The two axes of the image, as indices into `dims` and their lengths: x, then y.
    pub(super) fn plane(&self) -> Result<[(usize, usize); 2], Fault> {
        let dims = self.dims();
        let long: Vec<_> = dims
            .iter()
            .enumerate()
            .filter(|(_, n)| **n != 1)
            .map(|(axis, n)| (axis, usize::from(*n)))
            .collect();
        match (&long[..], dims) {
            (&[x, y], _) => Ok([x, y]),
            // Two axes, of which at least one has a single pixel.
            (_, &[x, y]) => Ok([(0, usize::from(x)), (1, usize::from(y))]),
            _ => Err(self.not_one_plane()),
        }
    }

    /// Why it is not one 2-D image.
    fn not_one_plane(&self) -> Fault {
        let dims = self.dims();
        let several = dims.iter().enumerate().skip(3).find(|(_, n)| **n > 1);
        match several {
            // NIfTI's fourth axis is time, its fifth the components of a vector; both hold
            // channels.
            Some((axis, n)) if dims[..axis].iter().filter(|n| **n != 1).count() == 2 => {
                let colons = ":, ".repeat(axis);
                Fault::new(
                    format!("has {n} channels (shape {dims:?}), not one"),
                    format!(
                        "choose one, with `channel = 0` under `[dataset]` in the manifest, or \
                         store it as a file of its own, with nibabel for example \
                         `image.slicer[{colons}0:1]`"
                    ),
                )
            }
            _ => Fault::new(
                format!("has shape {dims:?}, which is not one 2-D image"),
                "make each of its slices a case, with `slice = { axis = \"z\" }` under \
                 `[dataset]` in the manifest, or store each in a file of its own; where an axis \
                 holds channels, choose one with `channel = 0`",
            ),
        }
    }

    /// Width and height of the image.
    pub(super) fn shape(&self) -> Result<[usize; 2], Fault> {
        Ok(self.plane()?.map(|(_, length)| length))
    }

    /// What is wrong with the file that it was read from, though it could be read.
    pub fn remarks(&self) -> impl Iterator<Item = Fault> {
        let behind_gzip = self.behind_gzip.then(|| {
            Fault::new(
                "has bytes behind its gzip data that belong to no image and are left out",
                "check that the file was copied whole",
            )
        });
        let behind_pixels = self.behind_pixels.then(|| {
            Fault::new(
                format!(
                    "has bytes behind the pixels of its shape {:?}, which are left out",
                    self.dims()
                ),
                "check that the header gives the whole shape",
            )
        });
        let assumed_channels = self.assumed_channels.then(|| {
            Fault::new(
                "has no fourth axis, so its third is read as that of channels",
                "write `channel_axis = \"z\"` under `[dataset]`; where the axis holds slices, \
                 write `slice = { axis = \"z\" }` instead of `channel`",
            )
        });
        let contradiction = self.geometry().contradiction();
        [behind_gzip, behind_pixels, assumed_channels, contradiction]
            .into_iter()
            .flatten()
    }
}

/// Reads an image: any integer or real type, scaled, finite.
///
/// # Errors
/// The file cannot be read, is no NIfTI-1, is not 2-D, is truncated or holds a non-finite value.
pub fn read_image(path: &Path) -> Result<(Image, Header), Fault> {
    decode_image(open(path)?)
}

/// A mask as read.
#[derive(Clone, Debug)]
pub struct ReadMask {
    /// The mask.
    pub mask: Mask,
    /// The file's header.
    pub header: Header,
    /// The value that marks the inside, after scaling; `None` where nothing is inside, or labels
    /// were named.
    pub inside: Option<f32>,
    /// What is odd about the values that are inside.
    pub oddity: Option<Fault>,
}

/// Reads a mask: 0 outside, one other value, above 0, inside.
///
/// # Errors
/// As [`read_image`], and where the values are not those of a mask.
pub fn read_mask(path: &Path) -> Result<ReadMask, Fault> {
    decode_mask(open(path)?)
}

/// [`read_image`] from bytes.
///
/// # Errors
/// As [`read_image`].
pub fn decode_image(source: impl BufRead) -> Result<(Image, Header), Fault> {
    let planes = decode::values(source, &FileReading::default(), false)?.planes(None);
    let plane = planes.into_iter().next();
    let FilePlane { header, image, .. } = plane.expect("a file of one plane has one");
    Ok((image, header))
}

/// [`read_mask`] from bytes.
///
/// # Errors
/// As [`read_mask`].
pub fn decode_mask(source: impl BufRead) -> Result<ReadMask, Fault> {
    let decoded = decode::values(source, &FileReading::default(), true)?;
    let inside = mask_values::inside(&decoded.values, &[])?;
    let planes = decoded.planes(None).into_iter();
    let mut masks = planes.map(|plane| plane.mask(&inside));
    Ok(masks.next().expect("a file of one plane has one"))
}

/// Writes an image as 32-bit real numbers; gzip if the name ends in `.gz`. `header` gives position
/// and spacing, and must be of the image's shape.
///
/// # Errors
/// The header has another shape, or the file cannot be written.
pub fn write_image(path: &Path, image: &Image, header: &Header) -> Result<(), Fault> {
    let bytes = image.pixels.iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape = [image.width, image.height];
    encode::write(path, header, shape, NiftiType::Float32, bytes)
}

/// Writes a mask as bytes 0 and 1; otherwise as [`write_image`].
///
/// # Errors
/// As [`write_image`].
pub fn write_mask(path: &Path, mask: &Mask, header: &Header) -> Result<(), Fault> {
    let bytes = mask.pixels.iter().map(|v| u8::from(*v)).collect();
    let shape = [mask.width, mask.height];
    encode::write(path, header, shape, NiftiType::Uint8, bytes)
}

fn axis_fault(length: usize) -> Fault {
    Fault::new(
        format!("has an axis of {length} pixels, not of 1 to {MAX_AXIS_PX}"),
        "check that the file is one 2-D slice",
    )
}
