//! NIfTI files, plain and gzipped, damaged before and after compression.

use std::{
    io::{self, Read, Write},
    sync::LazyLock,
};

use expertgrid::data::{
    Image,
    nifti::{Header, MAX_AXIS_PX, MAX_PIXELS, ReadMask, decode_image, decode_mask},
};
use flate2::{Compression, GzBuilder, bufread::MultiGzDecoder};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{
    damage::{EDGES, REAL_EDGES, damage, fixtures, noise, once_in, one, overwrite},
    watch::Kind,
};

/// Images and masks.
#[derive(Clone, Copy)]
pub struct Nifti;

/// Files by another program, of every type and byte order.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| fixtures("nifti", "nii", 21));

/// Gzip files a thousandth of what they hold: an image of 2048 x 2048, one that promises sixteen
/// times as many pixels as there are, and one that goes on behind its pixels.
static BOMBS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let bomb = |width: u16, height: u16, pixels: usize| {
        let mut bytes = FILES[0].clone();
        // The first fixture, `f4be.nii`, is in big-endian order.
        overwrite(&mut bytes, 42, &width.to_be_bytes());
        overwrite(&mut bytes, 44, &height.to_be_bytes());
        overwrite(&mut bytes, 70, &2_i16.to_be_bytes());
        bytes.truncate(352);
        bytes.resize(352 + pixels, 0);
        gzip(&bytes, Compression::best())
    };
    [
        bomb(2048, 2048, 4 << 20),
        bomb(8192, 8192, 4 << 20),
        bomb(5, 3, 4 << 20),
    ]
});

fn gzip(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut gz = GzBuilder::new().mtime(0).write(Vec::new(), level);
    gz.write_all(bytes)
        .and_then(|()| gz.finish())
        .expect("a list takes everything")
}

/// Fields of the header as (offset, width, how many, real).
const FIELDS: [(usize, usize, usize, bool); 14] = [
    (0, 4, 1, false),   // sizeof_hdr
    (40, 2, 8, false),  // dim
    (40, 2, 8, false),  // and again, as it decides most
    (70, 2, 1, false),  // datatype
    (72, 2, 1, false),  // bitpix
    (76, 4, 8, true),   // pixdim
    (108, 4, 1, true),  // vox_offset
    (112, 4, 1, true),  // scl_slope
    (116, 4, 1, true),  // scl_inter
    (123, 1, 1, false), // xyzt_units
    (252, 2, 2, false), // qform_code, sform_code
    (280, 4, 12, true), // srow
    (344, 1, 4, false), // magic
    (348, 1, 4, false), // extension
];

/// Values of `datatype` that are read, and some that are not.
const TYPES: [u64; 14] = [
    2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280, 32, 128, 1536, 1792,
];

fn set_field(rng: &mut ChaCha8Rng, bytes: &mut [u8]) {
    let (offset, width, count, real) = *one(rng, &FIELDS);
    let at = offset + width * rng.random_range(0..count);
    let number = match offset {
        40 if rng.random() => rng.random_range(0..=8),
        70 if rng.random() => *one(rng, &TYPES),
        _ => *one(rng, &EDGES),
    };
    let mut value = match real && rng.random() {
        true => (*one(rng, &REAL_EDGES) as f32).to_le_bytes().to_vec(),
        false => number.to_le_bytes()[..width].to_vec(),
    };
    // The fixtures come in both byte orders.
    if rng.random() {
        value.reverse();
    }
    overwrite(bytes, at, &value);
}

/// Gzip as other programs write it: with names, in several members, hardly compressed.
fn zipped(rng: &mut ChaCha8Rng, bytes: &[u8]) -> Vec<u8> {
    let member = |rng: &mut ChaCha8Rng, bytes: &[u8]| {
        let mut builder = GzBuilder::new();
        if once_in(rng, 4) {
            builder = builder
                .filename("slice.nii")
                .comment("a slice")
                .extra(noise(rng, 32));
        }
        let level = Compression::new(*one(rng, &[0, 1, 6]));
        let mut gz = builder.write(Vec::new(), level);
        gz.write_all(bytes)
            .and_then(|()| gz.finish())
            .expect("a list takes everything")
    };
    if !once_in(rng, 4) {
        return member(rng, bytes);
    }
    let (front, back) = bytes.split_at(rng.random_range(0..=bytes.len()));
    [member(rng, front), member(rng, back)].concat()
}

