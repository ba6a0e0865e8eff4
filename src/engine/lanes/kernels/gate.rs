//! ReLU in place, with a shift before it, and its gradient by the output.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::operand::check;
use crate::engine::{
    Activation,
    lanes::machine::{Kernels, LANES, Shared, Vector, multiversion},
};

/// Floats of a task.
const CHUNK: usize = 1024 * LANES;

/// `max(0, y)` in place.
///
/// # Panics
/// When sixteen does not divide the length.
pub fn relu(kernels: &Kernels, y: &mut [f32]) {
    let len = y.len();
    check("whole pixels", len % LANES, 0);
    let y = Shared::new(y);
    kernels.threads().run(len.div_ceil(CHUNK), CHUNK / 8, |i| {
        let from = i * CHUNK;
        // SAFETY: chunks are disjoint; the instruction set is the kernels'.
        unsafe { relu_chunk(kernels.isa(), y.part(from, CHUNK.min(len - from))) }
    });
}

/// Sets `dy` to 0 where the output `y` of a ReLU is not positive.
///
/// # Panics
/// When lengths differ or sixteen does not divide them.
pub fn close(kernels: &Kernels, y: &[f32], dy: &mut [f32]) {
    let len = y.len();
    check("dy", dy.len(), len);
    check("whole pixels", len % LANES, 0);
    let dy = Shared::new(dy);
    kernels.threads().run(len.div_ceil(CHUNK), CHUNK / 8, |i| {
        let from = i * CHUNK;
        let y = &y[from..(from + CHUNK).min(len)];
        // SAFETY: chunks are disjoint; the instruction set is the kernels'.
        unsafe { close_chunk(kernels.isa(), y, dy.part(from, y.len())) }
    });
}

/// Adds a number to all pixels of a plane, lane by lane, and applies the activation: overwrites `y`
/// `[P, HW, 16]` from `x` of the same shape and `by` `[P, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn shift(
    kernels: &Kernels,
    planes: usize,
    x: &[f32],
    by: &[f32],
    activation: Activation,
    y: &mut [f32],
) {
    check("by", by.len(), planes * LANES);
    check("y", y.len(), x.len());
    let len = x.len() / planes;
    check("x", x.len(), planes * len);
    check("whole pixels", len % LANES, 0);
    let y = Shared::new(y);
    kernels.threads().run(planes, len / 8, |p| {
        let x = &x[p * len..][..len];
        let by = &by[p * LANES..][..LANES];
        // SAFETY: planes are disjoint; the instruction set is the kernels'.
        unsafe { shift_plane(kernels.isa(), x, by, activation, y.part(p * len, len)) }
    });
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn relu_chunk = relu_body(y: &mut [f32])
}

#[inline(always)]
unsafe fn relu_body<V: Vector>(y: &mut [f32]) {
    assert!(y.len().is_multiple_of(LANES));
    for i in (0..y.len()).step_by(V::N) {
        // SAFETY: the length is asserted, and N divides sixteen.
        unsafe {
            let at = y.as_mut_ptr().add(i);
            // A NaN survives as the second operand.
            V::splat(0.0).max(V::load(at)).store(at);
        }
    }
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn close_chunk = close_body(y: &[f32], dy: &mut [f32])
}

#[inline(always)]
unsafe fn close_body<V: Vector>(y: &[f32], dy: &mut [f32]) {
    assert!(y.len() == dy.len() && y.len().is_multiple_of(LANES));
    for i in (0..y.len()).step_by(V::N) {
        // SAFETY: lengths asserted, and N divides sixteen.
        unsafe {
            let zero = V::splat(0.0);
            let at = dy.as_mut_ptr().add(i);
            let open = V::load(y.as_ptr().add(i)).gt(zero);
            V::select(open, V::load(at), zero).store(at);
        }
    }
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn shift_plane = shift_body(x: &[f32], by: &[f32], activation: Activation, y: &mut [f32])
}

#[inline(always)]
unsafe fn shift_body<V: Vector>(x: &[f32], by: &[f32], activation: Activation, y: &mut [f32]) {
    assert!(x.len() == y.len() && x.len().is_multiple_of(LANES) && by.len() == LANES);
    for at in (0..LANES).step_by(V::N) {
        // SAFETY: lengths asserted.
        unsafe {
            let (zero, by) = (V::splat(0.0), V::load(by.as_ptr().add(at)));
            for i in (at..x.len()).step_by(LANES) {
                let shifted = V::load(x.as_ptr().add(i)).add(by);
                let shifted = match activation {
                    Activation::Linear => shifted,
                    Activation::Relu => zero.max(shifted),
                };
                shifted.store(y.as_mut_ptr().add(i));
            }
        }
    }
}
