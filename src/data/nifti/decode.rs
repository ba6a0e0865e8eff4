//! Bytes of a NIfTI-1 file to its header and scaled values.
//!
//! The rule: memory is allocated for bytes that were read, never for what the header declares.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
};

use ::nifti::{Endianness, NiftiError, NiftiHeader, NiftiType};

use super::{DATA_OFFSET, Fault, Header, axes::FileAxes, gzip::GzipMembers, other_format};
use crate::manifest::FileReading;

/// Furthest into a file that pixels may start: room for any sensible header extension.
const MAX_DATA_OFFSET: usize = 16 << 20;
/// How much after the pixels is read in order to reach, and so to verify, the gzip checksum.
const MAX_TRAILING: u64 = 1 << 20;

/// Opens a file for [`values`].
pub(in crate::data) fn open(path: &Path) -> Result<BufReader<File>, Fault> {
    let file = File::open(path).map_err(|e| {
        let (what, remedy) = match e.kind() {
            io::ErrorKind::NotFound => ("does not exist".to_owned(), "check the path"),
            io::ErrorKind::PermissionDenied => (
                "is a file that you may not read".to_owned(),
                "check its permissions",
            ),
            _ => (
                format!("cannot be opened ({e})"),
                "check the path and the disk",
            ),
        };
        Fault::new(what, remedy)
    })?;
    Ok(BufReader::with_capacity(64 << 10, file))
}

/// The values of a file, scaled and all finite, the first axis fastest.
pub(in crate::data) struct Decoded {
    /// The header as read.
    pub(super) header: Header,
    /// What its axes are.
    pub(super) axes: FileAxes,
    /// As many values as all axes have places.
    pub(in crate::data) values: Vec<f32>,
}

/// The values of a file whose axes `reading` says what they are; those of a mask have no channels.
pub(in crate::data) fn values(
    mut source: impl BufRead,
    reading: &FileReading,
    is_mask: bool,
) -> Result<Decoded, Fault> {
    // Gzip is recognised by its magic bytes: names are unreliable.
    let start = source.fill_buf().map_err(|e| unreadable(&e))?;
    if start.is_empty() {
        return Err(Fault::new("is empty", "copy the file again"));
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        let mut members = GzipMembers::new(source);
        let mut decoded = plain_values(&mut members, reading, is_mask)?;
        decoded.header.behind_gzip = members.trailing;
        Ok(decoded)
    } else {
        plain_values(source, reading, is_mask)
    }
}

fn plain_values(
    mut source: impl Read,
    reading: &FileReading,
    is_mask: bool,
) -> Result<Decoded, Fault> {
    let mut header = read_header(&mut source)?;
    let axes = header.axes(reading, is_mask)?;
    let count = axes.checked_count(&header)?;
    skip_to_pixels(&mut source, &header)?;
    let values = read_pixels(&mut source, &header, count)?;
    // The end of a gzip stream carries its checksum; reading on is what verifies it.
    let mut rest = Rest::default();
    io::copy(&mut source.take(MAX_TRAILING), &mut rest).map_err(|e| unreadable(&e))?;
    header.behind_pixels = rest.is_content;
    // A fold without early exit is vectorised.
    let finite = values.iter().fold(true, |all, v| all & v.is_finite());
    if !finite && let Some(i) = values.iter().position(|v| !v.is_finite()) {
        return Err(Fault::new(
            format!(
                "holds a value that is not finite ({}) at {}",
                values[i],
                axes.position(&header, i)
            ),
            "replace it, outside the body by the value of the background",
        ));
    }
    Ok(Decoded {
        header,
        axes,
        values,
    })
}

/// What follows the pixels.
#[derive(Default)]
struct Rest {
    /// Whether it is more than zeros, which are padding.
    is_content: bool,
}

impl Write for Rest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_content |= bytes.iter().any(|byte| *byte != 0);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_header(source: &mut impl Read) -> Result<Header, Fault> {
    let mut bytes = Vec::with_capacity(348);
    source
        .take(348)
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(&e))?;
    if let Some(fault) = other_format::named(&bytes) {
        return Err(fault);
    }
    if bytes.len() < 348 {
        return Err(Fault::new(
            format!("ends within its header, after {} of 348 bytes", bytes.len()),
            "copy the file again",
        ));
    }
    let header = NiftiHeader::from_reader(&bytes[..]).map_err(|e| not_nifti(&e))?;
    if &header.magic != b"n+1\0" || header.sizeof_hdr != 348 {
        return Err(Fault::new(
            "is not a NIfTI-1 file",
            "export it as .nii or .nii.gz",
        ));
    }
    if header.dim().is_err() {
        return Err(Fault::new(
            format!("declares the impossible shape {:?}", header.dim),
            "export the file again",
        ));
    }
    Ok(Header {
        raw: header,
        behind_gzip: false,
        behind_pixels: false,
        is_picture: false,
        assumed_channels: false,
    })
}

fn skip_to_pixels(source: &mut impl Read, header: &Header) -> Result<(), Fault> {
    let offset = header.raw.vox_offset;
    // Some writers leave 0 for the default. NaN fails both comparisons.
    let offset = if offset == 0.0 {
        DATA_OFFSET
    } else if offset >= DATA_OFFSET as f32 && offset <= MAX_DATA_OFFSET as f32 {
        offset as usize
    } else {
        return Err(Fault::new(
            format!("declares that its pixels start at byte {offset}"),
            "export the file again",
        ));
    };
    let gap = (offset - 348) as u64;
    let skipped = io::copy(&mut source.take(gap), &mut io::sink()).map_err(|e| unreadable(&e))?;
    if skipped < gap {
        return Err(truncated(0, 1));
    }
    Ok(())
}

