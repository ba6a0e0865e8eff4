//! The weight's gradient as a sum of outer products, with input channels in lanes. There are no
//! horizontal sums and no taps outside the image: it suits small images with many channels.
//! Winograd's gradient uses the same inner loop.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::{
    conv_shape::Conv,
    packed_weights::{self, ChannelBlock},
};
use crate::engine::lanes::{
    kernels::{features::Features, operand::Onto},
    machine::{Isa, Kernels, LANES, Shared, Vector, multiversion, odd_lines, scratch},
};

/// Pixels between the one that is read and the one that is prefetched. The hardware prefetches
/// fewer streams than sixteen planes.
const AHEAD: usize = 6;

/// Channels rounded up to whole registers.
pub fn padded(channels: usize, isa: Isa) -> usize {
    channels.next_multiple_of(isa.lanes())
}

/// Output channels computed together. Where input channels fill one register only, it takes more of
/// them to keep enough sums in flight.
pub fn blocks(channels: usize, wide: usize, isa: Isa) -> Vec<ChannelBlock> {
    let one_register = wide == isa.lanes();
    packed_weights::blocks(channels, if one_register { 8 } else { isa.widest_block() })
}

/// Cycles of a core with two 16-lane multiply-adds each, fitted to measurements. As every cost, it
/// asks for no instruction set: the method decides the order of sums, and so the bytes.
pub fn cost(conv: &Conv) -> f64 {
    let inside = |size: usize, out: usize| -> usize {
        (0..conv.kernel)
            .map(|k| range(conv, k, size, out).len())
            .sum()
    };
    let taps = inside(conv.height, conv.out_height()) * inside(conv.width, conv.out_width());
    let pairs = (conv.cin.next_multiple_of(LANES) * conv.cout) as f64;
    let pixels = (conv.groups * conv.cin * conv.height * conv.width) as f64;
    pairs * (conv.groups as f64 * taps as f64 * 0.55 + 2.0 * (conv.kernel * conv.kernel) as f64)
        + 5.0 * pixels
}

/// The outputs, along one axis, for which tap `k` is inside the image.
fn range(conv: &Conv, k: usize, size: usize, out: usize) -> std::ops::Range<usize> {
    let from = conv
        .padding
        .saturating_sub(k)
        .div_ceil(conv.stride)
        .min(out);
    let to = (size + conv.padding)
        .saturating_sub(k)
        .div_ceil(conv.stride);
    from..to.clamp(from, out)
}

/// The gradient of the weight: overwrites `dw` `[C_out, C_in, K, K]`.
pub fn weight_gradient(kernels: &Kernels, conv: &Conv, x: Features, dy: &[f32], dw: &mut [f32]) {
    let (wide, taps) = (padded(conv.cin, kernels.isa()), conv.kernel * conv.kernel);
    let step = odd_lines(conv.cout * wide);
    let (pixels, outputs) = (
        conv.height * conv.width,
        conv.out_height() * conv.out_width(),
    );
    scratch(
        conv.groups * pixels * LANES * wide + taps * step,
        |buffer| {
            let (turned, sums) = buffer.split_at_mut(conv.groups * pixels * LANES * wide);
            let shared = Shared::new(turned);
            kernels
                .threads()
                .run(conv.groups * conv.height, conv.width * wide, |task| {
                    let (group, row) = (task / conv.height, task % conv.height);
                    let strip = Strip {
                        group,
                        channels: conv.cin,
                        plane: pixels * LANES,
                        first: row * conv.width,
                        pixels: conv.width,
                    };
                    let len = conv.width * LANES * wide;
                    // SAFETY: rows are disjoint.
                    strip.turn(kernels, x, unsafe { shared.part(task * len, len) });
                });
            let blocks = blocks(conv.cout, wide, kernels.isa());
            let shared = Shared::new(sums);
            let each = conv.groups * outputs * conv.cout * wide;
            kernels.threads().run(taps, each, |tap| {
                let pairs = pairs(conv, tap, wide);
                for &block in &blocks {
                    let outer = Outer {
                        left: &dy[block.first * outputs * LANES..],
                        left_step: outputs * LANES,
                        right: turned,
                        width: wide,
                        pairs: &pairs,
                        onto: Onto::Nothing,
                    };
                    // SAFETY: taps and blocks are disjoint; the instruction set is the kernels'.
                    unsafe {
                        let sums =
                            shared.part(tap * step + block.first * wide, block.channels * wide);
                        add_products(kernels.isa(), &outer, block, sums);
                    }
                }
            });
            let dw = Shared::new(dw);
            kernels.threads().run(conv.cout, conv.cin * taps, |co| {
                // SAFETY: output channels are disjoint.
                let to = unsafe { dw.part(co * conv.cin * taps, conv.cin * taps) };
                let of_tap = |tap: usize| &sums[tap * step + co * wide..][..conv.cin];
                match taps {
                    1 => to.copy_from_slice(of_tap(0)),
                    9 => interleave::<9>(std::array::from_fn(of_tap), to),
                    16 => interleave::<16>(std::array::from_fn(of_tap), to),
                    _ => {
                        for tap in 0..taps {
                            let to = to.iter_mut().skip(tap).step_by(taps);
                            to.zip(of_tap(tap)).for_each(|(to, from)| *to = *from);
                        }
                    }
                }
            });
        },
    );
}

