//! Gradients of the weight and the bias by direct summation. Accumulators stay vectors until the
//! end, when sixteen lanes become one number. The order of every sum follows from the shape only.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use std::ops::Range;

use crate::engine::lanes::{
    kernels::{
        conv::{
            conv_shape::Conv,
            packed_weights::{self, ChannelBlock},
        },
        features::Features,
    },
    machine::{Kernels, LANES, Shared, Vector, lane_sum, multiversion, scratch},
};

/// Output pixels whose gradients, eight channels of them, stay in L1 while the taps go over them.
const PIXELS_IN_CACHE: usize = 48;

/// One channel `[G, H, W, 16]` with the convolution's padding written out, so that no tap needs a
/// bounds check.
struct Padded<'a> {
    x: &'a [f32],
    height: usize,
    width: usize,
}

/// Cycles of a core with two 16-lane multiply-adds each, fitted to measurements.
pub fn cost(conv: &Conv) -> f64 {
    let taps = (conv.kernel * conv.kernel) as f64;
    let products = (conv.groups * conv.out_height() * conv.out_width()) as f64;
    // A single tap has too few sums in flight to hide the latency of the additions.
    let product = if conv.kernel == 1 { 1.2 } else { 0.62 };
    (conv.cin * conv.cout) as f64 * taps * (products * product + 6.0)
}

/// The gradient of the weight: overwrites `dw` `[C_out, C_in, K, K]`.
pub fn weight_gradient(
    kernels: &Kernels,
    conv: &Conv,
    features: Features,
    dy: &[f32],
    dw: &mut [f32],
) {
    // Three taps by four channels are twelve sums, and three pixels beside them.
    let widest = if kernels.isa().widest_block() == 8 {
        8
    } else {
        4
    };
    let blocks = packed_weights::blocks(conv.cout, widest);
    let dw = Shared::new(dw);
    let (height, width) = (
        conv.height + 2 * conv.padding,
        conv.width + 2 * conv.padding,
    );
    let (plane, padded) = (conv.height * conv.width * LANES, height * width * LANES);
    // A channel is copied once for all blocks, unless there are too few channels to share out.
    let shares = match kernels.threads().count() {
        1 => 1,
        threads => (4 * threads).div_ceil(conv.cin).min(blocks.len()),
    };
    let each = conv.kernel * conv.kernel * (conv.output_len() / LANES) / shares;
    kernels.threads().run(shares * conv.cin, each, |task| {
        let (share, ci) = (task / conv.cin, task % conv.cin);
        scratch(conv.groups * padded, |x| {
            for (group, to) in x.chunks_exact_mut(padded).enumerate() {
                let from = (group * conv.cin + ci) * plane;
                pad(kernels, features, from..from + plane, conv, to);
            }
            let x = Padded { x, height, width };
            for &block in
                &blocks[share * blocks.len() / shares..(share + 1) * blocks.len() / shares]
            {
                sum(kernels, conv, &x, dy, dw, block, ci);
            }
        });
    });
}

/// Copies a plane into the middle of a larger one of zeros.
fn pad(kernels: &Kernels, x: Features, plane: Range<usize>, conv: &Conv, to: &mut [f32]) {
    let (row, pad) = (conv.width * LANES, conv.padding);
    let wide = row + 2 * pad * LANES;
    let (top, rest) = to.split_at_mut(pad * wide);
    let (middle, bottom) = rest.split_at_mut(conv.height * wide);
    top.fill(0.0);
    bottom.fill(0.0);
    let plane = x.plane(plane);
    scratch(x.room(row), |room| {
        for (y, to) in middle.chunks_exact_mut(wide).enumerate() {
            let from = plane.read(kernels, y * row..(y + 1) * row, room);
            to[..pad * LANES].fill(0.0);
            to[pad * LANES..pad * LANES + row].copy_from_slice(from);
            to[pad * LANES + row..].fill(0.0);
        }
    });
}

/// The gradient of all taps between one input channel and one block of output channels.
fn sum(
    kernels: &Kernels,
    conv: &Conv,
    x: &Padded,
    dy: &[f32],
    dw: Shared,
    block: ChannelBlock,
    ci: usize,
) {
    scratch(conv.kernel * conv.kernel * block.channels * LANES, |sums| {
        let task = TapSums {
            conv,
            x,
            dy,
            dw,
            block,
            ci,
        };
        // SAFETY: the instruction set is the kernels'; tasks write different pairs of channels.
        unsafe { correlate(kernels.isa(), &task, sums) }
    });
}

/// All taps between one input channel and one block of output channels.
struct TapSums<'a> {
    conv: &'a Conv,
    x: &'a Padded<'a>,
    dy: &'a [f32],
    dw: Shared<'a>,
    block: ChannelBlock,
    ci: usize,
}

multiversion! {
    /// # Safety
    /// No other task writes the same pairs of channels of `dw`.
    fn correlate = correlate_body(task: &TapSums, sums: &mut [f32])
}

#[inline(always)]
unsafe fn correlate_body<V: Vector>(task: &TapSums, sums: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe {
        match task.block.channels {
            8 => block::<V, 8>(task, sums),
            4 => block::<V, 4>(task, sums),
            2 => block::<V, 2>(task, sums),
            _ => block::<V, 1>(task, sums),
        }
    }
}

