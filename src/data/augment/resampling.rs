//! Resampling of an image and its masks on a rotated and scaled grid.
//!
//! The rule: values are SciPy's `map_coordinates(order=1, mode="constant")`: linear between the
//! pixels of the plane, a constant at any coordinate outside it. Row by row the coordinates are
//! computed first, for the image and all masks, with the widest registers that the processor has;
//! no sum depends on them.

use std::{borrow::Cow, ops::Range, sync::Arc};

use crate::data::prepare::{Plane, Region};

/// A rotated and scaled sampling grid: coordinates relative to the window's centre are rotated,
/// multiplied by the factor, and moved to the window's centre. A factor above 1 shrinks objects.
pub(super) struct SamplingGrid {
    size: [usize; 2],
    centre: [f64; 2],
    cosine: f64,
    sine: f64,
    factor: f64,
}

/// Where the pixels of an output row sample.
struct SampledRow {
    /// The pixels inside the plane. Their coordinates lie on a line, so they are consecutive.
    inside: Range<usize>,
    /// Whether each pixel is.
    is_inside: Vec<bool>,
    /// The upper left one of the four pixels around each coordinate, as a place in the plane.
    first: Vec<u32>,
    /// How far below and to the right of it the coordinate lies, 0 to 1.
    below: Vec<f64>,
    right: Vec<f64>,
}

impl SamplingGrid {
    pub(super) fn new(window: &Region, degrees: f64, factor: f64) -> Self {
        let (sine, cosine) = libm::sincos(degrees.to_radians());
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

    /// The image, linearly, with a value for what is outside; the masks linearly, then cut at one
    /// half, 0 outside. All have the same size.
    pub(super) fn resample(
        &self,
        image: &Plane,
        outside: f32,
        masks: &[Arc<Plane>],
    ) -> (Plane, Vec<Plane>) {
        let [height, width] = self.size;
        let mut resampled = Plane::zeros(height, width);
        let mut cut = vec![resampled.clone(); masks.len()];
        let last = [image.height - 1, image.width - 1];
        let image = two_pixels_wide(image);
        let masks: Vec<_> = masks.iter().map(|mask| two_pixels_wide(mask)).collect();
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || self.rows(last, &image, outside, &masks, &mut resampled, &mut cut),
        );
        (resampled, cut)
    }

    /// Every output row. What lies beyond row and column `last` is outside; the planes may have
    /// more.
    #[inline(always)]
    fn rows(
        &self,
        last: [usize; 2],
        image: &Plane,
        outside: f32,
        masks: &[Cow<Plane>],
        resampled: &mut Plane,
        cut: &mut [Plane],
    ) {
        let [height, width] = self.size;
        let plane = [image.height, image.width];
        let mut row = SampledRow {
            inside: 0..0,
            is_inside: vec![false; width],
            first: vec![0; width],
            below: vec![0.0; width],
            right: vec![0.0; width],
        };
        for y in 0..height {
            self.place(y, last, plane, &mut row);
            let line = y * width..(y + 1) * width;
            row.linear(image, outside, &mut resampled.values[line.clone()]);
            for (mask, cut) in masks.iter().zip(&mut *cut) {
                row.cut_at_half(mask, &mut cut.values[line.clone()]);
            }
        }
    }

