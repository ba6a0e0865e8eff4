//! Direct convolution: register tiles of output channels by columns, weights broadcast. One kernel
//! computes the output and the gradient of the input, since both are correlations. A task takes one
//! block of output channels after the other. Pixels in memory are read where they are; those that
//! outputs skip some of, and those that are computed where they are read, are copied first.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use std::ops::Range;

use super::{
    pixel_window::{PixelWindow, WindowAxis, span},
    row_tiles::{self, Finish, MAX_TAPS, OutputRow, SumEnds, Tap},
};
use crate::engine::lanes::{
    kernels::{
        conv::{
            conv_shape::Conv,
            packed_weights::{self, ChannelBlock, WeightView},
        },
        features::Features,
    },
    machine::{Kernels, LANES, Shared, scratch},
};

/// Floats of a task's window: half of a common L2.
const WINDOW_IN_CACHE: usize = 64 * 1024;

/// Output columns worth fetching the weights for, whether their window fits or not.
const LEAST_COLUMNS: usize = 6;

/// Output channels of a task: enough to be worth the copy, few enough for several threads to have
/// work.
const CHANNELS: usize = 64;

/// Pixels of output not worth packing the weights for.
const FEW: usize = 16;

/// The weights of a correlation.
#[derive(Clone, Copy)]
enum CorrelationWeights<'a> {
    /// Blocks of `[C_in, taps, block]`, as many taps.
    Packed { blocks: &'a [f32], taps: usize },
    /// As the network stores them.
    Stored(WeightView<'a>),
}

impl<'a> CorrelationWeights<'a> {
    /// A block's weights, and the floats from one input channel's and one output channel's to the
    /// next's.
    fn of(self, block: ChannelBlock, run_len: usize) -> (&'a [f32], usize, usize) {
        match self {
            Self::Packed { blocks, taps } => {
                let from = &blocks[block.first * run_len..][..block.channels * run_len];
                (from, taps * block.channels, 1)
            }
            Self::Stored(source) => {
                let from = &source.weights[block.first * source.cout_stride..];
                (from, source.cin_stride, source.cout_stride)
            }
        }
    }
}

/// `y[out_step a + out_origin] = sum over c and taps t of x[c][in_step a + offset[t]] w[c][t]`, in
/// both directions of the plane.
struct Correlation {
    groups: usize,
    cin: usize,
    cout: usize,
    in_size: [usize; 2],
    out_size: [usize; 2],
    in_step: usize,
    out_step: usize,
    out_origin: [usize; 2],
    /// Outputs computed, by direction.
    count: [usize; 2],
    /// Offsets of the taps, by direction.
    offsets: [Vec<isize>; 2],
    /// Place of each tap, row by row, in the K x K kernel.
    taps: Vec<usize>,
}

/// Overwrites `y` `[G, C_out, H', W', 16]` with the convolution of `x`, whose sums begin and are
/// finished as `ends` says.
pub fn forward(
    kernels: &Kernels,
    conv: &Conv,
    x: Features,
    source: &WeightView,
    ends: SumEnds,
    y: &mut [f32],
) {
    let k = conv.kernel;
    let offsets: Vec<isize> = (0..k)
        .map(|tap| tap as isize - conv.padding as isize)
        .collect();
    let out_size = [conv.out_height(), conv.out_width()];
    let correlation = Correlation {
        groups: conv.groups,
        cin: conv.cin,
        cout: conv.cout,
        in_size: [conv.height, conv.width],
        out_size,
        in_step: conv.stride,
        out_step: 1,
        out_origin: [0, 0],
        count: out_size,
        offsets: [offsets.clone(), offsets],
        taps: (0..k * k).collect(),
    };
    correlation.run(kernels, x, source, ends, Shared::new(y));
}

/// The gradient of the input, finished: overwrites `dx` `[G, C_in, H, W, 16]`.
///
/// With stride 2, input pixels of each parity have their own taps: one correlation for each of the
/// four classes.
pub fn grad_input(
    kernels: &Kernels,
    conv: &Conv,
    dy: Features,
    source: &WeightView,
    finish: Finish,
    dx: &mut [f32],
) {
    let ends = SumEnds {
        finish,
        ..SumEnds::PLAIN
    };
    let (k, s) = (conv.kernel, conv.stride);
    let dx = Shared::new(dx);
    for parity in 0..s * s {
        let origin = [parity / s, parity % s];
        // Input pixel s a + o meets output pixel (s a + o + padding - tap) / s.
        let taps = origin.map(|o| {
            (0..k)
                .filter(|tap| (o + conv.padding + s - tap % s).is_multiple_of(s))
                .collect::<Vec<_>>()
        });
        let offset = |o: usize, tap: &usize| {
            (o as isize + conv.padding as isize - *tap as isize) / s as isize
        };
        let correlation = Correlation {
            groups: conv.groups,
            cin: conv.cout,
            cout: conv.cin,
            in_size: [conv.out_height(), conv.out_width()],
            out_size: [conv.height, conv.width],
            in_step: 1,
            out_step: s,
            out_origin: origin,
            count: [
                (conv.height + s - 1 - origin[0]) / s,
                (conv.width + s - 1 - origin[1]) / s,
            ],
            offsets: [0, 1].map(|axis| {
                taps[axis]
                    .iter()
                    .map(|tap| offset(origin[axis], tap))
                    .collect()
            }),
            taps: taps[0]
                .iter()
                .flat_map(|ky| taps[1].iter().map(move |kx| ky * k + kx))
                .collect(),
        };
        correlation.run(kernels, dy, source, ends, dx);
    }
}

impl Correlation {
    fn run(&self, kernels: &Kernels, x: Features, source: &WeightView, ends: SumEnds, y: Shared) {
        if self.count.contains(&0) {
            return;
        }
        let blocks = packed_weights::blocks(self.cout, kernels.isa().widest_block());
        let run_len = self.cin * self.taps.len();
        let packs = self.count[0] * self.count[1] > FEW;
        scratch(if packs { self.cout * run_len } else { 0 }, |packed| {
            let shared = Shared::new(packed);
            let pack = |b: usize| {
                let ChannelBlock { first, channels } = blocks[b];
                // SAFETY: blocks are disjoint.
                let part = unsafe { shared.part(first * run_len, channels * run_len) };
                packed_weights::block(source, blocks[b], self.cin, &self.taps, part);
            };
            let weights = if packs {
                let each = run_len * blocks[0].channels;
                kernels.threads().run(blocks.len(), each, pack);
                CorrelationWeights::Packed {
                    blocks: packed,
                    taps: self.taps.len(),
                }
            } else {
                CorrelationWeights::Stored(*source)
            };
            let (rows, columns) = self.piece();
            let row_pieces = self.count[0].div_ceil(rows);
            let pieces = row_pieces * self.count[1].div_ceil(columns);
            let shares = blocks.len().div_ceil(CHANNELS / blocks[0].channels);
            let tasks = self.groups * pieces * shares;
            let each = rows * columns * run_len * self.cout / shares;
            kernels.threads().run(tasks, each, |task| {
                let (share, piece) = (task % shares, task / shares % pieces);
                let cut =
                    |at: usize, len: usize, count: usize| at * len..((at + 1) * len).min(count);
                let blocks =
                    &blocks[share * blocks.len() / shares..(share + 1) * blocks.len() / shares];
                let task = OutputPiece {
                    shape: self,
                    group: task / shares / pieces,
                    rows: cut(piece % row_pieces, rows, self.count[0]),
                    columns: cut(piece / row_pieces, columns, self.count[1]),
                    blocks,
                };
                task.run(kernels, x, weights, ends, y);
            });
        });
    }

    /// Rows and columns of output whose window stays in the cache.
    fn piece(&self) -> (usize, usize) {
        let [down, across] = [0, 1].map(|axis| span(&self.offsets[axis]));
        let fits = |rows: usize, columns: usize| {
            let [height, width] = [(rows, down), (columns, across)]
                .map(|(outputs, span)| (outputs - 1) * self.in_step + span);
            self.cin * height * width * LANES <= WINDOW_IN_CACHE
        };
        let mut columns = self.count[1];
        while columns > LEAST_COLUMNS && !fits(1, columns) {
            columns = columns.div_ceil(2).max(LEAST_COLUMNS);
        }
        let mut rows = 1;
        while rows < self.count[0] && fits(rows + 1, columns) {
            rows += 1;
        }
        (rows, columns)
    }
}

/// A piece of the output: some rows and columns of some blocks of channels of one group.
struct OutputPiece<'a> {
    shape: &'a Correlation,
    group: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    blocks: &'a [ChannelBlock],
}

