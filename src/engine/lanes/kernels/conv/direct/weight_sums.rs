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

/// Rows of outputs between the one that is computed and the one whose input is prefetched.
const AHEAD: usize = 4;

/// Input channels that are multiplied with those gradients before the next pixels: fewer read all
/// gradients more often, more have too many sums for L1.
const INPUTS_TOGETHER: usize = 4;

/// Floats of computed rows that stay in L2.
const WINDOW_IN_CACHE: usize = 64 * 1024;

/// Rows of some channels of one group.
pub(super) struct InputRows<'a> {
    pub(super) x: &'a [f32],
    /// Where in the image the first of them is.
    pub(super) first: usize,
    /// Floats from one channel to the next.
    pub(super) channel: usize,
    /// What is read next, to be prefetched meanwhile, in part where outputs skip pixels.
    pub(super) next: Option<NextRows>,
}

/// Rows in memory that are to be read soon.
#[derive(Clone, Copy)]
pub(super) struct NextRows {
    /// The row to prefetch while the first output row is computed. It need not be valid.
    first: *const f32,
    /// Floats from there to the row for the next output row.
    row: usize,
    /// Floats from one channel to the next.
    channel: usize,
}

/// Cycles of a core with two 16-lane multiply-adds each, fitted to measurements.
pub fn cost(conv: &Conv) -> f64 {
    let taps = (conv.kernel * conv.kernel) as f64;
    let products = (conv.groups * conv.out_height() * conv.out_width()) as f64;
    // Fitted to slower kernels than these. The factors stay: another choice of the method would
    // change the order of sums, and so the bytes of results.
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
    let blocks = blocks(conv.cout);
    let dw = Shared::new(dw);
    let parts = conv.cin.div_ceil(INPUTS_TOGETHER);
    // What is not in memory is computed once for all blocks, unless there are too few channels to
    // share out.
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
pub(super) fn blocks(channels: usize) -> Vec<ChannelBlock> {
    packed_weights::blocks(channels, 4)
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
    /// to below: those that are computed stay in the cache.
    fn with_rows(
        &self,
        kernels: &Kernels,
        features: Features,
        group: usize,
        mut work: impl FnMut(&InputRows, Range<usize>),
    ) {
        let conv = self.conv;
        let (row, height) = (conv.width * LANES, conv.out_height());
        let plane = conv.height * row;
        let first = (group * conv.cin + self.inputs.start) * plane;
        // From the first row that the output row `at` needs and those above it do not.
        let next = |at: usize| {
            let below = at * conv.stride + conv.kernel.saturating_sub(conv.stride);
            let from = first + below.saturating_sub(conv.padding) * row;
            NextRows {
                first: features.values().as_ptr().wrapping_add(from),
                row: conv.stride * row,
                channel: plane,
            }
        };
        if let Features::Stored(x) = features {
            let rows = InputRows {
                x: &x[first..first + self.inputs.len() * plane],
                first: 0,
                channel: plane,
                next: Some(next(AHEAD)),
            };
            return work(&rows, 0..height);
        }
        let rows = |outputs: usize| {
            let rows = (outputs - 1) * conv.stride + conv.kernel;
            rows.min(conv.height)
        };
        let mut most = 1;
        while most < height && self.inputs.len() * rows(most + 1) * row <= WINDOW_IN_CACHE {
            most += 1;
        }
        let channel = odd_lines(rows(most) * row);
        scratch(self.inputs.len() * channel, |x| {
            let mut held: Range<usize> = 0..0;
            for start in (0..height).step_by(most) {
                let outputs = start..height.min(start + most);
                let needed = input_rows(conv, &outputs);
                let kept = held.end.saturating_sub(needed.start);
                for (ci, to) in x.chunks_exact_mut(channel).enumerate() {
                    let gone = (held.len() - kept) * row;
                    to.copy_within(gone..gone + kept * row, 0);
                    let plane = features.plane(first + ci * plane..first + (ci + 1) * plane);
                    let rest = (needed.start + kept) * row..needed.end * row;
                    // Computed features are written into the room they are given.
                    let room = &mut to[kept * row..kept * row + rest.len()];
                    plane.read(kernels, rest, room);
                }
                let rows = InputRows {
                    x,
                    first: needed.start,
                    channel,
                    next: (outputs.end < height).then(|| next(outputs.end)),
                };
                held = needed;
                work(&rows, outputs);
            }
        });
    }
}

/// The input rows that some rows of outputs are computed from.
fn input_rows(conv: &Conv, outputs: &Range<usize>) -> Range<usize> {
    let from = (outputs.start * conv.stride).saturating_sub(conv.padding);
    let to = ((outputs.end - 1) * conv.stride + conv.kernel).saturating_sub(conv.padding);
    let to = to.min(conv.height);
    from.min(to)..to
}

/// Rows of so many channels of outputs whose gradients stay in L1.
fn rows_together(conv: &Conv, channels: usize) -> usize {
    (GRADIENTS_IN_CACHE / channels / conv.out_width()).clamp(1, conv.out_height())
}

/// All taps between some input channels and one block of output channels, over some rows of
/// outputs of one group.
pub(super) struct TapSums<'a> {
    pub(super) conv: &'a Conv,
    pub(super) x: &'a InputRows<'a>,
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
            4 => block::<V, 4>(task, sums),
            2 => block::<V, 2>(task, sums),
            _ => block::<V, 1>(task, sums),
        }
    }
}

