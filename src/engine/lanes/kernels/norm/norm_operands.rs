//! What a norm works on: its shape, the affine tables, and what the forward pass leaves for later.

use std::ops::Range;

use crate::engine::lanes::{kernels::operand::check, machine::LANES};

/// Pixels summed at a time. They stay in L1 for the second pass over them, and partial sums stay
/// short.
pub(super) const BLOCK: usize = 64;

/// The shape of what is normalised, `[G, C, P, 16]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Groups of sixteen samples.
    pub groups: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of a plane, height times width.
    pub pixels: usize,
    /// Added to the variance.
    pub eps: f32,
}

impl Norm {
    /// Floats of an activation `[G, C, P, 16]`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables() * self.pixels
    }

    /// Whether there is nothing to normalise.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Floats of a table `[G, C, 16]`.
    #[must_use]
    pub fn tables(&self) -> usize {
        self.groups * self.channels * LANES
    }
}

/// Scale and shift of each lane and channel.
#[derive(Clone, Copy, Debug)]
pub struct AffineTables<'a> {
    /// `[G, C, 16]`.
    pub gamma: &'a [f32],
    /// `[G, C, 16]`.
    pub beta: &'a [f32],
}

/// What a forward pass leaves for later.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// The input, `[G, C, P, 16]`.
    pub x: &'a [f32],
    /// Means over each plane, `[G, C, 16]`.
    pub mean: &'a [f32],
    /// Reciprocal deviations, `[G, C, 16]`.
    pub rstd: &'a [f32],
    /// Scale and shift.
    pub affine: AffineTables<'a>,
}

impl<'a> Saved<'a> {
    pub(in crate::engine::lanes::kernels) fn check(&self, norm: &Norm) {
        let AffineTables { gamma, beta } = self.affine;
        check("x", self.x.len(), norm.len());
        check_tables(norm, &[self.mean, self.rstd, gamma, beta]);
    }

    /// What belongs to one plane.
    pub(super) fn plane(&self, norm: &Norm, plane: usize) -> Self {
        let len = norm.pixels * LANES;
        self.part(norm, plane * len..(plane + 1) * len)
    }

    /// What belongs to the floats `pixels`, all of one plane.
    ///
    /// # Panics
    /// When they are not.
    pub(in crate::engine::lanes::kernels) fn part(
        &self,
        norm: &Norm,
        pixels: Range<usize>,
    ) -> Self {
        let len = norm.pixels * LANES;
        let plane = pixels.start / len;
        assert!(pixels.end <= (plane + 1) * len, "pixels of two planes");
        let at = plane * LANES;
        let table = |table: &'a [f32]| &table[at..at + LANES];
        Self {
            x: &self.x[pixels],
            mean: table(self.mean),
            rstd: table(self.rstd),
            affine: AffineTables {
                gamma: table(self.affine.gamma),
                beta: table(self.affine.beta),
            },
        }
    }

    /// Whether tables are one plane's.
    pub(in crate::engine::lanes::kernels) fn is_plane(&self) -> bool {
        let AffineTables { gamma, beta } = self.affine;
        let tables = [self.mean, self.rstd, gamma, beta];
        self.x.len().is_multiple_of(LANES) && tables.iter().all(|table| table.len() == LANES)
    }
}

/// Statistics the forward pass writes, over each plane's pixels.
#[derive(Debug)]
pub struct PlaneStatistics<'a> {
    /// Means `[G, C, 16]`.
    pub mean: &'a mut [f32],
    /// `1 / sqrt(biased variance + eps)`, `[G, C, 16]`.
    pub rstd: &'a mut [f32],
}

/// Panics unless every table is `[G, C, 16]`.
pub(super) fn check_tables(norm: &Norm, tables: &[&[f32]]) {
    for table in tables {
        check("a table", table.len(), norm.tables());
    }
}
