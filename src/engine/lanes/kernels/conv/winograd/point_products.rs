//! The matrix product at one of Winograd's points: transformed weights, broadcast, times
//! transformed tiles.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use crate::engine::lanes::{
    kernels::conv::packed_weights::ChannelBlock,
    machine::{Kernels, LANES, Vector, multiversion},
};

/// The operands of one point: weights in blocks `[C_in, block]`, `inputs` `[C_in, count, 16]`.
pub(super) struct Product<'a> {
    pub(super) weights: &'a [f32],
    pub(super) inputs: &'a [f32],
    /// Tiles.
    pub(super) count: usize,
    /// The first input channel that takes part.
    pub(super) first: usize,
}

impl Product<'_> {
    /// `sums[co][t] = sum over ci of weights[ci][co] inputs[ci][t]` for one block of `sums`
    /// `[channels, count, 16]`, whose channels are counted as in `weights`.
    pub(super) fn multiply(&self, kernels: &Kernels, block: ChannelBlock, sums: &mut [f32]) {
        let (count, channels) = (self.count, block.channels);
        let cin = self.inputs.len() / (count * LANES);
        let weights = &self.weights[block.first * cin..][self.first * channels..cin * channels];
        let inputs = &self.inputs[self.first * count * LANES..];
        let sums = &mut sums[block.first * count * LANES..][..channels * count * LANES];
        // SAFETY: the instruction set is the kernels'.
        unsafe { multiply_block(kernels.isa(), weights, channels, inputs, count, sums) };
    }
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn multiply_block = multiply_block_body(
        weights: &[f32],
        channels: usize,
        inputs: &[f32],
        count: usize,
        sums: &mut [f32],
    )
}

#[inline(always)]
unsafe fn multiply_block_body<V: Vector>(
    weights: &[f32],
    channels: usize,
    inputs: &[f32],
    count: usize,
    sums: &mut [f32],
) {
    let cin = weights.len() / channels;
    assert!(inputs.len() == cin * count * LANES && sums.len() == channels * count * LANES);
    assert!(weights.len() == cin * channels);
    // SAFETY: lengths asserted.
    unsafe {
        match channels {
            8 => columns::<V, 8>(weights, inputs, count, sums),
            6 => columns::<V, 6>(weights, inputs, count, sums),
            4 => columns::<V, 4>(weights, inputs, count, sums),
            2 => columns::<V, 2>(weights, inputs, count, sums),
            _ => columns::<V, 1>(weights, inputs, count, sums),
        }
    }
}

#[expect(clippy::int_plus_one, reason = "one tile is one of several widths")]
#[inline(always)]
unsafe fn columns<V: Vector, const CO: usize>(
    weights: &[f32],
    inputs: &[f32],
    count: usize,
    sums: &mut [f32],
) {
    let cin = weights.len() / CO;
    for half in (0..LANES).step_by(V::N) {
        let mut t = 0;
        macro_rules! span {
            ($($tiles:literal)*) => {{$(
                while t + $tiles <= count {
                    // Four are two and two: three and one would starve the multipliers.
                    if $tiles == 3 && count - t == 4 {
                        break;
                    }
                    let at = t * LANES + half;
                    let inputs = inputs.as_ptr().wrapping_add(at);
                    let sums = sums.as_mut_ptr().wrapping_add(at);
                    let step = count * LANES;
                    // SAFETY: tiles t to t + $tiles exist; the caller asserted lengths.
                    unsafe { tile::<V, CO, $tiles>(weights.as_ptr(), inputs, cin, step, sums) };
                    t += $tiles;
                }
            )*}};
        }
        match (CO, V::WIDE) {
            (8, _) => span!(3 2 1),
            (6, true) => span!(4 2 1),
            (6, false) => span!(2 1),
            (4, true) => span!(6 3 2 1),
            (4, false) => span!(2 1),
            (2, true) => span!(8 4 2 1),
            (2, false) => span!(4 2 1),
            _ => span!(8 4 2 1),
        }
    }
}

/// `CO` channels by `PX` tiles in registers; `step` floats from one channel to the next.
#[inline(always)]
unsafe fn tile<V: Vector, const CO: usize, const PX: usize>(
    weights: *const f32,
    inputs: *const f32,
    cin: usize,
    step: usize,
    sums: *mut f32,
) {
    // SAFETY: the caller's channels and tiles are inside the operands.
    unsafe {
        let mut totals = [[V::splat(0.0); PX]; CO];
        for ci in 0..cin {
            let (inputs, weights) = (inputs.add(ci * step), weights.add(ci * CO));
            let mut values = [V::splat(0.0); PX];
            for j in 0..PX {
                values[j] = V::load(inputs.add(j * LANES));
            }
            for c in 0..CO {
                let weight = V::splat(*weights.add(c));
                for j in 0..PX {
                    totals[c][j] = values[j].fma(weight, totals[c][j]);
                }
            }
        }
        for c in 0..CO {
            for j in 0..PX {
                totals[c][j].store(sums.add(c * step + j * LANES));
            }
        }
    }
}
