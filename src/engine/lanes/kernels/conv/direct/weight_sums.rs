//! The gradient of the weight by direct summation. Accumulators stay vectors until the end, when
//! sixteen lanes become one number. The order of every sum follows from the shape only.

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
    machine::{Kernels, LANES, Shared, Vector, lane_sum, multiversion, odd_lines, scratch},
};

/// Vectors of output gradients that stay in L1 while the taps go over them.
const GRADIENTS_IN_CACHE: usize = 512;

/// Input channels that are multiplied with those gradients before the next pixels: fewer read all
/// gradients more often, more have too many sums for L1.
const INPUTS_TOGETHER: usize = 4;

/// Floats of copied rows that stay in L2.
const WINDOW_IN_CACHE: usize = 64 * 1024;

/// Rows of some channels of one group, with the convolution's padding written out, so that no tap
/// needs a bounds check. The first is the first that the outputs need.
pub(super) struct PaddedRows<'a> {
    pub(super) x: &'a [f32],
    /// Pixels of a row.
    pub(super) width: usize,
    /// Floats from one channel to the next.
    pub(super) channel: usize,
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
    let blocks = blocks(kernels, conv.cout);
    let dw = Shared::new(dw);
    let parts = conv.cin.div_ceil(INPUTS_TOGETHER);
    // A channel is copied once for all blocks, unless there are too few channels to share out.
    let shares = match kernels.threads().count() {
        1 => 1,
        threads => (4 * threads).div_ceil(parts).min(blocks.len()),
    };
    let products = conv.kernel * conv.kernel * (conv.output_len() / LANES);
    let each = INPUTS_TOGETHER.min(conv.cin) * products / shares;
    kernels.threads().run(shares * parts, each, |task| {
        let (share, first) = (task / parts, task % parts * INPUTS_TOGETHER);
        let pairs = ChannelPairs {
            conv,
            inputs: first..conv.cin.min(first + INPUTS_TOGETHER),
            blocks: &blocks[share * blocks.len() / shares..(share + 1) * blocks.len() / shares],
        };
        // SAFETY: tasks have different pairs of channels.
        unsafe { pairs.gradient(kernels, features, dy, dw) }
    });
}

/// Output channels whose gradients are summed together.
pub(super) fn blocks(kernels: &Kernels, channels: usize) -> Vec<ChannelBlock> {
    // Three taps by four channels are twelve sums, and three pixels beside them.
    let widest = if kernels.isa().widest_block() == 8 {
        8
    } else {
        4
    };
    packed_weights::blocks(channels, widest)
}

/// Some input channels with some blocks of output channels.
struct ChannelPairs<'a> {
    conv: &'a Conv,
    inputs: Range<usize>,
    blocks: &'a [ChannelBlock],
}

impl ChannelPairs<'_> {
    /// All taps between them.
    ///
    /// # Safety
    /// No other task writes these pairs of `dw`.
    unsafe fn gradient(&self, kernels: &Kernels, features: Features, dy: &[f32], dw: Shared) {
        let conv = self.conv;
        let (inputs, taps) = (self.inputs.len(), conv.kernel * conv.kernel);
        let outputs: usize = self.blocks.iter().map(|block| block.channels).sum();
        scratch(outputs * inputs * taps * LANES, |sums| {
            sums.fill(0.0);
            for group in 0..conv.groups {
                self.with_rows(kernels, features, group, |x, rows| {
                    let mut sums = &mut sums[..];
                    for &block in self.blocks {
                        let task = TapSums {
                            conv,
                            x,
                            inputs,
                            dy,
                            group,
                            rows: rows.clone(),
                            block,
                        };
                        let held = sums.split_off_mut(..block.channels * inputs * taps * LANES);
                        let held = held.expect("there are sums for every pair");
                        // SAFETY: the instruction set is the kernels'.
                        unsafe { correlate(kernels.isa(), &task, held) }
                    }
                });
            }
            let mut sums = sums.as_chunks::<LANES>().0.iter();
            for block in self.blocks {
                for ci in self.inputs.clone() {
                    for tap in 0..taps {
                        for co in block.first..block.first + block.channels {
                            let total = lane_sum(sums.next().expect("as many as there are"));
                            // SAFETY: the pair of channels is this task's alone.
                            unsafe { dw.part((co * conv.cin + ci) * taps + tap, 1)[0] = total };
                        }
                    }
                }
            }
        });
    }

    /// Calls a function with the input rows of one group and the outputs they are for, from above
    /// to below: those that are copied stay in the cache.
    fn with_rows(
        &self,
        kernels: &Kernels,
        features: Features,
        group: usize,
        mut work: impl FnMut(&PaddedRows, Range<usize>),
    ) {
        let conv = self.conv;
        let (plane, height) = (conv.height * conv.width * LANES, conv.out_height());
        let first = (group * conv.cin + self.inputs.start) * plane;
        if let (Features::Stored(x), 0) = (features, conv.padding) {
            let rows = PaddedRows {
                x: &x[first..first + self.inputs.len() * plane],
                width: conv.width,
                channel: plane,
            };
            return work(&rows, 0..height);
        }
        let width = conv.width + 2 * conv.padding;
        let needs = |outputs: usize| (outputs - 1) * conv.stride + conv.kernel;
        let floats = |outputs: usize| self.inputs.len() * needs(outputs) * width * LANES;
        let mut most = 1;
        while most < height && floats(most + 1) <= WINDOW_IN_CACHE {
            most += 1;
        }
        let (row, channel) = (width * LANES, odd_lines(needs(most) * width * LANES));
        // Rows of one window that the next needs, too.
        let shared = conv.kernel.saturating_sub(conv.stride);
        scratch(self.inputs.len() * channel, |x| {
            for start in (0..height).step_by(most) {
                let outputs = start..height.min(start + most);
                let above = outputs.start * conv.stride;
                let below = above + needs(outputs.len());
                let held = if start == 0 { 0 } else { shared };
                for (ci, to) in x.chunks_exact_mut(channel).enumerate() {
                    let from = first + ci * plane;
                    if held > 0 {
                        let before = most * conv.stride * row;
                        to.copy_within(before..before + held * row, 0);
                    }
                    let to = &mut to[held * row..];
                    pad(
                        kernels,
                        features,
                        from..from + plane,
                        conv,
                        above + held..below,
                        to,
                    );
                }
                work(&PaddedRows { x, width, channel }, outputs);
            }
        });
    }
}

