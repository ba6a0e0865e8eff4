//! The NIfTI reader against nibabel's reading of the same files, the writer against the `nifti`
//! crate's reading, and both against damaged input.

use std::{collections::BTreeMap, fs, io::Write, path::PathBuf};

use expertgrid::data::{
    Image, Mask,
    nifti::{Header, SpacingMm, decode_image, read_image, read_mask, write_image, write_mask},
};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use serde::Deserialize;

use crate::support::common::written_affine;

#[derive(Deserialize)]
struct Expected {
    width: usize,
    height: usize,
    bits: Vec<u32>,
    spacing: [f64; 2],
}

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nifti"))
}

/// A 5 x 3 file of unsigned bytes.
fn bytes_of_u8() -> Vec<u8> {
    fs::read(fixtures().join("u1le.nii")).unwrap()
}

fn put(bytes: &mut [u8], at: usize, value: impl AsRef<[u8]>) {
    let value = value.as_ref();
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn fault(bytes: &[u8]) -> String {
    decode_image(bytes).unwrap_err().to_string()
}

#[test]
fn every_type_order_shape_and_scaling_reads_as_nibabel_reads_it() {
    let expected: BTreeMap<String, Expected> =
        serde_json::from_slice(&fs::read(fixtures().join("expected.json")).unwrap()).unwrap();
    assert_eq!(expected.len(), 25);
    for (name, expected) in expected {
        let (image, header) = read_image(&fixtures().join(&name)).expect(&name);
        let shape = (image.width, image.height);
        assert_eq!(shape, (expected.width, expected.height), "{name}");
        let bits: Vec<u32> = image.pixels.iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, expected.bits, "{name}");
        let [x_mm, y_mm] = expected.spacing;
        assert_eq!(header.spacing(), Ok(SpacingMm { x_mm, y_mm }), "{name}");
    }
}

#[test]
fn gzip_is_told_by_its_bytes_and_not_by_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, squeezed) = (bytes_of_u8(), gz(&bytes_of_u8()));
    let wanted = decode_image(&plain[..]).unwrap().0;
    for (name, bytes) in [("a.nii", &squeezed), ("b.nii.gz", &plain), ("c", &squeezed)] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(read_image(&path).unwrap().0, wanted, "{name}");
    }
}

#[test]
fn zero_and_nan_slopes_leave_values_alone() {
    let mut bytes = bytes_of_u8();
    put(&mut bytes, 112, f32::NAN.to_le_bytes());
    let nan = decode_image(&bytes[..]).unwrap().0;
    put(&mut bytes, 112, 0_f32.to_le_bytes());
    put(&mut bytes, 116, 9_f32.to_le_bytes());
    let zero = decode_image(&bytes[..]).unwrap().0;
    let stored: Vec<f32> = bytes[352..].iter().map(|b| f32::from(*b)).collect();
    assert_eq!(nan.pixels, stored);
    assert_eq!(zero.pixels, stored);
}

#[test]
fn what_is_wrong_is_said() {
    let good = bytes_of_u8();
    let with = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        put(&mut bytes, at, value);
        fault(&bytes)
    };
    let real = fs::read(fixtures().join("f4le.nii")).unwrap();
    let non_finite = |value: f32| {
        let mut bytes = real.clone();
        put(&mut bytes, 352 + 4 * 7, value.to_le_bytes());
        fault(&bytes)
    };
    let squeezed = gz(&good);
    let mut bad_checksum = squeezed.clone();
    let crc = bad_checksum.len() - 8;
    bad_checksum[crc] ^= 1;
    let says = [
        (fault(&[]), "is empty"),
        (
            fault(&good[..100]),
            "ends within its header, after 100 of 348 bytes",
        ),
        (fault(&good[..360]), "ends after 8 of 15 pixels"),
        (fault(&squeezed[..squeezed.len() / 2]), "ends early"),
        (fault(&bad_checksum), "damaged gzip"),
        (fault(b"\x1f\x8bnot gzip at all"), "damaged gzip"),
        (with(344, b"ni1\0"), "not a single-file NIfTI-1"),
        (with(344, b"abcd"), "is not a NIfTI-1 file"),
        (with(70, &32_i16.to_le_bytes()), "pixels of type Complex64"),
        (with(70, &77_i16.to_le_bytes()), "pixels of type 77"),
        (with(42, &0_i16.to_le_bytes()), "impossible shape"),
        (with(42, &(-5_i16).to_le_bytes()), "not of 1 to 16384"),
        (with(42, &16_385_i16.to_le_bytes()), "not of 1 to 16384"),
        (with(40, &[3, 0, 5, 0, 3, 0, 2, 0]), "not one 2-D image"),
        (with(108, &f32::NAN.to_le_bytes()), "start at byte NaN"),
        (with(108, &1e20_f32.to_le_bytes()), "start at byte 1"),
        (
            with(112, &f32::INFINITY.to_le_bytes()),
            "scales its pixels by inf",
        ),
        (non_finite(f32::NAN), "not finite (NaN) at x = 2, y = 1"),
        (non_finite(f32::NEG_INFINITY), "not finite (-inf)"),
    ];
    for (said, wanted) in says {
        assert!(said.contains(wanted), "`{said}` does not say `{wanted}`");
    }
}

