//! The gradients of the fused norm, in two sweeps over a plane: the first for the sums, the second
//! for the input's gradient.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::{
    affine_map::Map,
    norm_operands::{BLOCK, Norm, Saved, check_tables},
};
use crate::engine::lanes::{
    kernels::operand::check,
    machine::{Kernels, LANES, Shared, Vector, multiversion},
};

/// Where the gradient passes the activation.
#[derive(Clone, Copy, Debug)]
pub enum Gate<'a> {
    /// Everywhere: no activation.
    Open,
    /// Where the affine map is positive, computed again from the input: a ReLU without residual.
    /// The output need not be read.
    Input,
    /// Where this output `[G, C, P, 16]` is positive: a ReLU after a residual.
    Output(&'a [f32]),
}

/// Gradients the backward pass overwrites.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// On entry the output's, `[G, C, P, 16]`. On return the residual's, where there was one, else
    /// the input's. Written in place, it takes no more of the cache.
    pub dy: &'a mut [f32],
    /// Of the input, `[G, C, P, 16]`, where there was a residual.
    pub dx: Option<&'a mut [f32]>,
    /// Of the scale, by lane, `[G, C, 16]`; the caller adds lanes up by expert.
    pub dgamma: &'a mut [f32],
    /// Of the shift, by lane, `[G, C, 16]`.
    pub dbeta: &'a mut [f32],
}

/// The gradients of [`super::forward`], from what it saved. All slices are as in [`Gradients`].
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn backward(kernels: &Kernels, norm: &Norm, saved: Saved, gate: Gate, gradients: Gradients) {
    saved.check(norm);
    check("dy", gradients.dy.len(), norm.len());
    check_tables(norm, &[gradients.dgamma, gradients.dbeta]);
    if let Gate::Output(y) = gate {
        check("y", y.len(), norm.len());
    }
    let dx = gradients.dx.map(|dx| {
        check("dx", dx.len(), norm.len());
        Shared::new(dx)
    });
    let dy = Shared::new(gradients.dy);
    let (dgamma, dbeta) = (Shared::new(gradients.dgamma), Shared::new(gradients.dbeta));
    let len = norm.pixels * LANES;
    kernels
        .threads()
        .run(norm.groups * norm.channels, 8 * norm.pixels, |p| {
            let (plane, table) = (p * len..(p + 1) * len, p * LANES..(p + 1) * LANES);
            // SAFETY: planes and their tables are disjoint; the instruction set is the kernels'.
            unsafe {
                let mut out = GradientPlane {
                    dy: dy.part(plane.start, len),
                    dx: dx.map(|dx| dx.part(plane.start, len)),
                    dgamma: dgamma.part(table.start, LANES),
                    dbeta: dbeta.part(table.start, LANES),
                };
                let gate = match gate {
                    Gate::Output(y) => Gate::Output(&y[plane]),
                    other => other,
                };
                plane_backward(kernels.isa(), saved.plane(norm, p), gate, &mut out);
            }
        });
}

/// One plane's results.
struct GradientPlane<'a> {
    dy: &'a mut [f32],
    dx: Option<&'a mut [f32]>,
    dgamma: &'a mut [f32],
    dbeta: &'a mut [f32],
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn plane_backward = plane_backward_body(saved: Saved, gate: Gate, out: &mut GradientPlane)
}

const OPEN: u8 = 0;
const INPUT: u8 = 1;
const OUTPUT: u8 = 2;

#[inline(always)]
unsafe fn plane_backward_body<V: Vector>(saved: Saved, gate: Gate, out: &mut GradientPlane) {
    let len = saved.x.len();
    assert!(saved.is_plane() && out.dy.len() == len);
    assert!(out.dx.as_ref().is_none_or(|dx| dx.len() == len));
    assert!(out.dgamma.len() == LANES && out.dbeta.len() == LANES);
    let y = match gate {
        Gate::Output(y) => y,
        _ => saved.x,
    };
    assert!(y.len() == len);
    let (y, dy) = (y.as_ptr(), out.dy.as_mut_ptr());
    // SAFETY: lengths asserted.
    unsafe {
        let Some(dx) = out.dx.as_mut().map(|dx| dx.as_mut_ptr()) else {
            match gate {
                Gate::Open => sweep::<V, OPEN>(&saved, y, dy, dy, out),
                Gate::Input => sweep::<V, INPUT>(&saved, y, dy, dy, out),
                Gate::Output(_) => sweep::<V, OUTPUT>(&saved, y, dy, dy, out),
            }
            return;
        };
        // The residual's gradient is the gated one, and all that the input's needs.
        match gate {
            Gate::Open => {}
            Gate::Input => gated::<V, INPUT>(&saved, y, dy),
            Gate::Output(_) => gated::<V, OUTPUT>(&saved, y, dy),
        }
        sweep::<V, OPEN>(&saved, y, dy, dx, out);
    }
}

