//! Conditional instance norm with residual and ReLU in one sweep, `y = act(gamma (x - mu) rstd + beta + residual)`, and
//! its gradients. The affine tables hold one value per lane and channel, so each sample may follow its own expert.

mod gradient;
mod moments;

pub use gradient::{Gate, Gradients, backward};
pub use moments::statistics;

use super::isa::{Kernels, multiversion};
use super::threads::Shared;
use super::vector::Vector;
use super::{LANES, check};
use moments::moments_body;
use std::ops::Range;

/// Pixels between the one that is read and the one that is asked for: rows and planes lie one behind the other.
const AHEAD: usize = 24;

/// Pixels summed at a time: they stay in L1 for the second pass over them, and partial sums stay short.
const BLOCK: usize = 64;

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
pub struct Affine<'a> {
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
    pub affine: Affine<'a>,
}

impl<'a> Saved<'a> {
    pub(super) fn check(&self, norm: &Norm) {
        let Affine { gamma, beta } = self.affine;
        check("x", self.x.len(), norm.len());
        check_tables(norm, &[self.mean, self.rstd, gamma, beta]);
    }

    /// What belongs to one plane.
    fn plane(&self, norm: &Norm, plane: usize) -> Self {
        let len = norm.pixels * LANES;
        self.part(norm, plane * len..(plane + 1) * len)
    }

    /// What belongs to the floats `pixels`, all of one plane.
    ///
    /// # Panics
    /// When they are not.
    pub(super) fn part(&self, norm: &Norm, pixels: Range<usize>) -> Self {
        let len = norm.pixels * LANES;
        let plane = pixels.start / len;
        assert!(pixels.end <= (plane + 1) * len, "pixels of two planes");
        let at = plane * LANES;
        let table = |table: &'a [f32]| &table[at..at + LANES];
        Self {
            x: &self.x[pixels],
            mean: table(self.mean),
            rstd: table(self.rstd),
            affine: Affine {
                gamma: table(self.affine.gamma),
                beta: table(self.affine.beta),
            },
        }
    }

    /// Whether tables are one plane's.
    pub(super) fn is_plane(&self) -> bool {
        let Affine { gamma, beta } = self.affine;
        let tables = [self.mean, self.rstd, gamma, beta];
        self.x.len().is_multiple_of(LANES) && tables.iter().all(|table| table.len() == LANES)
    }
}

/// What follows the affine map and the residual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(y, 0)`.
    Relu,
}

/// Statistics the forward pass writes, over each plane's pixels.
#[derive(Debug)]
pub struct Statistics<'a> {
    /// Means `[G, C, 16]`.
    pub mean: &'a mut [f32],
    /// `1 / sqrt(biased variance + eps)`, `[G, C, 16]`.
    pub rstd: &'a mut [f32],
}

/// Normalises. Overwrites `y` `[G, C, P, 16]` and both statistics.
///
/// The variance comes from deviations from block means, merged by Chan's formula, so it keeps its digits when the mean is
/// thousands of standard deviations away.
///
/// # Panics
/// When a slice's length is not the shape's.
#[expect(
    clippy::too_many_arguments,
    reason = "the operands of one fused operation"
)]
pub fn forward(
    kernels: &Kernels,
    norm: &Norm,
    x: &[f32],
    affine: Affine,
    residual: Option<&[f32]>,
    activation: Activation,
    y: &mut [f32],
    statistics: Statistics,
) {
    check("x", x.len(), norm.len());
    check("y", y.len(), norm.len());
    check_tables(
        norm,
        &[affine.gamma, affine.beta, statistics.mean, statistics.rstd],
    );
    if let Some(residual) = residual {
        check("residual", residual.len(), norm.len());
    }
    let (y, mean, rstd) = (
        Shared::new(y),
        Shared::new(statistics.mean),
        Shared::new(statistics.rstd),
    );
    let len = norm.pixels * LANES;
    kernels
        .threads()
        .run(norm.groups * norm.channels, 4 * norm.pixels, |p| {
            let (plane, table) = (p * len..(p + 1) * len, p * LANES..(p + 1) * LANES);
            // SAFETY: planes and their tables are disjoint; the instruction set is the kernels'.
            unsafe {
                let mut out = Plane {
                    y: y.part(plane.start, len),
                    mean: mean.part(table.start, LANES),
                    rstd: rstd.part(table.start, LANES),
                };
                let input = Input {
                    x: &x[plane.clone()],
                    residual: residual.map(|r| &r[plane]),
                    affine: Affine {
                        gamma: &affine.gamma[table.clone()],
                        beta: &affine.beta[table],
                    },
                    eps: norm.eps,
                    activation,
                };
                plane_forward(kernels.isa(), &input, &mut out);
            }
        });
}