fn read_pixels(source: &mut impl Read, header: &Header, count: usize) -> Result<Vec<f32>, Fault> {
    let pixel = PixelType::of(header)?;
    let scaling = Scaling::of(header)?;
    let mut values = Vec::new();
    let mut chunk = Vec::new();
    // In chunks, so that memory grows with the bytes read.
    while values.len() < count {
        let wanted = (count - values.len()).min(16 << 10);
        chunk.clear();
        source
            .take((wanted * pixel.size()) as u64)
            .read_to_end(&mut chunk)
            .map_err(|e| unreadable(&e))?;
        if chunk.len() < wanted * pixel.size() {
            return Err(truncated(values.len() + chunk.len() / pixel.size(), count));
        }
        let order = header.raw.endianness;
        match scaling {
            Scaling::AsStored => pixel.decode(&chunk, order, &mut values, |v| v),
            Scaling::Linear { slope, inter } => {
                pixel.decode(&chunk, order, &mut values, |v| slope * v + inter);
            }
        }
    }
    Ok(values)
}

/// The types of pixels that are read.
#[derive(Clone, Copy)]
enum PixelType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl PixelType {
    fn of(header: &Header) -> Result<Self, Fault> {
        let declared = header.raw.data_type();
        Ok(match declared {
            Ok(NiftiType::Uint8) => Self::U8,
            Ok(NiftiType::Int8) => Self::I8,
            Ok(NiftiType::Uint16) => Self::U16,
            Ok(NiftiType::Int16) => Self::I16,
            Ok(NiftiType::Uint32) => Self::U32,
            Ok(NiftiType::Int32) => Self::I32,
            Ok(NiftiType::Uint64) => Self::U64,
            Ok(NiftiType::Int64) => Self::I64,
            Ok(NiftiType::Float32) => Self::F32,
            Ok(NiftiType::Float64) => Self::F64,
            Ok(_) | Err(_) => {
                let name = declared
                    .map_or_else(|_| format!("{}", header.raw.datatype), |t| format!("{t:?}"));
                return Err(Fault::new(
                    format!("has pixels of type {name}"),
                    "convert it to one channel of whole or real numbers",
                ));
            }
        })
    }

    fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    fn decode(
        self,
        bytes: &[u8],
        order: Endianness,
        into: &mut Vec<f32>,
        scale: impl Fn(f64) -> f64,
    ) {
        // Adding 0 turns -0 into 0, so that equal images have equal digests.
        let scaled = |v: f64| scale(v) as f32 + 0.0;
        // A loop for each type and byte order, without branches: data sets have millions of pixels.
        macro_rules! walk {
            ($type:ty) => {{
                let (parts, _) = bytes.as_chunks();
                match order {
                    Endianness::Little => {
                        into.extend(
                            parts
                                .iter()
                                .map(|p| scaled(<$type>::from_le_bytes(*p) as f64)),
                        );
                    }
                    Endianness::Big => {
                        into.extend(
                            parts
                                .iter()
                                .map(|p| scaled(<$type>::from_be_bytes(*p) as f64)),
                        );
                    }
                }
            }};
        }
        // A table of the values of all bytes: most files are masks.
        let bytewise = |value: fn(u8) -> f64| -> [f32; 256] {
            std::array::from_fn(|byte| scaled(value(byte as u8)))
        };
        match self {
            Self::U8 => {
                let table = bytewise(f64::from);
                into.extend(bytes.iter().map(|byte| table[usize::from(*byte)]));
            }
            Self::I8 => {
                let table = bytewise(|byte| f64::from(byte as i8));
                into.extend(bytes.iter().map(|byte| table[usize::from(*byte)]));
            }
            Self::U16 => walk!(u16),
            Self::I16 => walk!(i16),
            Self::U32 => walk!(u32),
            Self::I32 => walk!(i32),
            Self::U64 => walk!(u64),
            Self::I64 => walk!(i64),
            Self::F32 => walk!(f32),
            Self::F64 => walk!(f64),
        }
    }
}

/// From a stored value x to an intensity y (NIfTI-1: y = slope x + inter, unless slope is 0).
enum Scaling {
    AsStored,
    Linear { slope: f64, inter: f64 },
}

impl Scaling {
    fn of(header: &Header) -> Result<Self, Fault> {
        let (slope, inter) = (header.raw.scl_slope, header.raw.scl_inter);
        // nibabel writes NaN for "no scaling", the standard says 0.
        if slope == 0.0 || slope.is_nan() {
            return Ok(Self::AsStored);
        }
        if slope.is_finite() && inter.is_finite() {
            return Ok(Self::Linear {
                slope: slope.into(),
                inter: inter.into(),
            });
        }
        Err(Fault::new(
            format!("scales its pixels by {slope} x + {inter}"),
            "export the file again",
        ))
    }
}

fn truncated(got: usize, wanted: usize) -> Fault {
    Fault::new(
        format!("ends after {got} of {wanted} pixels"),
        "copy the file again",
    )
}

fn unreadable(error: &io::Error) -> Fault {
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "ends early".to_owned(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            "has damaged gzip data".to_owned()
        }
        io::ErrorKind::IsADirectory => "is a folder".to_owned(),
        kind => format!("cannot be read ({kind})"),
    };
    Fault::new(what, "copy the file again")
}

fn not_nifti(error: &NiftiError) -> Fault {
    match error {
        NiftiError::Io(e) => unreadable(e),
        _ => Fault::new("is not a NIfTI-1 file", "export it as .nii or .nii.gz"),
    }
}
