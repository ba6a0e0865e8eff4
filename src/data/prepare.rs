//! From a case to the network's pixels: reduction, z-score, field of view, and back.
//!
//! The rule: everything here is determined by the case and the image spec; random changes come
//! later ([`super::augment`]). Coordinates are (row, column), in pixels of the reduced image unless
//! the name says otherwise.

use super::{Case, Expert, Image, Mask};
use crate::manifest::{CropAt, FieldOfView, ImageSpec};

/// A plane of numbers, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `height * width` values.
    pub values: Vec<f32>,
}

impl Plane {
    /// A plane of zeros.
    pub fn zeros(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            values: vec![0.0; height * width],
        }
    }
}

/// A half-open range of rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First row and column.
    pub origin: [usize; 2],
    /// Rows and columns.
    pub size: [usize; 2],
}

/// An image prepared for the network, before augmentation.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The z-scored image.
    pub image: Plane,
    /// The z-scored value of the background; see [`Image::background`].
    pub background: f32,
    /// The bounding box of what is not background; the whole image where all is background.
    pub foreground: Region,
    /// Where it lies in the original image.
    pub frame: Frame,
}

/// Where the reduced image lies in the original one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Height and width of the original image.
    pub original: [usize; 2],
    /// Side of the block of original pixels that is averaged into one pixel.
    pub reduce: usize,
}

impl Frame {
    /// Height and width of the reduced image.
    pub fn reduced(&self) -> [usize; 2] {
        self.original.map(|n| n / self.reduce)
    }

    /// Row and column of the first original pixel covered; what does not fill a block is split
    /// between both sides.
    pub fn offset(&self) -> [usize; 2] {
        self.original.map(|n| (n % self.reduce) / 2)
    }
}

/// Reduces an image and z-scores it.
pub fn prepare(image: &Image, spec: &ImageSpec) -> Prepared {
    let (frame, mut plane) = reduce(image, spec);
    let background = image.background();
    let foreground = foreground(&plane, background);
    let n = plane.values.len() as f64;
    let mean = plane.values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = plane
        .values
        .iter()
        .map(|v| (f64::from(*v) - mean).powi(2))
        .sum::<f64>()
        / n;
    // A constant image becomes zeros.
    let scale = if variance > 0.0 {
        variance.sqrt().recip()
    } else {
        0.0
    };
    for value in &mut plane.values {
        *value = ((f64::from(*value) - mean) * scale) as f32;
    }
    Prepared {
        image: plane,
        background: (-(mean - f64::from(background)) * scale) as f32,
        foreground,
        frame,
    }
}

fn reduce(image: &Image, spec: &ImageSpec) -> (Frame, Plane) {
    let frame = Frame {
        original: [image.height, image.width],
        reduce: spec.reduce,
    };
    let plane = average(&frame, |i| f64::from(image.pixels[i]));
    (frame, plane)
}

/// For every pixel of the reduced image, the share of its block that is inside the mask.
pub fn prepare_mask(mask: &Mask, spec: &ImageSpec) -> Plane {
    let frame = Frame {
        original: [mask.height, mask.width],
        reduce: spec.reduce,
    };
    average(&frame, |i| f64::from(u8::from(mask.pixels[i])))
}

/// The mean over each block of original pixels.
fn average(frame: &Frame, value: impl Fn(usize) -> f64) -> Plane {
    let [height, width] = frame.reduced();
    let [top, left] = frame.offset();
    let r = frame.reduce;
    let mut plane = Plane::zeros(height, width);
    for y in 0..height {
        for x in 0..width {
            let mut sum = 0.0;
            for row in top + y * r..top + (y + 1) * r {
                let first = row * frame.original[1] + left + x * r;
                sum += (first..first + r).map(&value).sum::<f64>();
            }
            plane.values[y * width + x] = (sum / (r * r) as f64) as f32;
        }
    }
    plane
}

