//! Conditional instance norm with residual and ReLU in one sweep:
//! `y = act(gamma (x - mu) rstd + beta + residual)`. The affine tables hold one value per lane and
//! channel, so that each sample may have its own expert.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::{
    affine_map::plane_apply_body,
    moments::moments_body,
    norm_operands::{AffineTables, Norm, PlaneStatistics, Saved, check_tables},
};
use crate::engine::{
    Activation,
    lanes::{
        kernels::operand::check,
        machine::{Kernels, LANES, Shared, Vector, multiversion},
    },
};

/// Normalises `x` `[G, C, P, 16]`, and adds `residual` of the same shape where there is one.
/// Overwrites `y` `[G, C, P, 16]` and both statistics.
///
/// The variance comes from deviations from block means, merged by Chan's formula. It keeps its
/// digits when the mean is thousands of standard deviations away.
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
    affine: AffineTables,
    residual: Option<&[f32]>,
    activation: Activation,
    y: &mut [f32],
    statistics: PlaneStatistics,
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
                let mut out = NormedPlane {
                    y: y.part(plane.start, len),
                    mean: mean.part(table.start, LANES),
                    rstd: rstd.part(table.start, LANES),
                };
                let input = NormInput {
                    x: &x[plane.clone()],
                    residual: residual.map(|r| &r[plane]),
                    affine: AffineTables {
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

/// One plane's operands.
struct NormInput<'a> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    affine: AffineTables<'a>,
    eps: f32,
    activation: Activation,
}

/// One plane's results.
struct NormedPlane<'a> {
    y: &'a mut [f32],
    mean: &'a mut [f32],
    rstd: &'a mut [f32],
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn plane_forward = plane_forward_body(input: &NormInput, out: &mut NormedPlane)
}

#[inline(always)]
unsafe fn plane_forward_body<V: Vector>(input: &NormInput, out: &mut NormedPlane) {
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