/// How many bytes a file delivers: its own, or those that its gzip data hold.
fn delivered(bytes: &[u8]) -> usize {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes.len();
    }
    let mut count = Count(0);
    // Where it breaks, what came before has been delivered.
    let _ = io::copy(&mut MultiGzDecoder::new(bytes).take(1 << 30), &mut count);
    count.0
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Plain bytes within a fixed size need not be counted: gzip's state, and three chunks.
const FIXED: usize = 1 << 20;
/// A pixel of one byte becomes a number of four, in a list that doubles: 4 old bytes and 8 new.
const PER_BYTE: usize = 12;

impl Kind for Nifti {
    type Input = Vec<u8>;
    type Output = ((Image, Header), Option<ReadMask>);

    const NAME: &'static str = "nifti";

    fn input(self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        if once_in(rng, 16) {
            let mut bytes = noise(rng, 1024);
            if rng.random() {
                overwrite(&mut bytes, 0, &[0x1f, 0x8b, 8]);
            }
            return bytes;
        }
        if once_in(rng, 1024) {
            let mut bytes = one(rng, &*BOMBS).clone();
            if rng.random() {
                damage(rng, &mut bytes, &[]);
            }
            return bytes;
        }
        let mut bytes = one(rng, &FILES).clone();
        for _ in 0..rng.random_range(0..4) {
            set_field(rng, &mut bytes);
        }
        if once_in(rng, 3) {
            let other = one(rng, &FILES);
            damage(rng, &mut bytes, other);
        }
        if rng.random() {
            bytes = zipped(rng, &bytes);
            if once_in(rng, 3) {
                let other: &Vec<u8> = one(rng, &FILES);
                let other = gzip(other, Compression::fast());
                damage(rng, &mut bytes, &other);
            }
        }
        bytes
    }

    fn shown(input: &Vec<u8>) -> Vec<u8> {
        input.clone()
    }

    fn parse(input: &Vec<u8>) -> Option<Self::Output> {
        let mask = decode_mask(&input[..]);
        let image = decode_image(&input[..]);
        assert!(
            mask.is_err() || image.is_ok(),
            "a mask is read as an image is"
        );
        image.ok().map(|image| (image, mask.ok()))
    }

    fn check(input: &Vec<u8>, ((image, header), read): Self::Output) {
        let Image {
            height,
            width,
            pixels,
        } = &image;
        for axis in [*height, *width] {
            assert!((1..=MAX_AXIS_PX).contains(&axis));
        }
        assert!(height * width <= MAX_PIXELS);
        assert_eq!(pixels.len(), height * width);
        assert!(pixels.len() <= delivered(input), "pixels from nowhere");
        assert!(pixels.iter().all(|v| v.is_finite()));
        let mut values = pixels.clone();
        values.sort_by(f32::total_cmp);
        values.dedup();
        let expected = match values[..] {
            [0.0] => Some(None),
            [value @ (1.0 | 255.0)] | [0.0, value] => Some(Some(value)),
            _ => None,
        };
        assert_eq!(read.as_ref().map(|read| read.inside), expected);
        if let Some(ReadMask { mask, inside, .. }) = read {
            assert_eq!((mask.height, mask.width), (*height, *width));
            assert!(std::iter::zip(&mask.pixels, pixels).all(|(m, v)| *m == (Some(*v) == inside)));
        }
        assert!(header.dims().iter().filter(|n| **n != 1).count() <= 2);
        if let Ok(spacing) = header.spacing() {
            for mm in [spacing.x_mm, spacing.y_mm] {
                assert!(mm.is_finite() && mm > 0.0);
            }
        }
    }

    fn bound(input: &Vec<u8>) -> usize {
        // Mask and image are decoded one after the other, the mask being kept: a byte a pixel.
        FIXED + (PER_BYTE + 1) * delivered(input)
    }
}
