//! The cross-entropy of a sigmoid with a target from 0 to 1, for each lane of each plane: the sum
//! over pixels of `ln(1 + exp(z)) - y z`. One plane holds one (image, target) pair per lane.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::{
    logistic::{logistic, softplus_of_minus_magnitude},
    operand::check,
};
use crate::engine::lanes::machine::{Kernels, LANES, Shared, Vector, multiversion};

/// Pixels summed at a time, so that partial sums stay short.
const BLOCK: usize = 64;

/// The planes compared, `[P, HW, 16]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy {
    /// Groups times channels.
    pub planes: usize,
    /// Pixels of a plane.
    pub pixels: usize,
}

/// The sum of each lane; overwrites `sums` `[P, 16]`. `logits` and `target` are `[P, HW, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn forward(
    kernels: &Kernels,
    shape: &CrossEntropy,
    logits: &[f32],
    target: &[f32],
    sums: &mut [f32],
) {
    let len = shape.pixels * LANES;
    check("logits", logits.len(), shape.planes * len);
    check("target", target.len(), shape.planes * len);
    check("sums", sums.len(), shape.planes * LANES);
    let sums = Shared::new(sums);
    kernels.threads().run(shape.planes, 30 * shape.pixels, |p| {
        let (logits, target) = (&logits[p * len..][..len], &target[p * len..][..len]);
        // SAFETY: planes are disjoint; the instruction set is the kernels'.
        unsafe { plane_sums(kernels.isa(), logits, target, sums.part(p * LANES, LANES)) }
    });
}

/// The gradient of the logits: overwrites `dlogits` `[P, HW, 16]` with `dloss * (s - y)`, s the
/// sigmoid; `dloss` `[P, 16]` is each lane's upstream weight.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn backward(
    kernels: &Kernels,
    shape: &CrossEntropy,
    logits: &[f32],
    target: &[f32],
    dloss: &[f32],
    dlogits: &mut [f32],
) {
    let len = shape.pixels * LANES;
    check("logits", logits.len(), shape.planes * len);
    check("target", target.len(), shape.planes * len);
    check("dlogits", dlogits.len(), shape.planes * len);
    check("dloss", dloss.len(), shape.planes * LANES);
    let dlogits = Shared::new(dlogits);
    kernels.threads().run(shape.planes, 20 * shape.pixels, |p| {
        let (logits, target) = (&logits[p * len..][..len], &target[p * len..][..len]);
        let dloss = &dloss[p * LANES..][..LANES];
        // SAFETY: planes are disjoint; the instruction set is the kernels'.
        unsafe {
            let dlogits = dlogits.part(p * len, len);
            plane_backward(kernels.isa(), logits, target, dloss, dlogits);
        }
    });
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn plane_sums = plane_sums_body(logits: &[f32], target: &[f32], sums: &mut [f32])
}

#[inline(always)]
unsafe fn plane_sums_body<V: Vector>(logits: &[f32], target: &[f32], sums: &mut [f32]) {
    assert!(logits.len() == target.len() && logits.len().is_multiple_of(LANES));
    assert!(sums.len() == LANES);
    for at in (0..LANES).step_by(V::N) {
        // SAFETY: lengths asserted.
        unsafe {
            let (zero, mut all) = (V::splat(0.0), V::splat(0.0));
            for block in (0..logits.len()).step_by(BLOCK * LANES) {
                let mut sum = zero;
                for i in (block + at..(block + BLOCK * LANES).min(logits.len())).step_by(LANES) {
                    let z = V::load(logits.as_ptr().add(i));
                    let y = V::load(target.as_ptr().add(i));
                    // ln(1 + exp(z)) without overflow. A NaN survives as the second operand.
                    let positive = zero.max(z);
                    let entropy = positive.add(softplus_of_minus_magnitude(z));
                    sum = sum.add(y.fnma(z, entropy));
                }
                all = all.add(sum);
            }
            all.store(sums.as_mut_ptr().add(at));
        }
    }
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn plane_backward = plane_backward_body(
        logits: &[f32],
        target: &[f32],
        dloss: &[f32],
        dlogits: &mut [f32],
    )
}

#[inline(always)]
unsafe fn plane_backward_body<V: Vector>(
    logits: &[f32],
    target: &[f32],
    dloss: &[f32],
    dlogits: &mut [f32],
) {
    let len = dlogits.len();
    assert!(logits.len() == len && target.len() == len && len.is_multiple_of(LANES));
    assert!(dloss.len() == LANES);
    for at in (0..LANES).step_by(V::N) {
        // SAFETY: lengths asserted.
        unsafe {
            let upstream = V::load(dloss.as_ptr().add(at));
            for i in (at..len).step_by(LANES) {
                let s = logistic(V::load(logits.as_ptr().add(i)));
                let y = V::load(target.as_ptr().add(i));
                s.sub(y).mul(upstream).store(dlogits.as_mut_ptr().add(i));
            }
        }
    }
}
