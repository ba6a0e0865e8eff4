//! Moments of the parts that planes are cut into.

use super::{
    arena::CardBlock,
    card_engine::Cuda,
    shapes::{PIECE, PIXELS},
};
use crate::engine::lanes::LANES;

/// Mean and sum of squared distances from it, of each part of every plane and sample:
/// `[G, C, parts, 2, 16]`. The parts lie in rows.
#[derive(Debug)]
pub(super) struct MomentParts {
    pub block: CardBlock,
    /// Rows of parts in a plane.
    pub rows: usize,
    /// Pixels of a row, and of its parts; the last part has what is left.
    pub width: usize,
    pub span: usize,
}

impl MomentParts {
    /// Of what a correlation gives, whose classes of output pixels lie `spread` apart: its blocks'
    /// pixels.
    pub fn of_correlation(cuda: &Cuda, dims: [usize; 4], spread: usize) -> Self {
        let [groups, channels, height, width] = dims;
        let rows = height * spread;
        Self::new(cuda, groups * channels, rows, width / spread, PIXELS)
    }

    /// Of any planes of so many pixels: pieces.
    pub fn of_planes(cuda: &Cuda, planes: usize, pixels: usize) -> Self {
        Self::new(cuda, planes, 1, pixels, PIECE)
    }

    fn new(cuda: &Cuda, planes: usize, rows: usize, width: usize, span: usize) -> Self {
        let parts = rows * width.div_ceil(span);
        Self {
            block: cuda.take(planes * parts * 2 * LANES),
            rows,
            width,
            span,
        }
    }
}
