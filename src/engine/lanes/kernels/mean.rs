//! Sums and means over the pixels of planes, and over squares of four pixels.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::{gate, operand::check};
use crate::engine::lanes::machine::{Kernels, LANES, Shared, Vector, multiversion};

/// Pixels summed at a time, so that partial sums stay short.
const BLOCK: usize = 64;

/// Planes `[P, H, W, 16]` of which squares of 2x2 pixels become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Squares {
    /// Groups times channels.
    pub planes: usize,
    /// Input height in pixels; even.
    pub height: usize,
    /// Input width in pixels; even.
    pub width: usize,
}

impl Squares {
    /// Floats of an input plane; an output plane has a quarter.
    fn len(&self) -> usize {
        assert!(
            self.height.is_multiple_of(2) && self.width.is_multiple_of(2),
            "{} x {} pixels have no whole squares",
            self.height,
            self.width
        );
        self.height * self.width * LANES
    }
}

/// The sum of each lane of each plane, times `factor`: overwrites `sums` `[P, 16]` from `x`
/// `[P, HW, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn over_planes(kernels: &Kernels, planes: usize, x: &[f32], factor: f32, sums: &mut [f32]) {
    let len = x.len() / planes;
    check("x", x.len(), planes * len);
    check("whole pixels", len % LANES, 0);
    check("sums", sums.len(), planes * LANES);
    let sums = Shared::new(sums);
    kernels.threads().run(planes, len / 8, |p| {
        // SAFETY: planes are disjoint; the instruction set is the kernels'.
        unsafe {
            let sums = sums.part(p * LANES, LANES);
            plane_sums(kernels.isa(), &x[p * len..][..len], factor, sums);
        }
    });
}

/// A number times `factor` to every pixel of its plane: overwrites `y` `[P, HW, 16]` from `x`
/// `[P, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn spread(kernels: &Kernels, planes: usize, x: &[f32], factor: f32, y: &mut [f32]) {
    let len = y.len() / planes;
    check("y", y.len(), planes * len);
    check("x", x.len(), planes * LANES);
    let y = Shared::new(y);
    kernels.threads().run(planes, len / 8, |p| {
        let x = x[p * LANES..][..LANES].iter();
        let row: Vec<f32> = x.map(|x| x * factor).collect();
        // SAFETY: planes are disjoint.
        let y = unsafe { y.part(p * len, len) };
        y.chunks_exact_mut(LANES)
            .for_each(|pixel| pixel.copy_from_slice(&row));
    });
}

/// The mean of each square: overwrites `y` `[P, H / 2, W / 2, 16]` from `x` `[P, H, W, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's, or height or width is odd.
pub fn of_squares(kernels: &Kernels, squares: &Squares, x: &[f32], y: &mut [f32]) {
    let (len, width) = (squares.len(), squares.width);
    check("x", x.len(), squares.planes * len);
    check("y", y.len(), squares.planes * len / 4);
    let y = Shared::new(y);
    kernels.threads().run(squares.planes, len / 8, |p| {
        // SAFETY: planes are disjoint; the instruction set is the kernels'.
        unsafe {
            let y = y.part(p * len / 4, len / 4);
            squares_forward(kernels.isa(), width, &x[p * len..][..len], y);
        }
    });
}

/// The gradient of the input: overwrites `dx` `[P, H, W, 16]` with a quarter of `dy`
/// `[P, H / 2, W / 2, 16]`. Where the input is the output of a ReLU, it is given as `gate`: `dx` is
/// 0 where it is not positive.
///
/// # Panics
/// When a slice's length is not the shape's, or height or width is odd.
pub fn of_squares_backward(
    kernels: &Kernels,
    squares: &Squares,
    dy: &[f32],
    gate: Option<&[f32]>,
    dx: &mut [f32],
) {
    let (len, width) = (squares.len(), squares.width);
    if let Some(gate) = gate {
        check("gate", gate.len(), squares.planes * len);
    }
    check("dx", dx.len(), squares.planes * len);
    check("dy", dy.len(), squares.planes * len / 4);
    let dx = Shared::new(dx);
    kernels.threads().run(squares.planes, len / 8, |p| {
        // SAFETY: planes are disjoint; the instruction set is the kernels'.
        unsafe {
            let dx = dx.part(p * len, len);
            let dy = &dy[p * len / 4..][..len / 4];
            let gate = gate.map(|gate| &gate[p * len..][..len]);
            squares_backward(kernels.isa(), width, dy, gate, dx);
        }
    });
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn plane_sums = plane_sums_body(x: &[f32], factor: f32, sums: &mut [f32])
}

