//! The background of an image: 0, or what its whole border has; and images where none is found.

use std::{fs, path::Path};

use expertgrid::{
    data::{
        Case, Image, Mask,
        nifti::Header,
        prepare::{cut_pixels, lacks_foreground, prepare},
    },
    key::Keyed,
    manifest::{CropAt, FieldOfView, ImageSpec},
};

use crate::support::{common::run, nifti_file::*};

const WIDTH: usize = 96;
const HEIGHT: usize = 64;

/// A disc of intensities about 100 above the background, off the image's centre.
fn image(background: f32) -> Image {
    let pixel = |i: usize| {
        let (x, y) = ((i % WIDTH) as i32 - 22, (i / WIDTH) as i32 - 30);
        match x * x + y * y <= 256 {
            true => background + 100.0 + (i % 7) as f32,
            false => background,
        }
    };
    Image {
        height: HEIGHT,
        width: WIDTH,
        pixels: (0..WIDTH * HEIGHT).map(pixel).collect(),
    }
}

fn spec(crop: usize, reduce: usize) -> ImageSpec {
    ImageSpec {
        crop,
        reduce,
        ..ImageSpec::default()
    }
}

#[test]
fn the_background_is_0_or_what_the_whole_border_has() {
    for background in [0.0, -1024.0, 1.0, 0.1] {
        assert_eq!(image(background).background(), background);
        assert!(image(background).is_surrounded());
    }
    // Three borders of four.
    let mut three = image(7.0);
    three.pixels[..WIDTH].fill(8.0);
    assert_eq!(three.background(), 0.0);
    assert!(!three.is_surrounded());
    // A single pixel of the border, and one behind it.
    let mut one = image(7.0);
    one.pixels[5 * WIDTH] = 8.0;
    assert_eq!(one.background(), 0.0);
    let mut behind = image(7.0);
    behind.pixels[5 * WIDTH + 1] = 8.0;
    assert_eq!(behind.background(), 7.0);
    // What touches the border leaves 0 where it is the usual value there.
    let mut touching = image(0.0);
    touching.pixels[..60].fill(9.0);
    assert!(touching.is_surrounded());
    // All of these are border.
    for (height, width) in [(1, 5), (5, 1), (2, 2), (1, 1)] {
        let mut small = Image {
            height,
            width,
            pixels: vec![4.0; height * width],
        };
        assert_eq!(small.background(), 4.0);
        small.pixels[height * width - 1] = 5.0;
        assert_eq!(
            small.background(),
            if height * width == 1 { 5.0 } else { 0.0 }
        );
    }
}

#[test]
fn crops_do_not_depend_on_the_value_of_the_background() {
    let mask = |image: &Image| Mask {
        height: HEIGHT,
        width: WIDTH,
        pixels: image
            .pixels
            .iter()
            .map(|v| *v > image.background())
            .collect(),
    };
    for reduce in [1, 2] {
        let spec = spec(32 * reduce, reduce);
        let zero = prepare(&image(0.0), &spec);
        assert!(zero.foreground.size.iter().all(|n| *n < 40));
        for background in [-1024.0, 1.0, 0.1] {
            let image = image(background);
            let other = prepare(&image, &spec);
            assert_eq!(other.foreground, zero.foreground, "{background}");
            assert_eq!(other.view(&spec), zero.view(&spec));
            assert!((other.background - zero.background).abs() < 1e-3);
            let pairs = std::iter::zip(&other.image.values, &zero.image.values);
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-3));
            // Beyond the image there is background.
            assert_eq!(other.image.values[0], other.background);
            let header = Header::identity(WIDTH, HEIGHT).unwrap();
            let masks = [(1, mask(&image))];
            let case = Case::new("a", image, header, masks);
            // The centre of the image is another place.
            let cut = |crop_at| cut_pixels(&case, &[1], &ImageSpec { crop_at, ..spec })[0];
            assert_eq!(cut(CropAt::Foreground) > 0, reduce == 1);
            assert!(cut(CropAt::Centre) > cut(CropAt::Foreground) + 100);
        }
    }
}

#[test]
fn only_images_of_another_background_have_another_key() {
    let fields = |image: &Image| -> Vec<String> {
        image
            .explain()
            .iter()
            .map(|input| input.field.clone())
            .collect()
    };
    assert_eq!(fields(&image(0.0)), ["height", "width", "intensities"]);
    let mut none = image(3.0);
    none.pixels[0] = 4.0;
    assert_eq!(fields(&none).len(), 3);
    assert_eq!(fields(&image(3.0))[3], "background");
}