/// From one row for each tap to the taps of each channel side by side, `[C_in, TAPS]`.
fn interleave<const TAPS: usize>(rows: [&[f32]; TAPS], to: &mut [f32]) {
    for (channel, to) in to.as_chunks_mut::<TAPS>().0.iter_mut().enumerate() {
        *to = std::array::from_fn(|tap| rows[tap][channel]);
    }
}

/// The places in `dy` and in the turned input that one tap multiplies.
fn pairs(conv: &Conv, tap: usize, wide: usize) -> Vec<(usize, usize)> {
    let (height, width) = (conv.out_height(), conv.out_width());
    let (ky, kx) = (tap / conv.kernel, tap % conv.kernel);
    let mut pairs = Vec::with_capacity(conv.groups * height * width);
    for group in 0..conv.groups {
        for oy in range(conv, ky, conv.height, height) {
            for ox in range(conv, kx, conv.width, width) {
                let (iy, ix) = (
                    oy * conv.stride + ky - conv.padding,
                    ox * conv.stride + kx - conv.padding,
                );
                let left = ((group * conv.cout * height + oy) * width + ox) * LANES;
                let right = ((group * conv.height + iy) * conv.width + ix) * LANES * wide;
                pairs.push((left, right));
            }
        }
    }
    pairs
}

/// Consecutive pixels of every channel of a group.
pub struct Strip {
    pub group: usize,
    pub channels: usize,
    /// Floats of a plane.
    pub plane: usize,
    pub first: usize,
    pub pixels: usize,
}

impl Strip {
    /// Writes it with channels innermost: overwrites `to` `[pixels, 16, C rounded up]`, padding
    /// channels with zeros.
    pub fn turn(&self, kernels: &Kernels, x: Features, to: &mut [f32]) {
        let (len, at) = (self.pixels * LANES, self.first * LANES);
        let of = |channel: usize| {
            let plane = (self.group * self.channels + channel) * self.plane;
            plane + at..plane + at + len
        };
        match x {
            Features::Stored(values) => {
                let from = &values[of(0).start..of(self.channels - 1).end];
                // SAFETY: the instruction set is the kernels'.
                unsafe { turn(kernels.isa(), from, self.plane, self, to) }
            }
            Features::Normed { .. } => scratch(self.channels * len, |strip| {
                for (channel, to) in strip.chunks_exact_mut(len).enumerate() {
                    x.plane(of(channel)).read(kernels, 0..len, to);
                }
                // SAFETY: the instruction set is the kernels'.
                unsafe { turn(kernels.isa(), strip, len, self, to) }
            }),
        }
    }
}

multiversion! {
    /// Turns a strip whose channels are `plane` floats apart.
    ///
    /// # Safety
    /// None beyond the instruction set.
    fn turn = turn_body(from: &[f32], plane: usize, strip: &Strip, to: &mut [f32])
}

#[inline(always)]
unsafe fn turn_body<V: Vector>(from: &[f32], plane: usize, strip: &Strip, to: &mut [f32]) {
    let wide = strip.channels.next_multiple_of(V::N);
    assert!(from.len() >= (strip.channels - 1) * plane + strip.pixels * LANES);
    assert!(to.len() == strip.pixels * LANES * wide);
    for channel in (0..strip.channels).step_by(LANES) {
        let rows = LANES.min(strip.channels - channel);
        for pixel in 0..strip.pixels {
            let from = from.as_ptr().wrapping_add(channel * plane + pixel * LANES);
            for row in 0..rows {
                V::prefetch(from.wrapping_add(row * plane + AHEAD * LANES));
            }
            let to = to.as_mut_ptr().wrapping_add(pixel * LANES * wide + channel);
            // SAFETY: `rows` planes hold the pixel; sixteen rows of `to` hold the channels.
            unsafe { V::transpose(from, plane, rows, to, wide, LANES.min(wide - channel)) };
        }
    }
}

