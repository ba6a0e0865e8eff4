//! The input pixels that a piece of the output needs, copied with the padding written out. Every
//! tap is then inside, whatever the shape. Channels lie close together, where planes may be a power
//! of two apart and share a few sets of the cache.

use std::ops::Range;

use crate::engine::lanes::{
    kernels::features::FeaturePlane,
    machine::{Kernels, LANES, odd_lines},
};

/// One direction of a window. For a stride of two, pixels are sorted by parity, so that each tap
/// reads neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowAxis {
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

impl WindowAxis {
    /// For taps at `offsets` from `step` times the output's place, over some outputs of an input of
    /// `size` pixels.
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

    /// The pixels of the input that are read.
    fn inputs(&self) -> Range<usize> {
        let first = (self.step * self.start) as isize + self.least;
        let end = first + (self.step * (self.len - 1) + self.parts) as isize;
        let inside = |at: isize| at.clamp(0, self.size as isize).unsigned_abs();
        inside(first)..inside(end)
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
pub(super) struct PixelWindow {
    pub(super) rows: WindowAxis,
    pub(super) columns: WindowAxis,
}

impl PixelWindow {
    /// Floats from one channel to the next.
    pub(super) fn channel(&self) -> usize {
        odd_lines(self.rows.pixels() * self.columns.pixels() * LANES)
    }

    /// Floats of the widest row that [`Self::copy`] reads.
    pub(super) fn row(&self) -> usize {
        self.columns.inputs().len() * LANES
    }

    /// Copies the pixels of one channel. Rows outside the image are left as they are, since no tap
    /// reads them. There is `room` for a row.
    pub(super) fn copy(
        &self,
        kernels: &Kernels,
        plane: FeaturePlane,
        room: &mut [f32],
        to: &mut [f32],
    ) {
        let columns = &self.columns;
        let inputs = columns.inputs();
        let rows = to.chunks_exact_mut(columns.pixels() * LANES);
        for (row, to) in rows.take(self.rows.pixels()).enumerate() {
            let Some(row) = self.rows.input(row) else {
                continue;
            };
            let at = |column: usize| (row * columns.size + column) * LANES;
            let from = plane.read(kernels, at(inputs.start)..at(inputs.end), room);
            let (from, to) = (from.as_chunks::<LANES>().0, to.as_chunks_mut::<LANES>().0);
            columns.copy(inputs.start, from, to);
        }
    }
}

impl WindowAxis {
    /// Copies a row: zeros, pixels, zeros. `from` begins with pixel `first`.
    fn copy(&self, first: usize, from: &[[f32; LANES]], to: &mut [[f32; LANES]]) {
        if self.step > 1 {
            for (place, to) in to.iter_mut().enumerate() {
                *to = self
                    .input(place)
                    .map_or([0.0; LANES], |at| from[at - first]);
            }
            return;
        }
        let before = (-(self.start as isize + self.least))
            .clamp(0, to.len() as isize)
            .unsigned_abs();
        to[..before].fill([0.0; LANES]);
        to[before..before + from.len()].copy_from_slice(from);
        to[before + from.len()..].fill([0.0; LANES]);
    }
}
