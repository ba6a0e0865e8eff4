//! Random changes to a training image and its masks.
//!
//! The rule: each kind of change draws from a seed forked by its own name, so that switching one
//! off or adding one moves no other draw. The geometric changes are composed and resampled once,
//! the image linearly, every mask linearly and then cut at one half. Ranges are nnU-Net's.

use std::sync::Arc;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use super::prepare::{Plane, Prepared, Region};
use crate::{
    manifest::{AugmentSpec, FieldOfView, ImageSpec, Translation},
    seed::Seed,
};

/// A training sample: the network's input and its target for each expert.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The image, `input x input`.
    pub image: Plane,
    /// 0 or 1, for each mask.
    pub masks: Vec<Plane>,
}

/// Draws the sample of an image and its masks (of [`super::prepare::prepare_mask`]).
pub fn sample(
    case: &Prepared,
    masks: &[Arc<Plane>],
    image: &ImageSpec,
    spec: &AugmentSpec,
    seed: &Seed,
) -> Sample {
    let rng = |name: &str| seed.fork("augment").fork(name).rng();
    let window = window(case, image, spec.translation, &mut rng("translation"));

    let mut draw = rng("rotation");
    let degrees = draw
        .random_bool(spec.rotation)
        .then(|| draw.random_range(-1.0..=1.0) * spec.rotation_degrees);
    let mut draw = rng("zoom");
    let factor = draw.random_bool(spec.zoom).then(|| {
        // Shrinking and enlarging are equally likely, wherever 1 lies in the range.
        let (low, high) = (spec.zoom_factors.low, spec.zoom_factors.high);
        let (low, high) = match (low < 1.0 && high > 1.0, draw.random_bool(0.5)) {
            (false, _) => (low, high),
            (true, true) => (low, 1.0),
            (true, false) => (1.0, high),
        };
        draw.random_range(low..=high)
    });
    let mut sample = match (degrees, factor) {
        // At an integer offset nothing is interpolated.
        (None, None) => Sample {
            image: case.cut(&window),
            masks: masks
                .iter()
                .map(|mask| binarised(cut_mask(mask, &window)))
                .collect(),
        },
        _ => {
            let grid = SamplingGrid::new(&window, degrees.unwrap_or(0.0), factor.unwrap_or(1.0));
            Sample {
                image: grid.resample(&case.image, case.background),
                masks: masks
                    .iter()
                    .map(|mask| binarised(grid.resample(mask, 0.0)))
                    .collect(),
            }
        }
    };

    let mut draw = rng("noise");
    if draw.random_bool(spec.noise) {
        let sd = draw.random_range(spec.noise_sd.low..=spec.noise_sd.high) as f32;
        for value in &mut sample.image.values {
            let noise: f32 = StandardNormal.sample(&mut draw);
            *value += sd * noise;
        }
    }
    let mut draw = rng("blur");
    if draw.random_bool(spec.blur) {
        let sigma = draw.random_range(spec.blur_sigma.low..=spec.blur_sigma.high);
        sample.image = blur(&sample.image, sigma);
    }
    let mut draw = rng("brightness");
    if draw.random_bool(spec.brightness) {
        let range = spec.brightness_factor;
        let factor = draw.random_range(range.low..=range.high) as f32;
        sample
            .image
            .values
            .iter_mut()
            .for_each(|value| *value *= factor);
    }
    sample
}

/// The training crop: anywhere within the image that keeps the centre of the foreground inside. An
/// image that is smaller is padded, as in a test.
fn window(
    case: &Prepared,
    image: &ImageSpec,
    translation: Translation,
    rng: &mut impl Rng,
) -> Region {
    let size = image.input();
    let frame = [case.image.height, case.image.width];
    let origin = match translation {
        // A test may use the whole image; training always uses a crop.
        Translation::None => {
            let cropped = ImageSpec {
                field_of_view: FieldOfView::Crop,
                ..*image
            };
            case.view(&cropped).origin
        }
        Translation::Random => std::array::from_fn(|axis| {
            let centre = case.foreground.origin[axis] + case.foreground.size[axis] / 2;
            let last = frame[axis].saturating_sub(size);
            let low = (centre + 1).saturating_sub(size).min(last);
            let high = centre.min(last);
            rng.random_range(low..=high)
        }),
    };
    Region {
        origin,
        size: [size; 2],
    }
}

fn cut_mask(mask: &Plane, window: &Region) -> Plane {
    let [height, width] = window.size;
    let mut plane = Plane::zeros(height, width);
    let rows = height.min(mask.height - window.origin[0]);
    let columns = width.min(mask.width - window.origin[1]);
    for y in 0..rows {
        let from = (window.origin[0] + y) * mask.width + window.origin[1];
        plane.values[y * width..][..columns].copy_from_slice(&mask.values[from..][..columns]);
    }
    plane
}

