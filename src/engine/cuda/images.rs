//! The kernels, compiled: machine code for the usual cards, and PTX for newer ones.
//!
//! `kernels/build.py` writes them; a test compares the digest of the sources with theirs.

use std::{ffi::c_int, io::Read};

use flate2::read::GzDecoder;

/// Compute capability and machine code, the newest first.
const CUBINS: [((c_int, c_int), &[u8]); 2] = [
    ((9, 0), include_bytes!("kernels/built/sm_90.cubin.gz")),
    ((8, 0), include_bytes!("kernels/built/sm_80.cubin.gz")),
];
/// What the driver compiles for cards newer than those.
const PTX: &[u8] = include_bytes!("kernels/built/compute_80.ptx.gz");

/// The image for a card, ended by a zero; `None` where it is too old. Machine code runs on cards of
/// the same major and a minor not lower.
pub(super) fn of((major, minor): (c_int, c_int)) -> Option<Vec<u8>> {
    let fits = |(of, _): &&((c_int, c_int), &[u8])| of.0 == major && of.1 <= minor;
    let compressed = match CUBINS.iter().find(fits) {
        Some((_, cubin)) => cubin,
        None if major >= 8 => PTX,
        None => return None,
    };
    let mut image = Vec::new();
    GzDecoder::new(compressed)
        .read_to_end(&mut image)
        .expect("the image was compressed when it was built");
    image.push(0);
    Some(image)
}