    /// The coordinates of output row `y` in a plane of `height x width`.
    #[inline(always)]
    fn place(&self, y: usize, last: [usize; 2], [height, width]: [usize; 2], row: &mut SampledRow) {
        /// Added to a whole number below 2^32, it leaves the number in the low bits.
        const WHOLE: f64 = (1u64 << 52) as f64;
        let last = last.map(|last| last as f64);
        // From the last row or column the pixel before it is taken, at a distance of 1.
        let last_first = [(height - 2) as f64, (width - 2) as f64];
        let middle = (self.size[1] as f64 - 1.0) / 2.0;
        let down = y as f64 - (self.size[0] as f64 - 1.0) / 2.0;
        let (down_cosine, down_sine) = (down * self.cosine, down * self.sine);
        let columns = self.size[1];
        let (is_inside, first) = (&mut row.is_inside[..columns], &mut row.first[..columns]);
        let (below, right) = (&mut row.below[..columns], &mut row.right[..columns]);
        for x in 0..columns {
            let across = f64::from(x as i32) - middle;
            let r = (down_cosine + across * self.sine) * self.factor + self.centre[0];
            let c = (across * self.cosine - down_sine) * self.factor + self.centre[1];
            let inside = (r >= 0.0) & (r <= last[0]) & (c >= 0.0) & (c <= last[1]);
            let [r, c] = [r, c].map(|at| if inside { at } else { 0.0 });
            let (r0, c0) = (r.floor().min(last_first[0]), c.floor().min(last_first[1]));
            (below[x], right[x]) = (r - r0, c - c0);
            first[x] = (r0 * width as f64 + c0 + WHOLE).to_bits() as u32;
            is_inside[x] = inside;
        }
        let begin = is_inside.iter().position(|inside| *inside);
        let end = is_inside.iter().rposition(|inside| *inside);
        row.inside = begin.map_or(0..0, |begin| begin..end.map_or(begin, |end| end + 1));
    }
}

impl SampledRow {
    /// For each pixel inside, its place and its distances.
    #[inline(always)]
    fn inside(&self) -> impl Iterator<Item = (usize, f64, f64)> {
        let inside = self.inside.clone();
        let distances = self.below[inside.clone()]
            .iter()
            .zip(&self.right[inside.clone()]);
        let first = self.first[inside].iter();
        first
            .zip(distances)
            .map(|(first, (below, right))| (*first as usize, *below, *right))
    }

    /// The row of a plane, linearly.
    #[inline(always)]
    fn linear(&self, plane: &Plane, outside: f32, to: &mut [f32]) {
        to.fill(outside);
        for (to, (first, below, right)) in to[self.inside.clone()].iter_mut().zip(self.inside()) {
            let [top, bottom] = around(plane, first).map(|[a, b]| {
                let (a, b) = (f64::from(a), f64::from(b));
                a + (b - a) * right
            });
            *to = (top + (bottom - top) * below) as f32;
        }
    }

    /// The row of a mask: 1 where it is at least one half, else 0.
    #[inline(always)]
    fn cut_at_half(&self, mask: &Plane, to: &mut [f32]) {
        to.fill(0.0);
        for (to, (first, below, right)) in to[self.inside.clone()].iter_mut().zip(self.inside()) {
            let (below, right) = (below as f32, right as f32);
            let [top, bottom] = around(mask, first).map(|[a, b]| a + (b - a) * right);
            *to = f32::from(u8::from(top + (bottom - top) * below >= 0.5));
        }
    }
}

/// The plane, its only row or column repeated: interpolation reads two each way.
fn two_pixels_wide(plane: &Plane) -> Cow<'_, Plane> {
    if plane.height > 1 && plane.width > 1 {
        return Cow::Borrowed(plane);
    }
    let mut wide = Plane::zeros(plane.height.max(2), plane.width.max(2));
    for (y, row) in wide.values.chunks_exact_mut(wide.width).enumerate() {
        let y = y.min(plane.height - 1);
        for (x, value) in row.iter_mut().enumerate() {
            *value = plane.values[y * plane.width + x.min(plane.width - 1)];
        }
    }
    Cow::Owned(wide)
}

/// The four pixels from a place on, two above two.
#[inline(always)]
fn around(plane: &Plane, first: usize) -> [[f32; 2]; 2] {
    let [top, bottom] = [first, first + plane.width].map(|at| &plane.values[at..at + 2]);
    [[top[0], top[1]], [bottom[0], bottom[1]]]
}

#[cfg(test)]
mod tests {
    use super::{
        super::vectors::{ROUNDING, close, generated, matrix, numbers, pair, plane, training},
        *,
    };

    /// A plane resampled linearly.
    fn linear(grid: &SamplingGrid, plane: &Plane, outside: f32) -> Vec<f32> {
        grid.resample(plane, outside, &[]).0.values
    }

    /// A mask resampled and cut.
    fn cut(grid: &SamplingGrid, mask: Plane) -> Vec<f32> {
        let (_, masks) = grid.resample(&mask.clone(), 0.0, &[Arc::new(mask)]);
        masks[0].values.clone()
    }