fn binarised(mut plane: Plane) -> Plane {
    for value in &mut plane.values {
        *value = if *value >= 0.5 { 1.0 } else { 0.0 };
    }
    plane
}

/// A rotated and scaled sampling grid: coordinates relative to the window's centre are rotated,
/// multiplied by the factor, and moved to the window's centre. A factor above 1 shrinks objects.
pub(super) struct SamplingGrid {
    size: [usize; 2],
    centre: [f64; 2],
    cosine: f64,
    sine: f64,
    factor: f64,
}

impl SamplingGrid {
    pub(super) fn new(window: &Region, degrees: f64, factor: f64) -> Self {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        Self {
            size: window.size,
            centre: std::array::from_fn(|axis| {
                window.origin[axis] as f64 + (window.size[axis] as f64 - 1.0) / 2.0
            }),
            cosine,
            sine,
            factor,
        }
    }

    /// The source coordinate (row, column) of an output pixel.
    pub(super) fn source(&self, y: usize, x: usize) -> [f64; 2] {
        let row = y as f64 - (self.size[0] as f64 - 1.0) / 2.0;
        let column = x as f64 - (self.size[1] as f64 - 1.0) / 2.0;
        [
            (row * self.cosine + column * self.sine) * self.factor + self.centre[0],
            (column * self.cosine - row * self.sine) * self.factor + self.centre[1],
        ]
    }

    /// Samples linearly; any coordinate outside the plane gives `outside`, as SciPy's
    /// `map_coordinates(mode="constant")` does.
    pub(super) fn resample(&self, plane: &Plane, outside: f32) -> Plane {
        let [height, width] = self.size;
        let mut out = Plane::zeros(height, width);
        let last = [(plane.height - 1) as f64, (plane.width - 1) as f64];
        for y in 0..height {
            for x in 0..width {
                let [row, column] = self.source(y, x);
                let inside = row >= 0.0 && row <= last[0] && column >= 0.0 && column <= last[1];
                out.values[y * width + x] = if inside {
                    let (y0, x0) = (row as usize, column as usize);
                    let (y1, x1) = (
                        (y0 + 1).min(plane.height - 1),
                        (x0 + 1).min(plane.width - 1),
                    );
                    let (fy, fx) = (row - y0 as f64, column - x0 as f64);
                    let at = |y: usize, x: usize| f64::from(plane.values[y * plane.width + x]);
                    let top = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
                    let bottom = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
                    (top * (1.0 - fy) + bottom * fy) as f32
                } else {
                    outside
                };
            }
        }
        out
    }
}

/// Gaussian blur, truncated at 4 sigma, with the border mirrored (edge pixel repeated), as
/// SciPy's `gaussian_filter`.
pub(super) fn blur(plane: &Plane, sigma: f64) -> Plane {
    let kernel = kernel(sigma);
    let along = |plane: &Plane, step: usize, count: usize, lines: usize, line_step: usize| {
        let mut out = plane.clone();
        let radius = kernel.len() / 2;
        for line in 0..lines {
            for i in 0..count {
                let mut sum = 0.0;
                for (k, weight) in kernel.iter().enumerate() {
                    let at = mirrored(i as isize + k as isize - radius as isize, count);
                    sum += weight * f64::from(plane.values[line * line_step + at * step]);
                }
                out.values[line * line_step + i * step] = sum as f32;
            }
        }
        out
    };
    let vertical = along(plane, plane.width, plane.height, plane.width, 1);
    along(&vertical, 1, plane.width, plane.height, plane.width)
}

