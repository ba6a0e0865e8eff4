//! Images and masks on a grid of pixels of another size.
//!
//! The rule: the new grid has pixels of exactly the size that is asked for, as many as cover the
//! image (rounded), and the same centre. Values are interpolated linearly between the centres of
//! pixels, in double precision; beyond the outermost centres, at most half a pixel, they stay what
//! they are there. That is ITK's `ResampleImageFilter` with its linear interpolator. Nothing is
//! smoothed before. A mask is inside from 0.5 on. An image whose pixels have that size stays as it
//! is, to the bit.

use super::{
    Image, Mask,
    nifti::{Fault, Header, MAX_AXIS_PX, MAX_PIXELS, SpacingMm, same_spacing},
};

/// Sums of weights that are 0.5 but for rounding are inside.
const HALF: f64 = 0.5 - 1e-9;

/// The grid of an image, and the one that it is resampled to.
#[derive(Clone, Debug)]
pub(super) struct Resampling {
    /// Width and height.
    from: [usize; 2],
    to: [usize; 2],
    spacing: SpacingMm,
    /// The step between pixels of the new grid, in pixels of the image.
    scale: [f64; 2],
    /// The place of its first pixel, in pixels of the image.
    first: [f64; 2],
}

impl Resampling {
    /// From the grid of a header to pixels of `size_mm`, wide and high; `None` where they have that
    /// size already.
    ///
    /// # Errors
    /// The header does not say how large its pixels are, or the new grid has too few or too many.
    pub(super) fn of(header: &Header, size_mm: [f64; 2]) -> Result<Option<Self>, Fault> {
        let spacing = SpacingMm {
            x_mm: size_mm[0],
            y_mm: size_mm[1],
        };
        let found = header.spacing()?;
        if header.geometry().stated_size().is_none() {
            return Err(Fault::new(
                "has a header that does not say how large its pixels are, and `spacing_mm` asks \
                 to resample them",
                "write their size to the header, or take `spacing_mm` out",
            ));
        }
        if same_spacing(found, spacing) {
            return Ok(None);
        }
        let from = header.shape()?;
        let scale = [spacing.x_mm / found.x_mm, spacing.y_mm / found.y_mm];
        let mut to = [0; 2];
        let mut first = [0.0; 2];
        for axis in 0..2 {
            let length = (from[axis] as f64 / scale[axis]).round();
            if !(2.0..=MAX_AXIS_PX as f64).contains(&length) {
                return Err(Fault::new(
                    format!(
                        "has {} pixels along an axis, which would be {length} once resampled",
                        from[axis]
                    ),
                    "check `spacing_mm`, and the size of a pixel in the header",
                ));
            }
            to[axis] = length as usize;
            first[axis] = ((from[axis] - 1) as f64 - (length - 1.0) * scale[axis]) / 2.0;
        }
        if to[0] * to[1] > MAX_PIXELS {
            return Err(Fault::new(
                format!(
                    "would have {} x {} pixels once resampled, more than {MAX_PIXELS}",
                    to[0], to[1]
                ),
                "check `spacing_mm`, and the size of a pixel in the header",
            ));
        }
        Ok(Some(Self {
            from,
            to,
            spacing,
            scale,
            first,
        }))
    }

    /// An image on the new grid.
    pub(super) fn image(&self, image: &Image) -> Image {
        let at = |i: usize| f64::from(image.pixels[i]);
        Image {
            height: self.to[1],
            width: self.to[0],
            pixels: self.values(at).map(|v| v as f32 + 0.0).collect(),
        }
    }

    /// A mask on the new grid.
    pub(super) fn mask(&self, mask: &Mask) -> Mask {
        let at = |i: usize| f64::from(u8::from(mask.pixels[i]));
        Mask {
            height: self.to[1],
            width: self.to[0],
            pixels: self.values(at).map(|v| v >= HALF).collect(),
        }
    }

    /// The header of the new grid.
    ///
    /// # Errors
    /// The header is not that of one plane.
    pub(super) fn header(&self, header: &Header) -> Result<Header, Fault> {
        header.resampled(self.to, self.spacing, self.scale, self.first)
    }

    /// The values of the new grid, row after row.
    fn values(&self, at: impl Fn(usize) -> f64) -> impl Iterator<Item = f64> {
        let [columns, rows] = [self.taps(0), self.taps(1)];
        let width = self.from[0];
        let pixel = move |&(y0, y1, fy): &LinearTap, &(x0, x1, fx): &LinearTap| {
            let row = |y: usize| at(y * width + x0) * (1.0 - fx) + at(y * width + x1) * fx;
            row(y0) * (1.0 - fy) + row(y1) * fy
        };
        let mut values = Vec::with_capacity(self.to[0] * self.to[1]);
        for row in &rows {
            values.extend(columns.iter().map(|column| pixel(row, column)));
        }
        values.into_iter()
    }

    /// For each new column (or row): the two that it lies between, and the weight of the second.
    fn taps(&self, axis: usize) -> Vec<LinearTap> {
        let last = self.from[axis] - 1;
        let tap = |i: usize| {
            let place = self.first[axis] + i as f64 * self.scale[axis];
            let place = place.clamp(0.0, last as f64);
            let below = place.floor();
            let index = below as usize;
            (index, (index + 1).min(last), place - below)
        };
        (0..self.to[axis]).map(tap).collect()
    }
}

/// Two neighbours, and the weight of the second.
type LinearTap = (usize, usize, f64);