#[test]
fn where_no_background_is_found_the_crop_lies_at_the_centre_and_that_is_known() {
    let mut none = image(3.0);
    none.pixels[0] = 4.0;
    let spec = spec(32, 1);
    assert!(lacks_foreground(&none, &spec));
    assert_eq!(prepare(&none, &spec).view(&spec).origin, [16, 32]);
    for other in [
        ImageSpec {
            crop_at: CropAt::Centre,
            ..spec
        },
        ImageSpec {
            field_of_view: FieldOfView::Full,
            ..spec
        },
    ] {
        assert!(!lacks_foreground(&none, &other));
    }
    assert!(!lacks_foreground(&image(3.0), &spec));
    // The crop is the whole image.
    let square = Image {
        height: 32,
        width: 32,
        pixels: (0..1024).map(|i| 1.0 + i as f32).collect(),
    };
    assert!(!lacks_foreground(&square, &spec));
}

const GRID: &str = r#"
title = "backgrounds"
[grid]
new_experts = [3]
arms = ["w/"]
annotators = { from = [1, 2], choose = 2 }
samples = [2]
starts = [1, 2]
[dataset]
training = 4
test = 1
experts = 3
[image]
crop = 64
[network]
width = 4
[training]
batch = 2
[pretrain]
steps = 1
[finetune]
steps = 1
"#;

/// Cases with the masks of three experts; 16-bit, as CT is stored.
fn data_set(root: &Path, background: i16, corner: i16) {
    for case in 1..=5_i16 {
        let part = if case < 5 { "Training" } else { "Validation" };
        let folder = root.join(part).join(format!("case{case}"));
        fs::create_dir_all(&folder).unwrap();
        let mut values: Vec<i16> = image(0.0)
            .pixels
            .iter()
            .map(|v| background + *v as i16 + if *v > 0.0 { case } else { 0 })
            .collect();
        values[0] = corner;
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut file = NiftiFile::new(&[WIDTH as i16, HEIGHT as i16], &bytes);
        file.put(70, 4_i16.to_le_bytes())
            .put(72, 16_i16.to_le_bytes());
        file.write(folder.join("image.nii"));
        for expert in 1..=3 {
            NiftiFile::disc([WIDTH, HEIGHT], [20, 28 + expert], 6)
                .write(folder.join(format!("task01_seg0{expert}.nii")));
        }
    }
}

#[test]
fn data_of_any_background_is_run_at_its_foreground_or_told_that_it_has_none() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("grid.toml"), GRID).unwrap();
    for (name, background) in [("zero", 0), ("ct", -1024), ("one", 1)] {
        data_set(&dir.path().join(name), background, background);
        let said = run(dir.path(), &["data", "check", name], 0).out;
        let told = format!("background   {background} in 5\n");
        assert_eq!(said.contains(&told), background != 0, "{said}");
        let said = run(dir.path(), &["run", "grid.toml", "--dataset", name], 0);
        assert!(!said.err.contains("background"), "{}", said.err);
    }

    data_set(&dir.path().join("none"), 1, 2);
    let said = run(dir.path(), &["data", "check", "none"], 0).out;
    assert!(said.contains("background   none in 5"), "{said}");
    let plan = ["plan", "grid.toml", "--dataset", "none"];
    let refused = |arguments: &[&str]| run(dir.path(), arguments, 2).err;
    let said = refused(&plan);
    assert!(said.contains("no background is found"), "{said}");
    assert!(said.contains("cuts off part of a mask in 5 of 5"), "{said}");
    assert!(said.contains("enlarge `image.crop` or allow it"), "{said}");
    assert!(!said.contains("crop_at"), "{said}");
    // Where it is not set, it is advised.
    let centred = [&plan[..], &["--set", "image.crop_at=\"centre\""]].concat();
    let said = refused(&centred);
    assert!(
        said.contains("set `image.crop_at = \"foreground\"`"),
        "{said}"
    );
    // Where no mask is cut, the crop does not move without a word either.
    let allowed = [&plan[..], &["--set", "image.cut_masks=\"allow\""]].concat();
    let said = run(dir.path(), &allowed, 0).err;
    assert!(said.contains("note: grid: 5 cases (case1, case2, case3 and 2 more): no background"));
}