#[expect(
    clippy::int_plus_one,
    reason = "one input is one of several numbers of them"
)]
#[inline(always)]
unsafe fn block<V: Vector, const CO: usize>(task: &TapSums, sums: &mut [f32]) {
    let (conv, x, outputs) = (task.conv, task.x, task.rows.clone());
    let (k, height, width) = (conv.kernel, conv.out_height(), conv.out_width());
    let (inputs, each, row) = (task.inputs, k * k * CO * LANES, conv.width * LANES);
    // Taps inside the image are inside the rows, rows and columns inside those of `dy`.
    assert!(inputs > 0 && !outputs.is_empty() && outputs.end <= height);
    let needed = input_rows(conv, &outputs);
    assert!(x.first <= needed.start);
    assert!(x.x.len() >= (inputs - 1) * x.channel + (needed.end - x.first) * row);
    assert!(task.group < conv.groups && task.dy.len() == conv.output_len());
    assert!(task.block.first + CO <= conv.cout && sums.len() == inputs * each);
    let rows = rows_together(conv, CO);
    let channel = task.group * conv.cout + task.block.first;
    let sums = sums.as_mut_ptr();
    for first in outputs.clone().step_by(rows) {
        let run = |input: usize, half: usize| RowRange {
            conv,
            x: x.x.as_ptr().wrapping_add(input * x.channel + half * V::N),
            first: x.first,
            channel: x.channel,
            dy: task
                .dy
                .as_ptr()
                .wrapping_add(channel * height * width * LANES + half * V::N),
            rows: first..outputs.end.min(first + rows),
            sums: sums.wrapping_add(input * each + half * V::N),
            next: x
                .next
                .filter(|_| half == 0 && task.block.first == 0)
                .map(|next| {
                    let at = input * next.channel + (first - outputs.start) * next.row;
                    let first = next.first.wrapping_add(at);
                    NextRows { first, ..next }
                }),
        };
        let mut input = 0;
        macro_rules! inputs {
            ($together:literal) => {
                while input + $together <= inputs {
                    // Both halves of a line while it is in the cache.
                    for half in 0..LANES / V::N {
                        // SAFETY: asserted above.
                        unsafe { run(input, half).all_taps::<V, $together, CO>() };
                    }
                    input += $together;
                }
            };
        }
        // Twenty-four sums, or sixteen: the fewest reads for each product.
        if V::WIDE && CO == 4 {
            if k == 1 {
                inputs!(4);
            }
            inputs!(2);
        }
        inputs!(1);
    }
}

/// Some rows of outputs of one group, with some input channels and a block of output channels.
struct RowRange<'a> {
    conv: &'a Conv,
    /// The first pixel of the first input channel.
    x: *const f32,
    /// The image's row that `x` is in.
    first: usize,
    /// Floats from one input channel to the next.
    channel: usize,
    /// The first output channel's gradient.
    dy: *const f32,
    rows: Range<usize>,
    /// `[inputs, K, K, CO, 16]`.
    sums: *mut f32,
    next: Option<NextRows>,
}

/// Sums of `KY` by `KX` taps between `CI` input and `CO` output channels, in registers.
type Totals<V, const CI: usize, const CO: usize, const KY: usize, const KX: usize> =
    [[[[V; CO]; KX]; KY]; CI];