fn kernel(sigma: f64) -> Vec<f64> {
    let radius = (4.0 * sigma + 0.5) as i32;
    if sigma <= 0.0 {
        return vec![1.0];
    }
    let weights: Vec<f64> = (-radius..=radius)
        .map(|i| (-0.5 * (f64::from(i) / sigma).powi(2)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

fn mirrored(i: isize, n: usize) -> usize {
    let period = 2 * n as isize;
    let i = i.rem_euclid(period) as usize;
    if i < n { i } else { 2 * n - 1 - i }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::data::prepare::Frame;

    fn vectors() -> Value {
        let text = include_str!("../../tests/fixtures/training.json");
        serde_json::from_str(text).unwrap()
    }

    fn matrix(value: &Value) -> Vec<f64> {
        let rows = value.as_array().unwrap().iter();
        rows.flat_map(|row| row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()))
            .collect()
    }

    fn close(found: impl IntoIterator<Item = f64>, expected: &[f64], tolerance: f64) {
        let found: Vec<f64> = found.into_iter().collect();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < tolerance,
                "{found} against {expected}"
            );
        }
    }

    #[test]
    fn resampling_agrees_with_scipy() {
        let expected = &vectors()["spatial"];
        let window = Region {
            origin: [1, 1],
            size: [5, 5],
        };
        let grid = SamplingGrid::new(&window, 30.0, 1.2);
        let coordinates: Vec<[f64; 2]> = (0..25).map(|i| grid.source(i / 5, i % 5)).collect();
        close(
            coordinates.iter().map(|c| c[0]),
            &matrix(&expected["coord_row"]),
            1e-9,
        );
        close(
            coordinates.iter().map(|c| c[1]),
            &matrix(&expected["coord_col"]),
            1e-9,
        );
        let image = Plane {
            height: 7,
            width: 7,
            values: (0..49_u8).map(f32::from).collect(),
        };
        let found = grid.resample(&image, 0.0).values;
        // Values up to 48 in single precision.
        close(
            found.into_iter().map(f64::from),
            &matrix(&expected["img_linear_const0"]),
            4e-6,
        );
        let inside = |i: usize| (2..=4).contains(&(i / 7)) && (1..=5).contains(&(i % 7));
        let mask = Plane {
            values: (0..49).map(|i| if inside(i) { 1.0 } else { 0.0 }).collect(),
            ..image
        };
        let soft = grid.resample(&mask, 0.0);
        close(
            soft.values.iter().map(|v| f64::from(*v)),
            &matrix(&expected["mask_linear"]),
            1e-7,
        );
        let hard = binarised(soft);
        close(
            hard.values.into_iter().map(f64::from),
            &matrix(&expected["mask_linear_ge_0_5"]),
            1e-9,
        );
    }

    #[test]
    fn blurring_agrees_with_scipy() {
        let expected = &vectors()["blur"];
        let list = |name: &str| -> Vec<f64> {
            expected[name]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_f64().unwrap())
                .collect()
        };
        close(kernel(0.5), &list("kernel_sigma_0_5"), 1e-12);
        close(kernel(0.75), &list("kernel_sigma_0_75"), 1e-12);
        close(kernel(1.0), &list("kernel_sigma_1_0"), 1e-12);
        let line: Vec<f32> = list("line").iter().map(|v| *v as f32).collect();
        let plane = Plane {
            height: 1,
            width: line.len(),
            values: line,
        };
        let found = blur(&plane, 1.0).values;
        close(
            found.into_iter().map(f64::from),
            &list("gaussian_filter1d_sigma1_mode_reflect"),
            2e-7,
        );
    }

    /// The cases of a list that tests/reference/generate.py wrote.
    fn generated(list: &str) -> Vec<Value> {
        let text = include_str!("../../tests/fixtures/augmentation.json");
        let file: Value = serde_json::from_str(text).unwrap();
        file[list].as_array().unwrap().clone()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        let numbers = value.as_array().unwrap().iter();
        numbers.map(|v| v.as_f64().unwrap()).collect()
    }

    fn pair(value: &Value) -> [usize; 2] {
        [0, 1].map(|i| value[i].as_u64().unwrap() as usize)
    }

    fn plane(case: &Value, name: &str) -> Plane {
        let [height, width] = pair(&case["shape"]);
        let values = numbers(&case[name]).iter().map(|v| *v as f32).collect();
        Plane {
            height,
            width,
            values,
        }
    }

    /// Largest rounding error of numbers below 1024 in single precision: half their distance.
    const ROUNDING: f64 = 3.06e-5;

    #[test]
    fn resampling_agrees_with_scipy_at_any_angle_factor_and_place() {
        let cases = generated("resampled");
        let mut outside = 0;
        for case in &cases {
            let window = Region {
                origin: pair(&case["origin"]),
                size: pair(&case["size"]),
            };
            let number = |name: &str| case[name].as_f64().unwrap();
            let grid = SamplingGrid::new(&window, number("degrees"), number("factor"));
            let found = grid.resample(&plane(case, "image"), number("outside") as f32);
            let found = found.values.into_iter().map(f64::from);
            close(found, &numbers(&case["resampled"]), ROUNDING);
            let mask = binarised(grid.resample(&plane(case, "mask"), 0.0));
            let mask: Vec<f64> = mask.values.into_iter().map(f64::from).collect();
            assert_eq!(mask, numbers(&case["resampled_mask"]));
            outside += case["outside_pixels"].as_u64().unwrap();
        }
        assert!(cases.len() >= 10 && outside > 200);
    }

    #[test]
    fn blurring_a_plane_agrees_with_scipy() {
        let cases = generated("blurred");
        for case in &cases {
            let sigma = case["sigma"].as_f64().unwrap();
            let found = blur(&plane(case, "image"), sigma);
            let found = found.values.into_iter().map(f64::from);
            // Rounded after each axis.
            close(found, &numbers(&case["blurred"]), 2.0 * ROUNDING);
        }
        assert!(cases.len() >= 10);
    }

    fn case() -> Prepared {
        let (height, width) = (20, 24);
        Prepared {
            image: Plane {
                height,
                width,
                values: (0..height * width).map(|i| (i as f32).sin()).collect(),
            },
            background: -1.0,
            foreground: Region {
                origin: [2, 3],
                size: [5, 4],
            },
            frame: Frame {
                original: [height, width],
                reduce: 1,
            },
        }
    }

    fn masks() -> [Arc<Plane>; 1] {
        let (height, width) = (20, 24);
        [Arc::new(Plane {
            height,
            width,
            values: (0..height * width)
                .map(|i| f32::from(u8::from(i % 3 == 0)))
                .collect(),
        })]
    }

    fn image() -> ImageSpec {
        ImageSpec {
            crop: 8,
            reduce: 1,
            crop_at: crate::manifest::CropAt::Foreground,
            field_of_view: crate::manifest::FieldOfView::Crop,
        }
    }

    fn nothing() -> AugmentSpec {
        let range = |low, high| crate::manifest::Range { low, high };
        AugmentSpec {
            rotation: 0.0,
            rotation_degrees: 180.0,
            zoom: 0.0,
            zoom_factors: range(0.7, 1.4),
            noise: 0.0,
            noise_sd: range(0.0, 0.1),
            blur: 0.0,
            blur_sigma: range(0.5, 1.0),
            brightness: 0.0,
            brightness_factor: range(0.75, 1.25),
            translation: Translation::Random,
        }
    }

    #[test]
    fn random_crops_reach_everywhere_that_keeps_the_foreground_in_view() {
        let case = case();
        let mut seen = std::collections::BTreeSet::new();
        for i in 0..400 {
            let region = window(
                &case,
                &image(),
                Translation::Random,
                &mut Seed::new(i).rng(),
            );
            seen.insert(region.origin);
        }
        // The foreground's centre is (4, 5); origins are 0..=4 and 0..=5.
        let expected: std::collections::BTreeSet<_> =
            (0..=4).flat_map(|y| (0..=5).map(move |x| [y, x])).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_case_smaller_than_the_crop_is_padded() {
        let (case, masks) = (case(), masks());
        let large = ImageSpec {
            crop: 32,
            ..image()
        };
        for translation in [Translation::None, Translation::Random] {
            let spec = AugmentSpec {
                translation,
                ..nothing()
            };
            let sample = sample(&case, &masks, &large, &spec, &Seed::new(1));
            assert_eq!((sample.image.height, sample.image.width), (32, 32));
            for y in 0..32 {
                for x in 0..32 {
                    let (i, inside) = (y * 24 + x, y < 20 && x < 24);
                    let (image, mask) = match inside {
                        true => (case.image.values[i], masks[0].values[i]),
                        false => (case.background, 0.0),
                    };
                    assert_eq!(sample.image.values[y * 32 + x], image, "{y} {x}");
                    assert_eq!(sample.masks[0].values[y * 32 + x], mask, "{y} {x}");
                }
            }
        }
        let turned = AugmentSpec {
            rotation: 1.0,
            zoom: 1.0,
            ..nothing()
        };
        let sample = sample(&case, &masks, &large, &turned, &Seed::new(2));
        assert_eq!(sample.image.values.len(), 32 * 32);
    }

    #[test]
    fn switching_one_change_on_moves_no_other_draw() {
        let seed = Seed::new(5);
        let plain = sample(&case(), &masks(), &image(), &nothing(), &seed);
        let brighter = AugmentSpec {
            brightness: 1.0,
            ..nothing()
        };
        let bright = sample(&case(), &masks(), &image(), &brighter, &seed);
        let factor = bright.image.values[0] / plain.image.values[0];
        assert!((0.75..=1.25).contains(&factor) && factor != 1.0);
        for (bright, plain) in bright.image.values.iter().zip(&plain.image.values) {
            assert!((bright - factor * plain).abs() < 1e-6);
        }
        assert_eq!(bright.masks, plain.masks);
    }

    #[test]
    fn a_geometric_change_moves_image_and_masks_alike() {
        let mut case = case();
        // An image that is its own mask.
        case.image = masks()[0].as_ref().clone();
        case.background = 0.0;
        let turned = AugmentSpec {
            rotation: 1.0,
            zoom: 1.0,
            ..nothing()
        };
        for i in 0..20 {
            let sample = sample(&case, &masks(), &image(), &turned, &Seed::new(i));
            assert_eq!(binarised(sample.image), sample.masks[0]);
        }
    }
}
