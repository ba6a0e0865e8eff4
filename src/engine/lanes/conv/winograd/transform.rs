//! The transforms of Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308): `Y = A^T [(G g G^T) * (B^T d B)] A`
//! with points 0, 1, -1, 2, -2 and infinity, and the adjoints that its gradient by g wants.
//! Every lane of a vector is a tile of its own, so a transform is plain arithmetic on registers.

use super::super::super::vector::Vector;

/// Products of a tile: 6 x 6.
pub(super) const POINTS: usize = 36;
/// Output pixels of a tile, each way.
pub(super) const OUT: usize = 4;
/// Input pixels of a tile, each way.
pub(super) const IN: usize = 6;

/// A window of pixels in memory. Those outside the image read as zero and are not written.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// Floats between rows.
    pub(super) row: usize,
    /// Floats between columns.
    pub(super) column: usize,
    /// First row and column inside the image.
    pub(super) from: (usize, usize),
    /// Row and column after the last inside.
    pub(super) to: (usize, usize),
}

impl Window {
    /// Whether all of `size` by `size` pixels are inside.
    #[inline(always)]
    fn whole(&self, size: usize) -> bool {
        self.from == (0, 0) && self.to == (size, size)
    }

    /// Pixel (r, c), from the pointer to (0, 0).
    #[inline(always)]
    unsafe fn load<V: Vector, const WHOLE: bool>(
        &self,
        corner: *const f32,
        r: usize,
        c: usize,
    ) -> V {
        // SAFETY: the caller's pixels inside the image are valid, and no others are read.
        unsafe {
            if WHOLE || (r >= self.from.0 && r < self.to.0 && c >= self.from.1 && c < self.to.1) {
                V::load(corner.wrapping_add(r * self.row + c * self.column))
            } else {
                V::splat(0.0)
            }
        }
    }
}

#[inline(always)]
unsafe fn constant<V: Vector>(_: V, value: f32) -> V {
    // SAFETY: a vector exists, so the instruction set is available.
    unsafe { V::splat(value) }
}

/// `B^T d`.
#[inline(always)]
fn input<V: Vector>(d: [V; 6]) -> [V; 6] {
    // SAFETY: a vector exists, so the instruction set is available.
    let [two, four, five] = unsafe {
        [
            constant(d[0], 2.0),
            constant(d[0], 4.0),
            constant(d[0], 5.0),
        ]
    };
    let (even, odd) = (d[2].fnma(four, d[4]), d[1].fnma(four, d[3]));
    let (difference, twice) = (d[4].sub(d[2]), d[3].sub(d[1]));
    [
        d[2].fnma(five, d[0].fma(four, d[4])),
        even.add(odd),
        even.sub(odd),
        twice.fma(two, difference),
        twice.fnma(two, difference),
        d[3].fnma(five, d[1].fma(four, d[5])),
    ]
}

/// `A^T m`.
#[inline(always)]
fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
    // SAFETY: a vector exists, so the instruction set is available.
    let [two, four, eight] = unsafe {
        [
            constant(m[0], 2.0),
            constant(m[0], 4.0),
            constant(m[0], 8.0),
        ]
    };
    let (sum1, difference1) = (m[1].add(m[2]), m[1].sub(m[2]));
    let (sum2, difference2) = (m[3].add(m[4]), m[3].sub(m[4]));
    [
        m[0].add(sum1).add(sum2),
        difference2.fma(two, difference1),
        sum2.fma(four, sum1),
        difference2.fma(eight, difference1).add(m[5]),
    ]
}

/// `A d`, the adjoint of [`output`].
#[inline(always)]
fn gradient<V: Vector>(d: [V; 4]) -> [V; 6] {
    // SAFETY: a vector exists, so the instruction set is available.
    let [two, four, eight] = unsafe {
        [
            constant(d[0], 2.0),
            constant(d[0], 4.0),
            constant(d[0], 8.0),
        ]
    };
    let (even, odd) = (d[0].add(d[2]), d[1].add(d[3]));
    let (even2, odd2) = (d[2].fma(four, d[0]), d[3].fma(eight, d[1].mul(two)));
    [
        d[0],
        even.add(odd),
        even.sub(odd),
        even2.add(odd2),
        even2.sub(odd2),
        d[3],
    ]
}

/// `G^T u`, the adjoint of [`filter`].
#[inline(always)]
fn filter_adjoint<V: Vector>(u: [V; 6]) -> [V; 3] {
    // SAFETY: a vector exists, so the instruction set is available.
    let constant = |value: f32| unsafe { V::splat(value) };
    let (sum1, difference1) = (u[1].add(u[2]), u[2].sub(u[1]));
    let (sum2, difference2) = (u[3].add(u[4]), u[3].sub(u[4]));
    let sixth = constant(1.0 / 6.0);
    [
        sum2.fma(
            constant(1.0 / 24.0),
            sum1.fnma(sixth, u[0].mul(constant(0.25))),
        ),
        difference2.fma(constant(1.0 / 12.0), difference1.mul(sixth)),
        sum2.sub(sum1).fma(sixth, u[5]),
    ]
}

