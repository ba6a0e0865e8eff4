//! Winograd's two-dimensional transforms of tiles in memory: of inputs, sums, output gradients and
//! kernels.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::line_transforms::{Four, Transform};
use crate::engine::lanes::{
    kernels::features::{AsStored, Read},
    machine::Vector,
};

/// A window of pixels in memory. Those outside the image read as zero and are not written.
#[derive(Clone, Copy)]
pub(super) struct TileWindow {
    /// Floats between rows.
    pub(super) row: usize,
    /// Floats between columns.
    pub(super) column: usize,
    /// First row and column inside the image.
    pub(super) from: (usize, usize),
    /// Row and column after the last inside.
    pub(super) to: (usize, usize),
}

impl TileWindow {
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
        read: impl Read<V>,
    ) -> V {
        // SAFETY: the caller's pixels inside the image are valid, and no others are read.
        unsafe {
            if WHOLE || (r >= self.from.0 && r < self.to.0 && c >= self.from.1 && c < self.to.1) {
                read.of(V::load(corner.wrapping_add(r * self.row + c * self.column)))
            } else {
                V::splat(0.0)
            }
        }
    }
}

/// Input pixels to products' operands: `B^T d B`, the results `to_step` floats apart.
///
/// # Safety
/// All pixels and results are inside their memory.
#[inline(always)]
pub(super) unsafe fn input_tile<
    V: Vector,
    T: Transform<IN, OUT>,
    const IN: usize,
    const OUT: usize,
>(
    from: *const f32,
    at: TileWindow,
    to: *mut f32,
    to_step: usize,
    read: impl Read<V>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if at.whole(IN) {
            input_window::<V, T, IN, OUT, true>(from, at, to, to_step, read);
        } else {
            input_window::<V, T, IN, OUT, false>(from, at, to, to_step, read);
        }
    }
}

#[inline(always)]
unsafe fn input_window<
    V: Vector,
    T: Transform<IN, OUT>,
    const IN: usize,
    const OUT: usize,
    const WHOLE: bool,
>(
    from: *const f32,
    at: TileWindow,
    to: *mut f32,
    to_step: usize,
    read: impl Read<V>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); IN]; IN];
        for c in 0..IN {
            let mut d = [V::splat(0.0); IN];
            for r in 0..IN {
                d[r] = at.load::<V, WHOLE>(from, r, c, read);
            }
            let d = T::input(d);
            for r in 0..IN {
                rows[r][c] = d[r];
            }
        }
        for r in 0..IN {
            let d = T::input(rows[r]);
            for c in 0..IN {
                d[c].store(to.add((r * IN + c) * to_step));
            }
        }
    }
}

/// As [`input_tile`] for [`Four`], from a plane of half the size: four by four pixels become the 25
/// operands that do not vanish.
///
/// # Safety
/// As for [`input_tile`].
#[inline(always)]
pub(super) unsafe fn half_input_tile<V: Vector>(
    from: *const f32,
    at: TileWindow,
    to: *mut f32,
    to_step: usize,
    read: impl Read<V>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if at.whole(4) {
            half_input_window::<V, true>(from, at, to, to_step, read);
        } else {
            half_input_window::<V, false>(from, at, to, to_step, read);
        }
    }
}

#[inline(always)]
unsafe fn half_input_window<V: Vector, const WHOLE: bool>(
    from: *const f32,
    at: TileWindow,
    to: *mut f32,
    to_step: usize,
    read: impl Read<V>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); 4]; 5];
        for c in 0..4 {
            let mut d = [V::splat(0.0); 4];
            for r in 0..4 {
                d[r] = at.load::<V, WHOLE>(from, r, c, read);
            }
            let d = Four::half_input(d);
            for r in 0..5 {
                rows[r][c] = d[r];
            }
        }
        for r in 0..5 {
            let d = Four::half_input(rows[r]);
            for c in 0..5 {
                d[c].store(to.add((Four::HALF[r] * 6 + Four::HALF[c]) * to_step));
            }
        }
    }
}

/// As [`output_tile`] for [`Four`], summed over squares of two by two pixels: two by two pixels of
/// half the size.
///
/// # Safety
/// As for [`input_tile`].
#[inline(always)]
pub(super) unsafe fn half_output_tile<V: Vector>(
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    at: TileWindow,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); 5]; 2];
        for c in 0..5 {
            let mut m = [V::splat(0.0); 5];
            for r in 0..5 {
                m[r] = V::load(from.add((Four::HALF[r] * 6 + Four::HALF[c]) * from_step));
            }
            let m = Four::half_output(m);
            for r in 0..2 {
                rows[r][c] = m[r];
            }
        }
        for r in 0..2 {
            let y = Four::half_output(rows[r]);
            for c in 0..2 {
                if r < at.to.0 && c < at.to.1 {
                    y[c].store(to.wrapping_add(r * at.row + c * at.column));
                }
            }
        }
    }
}