/// The output's gradient where the gate is open, zero elsewhere.
#[inline(always)]
unsafe fn gradient<V: Vector, const GATE: u8>(
    map: &Map<V>,
    x: V,
    y: *const f32,
    dy: *const f32,
) -> V {
    // SAFETY: the caller's pixel is inside both planes.
    unsafe {
        let (dy, zero) = (V::load(dy), V::splat(0.0));
        match GATE {
            OPEN => dy,
            INPUT => V::select(map.at(x).gt(zero), dy, zero),
            _ => V::select(V::load(y).gt(zero), dy, zero),
        }
    }
}

/// Closes the gate on a plane's gradient, in place.
#[inline(always)]
unsafe fn gated<V: Vector, const GATE: u8>(saved: &Saved, y: *const f32, dy: *mut f32) {
    for at in (0..LANES).step_by(V::N) {
        // SAFETY: planes have the same length, a multiple of sixteen.
        unsafe {
            let map = Map::<V>::new(saved, at);
            for i in (at..saved.x.len()).step_by(LANES) {
                let x = V::load(saved.x.as_ptr().add(i));
                gradient::<V, GATE>(&map, x, y.add(i), dy.add(i)).store(dy.add(i));
            }
        }
    }
}

/// With g the gated gradient and xhat the normalised input, over n pixels: dbeta = sum g,
/// dgamma = sum g xhat, dx = gamma rstd (g - dbeta / n - xhat dgamma / n). `dx` may be `dy`.
#[inline(always)]
unsafe fn sweep<V: Vector, const GATE: u8>(
    saved: &Saved,
    y: *const f32,
    dy: *const f32,
    dx: *mut f32,
    out: &mut GradientPlane,
) {
    let len = saved.x.len();
    let x = saved.x.as_ptr();
    out.dbeta.fill(0.0);
    out.dgamma.fill(0.0);
    for block in (0..len).step_by(BLOCK * LANES) {
        let end = (block + BLOCK * LANES).min(len);
        for at in (0..LANES).step_by(V::N) {
            // SAFETY: planes have one length, a multiple of sixteen; tables hold sixteen lanes.
            unsafe {
                let map = Map::<V>::new(saved, at);
                let mean = V::load(saved.mean.as_ptr().add(at));
                let (mut shift, mut scale) = ([V::splat(0.0); 4], [V::splat(0.0); 4]);
                let mut i = block + at;
                while i + 3 * LANES < end {
                    for j in 0..4 {
                        let (value, i) = (V::load(x.add(i + j * LANES)), i + j * LANES);
                        let g = gradient::<V, GATE>(&map, value, y.add(i), dy.add(i));
                        shift[j] = shift[j].add(g);
                        scale[j] = g.fma(value.sub(mean), scale[j]);
                    }
                    i += 4 * LANES;
                }
                while i < end {
                    let value = V::load(x.add(i));
                    let g = gradient::<V, GATE>(&map, value, y.add(i), dy.add(i));
                    shift[0] = shift[0].add(g);
                    scale[0] = g.fma(value.sub(mean), scale[0]);
                    i += LANES;
                }
                let (dbeta, dgamma) = (
                    out.dbeta.as_mut_ptr().add(at),
                    out.dgamma.as_mut_ptr().add(at),
                );
                V::load(dbeta)
                    .add(shift[0].add(shift[1]).add(shift[2].add(shift[3])))
                    .store(dbeta);
                V::load(dgamma)
                    .add(scale[0].add(scale[1]).add(scale[2].add(scale[3])))
                    .store(dgamma);
            }
        }
    }
    let count = (len / LANES) as f32;
    for at in (0..LANES).step_by(V::N) {
        // SAFETY: tables hold sixteen lanes.
        unsafe {
            let dgamma = out.dgamma.as_mut_ptr().add(at);
            V::load(dgamma)
                .mul(V::load(saved.rstd.as_ptr().add(at)))
                .store(dgamma);
        }
    }
    for block in (0..len).step_by(BLOCK * LANES) {
        let end = (block + BLOCK * LANES).min(len);
        for at in (0..LANES).step_by(V::N) {
            // SAFETY: as above.
            unsafe {
                let map = Map::<V>::new(saved, at);
                let (mean, rstd) = (
                    V::load(saved.mean.as_ptr().add(at)),
                    V::load(saved.rstd.as_ptr().add(at)),
                );
                let factor = V::load(saved.affine.gamma.as_ptr().add(at)).mul(rstd);
                let constant = factor
                    .mul(V::load(out.dbeta.as_ptr().add(at)))
                    .mul(V::splat(-1.0 / count));
                let slope = factor
                    .mul(rstd)
                    .mul(V::load(out.dgamma.as_ptr().add(at)))
                    .mul(V::splat(1.0 / count));
                for i in (block + at..end).step_by(LANES) {
                    let value = V::load(x.add(i));
                    let g = gradient::<V, GATE>(&map, value, y.add(i), dy.add(i));
                    let result = value.sub(mean).fnma(slope, g.fma(factor, constant));
                    result.store(dx.add(i));
                }
            }
        }
    }
}
