//! Exponential and logistic function of a register, and the sigmoid of many numbers.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::operand::check;
use crate::engine::lanes::machine::{Kernels, LANES, Shared, Vector, multiversion};

/// Floats of a task.
const CHUNK: usize = 4096 * LANES;

/// `y = 1 / (1 + exp(-x))`, element by element; overwrites `y`.
///
/// # Panics
/// When lengths differ or sixteen does not divide them.
pub fn sigmoid(kernels: &Kernels, x: &[f32], y: &mut [f32]) {
    check("y", y.len(), x.len());
    assert!(
        x.len().is_multiple_of(LANES),
        "floats in x: {} is no multiple of {LANES}",
        x.len()
    );
    let y = Shared::new(y);
    let len = CHUNK;
    kernels.threads().run(x.len().div_ceil(len), len, |chunk| {
        let from = &x[chunk * len..((chunk + 1) * len).min(x.len())];
        // SAFETY: chunks are disjoint; the instruction set is the kernels'.
        unsafe { sigmoids(kernels.isa(), from, y.part(chunk * len, from.len())) }
    });
}

/// `exp(x)` to about 1e-7 of its value, for x from -87 to 88 and clamped beyond, by Cephes'
/// polynomial over `|r| <= ln 2 / 2`.
#[inline(always)]
fn exp<V: Vector>(x: V) -> V {
    // SAFETY: `x` exists, so the instruction set is available.
    let constant = |value: f32| unsafe { V::splat(value) };
    // A NaN survives as the second operand of `max`.
    let x = constant(-87.0).max(x);
    let x = V::select(x.gt(constant(88.0)), constant(88.0), x);
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    let magic = constant(12_582_912.0);
    let n = x.fma(constant(std::f32::consts::LOG2_E), magic).sub(magic);
    // ln 2 in two parts, the first with few enough bits that n times it is exact.
    let r = n.fnma(constant(0.693_359_4), x);
    let r = n.fnma(constant(-2.121_944_4e-4), r);
    let mut poly = constant(1.987_569_1e-4);
    for coefficient in [
        1.398_2e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        poly = poly.fma(r, constant(coefficient));
    }
    let one_plus = poly.fma(r.mul(r), r).add(constant(1.0));
    one_plus.mul(n.pow2())
}

/// The logistic function, from the exponential of a negative number so that nothing overflows.
#[inline(always)]
pub(super) fn logistic<V: Vector>(z: V) -> V {
    // SAFETY: `z` exists, so the instruction set is available.
    let (zero, one) = unsafe { (V::splat(0.0), V::splat(1.0)) };
    let minus = zero.sub(z);
    let e = exp(zero.sub(minus.max(z)));
    V::select(z.gt(zero), one, e).div(one.add(e))
}

/// `ln(1 + exp(-|z|))`, to about 1e-7 of its value: `ln(1 + t)` is `2 artanh(t / (2 + t))`, whose
/// series ends soon for t from 0 to 1.
#[inline(always)]
pub(super) fn softplus_of_minus_magnitude<V: Vector>(z: V) -> V {
    // SAFETY: `z` exists, so the instruction set is available.
    let constant = |value: f32| unsafe { V::splat(value) };
    let zero = constant(0.0);
    let magnitude = zero.sub(z).max(z);
    let t = exp(zero.sub(magnitude));
    let s = t.div(t.add(constant(2.0)));
    let squared = s.mul(s);
    let mut series = constant(1.0 / 13.0);
    for odd in [11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series.fma(squared, constant(1.0 / odd));
    }
    series.mul(s.add(s))
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn sigmoids = sigmoids_body(x: &[f32], y: &mut [f32])
}

#[inline(always)]
unsafe fn sigmoids_body<V: Vector>(x: &[f32], y: &mut [f32]) {
    assert!(x.len() == y.len() && x.len().is_multiple_of(LANES));
    for i in (0..x.len()).step_by(V::N) {
        // SAFETY: lengths asserted, and N divides sixteen.
        unsafe { logistic(V::load(x.as_ptr().add(i))).store(y.as_mut_ptr().add(i)) }
    }
}
