//! The kernels, compiled: machine code for the usual cards, and PTX for newer ones.
//!
//! `kernels/build.py` writes them; a test compares the digest of the sources with theirs.

use std::{ffi::c_int, io::Read};

use flate2::read::GzDecoder;

/// Compute capability and machine code, the newest first.
const CUBINS: [((c_int, c_int), &[u8]); 2] = [
    ((9, 0), include_bytes!("../kernels/built/sm_90.cubin.gz")),
    ((8, 0), include_bytes!("../kernels/built/sm_80.cubin.gz")),
];
/// What the driver compiles for cards newer than those.
const PTX: &[u8] = include_bytes!("../kernels/built/compute_80.ptx.gz");

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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_images_are_those_of_the_sources() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/cuda/kernels");
        let entries = std::fs::read_dir(&folder).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".cu"))
            .collect();
        files.sort();
        files.insert(0, "gpu.h".to_owned());
        // FNV-1a of every file after its name.
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        for file in files {
            let data = std::fs::read(folder.join(&file)).unwrap();
            for byte in file.bytes().chain(*b"\n").chain(data) {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        let built = include_str!("../kernels/built/digest").trim();
        assert_eq!(
            built,
            format!("{digest:016x}"),
            "`make kernels` compiles them anew"
        );
    }

    #[test]
    fn every_card_from_8_0_on_has_an_image() {
        let elf = |capability| {
            let image = of(capability).unwrap();
            assert_eq!(image.last(), Some(&0));
            image.starts_with(b"\x7fELF")
        };
        // A100, RTX 30, L40, H100: machine code; Blackwell: PTX.
        for (capability, machine_code) in [
            ((8, 0), true),
            ((8, 6), true),
            ((8, 9), true),
            ((9, 0), true),
            ((10, 0), false),
            ((12, 0), false),
        ] {
            assert_eq!(elf(capability), machine_code, "{capability:?}");
        }
        assert!(of((7, 5)).is_none());
    }
}
