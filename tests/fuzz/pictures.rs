//! PNG pictures, damaged, with check sums that fit again, and read in every way.

use std::{fs, io::Write, path::Path, sync::LazyLock};

use expertgrid::{
    data::{
        Image,
        nifti::{Header, MAX_AXIS_PX, MAX_PIXELS, ReadMask},
        raster,
    },
    manifest::{Channel, FileReading},
};
use flate2::{Compression, Crc, write::ZlibEncoder};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{
    damage::{EDGES, damage, fixtures, noise, once_in, one, overwrite},
    watch::Kind,
};

/// Images and masks.
#[derive(Clone, Copy)]
pub struct Pictures;

/// Bytes, and how they are read.
#[derive(Clone, Debug)]
pub struct Picture {
    bytes: Vec<u8>,
    reading: FileReading,
}

/// Pictures by Pillow and zlib.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| fixtures("pictures", "png", 5));

/// Type and data.
type Chunk = ([u8; 4], Vec<u8>);

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn chunks(file: &[u8]) -> Vec<Chunk> {
    let mut rest = &file[SIGNATURE.len()..];
    let mut chunks = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (kind, after) = after.split_first_chunk::<4>().expect("a chunk has a type");
        let (data, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        chunks.push((*kind, data.to_vec()));
        rest = &after[4..];
    }
    chunks
}

fn joined(chunks: &[Chunk]) -> Vec<u8> {
    let mut file = SIGNATURE.to_vec();
    for (kind, data) in chunks {
        let mut sum = Crc::new();
        sum.update(kind);
        sum.update(data);
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(kind);
        file.extend(data);
        file.extend(sum.sum().to_be_bytes());
    }
    file
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(bytes)
        .and_then(|()| zlib.finish())
        .expect("a list takes everything")
}

/// The types of colour, each with the samples of a pixel.
const COLOURS: [(u8, usize); 5] = [(0, 1), (2, 3), (3, 1), (4, 2), (6, 4)];

/// A sound picture of any type of colour and depth. Half of them have the few values of a mask, the
/// others any value and any filter.
fn drawn(rng: &mut ChaCha8Rng) -> Vec<Chunk> {
    let (colour, samples) = *one(rng, &COLOURS);
    let depth: u8 = match colour {
        0 => *one(rng, &[1, 2, 4, 8, 16]),
        3 => *one(rng, &[1, 2, 4, 8]),
        _ => *one(rng, &[8, 16]),
    };
    let [width, height] = [rng.random_range(1..=20_usize), rng.random_range(1..=9)];
    let line = (width * samples * usize::from(depth)).div_ceil(8);
    let is_mask = rng.random::<bool>();
    let extremes = rng.random::<bool>();
    let mut rows = Vec::new();
    for _ in 0..height {
        let filter = if is_mask { 0 } else { rng.random_range(0..=4) };
        rows.push(filter);
        let row: Vec<u8> = (0..line)
            .map(|i| match (is_mask, extremes) {
                (true, true) => *one(rng, &[0, 255]),
                // The low byte of a sample of 16 bits.
                (true, false) => u8::from(i % 2 == 1 && rng.random()),
                (false, _) => rng.random(),
            })
            .collect();
        rows.extend(row);
    }
    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend((height as u32).to_be_bytes());
    header.extend([depth, colour, 0, 0, 0]);
    let mut all = vec![(*b"IHDR", header)];
    if colour == 3 {
        let colours = 1_usize << depth;
        all.push((*b"PLTE", vec![7; 3 * colours]));
    }
    if once_in(rng, 8) {
        all.push((*b"tRNS", vec![0; *one(rng, &[1, 2, 6])]));
    }
    all.push((*b"IDAT", deflated(&rows)));
    all.push((*b"IEND", Vec::new()));
    all
}

/// Changes the header, or a chunk and its place, and leaves the check sums right.
fn change(rng: &mut ChaCha8Rng, chunks: &mut Vec<Chunk>) {
    let at = rng.random_range(0..chunks.len());
    match rng.random_range(0..6) {
        0 => {
            for place in [0, 4] {
                let number = match rng.random_range(0..3) {
                    0 => continue,
                    1 => *one(rng, &EDGES) as u32,
                    _ => 1 << rng.random_range(0..=14),
                };
                overwrite(&mut chunks[0].1, place, &number.to_be_bytes());
            }
        }
        1 => {
            let place = rng.random_range(8..13);
            overwrite(&mut chunks[0].1, place, &[rng.random_range(0..=16)]);
        }
        2 => damage(rng, &mut chunks[at].1, &[]),
        3 => drop(chunks.remove(at)),
        4 => {
            let to = rng.random_range(0..chunks.len());
            chunks.swap(at, to);
        }
        _ => {
            let kind = *one(
                rng,
                &[
                    b"IDAT", b"tRNS", b"PLTE", b"gAMA", b"acTL", b"fcTL", b"tEXt",
                ],
            );
            chunks.insert(at, (*kind, noise(rng, 40)));
        }
    }
    if chunks.is_empty() {
        chunks.push((*b"IEND", Vec::new()));
    }
}

