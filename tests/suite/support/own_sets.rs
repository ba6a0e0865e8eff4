//! Data sets that are not laid out as a challenge's: drawn images and masks under any name.

use std::{fs, path::Path};

use expertgrid::manifest::{self, Experiment};

use super::nifti_file::NiftiFile;

/// Side of the images, in pixels.
pub const SIDE: usize = 40;

/// A blob of many intensities on a background of 0, and the same for a case of another number.
pub fn image(case: u32) -> Vec<u8> {
    pixels(|x, y| match within(x, y, 14.0, case) {
        true => (40 + (x * 7 + y * 11 + case as usize * 5) % 160) as u8,
        false => 0,
    })
}

/// A disc whose radius differs by the expert, within the blob of the case.
pub fn mask(case: u32, expert: u32) -> Vec<u8> {
    pixels(|x, y| u8::from(within(x, y, 5.0 + f64::from(expert), case)))
}

/// Labels: 1 in the disc, 2 in its inner part, 0 elsewhere.
pub fn labels(case: u32, expert: u32) -> Vec<u8> {
    pixels(|x, y| {
        let radius = 5.0 + f64::from(expert);
        u8::from(within(x, y, radius, case)) + u8::from(within(x, y, radius / 2.0, case))
    })
}

fn pixels(value: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    let places = (0..SIDE * SIDE).map(|i| (i % SIDE, i / SIDE));
    places.map(|(x, y)| value(x, y)).collect()
}

fn within(x: usize, y: usize, radius: f64, case: u32) -> bool {
    let (cx, cy) = (18.0 + f64::from(case % 4), 20.0 + f64::from(case % 3));
    (x as f64 - cx).powi(2) + (y as f64 - cy).powi(2) <= radius * radius
}

/// Writes a file and the folders above it: NIfTI or PNG, by its name.
pub fn write(path: &Path, values: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match path.extension().is_some_and(|ending| ending == "png") {
        true => png(
            path,
            [SIDE; 2],
            png::ColorType::Grayscale,
            png::BitDepth::Eight,
            values,
        ),
        false => NiftiFile::new(&[SIDE as i16, SIDE as i16], values).write(path),
    }
}

/// Writes a PNG of these bytes, as the format stores them.
pub fn png(
    path: &Path,
    [width, height]: [usize; 2],
    colour: png::ColorType,
    depth: png::BitDepth,
    bytes: &[u8],
) {
    let file = fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if colour == png::ColorType::Indexed {
        // The colours of a palette are not its indices.
        let palette: Vec<u8> = (0..=255_u8).flat_map(|i| [255 - i, i / 2, 7]).collect();
        encoder.set_palette(palette);
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(bytes).unwrap();
}

/// QUBIQ's folders with six training and two test cases of three experts.
pub fn qubiq(root: &Path, mask: impl Fn(u32, u32) -> Vec<u8>) {
    for case in 1..=8 {
        let part = if case <= 6 { "Training" } else { "Validation" };
        let folder = root.join(part).join(format!("case{case}"));
        write(&folder.join("image.nii"), &image(case));
        for expert in 1..=3 {
            write(
                &folder.join(format!("task01_seg{expert:02}.nii")),
                &mask(case, expert),
            );
        }
    }
}

/// A manifest of a small grid with these keys under `[dataset]`.
pub fn manifest(dataset: &str) -> String {
    format!(
        r#"
title = "own data"

[grid]
new_experts = [3]
methods = ["w/", "w/o"]
annotators = {{ from = [1, 2], choose = 2 }}
samples = [2]
starts = [1, 2]

[dataset]
{dataset}

[image]
crop = 32

[network]
width = 4

[training]
batch = 2
lr = 1e-2

[pretrain]
steps = 2

[finetune]
steps = 2

[scratch]
steps = 2
"#
    )
}

/// The experiment of that manifest.
pub fn experiment(dataset: &str) -> Experiment {
    let path = Path::new("own.toml");
    manifest::parse(path, &manifest(dataset), "paper", &[])
        .unwrap_or_else(|problems| panic!("{dataset}\n{problems}"))
}

/// What is wrong with a manifest with these keys under `[dataset]`.
pub fn problems(dataset: &str) -> String {
    let parsed = manifest::parse(Path::new("own.toml"), &manifest(dataset), "paper", &[]);
    parsed.map_or_else(|problems| problems.to_string(), |_| "none".to_owned())
}
