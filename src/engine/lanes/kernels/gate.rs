//! ReLUs and shifts, and the gradients of ReLUs and biases.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::operand::check;
use crate::engine::{
    Activation,
    lanes::machine::{Kernels, LANES, Shared, Vector, multiversion},
};

/// Floats of a task.
const CHUNK: usize = 1024 * LANES;

/// Floats that are still in L1 when they are read again.
const NEAR: usize = 128 * LANES;

/// The activation of a sum.
#[inline(always)]
pub(super) fn activated<V: Vector>(activation: Activation, sum: V) -> V {
    match activation {
        Activation::Linear => sum,
        // A NaN survives as the second operand.
        // SAFETY: a value exists, so the instruction set is available.
        Activation::Relu => unsafe { V::splat(0.0) }.max(sum),
    }
}

/// The gradient of a ReLU's input: 0 where its output is not positive.
#[inline(always)]
pub(super) fn through<V: Vector>(output: V, gradient: V) -> V {
    // SAFETY: a value exists, so the instruction set is available.
    let zero = unsafe { V::splat(0.0) };
    V::select(output.gt(zero), gradient, zero)
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

/// The sums of `dy` `[G, C, HW, 16]` over groups, pixels and lanes: overwrites `sums` `[C]`. Where
/// the `output` of a ReLU is given and is not positive, `dy` is first set to 0.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn close_and_sum(
    kernels: &Kernels,
    groups: usize,
    output: Option<&[f32]>,
    dy: &mut [f32],
    sums: &mut [f32],
) {
    let (len, channels) = (dy.len(), sums.len());
    let plane = len / (groups * channels);
    check("dy", len, groups * channels * plane);
    check("whole pixels", plane % LANES, 0);
    if let Some(output) = output {
        check("output", output.len(), len);
    }
    let (dy, sums) = (Shared::new(dy), Shared::new(sums));
    let each = groups * plane / 4;
    kernels.threads().run(channels, each, |channel| {
        let of_group = |group: usize| {
            let from = (group * channels + channel) * plane;
            let output = output.map(|output| &output[from..from + plane]);
            let mut lanes = [0.0; LANES];
            // SAFETY: planes are disjoint; the instruction set is the kernels'.
            unsafe { sum_plane(kernels.isa(), output, dy.part(from, plane), &mut lanes) };
            lanes.iter().sum::<f64>() as f32
        };
        let sum = (0..groups).map(of_group).sum();
        // SAFETY: one task for each channel.
        unsafe { sums.part(channel, 1)[0] = sum };
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
    /// Adds a plane to `lanes`, pixel by pixel; where the `output` of a ReLU is given and is not
    /// positive, `dy` is first set to 0.
    ///
    /// # Safety
    /// None beyond the instruction set.
    pub(in crate::engine::lanes::kernels) fn sum_plane = sum_body(
        output: Option<&[f32]>,
        dy: &mut [f32],
        lanes: &mut [f64; LANES],
    )
}

#[inline(always)]
unsafe fn sum_body<V: Vector>(output: Option<&[f32]>, dy: &mut [f32], lanes: &mut [f64; LANES]) {
    for from in (0..dy.len()).step_by(NEAR) {
        let to = dy.len().min(from + NEAR);
        let dy = &mut dy[from..to];
        if let Some(output) = output {
            // SAFETY: the caller's promise.
            unsafe { close_body::<V>(&output[from..to], dy) };
        }
        for pixel in dy.as_chunks::<LANES>().0 {
            for (lane, value) in lanes.iter_mut().zip(pixel) {
                *lane += f64::from(*value);
            }
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
            let at = dy.as_mut_ptr().add(i);
            through(V::load(y.as_ptr().add(i)), V::load(at)).store(at);
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
            let by = V::load(by.as_ptr().add(at));
            for i in (at..x.len()).step_by(LANES) {
                let shifted = V::load(x.as_ptr().add(i)).add(by);
                activated(activation, shifted).store(y.as_mut_ptr().add(i));
            }
        }
    }
}