/// Input pixels to products' operands: `B^T d B`, the 36 results `to_step` floats apart.
///
/// # Safety
/// All pixels and results are inside their memory.
#[inline(always)]
pub(super) unsafe fn input_tile<V: Vector>(
    from: *const f32,
    at: Window,
    to: *mut f32,
    to_step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if at.whole(IN) {
            input_window::<V, true>(from, at, to, to_step);
        } else {
            input_window::<V, false>(from, at, to, to_step);
        }
    }
}

#[inline(always)]
unsafe fn input_window<V: Vector, const WHOLE: bool>(
    from: *const f32,
    at: Window,
    to: *mut f32,
    to_step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); 6]; 6];
        for c in 0..6 {
            let mut d = [V::splat(0.0); 6];
            for r in 0..6 {
                d[r] = at.load::<V, WHOLE>(from, r, c);
            }
            let d = input(d);
            for r in 0..6 {
                rows[r][c] = d[r];
            }
        }
        for r in 0..6 {
            let d = input(rows[r]);
            for c in 0..6 {
                d[c].store(to.add((r * 6 + c) * to_step));
            }
        }
    }
}

/// Products' sums to output pixels: `A^T m A`.
///
/// # Safety
/// As for [`input_tile`].
#[inline(always)]
pub(super) unsafe fn output_tile<V: Vector>(
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    at: Window,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); 6]; 4];
        for c in 0..6 {
            let mut m = [V::splat(0.0); 6];
            for r in 0..6 {
                m[r] = V::load(from.add((r * 6 + c) * from_step));
            }
            let m = output(m);
            for r in 0..4 {
                rows[r][c] = m[r];
            }
        }
        for r in 0..4 {
            let y = output(rows[r]);
            for c in 0..4 {
                if r < at.to.0 && c < at.to.1 {
                    y[c].store(to.wrapping_add(r * at.row + c * at.column));
                }
            }
        }
    }
}

/// Output gradients to products' operands: `A d A^T`.
///
/// # Safety
/// As for [`input_tile`].
#[inline(always)]
pub(super) unsafe fn gradient_tile<V: Vector>(
    from: *const f32,
    at: Window,
    to: *mut f32,
    to_step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if at.whole(OUT) {
            gradient_window::<V, true>(from, at, to, to_step);
        } else {
            gradient_window::<V, false>(from, at, to, to_step);
        }
    }
}

#[inline(always)]
unsafe fn gradient_window<V: Vector, const WHOLE: bool>(
    from: *const f32,
    at: Window,
    to: *mut f32,
    to_step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); 4]; 6];
        for c in 0..4 {
            let mut d = [V::splat(0.0); 4];
            for r in 0..4 {
                d[r] = at.load::<V, WHOLE>(from, r, c);
            }
            let d = gradient(d);
            for r in 0..6 {
                rows[r][c] = d[r];
            }
        }
        for r in 0..6 {
            let d = gradient(rows[r]);
            for c in 0..6 {
                d[c].store(to.add((r * 6 + c) * to_step));
            }
        }
    }
}

/// Products' gradients to the kernel's: `G^T u G`, nine results `to_step` floats apart.
///
/// # Safety
/// As for [`input_tile`].
#[inline(always)]
pub(super) unsafe fn filter_gradient<V: Vector>(
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    to_step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); 6]; 3];
        for c in 0..6 {
            let mut u = [V::splat(0.0); 6];
            for r in 0..6 {
                u[r] = V::load(from.add((r * 6 + c) * from_step));
            }
            let u = filter_adjoint(u);
            for r in 0..3 {
                rows[r][c] = u[r];
            }
        }
        for r in 0..3 {
            let g = filter_adjoint(rows[r]);
            for c in 0..3 {
                g[c].store(to.add((r * 3 + c) * to_step));
            }
        }
    }
}

/// `G g`.
#[inline(always)]
fn filter<V: Vector>(g: [V; 3]) -> [V; 6] {
    // SAFETY: a vector exists, so the instruction set is available.
    let constant = |value: f32| unsafe { V::splat(value) };
    let (sixth, inner2) = (constant(1.0 / 6.0), g[1].mul(constant(1.0 / 12.0)));
    let (outer, inner) = (g[0].add(g[2]).mul(constant(-1.0 / 6.0)), g[1].mul(sixth));
    let outer2 = g[0].fma(constant(1.0 / 24.0), g[2].mul(sixth));
    [
        g[0].mul(constant(0.25)),
        outer.sub(inner),
        outer.add(inner),
        outer2.add(inner2),
        outer2.sub(inner2),
        g[2],
    ]
}

/// Kernels to products' operands: `G g G^T`, nine operands and 36 results.
///
/// # Safety
/// As for [`input_tile`].
#[inline(always)]
pub(super) unsafe fn filter_tile<V: Vector>(
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    to_step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); 3]; 6];
        for c in 0..3 {
            let mut g = [V::splat(0.0); 3];
            for r in 0..3 {
                g[r] = V::load(from.add((r * 3 + c) * from_step));
            }
            let u = filter(g);
            for r in 0..6 {
                rows[r][c] = u[r];
            }
        }
        for r in 0..6 {
            let u = filter(rows[r]);
            for c in 0..6 {
                u[c].store(to.add((r * 6 + c) * to_step));
            }
        }
    }
}