#[test]
fn what_lies_behind_gzip_data_is_padding_or_told_of() {
    let plain = bytes_of_u8();
    let wanted = decode_image(&plain[..]).unwrap().0;
    let (front, back) = plain.split_at(355);
    let members = [gz(front), gz(back)];
    let tails: [(&[u8], bool); 4] = [
        (b"", false),
        (&[0; 512], false),
        (b"left over\n", true),
        (b"\0\0\0text behind zeros", true),
    ];
    for (tail, told) in tails {
        for start in [gz(&plain), members.concat(), members.join(&[0; 3][..])] {
            let bytes = [&start, tail].concat();
            let (image, header) = decode_image(&bytes[..]).unwrap();
            assert_eq!(image, wanted);
            assert_eq!(header.remarks().next().is_some(), told, "{tail:?}");
        }
    }
    // A member that begins and does not end is damage.
    let begun = [gz(&plain), gz(&plain)[..12].to_vec()].concat();
    assert!(fault(&begun).contains("ends early"), "{}", fault(&begun));
}

#[test]
fn other_formats_are_called_by_their_names() {
    let second = |little: bool| {
        let mut bytes = vec![0; 544];
        put(
            &mut bytes,
            0,
            if little {
                540_i32.to_le_bytes()
            } else {
                540_i32.to_be_bytes()
            },
        );
        put(&mut bytes, 4, b"n+2\0\r\n\x1a\n");
        bytes
    };
    for bytes in [second(true), second(false), gz(&second(true))] {
        let said = fault(&bytes);
        assert!(said.contains("is NIfTI-2"), "{said}");
        assert!(said.contains("nib.Nifti1Image.from_image"), "{said}");
    }
    let mut dicom = vec![0; 400];
    put(&mut dicom, 128, b"DICM");
    assert!(fault(&dicom).contains("is a DICOM file"));
    assert!(fault(b"\x89PNG\r\n\x1a\n").contains("is a PNG picture"));
    assert!(fault(b"version https://git-lfs.github.com/spec/v1").contains("git lfs pull"));
    // Compressed or not.
    let array = b"\x93NUMPY\x01\0v\0{'descr': '<f4'}";
    for bytes in [array.to_vec(), gz(array)] {
        assert!(fault(&bytes).contains("is a NumPy array"));
    }

    // Headers of a pair, of NIfTI-1 and of Analyze 7.5, in both orders.
    let header = |order: [u8; 4], magic: &[u8]| {
        let mut bytes = bytes_of_u8();
        put(&mut bytes, 0, order);
        put(&mut bytes, 344, magic);
        fault(&bytes[..348])
    };
    for order in [348_i32.to_le_bytes(), 348_i32.to_be_bytes()] {
        for (magic, name) in [(b"ni1\0", "the header of a pair"), (&[0; 4], "Analyze 7.5")] {
            let said = header(order, magic);
            assert!(said.contains(name), "{said}");
            assert!(said.contains("nib.load(\"old.hdr\")"), "{said}");
        }
    }
}

#[test]
fn channels_are_no_slices() {
    let shaped = |dims: &[i16]| {
        let mut bytes = bytes_of_u8();
        let mut all = [1_i16; 8];
        all[0] = dims.len() as i16;
        all[1..=dims.len()].copy_from_slice(dims);
        let bytes_of = |n: &i16| n.to_le_bytes();
        put(
            &mut bytes,
            40,
            all.iter().flat_map(bytes_of).collect::<Vec<u8>>(),
        );
        fault(&bytes)
    };
    for dims in [&[48, 48, 1, 4][..], &[48, 48, 1, 1, 3]] {
        let said = shaped(dims);
        assert!(
            said.contains("channels") && said.contains("choose one"),
            "{said}"
        );
        assert!(!said.contains("slice in a file"), "{said}");
    }
    for dims in [&[48, 48, 4][..], &[48, 48, 5, 4]] {
        assert!(shaped(dims).contains("not one 2-D image"));
    }
}

#[test]
fn a_promise_of_many_pixels_is_refused_or_ends_with_the_bytes() {
    let mut bytes = bytes_of_u8();
    put(&mut bytes, 42, 16_384_i16.to_le_bytes());
    put(&mut bytes, 44, 16_384_i16.to_le_bytes());
    assert!(fault(&bytes).contains("more than 67108864"));
    put(&mut bytes, 44, 4_096_i16.to_le_bytes());
    assert!(fault(&bytes).contains("ends after 15 of 67108864 pixels"));
}