fn reading(rng: &mut ChaCha8Rng) -> FileReading {
    let channel = match rng.random_range(0..6) {
        0 => Some(Channel::One(rng.random_range(0..=4))),
        1 => Some(Channel::Sum),
        2 => Some(Channel::Mean),
        _ => None,
    };
    let labels = match once_in(rng, 3) {
        true => vec![*one(rng, &[0, 1, 2, 255, u32::MAX]), 1],
        false => Vec::new(),
    };
    FileReading {
        labels,
        channel,
        ..FileReading::default()
    }
}

/// The pixels that the file declares, as far as its bytes can stand for them.
fn declared(bytes: &[u8]) -> usize {
    let number = |at: usize| -> usize {
        let bytes = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
        bytes.map_or(0, |four| u32::from_be_bytes(four) as usize)
    };
    let [width, height] = [number(16), number(20)];
    let depth = usize::from(bytes.get(24).copied().unwrap_or(1).clamp(1, 16));
    // Deflate makes 1032 bytes of one; a row ends with a byte of its own.
    let lines = (1032 * bytes.len()).min(height);
    let of_bytes = 1032 * bytes.len() * 8 / depth + 8 * lines;
    width.saturating_mul(height).min(MAX_PIXELS).min(of_bytes)
}

/// State of the decompression, and a window.
const FIXED: usize = 3 << 18;
/// Four samples of two bytes, as numbers of four bytes; the planes that are made of them.
const PER_PIXEL: usize = 4 * (2 + 4) + 4 * 4 + 8;

impl Kind for Pictures {
    type Input = Picture;
    type Output = (Option<(Image, Header)>, Option<ReadMask>);

    const NAME: &'static str = "pictures";

    fn input(self, rng: &mut ChaCha8Rng) -> Picture {
        let mut parts = match once_in(rng, 3) {
            true => chunks(one::<Vec<u8>>(rng, &FILES)),
            false => drawn(rng),
        };
        if once_in(rng, 3) {
            for _ in 0..rng.random_range(1..=3) {
                change(rng, &mut parts);
            }
        }
        let mut bytes = joined(&parts);
        if once_in(rng, 8) {
            let other: &Vec<u8> = one(rng, &FILES);
            damage(rng, &mut bytes, other);
        }
        Picture {
            bytes,
            reading: reading(rng),
        }
    }

    fn shown(input: &Picture) -> Vec<u8> {
        input.bytes.clone()
    }

    fn parse(Picture { bytes, reading }: &Picture) -> Option<Self::Output> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-pictures.input.png");
        fs::write(&path, bytes).expect("the folder for tests can be written");
        let mask = raster::mask(&path, reading).ok();
        let image = raster::image(&path, reading).ok();
        (mask.is_some() || image.is_some()).then_some((image, mask))
    }

    fn check(Picture { bytes, reading }: &Picture, (image, mask): Self::Output) {
        if let Some((image, header)) = &image {
            for axis in [image.height, image.width] {
                assert!((1..=MAX_AXIS_PX).contains(&axis));
            }
            assert_eq!(image.pixels.len(), image.height * image.width);
            assert!(image.pixels.len() <= declared(bytes), "pixels from nowhere");
            // Samples are whole numbers of at most 16 bits, in at most three channels.
            let whole = |v: &f32| *v >= 0.0 && *v <= 3.0 * 65535.0 && v.fract() == 0.0;
            let is_mean = reading.channel == Some(Channel::Mean);
            assert!(image.pixels.iter().all(|v| whole(v) || is_mean));
            let (plane, rest) = header.dims().split_at(2);
            assert_eq!(plane, [image.width as u16, image.height as u16]);
            assert!(rest.iter().all(|length| *length == 1));
        }
        if let Some(ReadMask { mask, inside, .. }) = &mask {
            assert_eq!(mask.pixels.len(), mask.height * mask.width);
            assert!(reading.labels.is_empty() || inside.is_none());
            if let (Some((image, _)), None) = (&image, reading.channel) {
                assert_eq!([mask.height, mask.width], [image.height, image.width]);
                let is_inside = |v: f32| match inside {
                    Some(inside) => v == *inside,
                    None => reading
                        .labels
                        .iter()
                        .any(|label| f64::from(v) == f64::from(*label)),
                };
                assert!(
                    std::iter::zip(&mask.pixels, &image.pixels).all(|(m, v)| *m == is_inside(*v))
                );
            }
        }
    }

    fn bound(input: &Picture) -> usize {
        FIXED + PER_PIXEL * declared(&input.bytes)
    }
}