/// The pixels that a piece of the output is computed from.
enum PieceInput<'a> {
    /// The planes of a group.
    Planes(&'a [f32]),
    /// A copy of those that are needed, with the padding written out.
    Copied(&'a [f32], PixelWindow),
}

impl OutputPiece<'_> {
    fn run(
        &self,
        kernels: &Kernels,
        x: Features,
        weights: CorrelationWeights,
        ends: SumEnds,
        y: Shared,
    ) {
        let shape = self.shape;
        let plane = shape.in_size[0] * shape.in_size[1] * LANES;
        // Neighbours of what is in memory are read where they are, unless outputs skip some.
        if let Features::Stored(x) = x
            && shape.in_step == 1
        {
            let group = shape.cin * plane;
            let x = &x[self.group * group..(self.group + 1) * group];
            return self.correlate(kernels, &PieceInput::Planes(x), weights, ends, y);
        }
        let axis = |axis: usize, outputs: &Range<usize>| {
            WindowAxis::new(
                &shape.offsets[axis],
                shape.in_step,
                outputs,
                shape.in_size[axis],
            )
        };
        let window = PixelWindow {
            rows: axis(0, &self.rows),
            columns: axis(1, &self.columns),
        };
        scratch(shape.cin * window.channel(), |pixels| {
            scratch(x.room(window.row()), |room| {
                for (channel, to) in pixels.chunks_exact_mut(window.channel()).enumerate() {
                    let from = (self.group * shape.cin + channel) * plane;
                    window.copy(kernels, x.plane(from..from + plane), room, to);
                }
            });
            let input = PieceInput::Copied(pixels, window);
            self.correlate(kernels, &input, weights, ends, y);
        });
    }

    fn correlate(
        &self,
        kernels: &Kernels,
        input: &PieceInput,
        weights: CorrelationWeights,
        ends: SumEnds,
        y: Shared,
    ) {
        let shape = self.shape;
        let [height, width] = shape.out_size;
        let (x, channel) = match input {
            PieceInput::Planes(x) => (*x, x.len() / shape.cin),
            PieceInput::Copied(x, window) => (*x, window.channel()),
        };
        let middle = match input {
            PieceInput::Planes(_) => self.whole_columns(),
            PieceInput::Copied(..) => self.columns.clone(),
        };
        // Near an edge each column has its own taps.
        let [left, right] = [
            self.columns.start..middle.start,
            middle.end..self.columns.end,
        ];
        let alone = |column| column..column + 1;
        let (left, right) = (left.map(alone), right.map(alone));
        let middle = (!middle.is_empty()).then_some(middle);
        for block in self.blocks {
            let (from, run, turn) = weights.of(*block, shape.cin * shape.taps.len());
            for row in self.rows.clone() {
                for columns in left.clone().chain(middle.clone()).chain(right.clone()) {
                    let mut taps = [Tap::default(); MAX_TAPS];
                    let place = |tap: usize| match weights {
                        CorrelationWeights::Packed { .. } => tap * block.channels,
                        CorrelationWeights::Stored(_) => shape.taps[tap],
                    };
                    let count = self.taps(input, [row, columns.start], place, &mut taps);
                    let at = (row * shape.out_step + shape.out_origin[0]) * width
                        + columns.start * shape.out_step
                        + shape.out_origin[1];
                    let row = OutputRow {
                        x,
                        channel,
                        cin: shape.cin,
                        weights: from,
                        run,
                        turn,
                        taps: &taps[..count],
                        ends: ends.of(*block),
                        y,
                        at: ((self.group * shape.cout + block.first) * height * width + at) * LANES,
                        plane: height * width * LANES,
                        step: shape.out_step * LANES,
                        columns: columns.len(),
                        channels: block.channels,
                    };
                    // SAFETY: the instruction set is the kernels'; tasks write different pixels or
                    // channels.
                    unsafe { row_tiles::correlate(kernels.isa(), &row) };
                }
            }
        }
    }

    /// The columns all of whose taps are inside the image.
    fn whole_columns(&self) -> Range<usize> {
        let offsets = &self.shape.offsets[1];
        let least = offsets.iter().copied().min().unwrap_or(0);
        let most = offsets.iter().copied().max().unwrap_or(0);
        let Range { start, end } = self.columns.clone();
        let from = start.max((-least).max(0).unsigned_abs()).min(end);
        let to = (self.shape.in_size[1] as isize - most)
            .max(0)
            .unsigned_abs();
        from..end.min(to).max(from)
    }

    /// The taps for the output in a row and a column and for those right of it: those inside the
    /// image or in padding that is written out beside it, not above or below. In a copy the column
    /// is the piece's first. Returns how many there are.
    fn taps(
        &self,
        input: &PieceInput,
        [row, column]: [usize; 2],
        weight: impl Fn(usize) -> usize,
        taps: &mut [Tap; MAX_TAPS],
    ) -> usize {
        let [down, across] = &self.shape.offsets;
        let [height, width] = self.shape.in_size;
        let mut count = 0;
        for (ty, &oy) in down.iter().enumerate() {
            let y = (row * self.shape.in_step) as isize + oy;
            let Some(y) = usize::try_from(y).ok().filter(|y| *y < height) else {
                continue;
            };
            for (tx, &ox) in across.iter().enumerate() {
                let pixel = match input {
                    PieceInput::Planes(_) => {
                        let x = column as isize + ox;
                        let Some(x) = usize::try_from(x).ok().filter(|x| *x < width) else {
                            continue;
                        };
                        y * width + x
                    }
                    PieceInput::Copied(_, window) => {
                        debug_assert_eq!(column, self.columns.start);
                        let line = window.rows.place(oy) + row - self.rows.start;
                        line * window.columns.pixels() + window.columns.place(ox)
                    }
                };
                taps[count] = Tap {
                    x: pixel * LANES,
                    w: weight(ty * across.len() + tx),
                };
                count += 1;
            }
        }
        count
    }
}