/// Products' sums to output pixels: `A^T m A`.
///
/// # Safety
/// As for [`input_tile`].
#[inline(always)]
pub(super) unsafe fn output_tile<
    V: Vector,
    T: Transform<IN, OUT>,
    const IN: usize,
    const OUT: usize,
>(
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    at: TileWindow,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if at.whole(OUT) {
            output_window::<V, T, IN, OUT, true>(from, from_step, to, at);
        } else {
            output_window::<V, T, IN, OUT, false>(from, from_step, to, at);
        }
    }
}

#[inline(always)]
unsafe fn output_window<
    V: Vector,
    T: Transform<IN, OUT>,
    const IN: usize,
    const OUT: usize,
    const WHOLE: bool,
>(
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    at: TileWindow,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); IN]; OUT];
        for c in 0..IN {
            let mut m = [V::splat(0.0); IN];
            for r in 0..IN {
                m[r] = V::load(from.add((r * IN + c) * from_step));
            }
            let m = T::output(m);
            for r in 0..OUT {
                rows[r][c] = m[r];
            }
        }
        for r in 0..OUT {
            let y = T::output(rows[r]);
            for c in 0..OUT {
                if WHOLE || (r < at.to.0 && c < at.to.1) {
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
pub(super) unsafe fn gradient_tile<
    V: Vector,
    T: Transform<IN, OUT>,
    const IN: usize,
    const OUT: usize,
>(
    from: *const f32,
    at: TileWindow,
    to: *mut f32,
    to_step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if at.whole(OUT) {
            gradient_window::<V, T, IN, OUT, true>(from, at, to, to_step);
        } else {
            gradient_window::<V, T, IN, OUT, false>(from, at, to, to_step);
        }
    }
}

#[inline(always)]
unsafe fn gradient_window<
    V: Vector,
    T: Transform<IN, OUT>,
    const IN: usize,
    const OUT: usize,
    const WHOLE: bool,
>(
    from: *const f32,
    at: TileWindow,
    to: *mut f32,
    to_step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); OUT]; IN];
        for c in 0..OUT {
            let mut d = [V::splat(0.0); OUT];
            for r in 0..OUT {
                d[r] = at.load::<V, WHOLE>(from, r, c, AsStored);
            }
            let d = T::output_adjoint(d);
            for r in 0..IN {
                rows[r][c] = d[r];
            }
        }
        for r in 0..IN {
            let d = T::output_adjoint(rows[r]);
            for c in 0..IN {
                d[c].store(to.add((r * IN + c) * to_step));
            }
        }
    }
}

/// Products' gradients to the kernel's: `G^T u G`, nine results `to_step` floats apart.
///
/// # Safety
/// As for [`input_tile`].
#[inline(always)]
pub(super) unsafe fn filter_gradient<
    V: Vector,
    T: Transform<IN, OUT>,
    const IN: usize,
    const OUT: usize,
>(
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    to_step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); IN]; 3];
        for c in 0..IN {
            let mut u = [V::splat(0.0); IN];
            for r in 0..IN {
                u[r] = V::load(from.add((r * IN + c) * from_step));
            }
            let u = T::filter_adjoint(u);
            for r in 0..3 {
                rows[r][c] = u[r];
            }
        }
        for r in 0..3 {
            let g = T::filter_adjoint(rows[r]);
            for c in 0..3 {
                g[c].store(to.add((r * 3 + c) * to_step));
            }
        }
    }
}

/// Kernels to products' operands: `G g G^T`, nine operands, the results `to_step` floats apart.
///
/// # Safety
/// As for [`input_tile`].
#[inline(always)]
pub(super) unsafe fn filter_tile<
    V: Vector,
    T: Transform<IN, OUT>,
    const IN: usize,
    const OUT: usize,
>(
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    to_step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[V::splat(0.0); 3]; IN];
        for c in 0..3 {
            let mut g = [V::splat(0.0); 3];
            for r in 0..3 {
                g[r] = V::load(from.add((r * 3 + c) * from_step));
            }
            let u = T::filter(g);
            for r in 0..IN {
                rows[r][c] = u[r];
            }
        }
        for r in 0..IN {
            let u = T::filter(rows[r]);
            for c in 0..IN {
                u[c].store(to.add((r * IN + c) * to_step));
            }
        }
    }
}