#[inline(always)]
unsafe fn plane_sums_body<V: Vector>(x: &[f32], factor: f32, sums: &mut [f32]) {
    assert!(x.len().is_multiple_of(LANES) && sums.len() == LANES);
    for at in (0..LANES).step_by(V::N) {
        // SAFETY: lengths asserted.
        unsafe {
            let mut all = V::splat(0.0);
            for block in (0..x.len()).step_by(BLOCK * LANES) {
                let mut sum = V::splat(0.0);
                for i in (block + at..(block + BLOCK * LANES).min(x.len())).step_by(LANES) {
                    sum = sum.add(V::load(x.as_ptr().add(i)));
                }
                all = all.add(sum);
            }
            all.mul(V::splat(factor)).store(sums.as_mut_ptr().add(at));
        }
    }
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn squares_forward = squares_forward_body(width: usize, x: &[f32], y: &mut [f32])
}

#[inline(always)]
unsafe fn squares_forward_body<V: Vector>(width: usize, x: &[f32], y: &mut [f32]) {
    let (row, half) = (width * LANES, width / 2 * LANES);
    assert!(width.is_multiple_of(2) && x.len() == 4 * y.len() && x.len().is_multiple_of(2 * row));
    for (i, y) in y.chunks_exact_mut(half).enumerate() {
        let (upper, lower) = (&x[2 * i * row..][..row], &x[(2 * i + 1) * row..][..row]);
        for j in 0..width / 2 {
            for at in (0..LANES).step_by(V::N) {
                // SAFETY: rows hold `width` pixels, y half of them.
                unsafe {
                    let load =
                        |row: &[f32], pixel: usize| V::load(row.as_ptr().add(pixel * LANES + at));
                    let upper = load(upper, 2 * j).add(load(upper, 2 * j + 1));
                    let lower = load(lower, 2 * j).add(load(lower, 2 * j + 1));
                    let mean = upper.add(lower).mul(V::splat(0.25));
                    mean.store(y.as_mut_ptr().add(j * LANES + at));
                }
            }
        }
    }
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn squares_backward = squares_backward_body(
        width: usize,
        dy: &[f32],
        gate: Option<&[f32]>,
        dx: &mut [f32],
    )
}

#[inline(always)]
unsafe fn squares_backward_body<V: Vector>(
    width: usize,
    dy: &[f32],
    gate: Option<&[f32]>,
    dx: &mut [f32],
) {
    let (row, half) = (width * LANES, width / 2 * LANES);
    assert!(width.is_multiple_of(2) && dx.len() == 4 * dy.len());
    assert!(dx.len().is_multiple_of(2 * row));
    assert!(gate.is_none_or(|gate| gate.len() == dx.len()));
    for (i, dx) in dx.chunks_exact_mut(row).enumerate() {
        let dy = &dy[i / 2 * half..][..half];
        for j in 0..width {
            for at in (0..LANES).step_by(V::N) {
                // SAFETY: rows hold `width` pixels, dy half of them, the gate as many as dx.
                unsafe {
                    let dy = V::load(dy.as_ptr().add(j / 2 * LANES + at));
                    let quarter = dy.mul(V::splat(0.25));
                    let here = j * LANES + at;
                    let passed = gate.map_or(quarter, |gate| {
                        gate::through(V::load(gate.as_ptr().add(i * row + here)), quarter)
                    });
                    passed.store(dx.as_mut_ptr().add(here));
                }
            }
        }
    }
}
