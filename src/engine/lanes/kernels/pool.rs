//! Max pooling 3x3, stride 2, padding 1. As in PyTorch the first maximum of a window, row by row,
//! takes the gradient. The backward pass finds it again: storing its place would cost more memory
//! traffic than it saves.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use std::ops::Range;

use super::{
    features::Features,
    operand::{Onto, check},
};
use crate::engine::lanes::machine::{Kernels, LANES, Shared, Vector, multiversion, scratch};

/// The planes to pool, `[P, H, W, 16]` with P groups times channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Groups times channels.
    pub planes: usize,
    /// Input height in pixels.
    pub height: usize,
    /// Input width in pixels.
    pub width: usize,
}

impl Pool {
    /// Output height in pixels: half the input's, rounded up.
    #[must_use]
    pub fn out_height(&self) -> usize {
        self.height.div_ceil(2)
    }

    /// Output width in pixels: half the input's, rounded up.
    #[must_use]
    pub fn out_width(&self) -> usize {
        self.width.div_ceil(2)
    }

    fn lens(&self) -> (usize, usize) {
        (
            self.height * self.width * LANES,
            self.out_height() * self.out_width() * LANES,
        )
    }
}

/// Pools. Overwrites `y` `[P, H', W', 16]` from `x` `[P, H, W, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn forward(kernels: &Kernels, pool: &Pool, x: Features, y: &mut [f32]) {
    let (from, to) = pool.lens();
    x.check("x", pool.planes, from);
    check("y", y.len(), pool.planes * to);
    let y = Shared::new(y);
    kernels.threads().run(pool.planes, 3 * from / LANES, |p| {
        scratch(x.room(from), |room| {
            let x = x
                .plane(p * from..(p + 1) * from)
                .read(kernels, 0..from, room);
            // SAFETY: planes are disjoint; the instruction set is the kernels'.
            unsafe { plane_forward(kernels.isa(), pool, x, y.part(p * to, to)) }
        });
    });
}

/// The gradient of the input, over or onto `dx` `[P, H, W, 16]`, from the input `x` of the same
/// shape and `dy` `[P, H', W', 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn backward(
    kernels: &Kernels,
    pool: &Pool,
    x: Features,
    dy: &[f32],
    dx: &mut [f32],
    onto: Onto,
) {
    let (from, to) = pool.lens();
    x.check("x", pool.planes, from);
    check("dx", dx.len(), pool.planes * from);
    check("dy", dy.len(), pool.planes * to);
    let dx = Shared::new(dx);
    kernels.threads().run(pool.planes, 3 * from / LANES, |p| {
        let dy = &dy[p * to..][..to];
        scratch(x.room(from), |room| {
            let x = x
                .plane(p * from..(p + 1) * from)
                .read(kernels, 0..from, room);
            // SAFETY: planes are disjoint.
            let dx = unsafe { dx.part(p * from, from) };
            // SAFETY: the instruction set is the kernels'.
            let write = |dx: &mut [f32]| unsafe { plane_backward(kernels.isa(), pool, x, dy, dx) };
            match onto {
                Onto::Nothing => write(dx),
                // Summed up first: the same bytes as by adding gradients later.
                Onto::Sums => scratch(from, |more| {
                    write(more);
                    dx.iter_mut()
                        .zip(more)
                        .for_each(|(sum, more)| *sum += *more);
                }),
            }
        });
    });
}

/// Input rows (or columns) that output `i` is the maximum of.
#[inline(always)]
fn window(i: usize, size: usize) -> Range<usize> {
    (2 * i).saturating_sub(1)..(2 * i + 2).min(size)
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn plane_forward = plane_forward_body(pool: &Pool, x: &[f32], y: &mut [f32])
}

#[inline(always)]
unsafe fn plane_forward_body<V: Vector>(pool: &Pool, x: &[f32], y: &mut [f32]) {
    assert!((x.len(), y.len()) == pool.lens());
    for row in 0..pool.out_height() {
        for column in 0..pool.out_width() {
            let (rows, columns) = (window(row, pool.height), window(column, pool.width));
            for at in (0..LANES).step_by(V::N) {
                // SAFETY: windows are inside the plane, whose length is asserted.
                unsafe {
                    let pixel =
                        |r: usize, c: usize| x.as_ptr().add((r * pool.width + c) * LANES + at);
                    let mut most = V::load(pixel(rows.start, columns.start));
                    for r in rows.clone() {
                        for c in columns.clone() {
                            most = V::load(pixel(r, c)).max(most);
                        }
                    }
                    most.store(
                        y.as_mut_ptr()
                            .add((row * pool.out_width() + column) * LANES + at),
                    );
                }
            }
        }
    }
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn plane_backward = plane_backward_body(pool: &Pool, x: &[f32], dy: &[f32], dx: &mut [f32])
}

#[inline(always)]
unsafe fn plane_backward_body<V: Vector>(pool: &Pool, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert!((x.len(), dy.len()) == pool.lens() && dx.len() == x.len());
    dx.fill(0.0);
    for row in 0..pool.out_height() {
        for column in 0..pool.out_width() {
            let (rows, columns) = (window(row, pool.height), window(column, pool.width));
            for at in (0..LANES).step_by(V::N) {
                // SAFETY: windows are inside the plane, whose length is asserted.
                unsafe {
                    let offset = |r: usize, c: usize| (r * pool.width + c) * LANES + at;
                    let mut most = V::load(x.as_ptr().add(offset(rows.start, columns.start)));
                    let (mut first, mut index) = (V::splat(0.0), 0.0);
                    for r in rows.clone() {
                        for c in columns.clone() {
                            let value = V::load(x.as_ptr().add(offset(r, c)));
                            let more = value.gt(most);
                            most = V::select(more, value, most);
                            first = V::select(more, V::splat(index), first);
                            index += 1.0;
                        }
                    }
                    let gradient = V::load(
                        dy.as_ptr()
                            .add((row * pool.out_width() + column) * LANES + at),
                    );
                    index = 0.0;
                    for r in rows.clone() {
                        for c in columns.clone() {
                            // Indices are whole, so this picks the one that equals `first`.
                            let passed =
                                V::select(first.gt(V::splat(index - 0.5)), gradient, V::splat(0.0));
                            let share =
                                V::select(first.gt(V::splat(index + 0.5)), V::splat(0.0), passed);
                            let to = dx.as_mut_ptr().add(offset(r, c));
                            V::load(to).add(share).store(to);
                            index += 1.0;
                        }
                    }
                }
            }
        }
    }
}