impl RowRange<'_> {
    /// Between `CI` input and `CO` output channels.
    #[inline(always)]
    unsafe fn all_taps<V: Vector, const CI: usize, const CO: usize>(&self) {
        let k = self.conv.kernel;
        // SAFETY: taps are below the kernel's size.
        unsafe {
            if k == 3 && (CO == 1 || CO == 2 && V::WIDE) {
                return self.taps::<V, CI, CO, 3, 3>(0, 0);
            }
            for ky in 0..k {
                let mut kx = 0;
                while CI < 4 && kx + 3 <= k {
                    self.taps::<V, CI, CO, 1, 3>(ky, kx);
                    kx += 3;
                }
                while kx < k {
                    self.taps::<V, CI, CO, 1, 1>(ky, kx);
                    kx += 1;
                }
            }
        }
    }

    /// `KY` by `KX` taps from (ky, kx) on.
    #[inline(always)]
    unsafe fn taps<
        V: Vector,
        const CI: usize,
        const CO: usize,
        const KY: usize,
        const KX: usize,
    >(
        &self,
        ky: usize,
        kx: usize,
    ) {
        let conv = self.conv;
        let (k, stride, columns) = (conv.kernel, conv.stride, conv.out_width());
        let at = |n: usize, i: usize, j: usize, c: usize| {
            (((n * k + ky + i) * k + kx + j) * CO + c) * LANES
        };
        // Columns all of whose taps are inside the image.
        let from = conv
            .padding
            .saturating_sub(kx)
            .div_ceil(stride)
            .min(columns);
        let to = (conv.width + conv.padding).saturating_sub(kx + KX - 1);
        let to = to.div_ceil(stride).clamp(from, columns);
        // SAFETY: the caller asserted that rows, columns and taps are inside the operands.
        unsafe {
            let mut totals: Totals<V, CI, CO, KY, KX> = [[[[V::splat(0.0); CO]; KX]; KY]; CI];
            for n in 0..CI {
                for i in 0..KY {
                    for j in 0..KX {
                        for c in 0..CO {
                            totals[n][i][j][c] = V::load(self.sums.add(at(n, i, j, c)));
                        }
                    }
                }
            }
            for row in self.rows.clone() {
                let above = row * stride + ky;
                let inside =
                    |i: usize| (conv.padding..conv.padding + conv.height).contains(&(above + i));
                if !(0..KY).any(inside) {
                    continue;
                }
                let rows = std::array::from_fn(|i| match inside(i) {
                    true => (above + i - conv.padding - self.first) * conv.width * LANES,
                    false => 0,
                });
                let line = TapLine {
                    x: self
                        .x
                        .wrapping_add(kx * LANES)
                        .wrapping_sub(conv.padding * LANES),
                    rows,
                    channel: self.channel,
                    dy: self.dy.add(row * columns * LANES),
                    plane: conv.out_height() * columns * LANES,
                    step: stride * LANES,
                };
                let edge = |column: usize, i: usize, j: usize| {
                    let pixel = column * stride + kx + j;
                    inside(i) && (conv.padding..conv.padding + conv.width).contains(&pixel)
                };
                let whole = if (0..KY).all(inside) { from..to } else { 0..0 };
                line.add(0..whole.start, edge, |_| {}, &mut totals);
                let all = |_, _, _| true;
                match self.next.filter(|_| ky == 0 && kx == 0) {
                    None => line.add(whole.clone(), all, |_| {}, &mut totals),
                    Some(next) => {
                        let first = next.first.wrapping_add((row - self.rows.start) * next.row);
                        let prefetch = |column: usize| {
                            for n in 0..CI {
                                let at = n * next.channel + column * LANES;
                                V::prefetch_l2(first.wrapping_add(at));
                            }
                        };
                        line.add(whole.clone(), all, prefetch, &mut totals);
                    }
                }
                line.add(whole.end..columns, edge, |_| {}, &mut totals);
            }
            for n in 0..CI {
                for i in 0..KY {
                    for j in 0..KX {
                        for c in 0..CO {
                            totals[n][i][j][c].store(self.sums.add(at(n, i, j, c)));
                        }
                    }
                }
            }
        }
    }
}

/// A row of outputs and the rows that some taps read for it.
struct TapLine<const KY: usize> {
    /// The pixel of the first tap for the first output, in the first row of the first channel.
    /// It may be outside the image.
    x: *const f32,
    /// Floats from the first row to that of each tap.
    rows: [usize; KY],
    /// Floats from one input channel to the next.
    channel: usize,
    /// The first output channel's row.
    dy: *const f32,
    /// Floats from one output channel to the next.
    plane: usize,
    /// Floats of `x` from one output to the next.
    step: usize,
}

impl<const KY: usize> TapLine<KY> {
    /// Adds the products of some columns, and calls `meanwhile` with each of them. Taps that are
    /// not `inside` are not read and add nothing.
    ///
    /// # Safety
    /// The other taps and the columns are inside the operands.
    #[inline(always)]
    unsafe fn add<V: Vector, const CI: usize, const CO: usize, const KX: usize>(
        &self,
        columns: Range<usize>,
        inside: impl Fn(usize, usize, usize) -> bool,
        meanwhile: impl Fn(usize),
        totals: &mut Totals<V, CI, CO, KY, KX>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let first = self.x.wrapping_add(columns.start * self.step);
            let mut x = [[first; KY]; CI];
            for n in 0..CI {
                for i in 0..KY {
                    x[n][i] = x[n][i].wrapping_add(n * self.channel + self.rows[i]);
                }
            }
            let mut dy = self.dy.wrapping_add(columns.start * LANES);
            for column in columns {
                meanwhile(column);
                let mut pixels = [[[V::splat(0.0); KX]; KY]; CI];
                for n in 0..CI {
                    for i in 0..KY {
                        for j in 0..KX {
                            if inside(column, i, j) {
                                pixels[n][i][j] = V::load(x[n][i].wrapping_add(j * LANES));
                            }
                        }
                        x[n][i] = x[n][i].wrapping_add(self.step);
                    }
                }
                for c in 0..CO {
                    let gradient = V::load(dy.add(c * self.plane));
                    for n in 0..CI {
                        for i in 0..KY {
                            for j in 0..KX {
                                if inside(column, i, j) {
                                    let total = &mut totals[n][i][j][c];
                                    *total = pixels[n][i][j].fma(gradient, *total);
                                }
                            }
                        }
                    }
                }
                dy = dy.wrapping_add(LANES);
            }
        }
    }
}
