//! The part of an image that a picture shows: the square around all masks.

use crate::data::Mask;

/// The smallest side, in pixels of the image.
const LEAST_SIDE_PX: usize = 64;

/// A part of an image, in pixels; a square unless the image is too small for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageCrop {
    /// Its first column.
    pub left: usize,
    /// Its first row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl ImageCrop {
    /// The square around all masks with a margin, kept within the image; the whole image where no
    /// mask has anything inside.
    ///
    /// # Panics
    /// There is no mask.
    pub fn around(masks: &[&Mask]) -> Self {
        let (height, width) = (masks[0].height, masks[0].width);
        let inside = masks.iter().flat_map(|mask| {
            let pixels = mask
                .pixels
                .iter()
                .enumerate()
                .filter(|(_, inside)| **inside);
            pixels.map(|(i, _)| (i % mask.width, i / mask.width))
        });
        let bounds = inside.fold(None, |bounds: Option<[usize; 4]>, (x, y)| {
            let [left, top, right, bottom] = bounds.unwrap_or([x, y, x, y]);
            Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
        });
        let [left, top, right, bottom] = bounds.unwrap_or([0, 0, width - 1, height - 1]);
        let side = (right - left + 1).max(bottom - top + 1);
        let side = (side + side / 5).max(LEAST_SIDE_PX);
        let part = |low: usize, high: usize, whole: usize| {
            let side = side.min(whole);
            let start = ((low + high + 1).saturating_sub(side) / 2).min(whole - side);
            (start, side)
        };
        let (left, width) = part(left, right, width);
        let (top, height) = part(top, bottom, height);
        Self {
            left,
            top,
            width,
            height,
        }
    }

    /// The values of a row-major array that lie within, row by row; `row` is the array's width.
    pub fn of<'a, T: Copy>(&self, values: &'a [T], row: usize) -> impl Iterator<Item = T> + 'a {
        let Self {
            left,
            top,
            width,
            height,
        } = *self;
        let rows = (top..top + height).flat_map(move |y| &values[y * row + left..][..width]);
        rows.copied()
    }
}