    #[test]
    fn resampling_agrees_with_scipy() {
        let expected = &training()["spatial"];
        let window = Region {
            origin: [1, 1],
            size: [5, 5],
        };
        let grid = SamplingGrid::new(&window, 30.0, 1.2);
        let image = Plane {
            height: 7,
            width: 7,
            values: (0..49_u8).map(f32::from).collect(),
        };
        // Values up to 48 in single precision.
        close(
            &linear(&grid, &image, 0.0),
            &matrix(&expected["img_linear_const0"]),
            4e-6,
        );
        let inside = |i: usize| (2..=4).contains(&(i / 7)) && (1..=5).contains(&(i % 7));
        let mask = Plane {
            values: (0..49).map(|i| if inside(i) { 1.0 } else { 0.0 }).collect(),
            ..image
        };
        let soft = matrix(&expected["mask_linear"]);
        close(&linear(&grid, &mask, 0.0), &soft, 1e-7);
        let hard = matrix(&expected["mask_linear_ge_0_5"]);
        close(&cut(&grid, mask), &hard, 1e-9);
    }

    #[test]
    fn coordinates_agree_with_scipy() {
        let expected = &training()["spatial"];
        let window = Region {
            origin: [1, 1],
            size: [5, 5],
        };
        let grid = SamplingGrid::new(&window, 30.0, 1.2);
        // Linear functions of the coordinates are resampled as themselves.
        let of = |value: fn(usize) -> f32| {
            let values = (0..49).map(value).collect();
            let plane = Plane {
                height: 7,
                width: 7,
                values,
            };
            linear(&grid, &plane, f32::NAN)
        };
        let found = [of(|i| (i / 7) as f32), of(|i| (i % 7) as f32)];
        let wanted = ["coord_row", "coord_col"].map(|name| matrix(&expected[name]));
        let mut compared = 0;
        for (found, wanted) in found.iter().zip(&wanted) {
            for (found, wanted) in found
                .iter()
                .zip(wanted)
                .filter(|(found, _)| !found.is_nan())
            {
                assert!(
                    (f64::from(*found) - wanted).abs() < 2.4e-7,
                    "{found} {wanted}"
                );
                compared += 1;
            }
        }
        assert!(compared > 30);
    }

    /// SciPy 1.17: `map_coordinates([[1, 2, 4]], [[y, y, ...], x], order=1, cval=-1)`.
    #[test]
    fn a_plane_of_one_row_is_resampled_along_it() {
        let row = Plane {
            height: 1,
            width: 3,
            values: vec![1.0, 2.0, 4.0],
        };
        let window = Region {
            origin: [0, 0],
            size: [3, 3],
        };
        // Of three output rows the middle one is a row below the plane.
        let below = linear(&SamplingGrid::new(&window, 0.0, 0.5), &row, -1.0);
        assert_eq!(below, [-1.0; 9]);
        let window = Region {
            size: [1, 3],
            ..window
        };
        let along = SamplingGrid::new(&window, 0.0, 0.5);
        assert_eq!(linear(&along, &row, -1.0), [1.5, 2.0, 3.0]);
        assert_eq!(cut(&along, row), [1.0; 3]);
        let pixel = Plane {
            height: 1,
            width: 1,
            values: vec![5.0],
        };
        let window = Region {
            origin: [0, 0],
            size: [3, 3],
        };
        let grid = SamplingGrid::new(&window, 0.0, 1.0);
        let mut expected = [-1.0; 9];
        expected[0] = 5.0;
        assert_eq!(linear(&grid, &pixel, -1.0), expected);
    }

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
            let found = linear(&grid, &plane(case, "image"), number("outside") as f32);
            close(&found, &numbers(&case["resampled"]), ROUNDING);
            let mask = cut(&grid, plane(case, "mask"));
            close(&mask, &numbers(&case["resampled_mask"]), 1e-9);
            outside += case["outside_pixels"].as_u64().unwrap();
        }
        assert!(cases.len() >= 10 && outside > 200);
    }
}
