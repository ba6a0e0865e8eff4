//! Random changes to a training image and its masks.
//!
//! The rule: each kind of change draws from a seed forked by its own name, so that switching one
//! off or adding one moves no other draw. The geometric changes are composed and resampled once,
//! the image linearly, every mask linearly and then cut at one half. Ranges are nnU-Net's.

mod blur;
mod resampling;
#[cfg(test)]
mod vectors;

use std::sync::Arc;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use self::{blur::blur, resampling::SamplingGrid};
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
            let (image, masks) = grid.resample(&case.image, case.background, masks);
            Sample { image, masks }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::prepare::Frame;

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
