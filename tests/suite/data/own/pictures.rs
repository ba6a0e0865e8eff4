//! PNG files as images and as masks.

use std::{fs, path::Path};

use expertgrid::{
    data::{nifti::Fault, raster},
    manifest::{Channel, FileReading},
};
use png::{BitDepth, ColorType};

use crate::support::{
    common::{repository, run},
    own_sets,
};

/// A picture of 3 x 2 pixels as an image, and what is read of it.
fn read(
    dir: &Path,
    (colour, depth): (ColorType, BitDepth),
    bytes: &[u8],
    channel: Option<Channel>,
) -> Result<Vec<f32>, Fault> {
    let path = dir.join("picture.png");
    own_sets::png(&path, [3, 2], colour, depth, bytes);
    let reading = FileReading {
        channel,
        ..FileReading::default()
    };
    let (image, _) = raster::image(&path, &reading)?;
    assert_eq!((image.width, image.height), (3, 2));
    Ok(image.pixels)
}

/// `tests/reference/pictures.py` wrote them with Pillow, the interlaced one with zlib.
#[test]
fn pictures_of_other_writers_are_read_as_they_were_meant() {
    let folder = repository().join("tests/fixtures/pictures");
    type OfPlace = fn(usize, usize) -> usize;
    let byte: OfPlace = |x, y| (x * 7 + y * 11) % 256;
    let grey: [(&str, OfPlace); 4] = [
        ("grey8.png", byte),
        ("interlaced.png", byte),
        ("grey16.png", |x, y| (x * 257 + y * 4099) % 65536),
        ("grey1.png", |x, y| usize::from((x + y) % 3 == 0)),
    ];
    for (name, value) in grey {
        let (image, _) = raster::image(&folder.join(name), &FileReading::default()).unwrap();
        assert_eq!((image.width, image.height), (13, 9), "{name}");
        for (i, found) in image.pixels.iter().enumerate() {
            assert_eq!(*found, value(i % 13, i / 13) as f32, "{name}, pixel {i}");
        }
    }
    let labelled = FileReading {
        labels: vec![3],
        ..FileReading::default()
    };
    let mask = raster::mask(&folder.join("palette.png"), &labelled).unwrap();
    for (i, inside) in mask.mask.pixels.iter().enumerate() {
        assert_eq!(*inside, (i % 13 + 2 * (i / 13)) % 5 == 3, "pixel {i}");
    }
}

#[test]
fn grey_of_any_depth_is_read_as_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let read =
        |depth, bytes: &[u8]| read(dir.path(), (ColorType::Grayscale, depth), bytes, None).unwrap();
    assert_eq!(
        read(BitDepth::Eight, &[0, 1, 2, 127, 128, 255]),
        [0.0, 1.0, 2.0, 127.0, 128.0, 255.0]
    );
    let deep = [0, 0, 0, 1, 1, 0, 0x12, 0x34, 0xff, 0xfe, 0xff, 0xff];
    assert_eq!(
        read(BitDepth::Sixteen, &deep),
        [0.0, 1.0, 256.0, 4660.0, 65534.0, 65535.0]
    );
    // Two rows, each beginning with a byte of its own.
    assert_eq!(
        read(BitDepth::Four, &[0x0f, 0x70, 0x12, 0x30]),
        [0.0, 15.0, 7.0, 1.0, 2.0, 3.0]
    );
    assert_eq!(
        read(BitDepth::Two, &[0b0001_1000, 0b1101_1000]),
        [0.0, 1.0, 2.0, 3.0, 1.0, 2.0]
    );
    assert_eq!(
        read(BitDepth::One, &[0b0110_0000, 0b1010_0000]),
        [0.0, 1.0, 1.0, 1.0, 0.0, 1.0]
    );
}

#[test]
fn colours_are_channels_where_one_is_asked_for_and_grey_where_they_are_equal() {
    let dir = tempfile::tempdir().unwrap();
    let colours: Vec<u8> = (0..18).map(|i| i * 10).collect();
    let rgb = (ColorType::Rgb, BitDepth::Eight);
    let of = |channel| read(dir.path(), rgb, &colours, channel);
    let said = of(None).unwrap_err().to_string();
    for wanted in ["3 channels (red, green, blue)", "channel = 0", "[dataset]"] {
        assert!(said.contains(wanted), "{said}");
    }
    let green = of(Some(Channel::One(1))).unwrap();
    assert_eq!(green, [10.0, 40.0, 70.0, 100.0, 130.0, 160.0]);
    assert_eq!(of(Some(Channel::Sum)).unwrap()[..2], [30.0, 120.0]);
    assert_eq!(of(Some(Channel::Mean)).unwrap()[..2], [10.0, 40.0]);
    let said = of(Some(Channel::One(3))).unwrap_err().to_string();
    assert!(said.contains("count from 0"), "{said}");

    let grey: Vec<u8> = (0..18).map(|i| i / 3 * 40).collect();
    let pixels = read(dir.path(), rgb, &grey, None).unwrap();
    assert_eq!(pixels, [0.0, 40.0, 80.0, 120.0, 160.0, 200.0]);
    // Opaque pixels lose nothing.
    let opaque = [1, 255, 2, 255, 3, 255, 4, 255, 5, 255, 6, 255];
    let with_alpha = (ColorType::GrayscaleAlpha, BitDepth::Eight);
    let pixels = read(dir.path(), with_alpha, &opaque, None).unwrap();
    assert_eq!(pixels, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn what_would_be_lost_is_refused_with_a_way_to_convert_it() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, bytes, wanted) in [
        (
            (ColorType::GrayscaleAlpha, BitDepth::Eight),
            &[1, 255, 2, 255, 3, 254, 4, 255, 5, 255, 6, 255][..],
            "transparent pixels",
        ),
        (
            (ColorType::Indexed, BitDepth::Eight),
            &[0, 1, 2, 3, 4, 5],
            "with a palette",
        ),
    ] {
        let said = read(dir.path(), kind, bytes, None).unwrap_err().to_string();
        assert!(
            said.contains(wanted) && said.contains(".convert(\"L\")"),
            "{said}"
        );
    }
    let whole = fs::read(dir.path().join("picture.png")).unwrap();
    for damaged in [&whole[..whole.len() / 2], &whole[..20], &whole[..4]] {
        let path = dir.path().join("cut.png");
        fs::write(&path, damaged).unwrap();
        let said = raster::image(&path, &FileReading::default()).unwrap_err();
        assert!(said.what.contains("damaged PNG"), "{said}");
    }
}

