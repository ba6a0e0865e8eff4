//! Headers of two files, an image and a mask, that are held against each other.

use std::{fs, path::Path, sync::LazyLock};

use expertgrid::data::{
    Mask,
    alignment::{Aligned, align},
    nifti::{Fault, Header, ReadMask, decode_mask},
    training_geometry::TrainingGeometry,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{
    damage::{REAL_EDGES, damage, once_in, one, overwrite},
    watch::Kind,
};

/// Pairs of a mask and an image.
#[derive(Clone, Copy)]
pub struct HeaderPairs;

/// Files of bytes, with headers by nibabel.
static FILES: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nifti");
    let names = ["u1le.nii", "u1be.nii", "squeeze_100.nii", "u1le.nii"];
    names.map(|name| fs::read(folder.join(name)).expect("it can be read"))
});

/// Bytes of the two files.
pub struct Pair {
    mask: Vec<u8>,
    image: Vec<u8>,
}

/// Numbers of the byte order of a file.
struct Numbers<'a> {
    bytes: &'a mut Vec<u8>,
    big: bool,
}

impl Numbers<'_> {
    fn short(&mut self, at: usize, value: i16) {
        let bytes = if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        overwrite(self.bytes, at, &bytes);
    }

    fn real(&mut self, at: usize, value: f32) {
        let bytes = if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        overwrite(self.bytes, at, &bytes);
    }
}

/// A length or a coordinate: mostly sensible, sometimes none.
fn number(rng: &mut ChaCha8Rng) -> f32 {
    match rng.random_range(0..8) {
        0 => *one(rng, &REAL_EDGES) as f32,
        1 => rng.random_range(-40.0..40.0),
        _ => *one(
            rng,
            &[-2.0, -1.0, -0.5, 0.0, 0.0, 0.0, 0.5, 0.75, 1.0, 1.0, 2.0],
        ),
    }
}

/// A file whose size of a pixel, quaternion, affine and unit are drawn.
fn placed(rng: &mut ChaCha8Rng, files: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = one(rng, files).clone();
    let big = bytes[0] == 0;
    // One value other than 0 at most: every file is a mask too.
    let inside = rng.random_range(0..=1);
    for value in &mut bytes[352..] {
        *value &= inside;
    }
    let codes: [i16; 2] = std::array::from_fn(|_| *one(rng, &[0, 0, 1, 2, -1, 7]));
    let unit = *one(rng, &[0, 1, 2, 2, 2, 3, 7, 10]);
    let signs: [f32; 2] = std::array::from_fn(|_| *one(rng, &[-1.0, 1.0]));
    let identity = rng.random();
    overwrite(&mut bytes, 123, &[unit]);
    let mut to = Numbers {
        bytes: &mut bytes,
        big,
    };
    for (at, code) in [(252, codes[0]), (254, codes[1])] {
        to.short(at, code);
    }
    for i in 0..4 {
        to.real(76 + 4 * i, if identity { 1.0 } else { number(rng) });
    }
    for i in 0..6 {
        to.real(256 + 4 * i, if identity { 0.0 } else { number(rng) });
    }
    for i in 0..12 {
        let value = match (identity, i) {
            (true, 0) => signs[0],
            (true, 5) => signs[1],
            (true, 10) => 1.0,
            (true, 3 | 7 | 11) => *one(rng, &[0.0, 0.0, 2.0, 4.0]),
            (true, _) => 0.0,
            (false, _) => number(rng),
        };
        to.real(280 + 4 * i, value);
    }
    bytes
}

/// What `align` makes of a pair, and of the pair exchanged.
pub struct Compared {
    mask: ReadMask,
    image: ReadMask,
    there: Result<Aligned, Fault>,
    back: Result<Aligned, Fault>,
}

/// Whether a mask lies as it is: nothing was turned.
fn as_it_is(answer: &Result<Aligned, Fault>, mask: &Mask) -> bool {
    let found = answer.as_ref();
    found.is_ok_and(|aligned| aligned.turned.is_none() && aligned.mask == *mask)
}

impl Kind for HeaderPairs {
    type Input = Pair;
    type Output = Compared;

    const NAME: &'static str = "header_pairs";

    fn input(self, rng: &mut ChaCha8Rng) -> Pair {
        let mask = placed(rng, &*FILES);
        let mut image = match rng.random_range(0..3) {
            0 => placed(rng, &*FILES),
            1 => placed(rng, std::slice::from_ref(&mask)),
            _ => mask.clone(),
        };
        if once_in(rng, 4) {
            damage(rng, &mut image, &mask);
        }
        Pair { mask, image }
    }

    fn shown(Pair { mask, image }: &Pair) -> Vec<u8> {
        [&mask[..], image].concat()
    }

    fn parse(input: &Pair) -> Option<Compared> {
        let mask = decode_mask(&input.mask[..]).ok()?;
        let image = decode_mask(&input.image[..]).ok()?;
        let held = |a: &ReadMask, b: &Header| align(a.mask.clone(), &a.header, b, "image");
        let (there, back) = (held(&mask, &image.header), held(&image, &mask.header));
        // What is refused is no output, so that a good part of the pairs must be accepted.
        there.is_ok().then_some(Compared {
            mask,
            image,
            there,
            back,
        })
    }

    fn check(
        _: &Pair,
        Compared {
            mask,
            image,
            there,
            back,
        }: Compared,
    ) {
        // An image agrees with itself, whatever its header says.
        for own in [&mask, &image] {
            let answer = align(own.mask.clone(), &own.header, &own.header, "image");
            assert!(as_it_is(&answer, &own.mask), "{answer:?}");
        }
        let aligned = there.expect("it was accepted");
        let shape = (image.mask.height, image.mask.width);
        assert_eq!((aligned.mask.height, aligned.mask.width), shape);
        assert_eq!(
            aligned.mask.area_px(),
            mask.mask.area_px(),
            "a turn moves pixels"
        );
        // The other way round it is the same answer; and what was turned is turned back.
        let back = back.expect("what agrees one way agrees the other way");
        assert_eq!(aligned.turned.is_some(), back.turned.is_some());
        let again = align(aligned.mask, &image.header, &mask.header, "image");
        assert_eq!(again.expect("as before").mask, mask.mask);

        for ReadMask { header, .. } in [&mask, &image] {
            let geometry = header.geometry();
            if geometry.contradiction().is_none() {
                geometry.grid().expect("nothing contradicts it");
            }
            // A training on this image knows it.
            let known = TrainingGeometry::of([header]);
            assert_eq!(known.differences([("it", header)]), [""; 0]);
            let letters: Vec<usize> = geometry.orientation().iter().map(String::len).collect();
            assert!(letters.iter().all(|count| *count == 2));
        }
    }

    fn bound(input: &Pair) -> usize {
        // Masks are decoded one after the other, and copied to be aligned.
        (1 << 20) + 32 * (input.mask.len() + input.image.len())
    }
}