fn foreground(image: &Plane, background: f32) -> Region {
    let mut bounds: Option<[usize; 4]> = None;
    for (i, value) in image.values.iter().enumerate() {
        if *value != background {
            let (y, x) = (i / image.width, i % image.width);
            let [y0, x0, y1, x1] = bounds.unwrap_or([y, x, y, x]);
            bounds = Some([y0.min(y), x0.min(x), y1.max(y), x1.max(x)]);
        }
    }
    match bounds {
        Some([y0, x0, y1, x1]) => Region {
            origin: [y0, x0],
            size: [y1 + 1 - y0, x1 + 1 - x0],
        },
        None => Region {
            origin: [0, 0],
            size: [image.height, image.width],
        },
    }
}

/// The field of view in a reduced image of this size; see [`Prepared::view`].
fn view(size: [usize; 2], foreground: &Region, spec: &ImageSpec) -> Region {
    match spec.field_of_view {
        FieldOfView::Full => Region {
            origin: [0, 0],
            size: size.map(|n| n.next_multiple_of(32)),
        },
        FieldOfView::Crop => {
            let crop = spec.input();
            let origin = std::array::from_fn(|axis| {
                let centre2 = match spec.crop_at {
                    CropAt::Foreground => 2 * foreground.origin[axis] + foreground.size[axis],
                    CropAt::Centre => size[axis],
                };
                (centre2.saturating_sub(crop) / 2).min(size[axis].saturating_sub(crop))
            });
            Region {
                origin,
                size: [crop; 2],
            }
        }
    }
}

impl Prepared {
    /// The network's field of view in a test. It may reach beyond the image: with
    /// [`FieldOfView::Full`] to a multiple of 32, else where the image is smaller than the crop.
    /// The image is then padded with background, on the right and at the bottom.
    pub fn view(&self, spec: &ImageSpec) -> Region {
        let size = [self.image.height, self.image.width];
        view(size, &self.foreground, spec)
    }

    /// The image within a region, background where the region reaches beyond it.
    pub fn cut(&self, region: &Region) -> Plane {
        let [height, width] = region.size;
        let mut plane = Plane {
            height,
            width,
            values: vec![self.background; height * width],
        };
        let rows = height.min(self.image.height - region.origin[0]);
        let columns = width.min(self.image.width - region.origin[1]);
        for y in 0..rows {
            let from = (region.origin[0] + y) * self.image.width + region.origin[1];
            plane.values[y * width..][..columns]
                .copy_from_slice(&self.image.values[from..][..columns]);
        }
        plane
    }
}

/// A network's output for one test image, in the image's own frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The case.
    pub case: String,
    /// Where the reduced image lies.
    pub frame: Frame,
    /// The network's field of view in the reduced image.
    pub region: Region,
    /// Probability of foreground for each pixel of the region in steps of 1/256: `floor(256 p)`,
    /// at most 255, so that p >= 0.5 exactly where the byte is 128 or more.
    pub probability: Vec<u8>,
    /// The least byte of foreground, at least 1.
    pub threshold: u8,
}

impl Prediction {
    /// The usual threshold: a probability of 1/2.
    pub const HALF: u8 = 128;

    /// A probability as a byte; see [`Prediction::probability`].
    pub fn quantise(probability: f32) -> u8 {
        // The cast saturates.
        (probability * 256.0) as u8
    }

    /// The mask in the original image: probability >= threshold, interpolated linearly between the
    /// network's pixels where the image was reduced; outside the region there is background.
    pub fn mask(&self) -> Mask {
        let enlarged = self
            .frame
            .enlarge(&self.region, |i| f32::from(self.probability[i]), 0.0);
        Mask {
            height: enlarged.height,
            width: enlarged.width,
            // A byte b stands for (b + 1/2) / 256, so the usual one lies between 127 and 128.
            pixels: enlarged
                .values
                .iter()
                .map(|v| *v >= f32::from(self.threshold) - 0.5)
                .collect(),
        }
    }
}