/// Rows of so many channels of outputs whose gradients stay in L1.
fn rows_together(conv: &Conv, channels: usize) -> usize {
    (GRADIENTS_IN_CACHE / channels / conv.out_width()).clamp(1, conv.out_height())
}

/// Copies some rows of a plane, counted from the first of the padding, with zeros around the image.
fn pad(
    kernels: &Kernels,
    x: Features,
    plane: Range<usize>,
    conv: &Conv,
    rows: Range<usize>,
    to: &mut [f32],
) {
    let (row, pad) = (conv.width * LANES, conv.padding);
    let wide = row + 2 * pad * LANES;
    let plane = x.plane(plane);
    scratch(x.room(row), |room| {
        for (y, to) in rows.zip(to.chunks_exact_mut(wide)) {
            if !(pad..pad + conv.height).contains(&y) {
                to.fill(0.0);
                continue;
            }
            let from = plane.read(kernels, (y - pad) * row..(y - pad + 1) * row, room);
            to[..pad * LANES].fill(0.0);
            to[pad * LANES..pad * LANES + row].copy_from_slice(from);
            to[pad * LANES + row..].fill(0.0);
        }
    });
}

/// All taps between some input channels and one block of output channels, over some rows of
/// outputs of one group.
pub(super) struct TapSums<'a> {
    pub(super) conv: &'a Conv,
    pub(super) x: &'a PaddedRows<'a>,
    /// Input channels.
    pub(super) inputs: usize,
    pub(super) dy: &'a [f32],
    pub(super) group: usize,
    pub(super) rows: Range<usize>,
    pub(super) block: ChannelBlock,
}

multiversion! {
    /// Adds to `sums` `[inputs, K, K, block, 16]`.
    ///
    /// # Safety
    /// None beyond the instruction set.
    pub(super) fn correlate = correlate_body(task: &TapSums, sums: &mut [f32])
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
    let (conv, x, outputs) = (task.conv, task.x, task.rows.clone());
    let (k, height, width) = (conv.kernel, conv.out_height(), conv.out_width());
    let (inputs, each, x_row) = (task.inputs, k * k * CO * LANES, x.width * LANES);
    // Taps stay inside the padded rows, rows and columns inside those of `dy`.
    assert!(inputs > 0 && !outputs.is_empty() && outputs.end <= height);
    let needed = (outputs.len() - 1) * conv.stride + k;
    assert!(x.x.len() >= (inputs - 1) * x.channel + needed * x_row);
    assert!((width - 1) * conv.stride + k <= x.width);
    assert!(task.group < conv.groups && task.dy.len() == conv.output_len());
    assert!(task.block.first + CO <= conv.cout && sums.len() == inputs * each);
    let rows = rows_together(conv, CO);
    for first in outputs.clone().step_by(rows) {
        // Both halves of a line while it is in the cache.
        let halves = (0..inputs).flat_map(|input| (0..LANES / V::N).map(move |h| (input, h)));
        for (input, half) in halves {
            let below = (first - outputs.start) * conv.stride;
            let channel = task.group * conv.cout + task.block.first;
            let run = RowRange {
                x: x.x
                    .as_ptr()
                    .wrapping_add(input * x.channel + below * x_row + half * V::N),
                x_row,
                stride: conv.stride,
                dy: task
                    .dy
                    .as_ptr()
                    .wrapping_add((channel * height + first) * width * LANES + half * V::N),
                dy_plane: height * width * LANES,
                rows: rows.min(outputs.end - first),
                columns: width,
                sums: sums.as_mut_ptr().wrapping_add(input * each + half * V::N),
                kernel: k,
            };
            // SAFETY: asserted above.
            unsafe { run.all_taps::<V, CO>() };
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
