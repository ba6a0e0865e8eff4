//! The soft Dice loss, `L = 1 - N / D` with `N = 2 sum(s y) + e` and
//! `D = sum(s) + sum(y) + e`, for each lane of each plane. One plane holds one (image, expert) pair
//! per lane.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::{logistic::logistic, operand::check};
use crate::engine::lanes::machine::{Kernels, LANES, Shared, Vector, multiversion};

/// Pixels summed at a time, so that partial sums stay short.
const BLOCK: usize = 64;

/// The planes compared, `[P, HW, 16]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dice {
    /// Groups times channels.
    pub planes: usize,
    /// Pixels of a plane.
    pub pixels: usize,
    /// Added to numerator and denominator.
    pub smooth: f32,
}

/// What the forward pass writes for each lane.
#[derive(Debug)]
pub struct LaneLosses<'a> {
    /// `1 - N / D`, `[P, 16]`. A padded lane of zeros gets a value too; its upstream weight is
    /// zero.
    pub loss: &'a mut [f32],
    /// `N`, `[P, 16]`, for the backward pass.
    pub numerator: &'a mut [f32],
    /// `D`, `[P, 16]`, for the backward pass.
    pub denominator: &'a mut [f32],
}

/// The loss of each lane; overwrites all three tables. `logits` and `target` are `[P, HW, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn forward(kernels: &Kernels, dice: &Dice, logits: &[f32], target: &[f32], losses: LaneLosses) {
    let len = dice.pixels * LANES;
    check("logits", logits.len(), dice.planes * len);
    check("target", target.len(), dice.planes * len);
    for table in [&*losses.loss, &*losses.numerator, &*losses.denominator] {
        check("a table", table.len(), dice.planes * LANES);
    }
    let [loss, numerator, denominator] =
        [losses.loss, losses.numerator, losses.denominator].map(Shared::new);
    kernels.threads().run(dice.planes, 20 * dice.pixels, |p| {
        let (logits, target) = (&logits[p * len..][..len], &target[p * len..][..len]);
        // SAFETY: tables of planes are disjoint; the instruction set is the kernels'.
        unsafe {
            let mut out = LaneLosses {
                loss: loss.part(p * LANES, LANES),
                numerator: numerator.part(p * LANES, LANES),
                denominator: denominator.part(p * LANES, LANES),
            };
            plane_forward(kernels.isa(), logits, target, dice.smooth, &mut out);
        }
    });
}

/// The gradient of the logits: overwrites `dlogits` `[P, HW, 16]` with
/// `dloss * -(2 y D - N) / D^2 * s (1 - s)`; `dloss` `[P, 16]` is each lane's upstream weight.
///
/// # Panics
/// When a slice's length is not the shape's.
#[expect(clippy::too_many_arguments, reason = "the operands of one operation")]
pub fn backward(
    kernels: &Kernels,
    dice: &Dice,
    logits: &[f32],
    target: &[f32],
    numerator: &[f32],
    denominator: &[f32],
    dloss: &[f32],
    dlogits: &mut [f32],
) {
    let len = dice.pixels * LANES;
    check("logits", logits.len(), dice.planes * len);
    check("target", target.len(), dice.planes * len);
    check("dlogits", dlogits.len(), dice.planes * len);
    for table in [numerator, denominator, dloss] {
        check("a table", table.len(), dice.planes * LANES);
    }
    let dlogits = Shared::new(dlogits);
    kernels.threads().run(dice.planes, 20 * dice.pixels, |p| {
        let table = p * LANES..(p + 1) * LANES;
        let plane = DicePlane {
            logits: &logits[p * len..][..len],
            target: &target[p * len..][..len],
            numerator: &numerator[table.clone()],
            denominator: &denominator[table.clone()],
            dloss: &dloss[table],
        };
        // SAFETY: planes are disjoint; the instruction set is the kernels'.
        unsafe { plane_backward(kernels.isa(), &plane, dlogits.part(p * len, len)) }
    });
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn plane_forward = plane_forward_body(
        logits: &[f32],
        target: &[f32],
        smooth: f32,
        out: &mut LaneLosses,
    )
}

#[inline(always)]
unsafe fn plane_forward_body<V: Vector>(
    logits: &[f32],
    target: &[f32],
    smooth: f32,
    out: &mut LaneLosses,
) {
    assert!(logits.len() == target.len() && logits.len().is_multiple_of(LANES));
    assert!(
        out.loss.len() == LANES && out.numerator.len() == LANES && out.denominator.len() == LANES
    );
    for at in (0..LANES).step_by(V::N) {
        // SAFETY: lengths asserted.
        unsafe {
            let (mut both, mut either) = (V::splat(0.0), V::splat(0.0));
            for block in (0..logits.len()).step_by(BLOCK * LANES) {
                let (mut product, mut total) = (V::splat(0.0), V::splat(0.0));
                for i in (block + at..(block + BLOCK * LANES).min(logits.len())).step_by(LANES) {
                    let (s, y) = (
                        logistic(V::load(logits.as_ptr().add(i))),
                        V::load(target.as_ptr().add(i)),
                    );
                    product = s.fma(y, product);
                    total = total.add(s.add(y));
                }
                both = both.add(product);
                either = either.add(total);
            }
            let numerator = both.fma(V::splat(2.0), V::splat(smooth));
            let denominator = either.add(V::splat(smooth));
            numerator.store(out.numerator.as_mut_ptr().add(at));
            denominator.store(out.denominator.as_mut_ptr().add(at));
            V::splat(1.0)
                .sub(numerator.div(denominator))
                .store(out.loss.as_mut_ptr().add(at));
        }
    }
}

/// One plane's operands for the gradient.
struct DicePlane<'a> {
    logits: &'a [f32],
    target: &'a [f32],
    numerator: &'a [f32],
    denominator: &'a [f32],
    dloss: &'a [f32],
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn plane_backward = plane_backward_body(plane: &DicePlane, dlogits: &mut [f32])
}

#[inline(always)]
unsafe fn plane_backward_body<V: Vector>(plane: &DicePlane, dlogits: &mut [f32]) {
    let len = dlogits.len();
    assert!(plane.logits.len() == len && plane.target.len() == len && len.is_multiple_of(LANES));
    assert!(
        [plane.numerator, plane.denominator, plane.dloss]
            .iter()
            .all(|table| table.len() == LANES)
    );
    for at in (0..LANES).step_by(V::N) {
        // SAFETY: lengths asserted.
        unsafe {
            let (n, d) = (
                V::load(plane.numerator.as_ptr().add(at)),
                V::load(plane.denominator.as_ptr().add(at)),
            );
            let upstream = V::load(plane.dloss.as_ptr().add(at));
            // dL/ds = N / D^2 - y 2 / D.
            let constant = upstream.mul(n.div(d)).div(d);
            let slope = upstream.mul(V::splat(-2.0).div(d));
            for i in (at..len).step_by(LANES) {
                let s = logistic(V::load(plane.logits.as_ptr().add(i)));
                let ds = V::load(plane.target.as_ptr().add(i)).fma(slope, constant);
                ds.mul(s)
                    .mul(V::splat(1.0).sub(s))
                    .store(dlogits.as_mut_ptr().add(i));
            }
        }
    }
}