#[inline(always)]
unsafe fn block<V: Vector, const CO: usize>(task: &TapSums, sums: &mut [f32]) {
    let (conv, x) = (task.conv, task.x);
    let (k, height, width) = (conv.kernel, conv.out_height(), conv.out_width());
    // Taps stay inside the padded planes, rows and columns inside those of `dy`.
    assert!(
        x.x.len() == conv.groups * x.height * x.width * LANES && task.dy.len() == conv.output_len()
    );
    assert!((height - 1) * conv.stride + k <= x.height && (width - 1) * conv.stride + k <= x.width);
    assert!(
        task.ci < conv.cin
            && task.block.first + CO <= conv.cout
            && sums.len() == k * k * CO * LANES
    );
    let rows = (PIXELS_IN_CACHE / width).clamp(1, height);
    sums.fill(0.0);
    for group in 0..conv.groups {
        for first in (0..height).step_by(rows) {
            // Both halves of a line while it is in the cache.
            for half in 0..LANES / V::N {
                let run = RowRange {
                    x: x.x.as_ptr().wrapping_add(
                        (group * x.height + first * conv.stride) * x.width * LANES + half * V::N,
                    ),
                    x_row: x.width * LANES,
                    stride: conv.stride,
                    dy: task.dy.as_ptr().wrapping_add(
                        ((group * conv.cout + task.block.first) * height + first) * width * LANES
                            + half * V::N,
                    ),
                    dy_plane: height * width * LANES,
                    rows: rows.min(height - first),
                    columns: width,
                    sums: sums.as_mut_ptr().wrapping_add(half * V::N),
                    kernel: k,
                };
                // SAFETY: asserted above.
                unsafe { run.all_taps::<V, CO>() };
            }
        }
    }
    for tap in 0..k * k {
        for c in 0..CO {
            let lanes = sums[(tap * CO + c) * LANES..].first_chunk();
            let total = lane_sum(lanes.expect("sixteen lanes"));
            // SAFETY: the pair of channels is this task's alone.
            unsafe {
                task.dw.part(
                    ((task.block.first + c) * conv.cin + task.ci) * k * k + tap,
                    1,
                )[0] = total
            };
        }
    }
}

/// Some rows of one group, from the first on; distances in floats.
struct RowRange {
    x: *const f32,
    x_row: usize,
    stride: usize,
    dy: *const f32,
    dy_plane: usize,
    rows: usize,
    columns: usize,
    /// `[K, K, CO, 16]`.
    sums: *mut f32,
    kernel: usize,
}

impl RowRange {
    #[inline(always)]
    unsafe fn all_taps<V: Vector, const CO: usize>(&self) {
        let k = self.kernel;
        // SAFETY: taps are below the kernel's size.
        unsafe {
            if k == 3 && (CO == 1 || CO == 2 && V::WIDE) {
                return self.taps::<V, CO, 3, 3>(0, 0);
            }
            for ky in 0..k {
                let mut kx = 0;
                while kx + 3 <= k {
                    self.taps::<V, CO, 1, 3>(ky, kx);
                    kx += 3;
                }
                while kx < k {
                    self.taps::<V, CO, 1, 1>(ky, kx);
                    kx += 1;
                }
            }
        }
    }

    /// `KY` by `KX` taps from (ky, kx) on.
    #[inline(always)]
    unsafe fn taps<V: Vector, const CO: usize, const KY: usize, const KX: usize>(
        &self,
        ky: usize,
        kx: usize,
    ) {
        // SAFETY: the caller asserted that rows, columns and taps are inside the operands.
        unsafe {
            let mut totals = [[[V::splat(0.0); CO]; KX]; KY];
            let at =
                |i: usize, j: usize, c: usize| (((ky + i) * self.kernel + kx + j) * CO + c) * LANES;
            for i in 0..KY {
                for j in 0..KX {
                    for c in 0..CO {
                        totals[i][j][c] = V::load(self.sums.add(at(i, j, c)));
                    }
                }
            }
            for row in 0..self.rows {
                let mut x = self
                    .x
                    .add((row * self.stride + ky) * self.x_row + kx * LANES);
                let mut dy = self.dy.add(row * self.columns * LANES);
                for _ in 0..self.columns {
                    let mut pixels = [[V::splat(0.0); KX]; KY];
                    for i in 0..KY {
                        for j in 0..KX {
                            pixels[i][j] = V::load(x.add(i * self.x_row + j * LANES));
                        }
                    }
                    for c in 0..CO {
                        let gradient = V::load(dy.add(c * self.dy_plane));
                        for i in 0..KY {
                            for j in 0..KX {
                                totals[i][j][c] = pixels[i][j].fma(gradient, totals[i][j][c]);
                            }
                        }
                    }
                    x = x.wrapping_add(self.stride * LANES);
                    dy = dy.wrapping_add(LANES);
                }
            }
            for i in 0..KY {
                for j in 0..KX {
                    for c in 0..CO {
                        totals[i][j][c].store(self.sums.add(at(i, j, c)));
                    }
                }
            }
        }
    }
}

/// The gradient of the bias: overwrites `db` `[C_out]`.
pub fn bias_gradient(kernels: &Kernels, conv: &Conv, dy: &[f32], db: &mut [f32]) {
    let plane = conv.out_height() * conv.out_width() * LANES;
    let db = Shared::new(db);
    kernels
        .threads()
        .run(conv.cout, conv.groups * plane / 4, |channel| {
            // SAFETY: one task for each channel.
            let to = unsafe { db.part(channel, 1) };
            let planes = dy.chunks_exact(plane).skip(channel).step_by(conv.cout);
            to[0] = planes.map(|plane| total(plane) as f32).sum();
        });
}

/// The sum of a plane, lane by lane in f64 and then over the lanes.
fn total(plane: &[f32]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    for pixel in plane.as_chunks::<LANES>().0 {
        for (lane, value) in lanes.iter_mut().zip(pixel) {
            *lane += f64::from(*value);
        }
    }
    lanes.iter().sum()
}
