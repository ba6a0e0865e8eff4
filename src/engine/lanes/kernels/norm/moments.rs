//! The statistics of a norm: means and reciprocal deviations of planes, lane by lane.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::norm_operands::{BLOCK, Norm, PlaneStatistics, check_tables};
use crate::engine::lanes::{
    kernels::operand::check,
    machine::{Kernels, LANES, Shared, Vector, multiversion},
};

/// The statistics that [`super::forward`] saves, without its output, from `x` `[G, C, P, 16]`.
/// Overwrites both.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn statistics(kernels: &Kernels, norm: &Norm, x: &[f32], statistics: PlaneStatistics) {
    check("x", x.len(), norm.len());
    check_tables(norm, &[statistics.mean, statistics.rstd]);
    let (mean, rstd) = (Shared::new(statistics.mean), Shared::new(statistics.rstd));
    let len = norm.pixels * LANES;
    kernels
        .threads()
        .run(norm.groups * norm.channels, 2 * norm.pixels, |p| {
            // SAFETY: planes' tables are disjoint; the instruction set is the kernels'.
            unsafe {
                let (mean, rstd) = (mean.part(p * LANES, LANES), rstd.part(p * LANES, LANES));
                moments(kernels.isa(), &x[p * len..][..len], norm.eps, mean, rstd);
            }
        });
}

multiversion! {
    /// Mean and `1 / sqrt(var + eps)` of one plane, lane by lane.
    ///
    /// # Safety
    /// None beyond the instruction set.
    fn moments = moments_body(x: &[f32], eps: f32, mean: &mut [f32], rstd: &mut [f32])
}

#[inline(always)]
pub(super) unsafe fn moments_body<V: Vector>(
    x: &[f32],
    eps: f32,
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    assert!(mean.len() == LANES && rstd.len() == LANES && x.len().is_multiple_of(LANES));
    // All deviations are from the first block's mean, so that rounding is relative to the spread.
    let mut origin = [0.0f32; LANES];
    let (mut shift, mut squares) = ([0.0f32; LANES], [0.0f32; LANES]);
    let mut seen = 0.0f32;
    for (i, block) in x.chunks(BLOCK * LANES).enumerate() {
        let count = (block.len() / LANES) as f32;
        let (to_mean, cross) = (count / (seen + count), seen * count / (seen + count));
        for at in (0..LANES).step_by(V::N) {
            // SAFETY: blocks are whole pixels, tables hold sixteen lanes.
            unsafe {
                if i == 0 {
                    let total = sum::<V>(block, at, V::splat(0.0));
                    total
                        .mul(V::splat(1.0 / count))
                        .store(origin.as_mut_ptr().add(at));
                }
                let from = V::load(origin.as_ptr().add(at));
                let local = sum::<V>(block, at, from).mul(V::splat(1.0 / count));
                let spread = sum_squares::<V>(block, at, from.add(local));
                let (old, m2) = (
                    V::load(shift.as_ptr().add(at)),
                    V::load(squares.as_ptr().add(at)),
                );
                let delta = local.sub(old);
                delta
                    .fma(V::splat(to_mean), old)
                    .store(shift.as_mut_ptr().add(at));
                let m2 = delta.mul(delta).fma(V::splat(cross), m2.add(spread));
                m2.store(squares.as_mut_ptr().add(at));
            }
        }
        seen += count;
    }
    for at in (0..LANES).step_by(V::N) {
        // SAFETY: tables hold sixteen lanes.
        unsafe {
            let shift = V::load(shift.as_ptr().add(at));
            V::load(origin.as_ptr().add(at))
                .add(shift)
                .store(mean.as_mut_ptr().add(at));
            let variance = V::load(squares.as_ptr().add(at)).mul(V::splat(1.0 / seen));
            V::splat(1.0)
                .div(variance.add(V::splat(eps)).sqrt())
                .store(rstd.as_mut_ptr().add(at));
        }
    }
}

/// The sum over a block's pixels of `x - from`, for the lanes from `at` on.
#[inline(always)]
unsafe fn sum<V: Vector>(block: &[f32], at: usize, from: V) -> V {
    // SAFETY: the block is whole pixels and the lanes are inside one.
    unsafe {
        let mut sums = [V::splat(0.0); 4];
        let (fours, rest) = block.as_chunks::<{ 4 * LANES }>();
        for four in fours {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(V::load(four.as_ptr().add(i * LANES + at)).sub(from));
            }
        }
        for pixel in rest.as_chunks::<LANES>().0 {
            sums[0] = sums[0].add(V::load(pixel.as_ptr().add(at)).sub(from));
        }
        sums[0].add(sums[1]).add(sums[2].add(sums[3]))
    }
}

/// The sum over a block's pixels of `(x - from)^2`.
#[inline(always)]
unsafe fn sum_squares<V: Vector>(block: &[f32], at: usize, from: V) -> V {
    // SAFETY: the block is whole pixels and the lanes are inside one.
    unsafe {
        let mut sums = [V::splat(0.0); 4];
        let (fours, rest) = block.as_chunks::<{ 4 * LANES }>();
        for four in fours {
            for (i, sum) in sums.iter_mut().enumerate() {
                let deviation = V::load(four.as_ptr().add(i * LANES + at)).sub(from);
                *sum = deviation.fma(deviation, *sum);
            }
        }
        for pixel in rest.as_chunks::<LANES>().0 {
            let deviation = V::load(pixel.as_ptr().add(at)).sub(from);
            sums[0] = deviation.fma(deviation, sums[0]);
        }
        sums[0].add(sums[1]).add(sums[2].add(sums[3]))
    }
}
