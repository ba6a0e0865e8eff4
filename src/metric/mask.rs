//! The input of metrics: a borrowed binary mask, and the distance between its pixels.
//!
//! The rule: a `MaskView` always holds exactly `height * width` pixels, because only `new` makes
//! one.

use serde::{Deserialize, Serialize};

/// A borrowed binary mask `[H, W]`, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskView<'a> {
    height: usize,
    width: usize,
    pixels: &'a [bool],
}

impl<'a> MaskView<'a> {
    /// Borrows `pixels` as a mask of `height` rows of `width` columns.
    ///
    /// # Errors
    /// The number of pixels is not `height * width`.
    pub fn new(height: usize, width: usize, pixels: &'a [bool]) -> Result<Self, MaskError> {
        if height.checked_mul(width) != Some(pixels.len()) {
            return Err(MaskError::Length {
                height,
                width,
                found: pixels.len(),
            });
        }
        Ok(Self {
            height,
            width,
            pixels,
        })
    }

    /// The number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The pixels of one row.
    ///
    /// # Panics
    /// `row` is not below the height.
    pub fn row(&self, row: usize) -> &'a [bool] {
        &self.pixels[row * self.width..(row + 1) * self.width]
    }

    /// Checks that both masks have the same height and width.
    ///
    /// # Errors
    /// They differ.
    pub fn same_shape(&self, other: &MaskView) -> Result<(), MaskError> {
        let shapes = ([self.height, self.width], [other.height, other.width]);
        if shapes.0 == shapes.1 {
            Ok(())
        } else {
            Err(MaskError::Shapes {
                prediction: shapes.0,
                reference: shapes.1,
            })
        }
    }
}

/// A pixel's place, counted from the upper left corner. Ordered row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pixel {
    /// 0-based row.
    pub row: usize,
    /// 0-based column.
    pub column: usize,
}

/// The distance between neighbouring pixels, in millimetres where the image's header is trusted,
/// else one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spacing {
    /// From one row to the next.
    pub row: f64,
    /// From one column to the next.
    pub column: f64,
}

impl Default for Spacing {
    fn default() -> Self {
        Self {
            row: 1.0,
            column: 1.0,
        }
    }
}

impl Spacing {
    /// The diagonal of an image of `height` x `width` pixels: no distance inside it is as large, so
    /// it serves as the worst case of an undefined surface distance.
    pub fn diagonal(&self, height: usize, width: usize) -> f64 {
        libm::hypot(height as f64 * self.row, width as f64 * self.column)
    }

    pub(super) fn check(&self) -> Result<(), MaskError> {
        let good = |step: f64| step.is_finite() && step > 0.0;
        if good(self.row) && good(self.column) {
            Ok(())
        } else {
            Err(MaskError::Spacing(*self))
        }
    }
}

/// Why a pair of masks cannot be compared. (An empty mask can: see [`super::Reason`].)
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum MaskError {
    /// The pixels given do not fill the shape given.
    #[error("a mask of {height}x{width} cannot hold {found} pixels")]
    Length {
        /// Rows asked for.
        height: usize,
        /// Columns asked for.
        width: usize,
        /// Pixels given.
        found: usize,
    },
    /// Prediction and reference differ in `[height, width]`.
    #[error(
        "the prediction is {}x{} pixels but the reference is {}x{}",
        .prediction[0], .prediction[1], .reference[0], .reference[1]
    )]
    Shapes {
        /// Shape of the prediction.
        prediction: [usize; 2],
        /// Shape of the reference.
        reference: [usize; 2],
    },
    /// A spacing that is zero, negative, infinite or NaN.
    #[error("the pixel spacing must be positive and finite, not {} by {}", .0.row, .0.column)]
    Spacing(Spacing),
}
