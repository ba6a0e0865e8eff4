//! Files that are read, and what can be done to their bytes so that they are almost still files.

use std::{fs, path::Path};

use rand::{Rng, RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// Numbers at which arithmetic goes wrong.
pub const EDGES: [u64; 26] = [
    0,
    1,
    2,
    3,
    7,
    8,
    31,
    32,
    127,
    128,
    255,
    256,
    348,
    16_384,
    16_385,
    32_767,
    32_768,
    65_535,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x2000_0000_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// Real numbers at which comparisons and casts go wrong.
pub const REAL_EDGES: [f64; 14] = [
    0.0,
    -0.0,
    0.5,
    1.0,
    -1.0,
    351.0,
    352.5,
    1e7,
    1e9,
    1e30,
    f64::MIN_POSITIVE,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// The fixtures of a folder whose names end in `.EXTENSION`, by name.
pub fn fixtures(folder: &str, extension: &str, at_least: usize) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{folder}"));
    let entries = fs::read_dir(folder).expect("the fixtures are there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    paths.sort();
    assert!(paths.len() >= at_least, "too few fixtures");
    let read = |path| fs::read(path).expect("it can be read");
    paths.iter().map(read).collect()
}

/// One of a list.
pub fn one<'a, T>(rng: &mut ChaCha8Rng, of: &'a [T]) -> &'a T {
    of.choose(rng).expect("the list is not empty")
}

/// True once in `n` times.
pub fn once_in(rng: &mut ChaCha8Rng, n: u32) -> bool {
    rng.random_ratio(1, n)
}

/// Up to `longest` bytes of nothing.
pub fn noise(rng: &mut ChaCha8Rng, longest: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..=longest)];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Damages bytes in one to six ways; parts may come from `other`.
pub fn damage(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.random_range(1..=6) {
        if bytes.is_empty() {
            *bytes = noise(rng, 16);
        } else {
            damage_once(rng, bytes, other);
        }
    }
}

fn damage_once(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = rng.random_range(0..bytes.len());
    let end = at + rng.random_range(0..=(bytes.len() - at).min(64));
    match rng.random_range(0..10) {
        0..2 => bytes[at] ^= 1 << rng.random_range(0..8),
        2 => bytes[at] = rng.random(),
        3..5 => {
            let width = *one(rng, &[1, 2, 4, 8]);
            let at = if rng.random() { at } else { at / width * width };
            let mut number = one(rng, &EDGES).to_le_bytes();
            if rng.random() {
                number[..width].reverse();
            }
            overwrite(bytes, at, &number[..width]);
        }
        5 => bytes.truncate(at),
        6 => {
            let mut more = noise(rng, 64);
            if rng.random() {
                more.fill(0);
            }
            bytes.extend(more);
        }
        7 => {
            bytes.drain(at..end);
        }
        8 => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        _ => {
            let from = rng.random_range(0..=other.len());
            let until = from + rng.random_range(0..=(other.len() - from).min(256));
            bytes.splice(at..end, other[from..until].iter().copied());
        }
    }
}

/// Puts bytes over those that are there, as far as these go.
pub fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(with) {
        *to = *from;
    }
}