/// The operands of `sums[c][i] (+)= sum over pairs (l, r) and lanes k of
/// left[c left_step + l + k] right[r + k width + i]`.
pub struct Outer<'a> {
    pub left: &'a [f32],
    pub left_step: usize,
    pub right: &'a [f32],
    /// Input channels, rounded up.
    pub width: usize,
    /// Places in `left` and `right`.
    pub pairs: &'a [(usize, usize)],
    pub onto: Onto,
}

multiversion! {
    /// Adds up the products for one block of output channels, into `sums` `[block, width]`.
    ///
    /// # Safety
    /// None beyond the instruction set.
    pub fn add_products = add_products_body(outer: &Outer, block: ChannelBlock, sums: &mut [f32])
}

#[inline(always)]
unsafe fn add_products_body<V: Vector>(outer: &Outer, block: ChannelBlock, sums: &mut [f32]) {
    assert!(outer.width.is_multiple_of(V::N) && sums.len() == block.channels * outer.width);
    let (most_left, most_right) = outer
        .pairs
        .iter()
        .fold((0, 0), |(l, r), pair| (l.max(pair.0), r.max(pair.1)));
    if !outer.pairs.is_empty() {
        assert!(outer.left.len() >= (block.channels - 1) * outer.left_step + most_left + LANES);
        assert!(outer.right.len() >= most_right + LANES * outer.width);
    }
    // SAFETY: asserted above.
    unsafe {
        match block.channels {
            8 => columns::<V, 8>(outer, sums),
            6 => columns::<V, 6>(outer, sums),
            4 => columns::<V, 4>(outer, sums),
            2 => columns::<V, 2>(outer, sums),
            _ => columns::<V, 1>(outer, sums),
        }
    }
}

#[expect(clippy::int_plus_one, reason = "one register is one of several widths")]
#[inline(always)]
unsafe fn columns<V: Vector, const CO: usize>(outer: &Outer, sums: &mut [f32]) {
    let (mut i, count) = (0, outer.width / V::N);
    macro_rules! span {
        ($($registers:literal)*) => {{$(
            while i + $registers <= count {
                // Four are two and two: three and one would starve the multipliers.
                if $registers == 3 && count - i == 4 {
                    break;
                }
                // SAFETY: registers i to i + $registers exist; the caller asserted lengths.
                unsafe { tile::<V, CO, $registers>(outer, i * V::N, sums.as_mut_ptr()) };
                i += $registers;
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

#[inline(always)]
unsafe fn tile<V: Vector, const CO: usize, const NV: usize>(
    outer: &Outer,
    at: usize,
    sums: *mut f32,
) {
    let (left, right) = (outer.left.as_ptr(), outer.right.as_ptr());
    // SAFETY: the caller asserted that every pair is inside the operands.
    unsafe {
        let mut totals = [[V::splat(0.0); NV]; CO];
        for &(l, r) in outer.pairs {
            let (left, right) = (left.add(l), right.add(r + at));
            for lane in 0..LANES {
                let mut channels = [V::splat(0.0); NV];
                for j in 0..NV {
                    channels[j] = V::load(right.add(lane * outer.width + j * V::N));
                }
                for c in 0..CO {
                    let gradient = V::splat(*left.add(c * outer.left_step + lane));
                    for j in 0..NV {
                        totals[c][j] = channels[j].fma(gradient, totals[c][j]);
                    }
                }
            }
        }
        // Added last, so that each call's sum is rounded on its own scale.
        if outer.onto == Onto::Sums {
            for c in 0..CO {
                for j in 0..NV {
                    let before = V::load(sums.add(c * outer.width + at + j * V::N));
                    totals[c][j] = totals[c][j].add(before);
                }
            }
        }
        for c in 0..CO {
            for j in 0..NV {
                totals[c][j].store(sums.add(c * outer.width + at + j * V::N));
            }
        }
    }
}
