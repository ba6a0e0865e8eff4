//! The affine map of a norm, with residual and ReLU, applied to what a forward pass saved.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::norm_operands::{AffineTables, BLOCK, Norm, Saved};
use crate::engine::{
    Activation,
    lanes::{
        kernels::operand::check,
        machine::{Kernels, LANES, Shared, Vector, multiversion},
    },
};

/// Pixels between the one that is read and the one that is prefetched. Rows and planes follow each
/// other in memory.
const AHEAD: usize = 24;

/// The output of [`super::forward`] without a residual, from what it saved. Overwrites `y`
/// `[G, C, P, 16]`.
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

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    pub fn plane_apply = plane_apply_body(
        saved: Saved,
        residual: Option<&[f32]>,
        activation: Activation,
        y: &mut [f32],
    )
}

#[inline(always)]
pub(super) unsafe fn plane_apply_body<V: Vector>(
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
            (Activation::Linear, None) => map::<V, false, false>(saved, &[], y),
            (Activation::Linear, Some(residual)) => map::<V, false, true>(saved, residual, y),
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
            // SAFETY: planes have one length, a multiple of sixteen; tables hold sixteen lanes.
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

/// The affine map of one channel in registers. Forward and backward share it, so that a recomputed
/// mask equals the output's.
#[derive(Clone, Copy)]
pub struct Map<V> {
    mean: V,
    scale: V,
    beta: V,
}

impl<V: Vector> Map<V> {
    /// # Safety
    /// The instruction set is available; tables hold sixteen lanes.
    #[inline(always)]
    pub unsafe fn new(saved: &Saved, at: usize) -> Self {
        let Saved { mean, rstd, .. } = saved;
        let AffineTables { gamma, beta } = saved.affine;
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
    pub fn at(&self, x: V) -> V {
        x.sub(self.mean).fma(self.scale, self.beta)
    }
}