impl Frame {
    /// Values over a region of the reduced image, brought to the original image: interpolated
    /// linearly where the image was reduced, `outside` beyond the region. `at` gives the region's
    /// pixels in row-major order.
    pub fn enlarge(&self, region: &Region, at: impl Fn(usize) -> f32, outside: f32) -> Plane {
        let [height, width] = self.original;
        let rows = self.taps(region, 0);
        let columns = self.taps(region, 1);
        let mut values = vec![outside; height * width];
        for (y, row) in rows.iter().enumerate() {
            let Some((y0, y1, fy)) = *row else { continue };
            for (x, column) in columns.iter().enumerate() {
                let Some((x0, x1, fx)) = *column else {
                    continue;
                };
                let at = |y: usize, x: usize| at(y * region.size[1] + x);
                let top = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
                let bottom = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
                values[y * width + x] = top * (1.0 - fy) + bottom * fy;
            }
        }
        Plane {
            height,
            width,
            values,
        }
    }

    /// For each original row (or column): the two rows of the region that it lies between and the
    /// weight of the second; `None` outside the region.
    fn taps(&self, region: &Region, axis: usize) -> Vec<Option<(usize, usize, f32)>> {
        let r = self.reduce;
        let n = region.size[axis];
        let first = self.offset()[axis] + region.origin[axis] * r;
        (0..self.original[axis])
            .map(|i| {
                let inside = i.checked_sub(first).filter(|i| *i < n * r)?;
                let position = (inside as f32 + 0.5) / r as f32 - 0.5;
                let position = position.clamp(0.0, (n - 1) as f32);
                let low = position.floor();
                let below = low as usize;
                Some((below, (below + 1).min(n - 1), position - low))
            })
            .collect()
    }
}

/// How many pixels of each of these experts' masks lie outside the network's field of view.
pub fn cut_pixels(case: &Case, experts: &[Expert], spec: &ImageSpec) -> Vec<usize> {
    let (frame, reduced) = reduce(&case.image, spec);
    let foreground = foreground(&reduced, case.image.background());
    let region = view(frame.reduced(), &foreground, spec);
    let (offset, r) = (frame.offset(), spec.reduce);
    let seen = |axis: usize, length: usize| {
        let first = offset[axis] + region.origin[axis] * r;
        first.min(length)..(first + region.size[axis] * r).min(length)
    };
    let count = |mask: &Mask| -> usize {
        let (rows, columns) = (seen(0, mask.height), seen(1, mask.width));
        let of_row = |(y, row): (usize, &[bool])| {
            let (left, right) = match rows.contains(&y) {
                true => (&row[..columns.start], &row[columns.end..]),
                false => (row, &row[..0]),
            };
            let inside = |pixels: &[bool]| pixels.iter().filter(|inside| **inside).count();
            inside(left) + inside(right)
        };
        let pixels = mask.pixels.chunks(mask.width.max(1));
        pixels.enumerate().map(of_row).sum()
    };
    experts
        .iter()
        .filter_map(|expert| case.mask(*expert))
        .map(count)
        .collect()
}

/// Whether a crop that should lie around the foreground lies at the image's centre, because no
/// background is found.
pub fn lacks_foreground(image: &Image, spec: &ImageSpec) -> bool {
    let asked = (spec.field_of_view, spec.crop_at) == (FieldOfView::Crop, CropAt::Foreground);
    if !asked || image.is_surrounded() {
        return false;
    }
    let (frame, reduced) = reduce(image, spec);
    let whole = foreground(&reduced, image.background()).size == frame.reduced();
    whole && frame.reduced() != [spec.input(); 2]
}

/// Why nothing is left of an image once it is reduced; `None` where something is.
pub fn vanishes(image: &Image, spec: &ImageSpec) -> Option<String> {
    let [width, height] = [image.width, image.height];
    (width.min(height) < spec.reduce).then(|| {
        format!(
            "the image is {width} x {height} pixels, less than the {0} x {0} that are averaged \
             into one; check that it is the image",
            spec.reduce
        )
    })
}

/// That an image is smaller than the crop, so that it is padded; `None` where it is not.
pub fn padded(image: &Image, spec: &ImageSpec) -> Option<String> {
    let reduced = [image.width, image.height].map(|n| n / spec.reduce);
    reduced.iter().any(|n| *n < spec.input()).then(|| {
        format!(
            "the image is {} x {} pixels, smaller than the crop of {2} x {2}, and is padded with \
             background on the right and at the bottom",
            image.width, image.height, spec.crop
        )
    })
}