/// The output of [`forward`] without a residual, from what it saved. Overwrites `y` `[G, C, P, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn apply(kernels: &Kernels, norm: &Norm, saved: Saved, activation: Activation, y: &mut [f32]) {
    saved.check(norm);
    check("y", y.len(), norm.len());
    let y = Shared::new(y);
    let len = norm.pixels * LANES;
    kernels
        .threads()
        .run(norm.groups * norm.channels, 2 * norm.pixels, |p| {
            let saved = saved.plane(norm, p);
            // SAFETY: planes are disjoint; the instruction set is the kernels'.
            unsafe {
                let y = y.part(p * len, len);
                plane_apply(kernels.isa(), saved, None, activation, y);
            }
        });
}

fn check_tables(norm: &Norm, tables: &[&[f32]]) {
    for table in tables {
        check("a table", table.len(), norm.tables());
    }
}

/// One plane's operands.
struct Input<'a> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    affine: Affine<'a>,
    eps: f32,
    activation: Activation,
}

/// One plane's results.
struct Plane<'a> {
    y: &'a mut [f32],
    mean: &'a mut [f32],
    rstd: &'a mut [f32],
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn plane_forward = plane_forward_body(input: &Input, out: &mut Plane)
}

#[inline(always)]
unsafe fn plane_forward_body<V: Vector>(input: &Input, out: &mut Plane) {
    // SAFETY: the instruction set is on.
    unsafe {
        moments_body::<V>(input.x, input.eps, out.mean, out.rstd);
        let saved = Saved {
            x: input.x,
            mean: out.mean,
            rstd: out.rstd,
            affine: input.affine,
        };
        plane_apply_body::<V>(saved, input.residual, input.activation, out.y);
    }
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    pub(super) fn plane_apply = plane_apply_body(saved: Saved, residual: Option<&[f32]>, activation: Activation, y: &mut [f32])
}

#[inline(always)]
unsafe fn plane_apply_body<V: Vector>(
    saved: Saved,
    residual: Option<&[f32]>,
    activation: Activation,
    y: &mut [f32],
) {
    assert!(saved.is_plane() && saved.x.len() == y.len());
    assert!(residual.is_none_or(|r| r.len() == y.len()));
    // SAFETY: lengths asserted.
    unsafe {
        match (activation, residual) {
            (Activation::Identity, None) => map::<V, false, false>(saved, &[], y),
            (Activation::Identity, Some(residual)) => map::<V, false, true>(saved, residual, y),
            (Activation::Relu, None) => map::<V, true, false>(saved, &[], y),
            (Activation::Relu, Some(residual)) => map::<V, true, true>(saved, residual, y),
        }
    }
}

/// The affine map of one plane, with residual and ReLU where the constants say so.
#[inline(always)]
unsafe fn map<V: Vector, const RELU: bool, const RESIDUAL: bool>(
    saved: Saved,
    residual: &[f32],
    y: &mut [f32],
) {
    let len = y.len();
    let (x, residual, y) = (saved.x.as_ptr(), residual.as_ptr(), y.as_mut_ptr());
    for block in (0..len).step_by(BLOCK * LANES) {
        let end = (block + BLOCK * LANES).min(len);
        for at in (0..LANES).step_by(V::N) {
            // SAFETY: planes have the same length, a multiple of sixteen; tables hold sixteen lanes.
            unsafe {
                let map = Map::<V>::new(&saved, at);
                for i in (block + at..end).step_by(LANES) {
                    if at == 0 {
                        V::prefetch(x.wrapping_add(i + AHEAD * LANES));
                    }
                    let mut value = map.at(V::load(x.add(i)));
                    if RESIDUAL {
                        value = value.add(V::load(residual.add(i)));
                    }
                    if RELU {
                        // Zero first: a NaN in the second operand survives.
                        value = V::splat(0.0).max(value);
                    }
                    value.store(y.add(i));
                }
            }
        }
    }
}

/// The affine map of one channel in registers. Forward and backward share it, so a mask recomputed is the mask of the output.
#[derive(Clone, Copy)]
pub(super) struct Map<V> {
    mean: V,
    scale: V,
    beta: V,
}

impl<V: Vector> Map<V> {
    /// # Safety
    /// The instruction set is available; tables hold sixteen lanes.
    #[inline(always)]
    pub(super) unsafe fn new(saved: &Saved, at: usize) -> Self {
        let Saved { mean, rstd, .. } = saved;
        let Affine { gamma, beta } = saved.affine;
        // SAFETY: the caller's promise.
        unsafe {
            let scale = V::load(gamma.as_ptr().add(at)).mul(V::load(rstd.as_ptr().add(at)));
            Self {
                mean: V::load(mean.as_ptr().add(at)),
                scale,
                beta: V::load(beta.as_ptr().add(at)),
            }
        }
    }

    #[inline(always)]
    pub(super) fn at(&self, x: V) -> V {
        x.sub(self.mean).fma(self.scale, self.beta)
    }
}