#[test]
fn a_picture_that_declares_more_than_it_can_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.png");
    own_sets::png(
        &path,
        [3, 2],
        ColorType::Grayscale,
        BitDepth::Eight,
        &[0, 1, 2, 3, 4, 5],
    );
    let mut bytes = fs::read(&path).unwrap();
    // The header's width and height, and its checksum.
    bytes[16..20].copy_from_slice(&16_000_u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&4_000_u32.to_be_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    fs::write(&path, &bytes).unwrap();
    let said = raster::image(&path, &FileReading::default()).unwrap_err();
    assert!(
        said.what
            .contains("declares 16000 x 4000 pixels, and has only"),
        "{said}"
    );
}

#[test]
fn a_mask_is_0_and_another_value_or_the_indices_of_a_palette() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mask.png");
    let read = |colour, depth, bytes: &[u8], labels: &[u32]| {
        own_sets::png(&path, [3, 2], colour, depth, bytes);
        let reading = FileReading {
            labels: labels.to_vec(),
            // Of images.
            channel: Some(Channel::One(2)),
            ..FileReading::default()
        };
        let read = raster::mask(&path, &reading);
        read.map(|read| {
            read.mask
                .pixels
                .iter()
                .map(|v| u8::from(*v))
                .collect::<Vec<_>>()
        })
    };
    let grey = ColorType::Grayscale;
    let all = [0, 255, 255, 0, 0, 255];
    assert_eq!(
        read(grey, BitDepth::Eight, &all, &[]).unwrap(),
        [0, 1, 1, 0, 0, 1]
    );
    let bits = [0b0110_0000, 0b1010_0000];
    assert_eq!(
        read(grey, BitDepth::One, &bits, &[]).unwrap(),
        [0, 1, 1, 1, 0, 1]
    );
    let indexed = ColorType::Indexed;
    let indices = [0, 1, 2, 2, 1, 0];
    assert_eq!(
        read(indexed, BitDepth::Eight, &indices, &[2]).unwrap(),
        [0, 0, 1, 1, 0, 0]
    );
    assert_eq!(
        read(indexed, BitDepth::Eight, &indices, &[1, 2]).unwrap(),
        [0, 1, 1, 1, 1, 0]
    );
    let colours: Vec<u8> = (0..18).map(|i| i * 10).collect();
    let said = read(ColorType::Rgb, BitDepth::Eight, &colours, &[]).unwrap_err();
    assert!(said.what.contains("do not say what is inside"), "{said}");
}

#[test]
fn a_picture_has_no_spacing_and_single_commands_take_it() {
    let dir = tempfile::tempdir().unwrap();
    for (name, radius) in [("a/x.png", 1), ("b/x.png", 2)] {
        own_sets::write(&dir.path().join(name), &own_sets::mask(1, radius));
    }
    let said = run(dir.path(), &["metric", "a/x.png", "b/x.png"], 0);
    assert!(said.out.contains("ASSD (px)"), "{}", said.out);
    let folders = run(dir.path(), &["metric", "a", "b"], 0);
    assert_eq!(folders.out, said.out);
    let said = run(
        dir.path(),
        &["metric", "a/x.png", "b/x.png", "--spacing", "header"],
        2,
    );
    assert!(
        said.err
            .contains("is a picture, which does not say how large"),
        "{}",
        said.err
    );

    // Pictures for the eye beside NIfTI files are no masks, and are told of.
    own_sets::write(&dir.path().join("a/y.nii"), &own_sets::mask(1, 1));
    own_sets::write(&dir.path().join("c/y.nii"), &own_sets::mask(1, 1));
    let said = run(dir.path(), &["metric", "a", "c"], 0);
    assert!(
        said.err.contains("a PNG beside NIfTI files"),
        "{}",
        said.err
    );
    assert!(
        said.out.contains("y ") && !said.out.contains("x "),
        "{}",
        said.out
    );
}