#[test]
fn a_gzip_bomb_is_read_no_further_than_its_header_promises() {
    // 1 GiB of zeros after an image of 15 pixels, as members of 16 MiB that compress a
    // thousandfold.
    let mut bomb = gz(&bytes_of_u8());
    let zeros = gz(&vec![0; 16 << 20]);
    (0..64).for_each(|_| bomb.extend(&zeros));
    let mut source = &bomb[..];
    assert_eq!(decode_image(&mut source).unwrap().0.pixels.len(), 15);
    assert!(
        source.len() > bomb.len() * 9 / 10,
        "read on to {}",
        source.len()
    );
}

fn image(width: usize, height: usize) -> Image {
    let pixels = (0..width * height).map(|i| i as f32 * 0.3 - 2.0).collect();
    Image {
        height,
        width,
        pixels,
    }
}

#[test]
fn a_written_file_has_its_own_name_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(7, 4);
    let mask = Mask {
        height: 4,
        width: 7,
        pixels: (0..28).map(|i| i % 3 == 0).collect(),
    };
    let header = Header::identity(7, 4).unwrap();
    for name in ["a.nii", "a.b.nii", "a.b.c.nii.gz", "1.nii.gz"] {
        let path = dir.path().join(name);
        write_image(&path, &image, &header).unwrap();
        assert_eq!(read_image(&path).unwrap().0, image, "{name}");
        let zipped = fs::read(&path).unwrap().starts_with(&[0x1f, 0x8b]);
        assert_eq!(zipped, name.ends_with("gz"), "{name}");
        write_mask(&path, &mask, &header).unwrap();
        let read = read_mask(&path).unwrap();
        assert_eq!(
            (read.mask, read.inside),
            (mask.clone(), Some(1.0)),
            "{name}"
        );
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
}

#[test]
fn another_reader_finds_the_header_consistent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.nii.gz");
    write_image(&path, &image(7, 4), &Header::identity(7, 4).unwrap()).unwrap();
    let read = nifti::NiftiHeader::from_file(&path).unwrap();
    assert_eq!(read.dim, [2, 7, 4, 1, 1, 1, 1, 1]);
    assert_eq!((read.datatype, read.bitpix), (16, 32));
    assert_eq!((read.sform_code, read.qform_code), (2, 0));
    assert_eq!(read.pixdim, [1.0; 8]);
    assert_eq!(read.srow_x, [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(read.srow_y, [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(read.srow_z, [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(
        (read.vox_offset, read.scl_slope, read.scl_inter),
        (352.0, 1.0, 0.0)
    );
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[4..8], [0; 4], "gzip carries a time");
}

#[test]
fn a_prediction_keeps_the_shape_and_place_of_its_input() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "squeeze_100.nii",
        "squeeze_0011.nii.gz",
        "i2be.nii",
        "scaled_be.nii.gz",
    ] {
        let (image, header) = read_image(&fixtures().join(name)).unwrap();
        let mask = Mask {
            height: image.height,
            width: image.width,
            pixels: image.pixels.iter().map(|v| *v > 0.0).collect(),
        };
        let path = dir.path().join(name);
        write_mask(&path, &mask, &header).unwrap();
        let written = read_mask(&path).unwrap();
        assert_eq!(written.mask, mask);
        assert_eq!(written.header.dims(), header.dims());
        assert_eq!(written.header.spacing(), header.spacing());
        assert_eq!(
            written_affine(&image, &written.header),
            written_affine(&image, &header)
        );
    }
    let other = Header::identity(9, 9).unwrap();
    let fault = write_image(&dir.path().join("x.nii"), &image(7, 4), &other).unwrap_err();
    assert!(fault.what.contains("header of 9 x 9"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(decode_image(&bytes[..]).is_err());
        prop_assert!(decode_image(&gz(&bytes)[..]).is_err());
    }

    #[test]
    fn damaged_files_give_a_fault_or_a_well_formed_image(
        flips in prop::collection::vec((0_usize..412, any::<u8>()), 1..12),
        cut in 0_usize..500,
        zipped in any::<bool>(),
    ) {
        let mut bytes = fs::read(fixtures().join("f4be.nii")).unwrap();
        if zipped {
            bytes = gz(&bytes);
        }
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(cut.max(100));
        if let Ok((image, _)) = decode_image(&bytes[..]) {
            prop_assert_eq!(image.pixels.len(), image.width * image.height);
            prop_assert!(image.pixels.iter().all(|v| v.is_finite()));
            // Every pixel has come from at least one byte that was there.
            prop_assert!(zipped || image.pixels.len() <= bytes.len());
        }
    }

    #[test]
    fn written_images_read_back_to_the_bit(
        (width, height, pixels) in (1_usize..20, 1_usize..20).prop_flat_map(|(w, h)| {
            (Just(w), Just(h), prop::collection::vec(-1e30_f32..1e30, w * h))
        }),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.nii.gz");
        let image = Image { height, width, pixels };
        write_image(&path, &image, &Header::identity(width, height).unwrap()).unwrap();
        prop_assert_eq!(read_image(&path).unwrap().0, image);
    }
}
