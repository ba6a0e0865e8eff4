//! The input pixels that a piece of the output needs, copied with the padding written out: every tap is inside then, whatever
//! the shape, and channels stand close together, where planes may lie a power of two apart and fight for the cache.

use super::super::super::LANES;
use std::ops::Range;

/// One direction of a window. A stride of two parts the pixels by parity, so that each tap reads neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    step: usize,
    /// The least offset of a tap.
    least: isize,
    /// Parities that taps read.
    parts: usize,
    /// Pixels of each.
    len: usize,
    /// The first output.
    start: usize,
    /// Pixels of the input.
    size: usize,
}

impl Axis {
    /// For taps at `offsets` from `step` times the output's place, over some outputs of an input of `size`.
    pub(super) fn new(offsets: &[isize], step: usize, outputs: &Range<usize>, size: usize) -> Self {
        let least = offsets.iter().copied().min().unwrap_or(0);
        let span = span(offsets);
        Self {
            step,
            least,
            parts: step.min(span),
            len: outputs.len() + (span - 1) / step,
            start: outputs.start,
            size,
        }
    }

    /// Pixels of all parts.
    pub(super) fn pixels(&self) -> usize {
        self.parts * self.len
    }

    /// The place in the window of a tap of the first output.
    pub(super) fn place(&self, offset: isize) -> usize {
        let distance = (offset - self.least).unsigned_abs();
        distance % self.step * self.len + distance / self.step
    }

    /// The place in the input of a place in the window, if it is inside.
    fn input(&self, place: usize) -> Option<usize> {
        let (part, index) = (place / self.len, place % self.len);
        let at = (self.step * (self.start + index) + part) as isize + self.least;
        usize::try_from(at).ok().filter(|at| *at < self.size)
    }
}

/// From the least to the greatest offset.
pub(super) fn span(offsets: &[isize]) -> usize {
    let least = offsets.iter().min().unwrap_or(&0);
    let most = offsets.iter().max().unwrap_or(&0);
    (most - least).unsigned_abs() + 1
}

/// Rows and columns of a window.
pub(super) struct Window {
    pub(super) rows: Axis,
    pub(super) columns: Axis,
}

impl Window {
    /// Floats from one channel to the next: whole lines, an odd number of them.
    pub(super) fn channel(&self) -> usize {
        ((self.rows.pixels() * self.columns.pixels()) | 1) * LANES
    }

    /// Copies the pixels of one channel from its plane; rows outside the image are left as they are, since no tap reads them.
    pub(super) fn copy(&self, plane: &[f32], to: &mut [f32]) {
        let columns = &self.columns;
        let row_len = columns.pixels() * LANES;
        let rows = to.chunks_exact_mut(row_len).take(self.rows.pixels());
        for (row, to) in rows.enumerate() {
            let Some(row) = self.rows.input(row) else {
                continue;
            };
            let from = &plane[row * columns.size * LANES..][..columns.size * LANES];
            let (from, to) = (from.as_chunks::<LANES>().0, to.as_chunks_mut::<LANES>().0);
            if columns.step == 1 {
                self.copy_neighbours(from, to);
                continue;
            }
            for (place, to) in to.iter_mut().enumerate() {
                *to = columns.input(place).map_or([0.0; LANES], |at| from[at]);
            }
        }
    }

    /// One row of a stride of one: zeros, pixels, zeros.
    fn copy_neighbours(&self, from: &[[f32; LANES]], to: &mut [[f32; LANES]]) {
        let columns = &self.columns;
        let first = columns.start as isize + columns.least;
        let before = (-first).clamp(0, to.len() as isize).unsigned_abs();
        let first = first.max(0).unsigned_abs();
        let inside = columns.size.saturating_sub(first).min(to.len() - before);
        to[..before].fill([0.0; LANES]);
        if inside > 0 {
            to[before..before + inside].copy_from_slice(&from[first..first + inside]);
        }
        to[before + inside..].fill([0.0; LANES]);
    }
}
