//! PNG pictures to values: grey of up to 16 bits, exactly as stored.
//!
//! The rule: a sample is read as the number that is stored, without gamma or scaling. Colour counts
//! as channels; where all are equal and none is asked for, it is grey. A palette's indices are
//! labels of a mask and no intensities. What would be lost, as transparency, is refused with a way
//! to convert it.

use std::io::{self, BufRead, Seek, SeekFrom};

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use super::nifti::{Decoded, Fault, MAX_AXIS_PX, MAX_PIXELS, channel_count};
use crate::manifest::{Channel, FileReading};

/// How every PNG begins.
pub(super) const MAGIC: &[u8] = b"\x89PNG";
/// Most bytes that one of a file can stand for, as it is compressed.
const MOST_DEFLATED: u64 = 1032;
/// Most bytes that decoding takes.
const MOST_BYTES: usize = 2 << 30;

/// The values of a picture; those of a mask have one channel.
pub(super) fn values(
    mut source: impl BufRead + Seek,
    reading: &FileReading,
    is_mask: bool,
) -> Result<Decoded, Fault> {
    let length = source.seek(SeekFrom::End(0)).map_err(|e| unreadable(&e))?;
    source.rewind().map_err(|e| unreadable(&e))?;
    let mut decoder = Decoder::new_with_limits(source, Limits { bytes: MOST_BYTES });
    // As it is stored.
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|error| damaged(&error))?;
    let info = reader.info();
    let [width, height] = [info.width, info.height].map(|n| n as usize);
    if width.max(height) > MAX_AXIS_PX || width * height > MAX_PIXELS {
        return Err(Fault::new(
            format!("has {width} x {height} pixels, more than are read"),
            "check that it is one 2-D image",
        ));
    }
    if info.animation_control().is_some() {
        return Err(Fault::new(
            "is an animated PNG, with several images",
            "store each image in a file of its own",
        ));
    }
    if reading.slices.is_some() {
        return Err(Fault::new(
            "is a PNG, which has no slices, and `slice` asks for them",
            "take `slice` out of `[dataset]`",
        ));
    }
    let has_clear_colour = info.trns.is_some();
    let (colour, depth) = (info.color_type, info.bit_depth);
    let line = reader.output_line_size(width as u32).unwrap_or_default();
    if (line * height) as u64 > MOST_DEFLATED * length {
        return Err(Fault::new(
            format!("declares {width} x {height} pixels, and has only {length} bytes"),
            "copy the file again",
        ));
    }
    let mut bytes = vec![0; line * height];
    reader
        .next_frame(&mut bytes)
        .map_err(|error| damaged(&error))?;
    let stored = match colour {
        ColorType::Grayscale | ColorType::Indexed => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
    };
    let stored = StoredPixels {
        colour,
        depth,
        has_clear_colour,
        each: stored,
        samples: unpacked(&bytes, line, width * stored, depth),
    };
    stored.refuse_loss(is_mask)?;
    let asked = reading.channel.filter(|_| !is_mask);
    let channels = stored.channels(asked, is_mask)?;
    let values = (0..channels).flat_map(|channel| stored.of_channel(channel));
    Decoded::of_picture([width, height], channels, values.collect())
}

/// The pixels of a picture as they are stored.
struct StoredPixels {
    colour: ColorType,
    depth: BitDepth,
    has_clear_colour: bool,
    /// How many samples each pixel has.
    each: usize,
    samples: Vec<f32>,
}

impl StoredPixels {
    fn of_channel(&self, channel: usize) -> impl Iterator<Item = f32> {
        self.samples
            .iter()
            .skip(channel)
            .step_by(self.each)
            .copied()
    }

    /// Refuses what would be lost, or has another meaning.
    fn refuse_loss(&self, is_mask: bool) -> Result<(), Fault> {
        let convert = "convert it to grey, with Pillow: `Image.open(\"old.png\").convert(\"L\")\
                       .save(\"new.png\")`";
        if self.colour == ColorType::Indexed && !is_mask {
            let what = "is a PNG with a palette, whose numbers are no intensities";
            return Err(Fault::new(what, convert));
        }
        let opaque = match self.depth {
            BitDepth::Sixteen => 65535.0,
            _ => 255.0,
        };
        let transparent = match self.colour {
            ColorType::GrayscaleAlpha | ColorType::Rgba => {
                self.of_channel(self.each - 1).any(|alpha| alpha != opaque)
            }
            ColorType::Grayscale | ColorType::Rgb => self.has_clear_colour,
            ColorType::Indexed => false,
        };
        match transparent {
            true => Err(Fault::new("is a PNG with transparent pixels", convert)),
            false => Ok(()),
        }
    }

    /// How many channels are read; red, green and blue where somebody asks for one.
    fn channels(&self, asked: Option<Channel>, is_mask: bool) -> Result<usize, Fault> {
        let colours = match self.colour {
            ColorType::Rgb | ColorType::Rgba => 3,
            _ => 1,
        };
        let is_grey = (1..colours).all(|channel| self.of_channel(channel).eq(self.of_channel(0)));
        let channels = match (colours, is_grey, asked) {
            (1, ..) => 1,
            (_, _, Some(_)) => colours,
            (_, true, None) => 1,
            (_, false, None) if is_mask => {
                return Err(Fault::new(
                    "is a PNG of colours, which do not say what is inside",
                    "store it in grey, with 1 inside and 0 outside",
                ));
            }
            (_, false, None) => {
                return Err(Fault::new(
                    "is a PNG of 3 channels (red, green, blue), not one",
                    "choose one with `channel = 0` (1, 2, or \"mean\") under `[dataset]` in the \
                     manifest, or store it in grey",
                ));
            }
        };
        match asked {
            Some(Channel::One(wanted)) if wanted >= channels => Err(Fault::new(
                format!(
                    "is a PNG with {}, and `channel = {wanted}` asks for another",
                    channel_count(channels)
                ),
                "channels count from 0; name one that there is",
            )),
            _ => Ok(channels),
        }
    }
}

/// The samples of all rows, each of which begins with a byte of its own.
fn unpacked(bytes: &[u8], line: usize, samples: usize, depth: BitDepth) -> Vec<f32> {
    let bits = match depth {
        BitDepth::Sixteen => {
            let pairs = bytes.as_chunks().0.iter();
            return pairs
                .map(|pair| f32::from(u16::from_be_bytes(*pair)))
                .collect();
        }
        BitDepth::Eight => return bytes.iter().map(|byte| f32::from(*byte)).collect(),
        BitDepth::Four => 4,
        BitDepth::Two => 2,
        BitDepth::One => 1,
    };
    let each = 8 / bits;
    let mask = (1_u16 << bits) as u8 - 1;
    let of_row = |row: &[u8]| -> Vec<f32> {
        let sample = |i: usize| row[i / each] >> (8 - bits * (i % each + 1)) & mask;
        (0..samples).map(|i| f32::from(sample(i))).collect()
    };
    bytes.chunks(line.max(1)).flat_map(of_row).collect()
}

fn unreadable(error: &io::Error) -> Fault {
    Fault::new(
        format!("cannot be read ({})", error.kind()),
        "check the path and the disk",
    )
}

fn damaged(error: &png::DecodingError) -> Fault {
    Fault::new(format!("is a damaged PNG ({error})"), "copy the file again")
}
