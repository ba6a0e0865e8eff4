//! Direct convolution: register tiles of output channels by columns, weights broadcast. One kernel serves forward and
//! the gradient of the input, since both are correlations; taps that fall outside the image are skipped, not padded.

use super::super::LANES;
use super::super::isa::{Kernels, multiversion};
use super::super::threads::{Shared, scratch};
use super::super::vector::Vector;
use super::Conv;
use super::pack::{self, Block, Source};

/// Taps of the largest kernel.
const MAX_TAPS: usize = 49;
/// Input floats a task walks over before it turns to the next block of channels: a quarter of a common L2.
const ROWS_IN_CACHE: usize = 64 * 1024;

/// `y[out_step * a + out_origin] = sum over c and taps t of x[c][in_step * a + offset[t]] * w[c][t]`, in both directions of the plane.
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

pub(super) fn forward(
    kernels: &Kernels,
    conv: &Conv,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
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
    let source = Source {
        weights: w,
        cout_stride: conv.cin * k * k,
        cin_stride: k * k,
    };
    correlation.run(kernels, x, &source, bias, Shared::new(y));
}

/// With stride 2, input pixels of each parity see their own taps: one correlation for each of the four classes.
pub(super) fn grad_input(kernels: &Kernels, conv: &Conv, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    let (k, s) = (conv.kernel, conv.stride);
    let source = Source {
        weights: w,
        cout_stride: k * k,
        cin_stride: conv.cin * k * k,
    };
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
        correlation.run(kernels, dy, &source, None, dx);
    }
}

impl Correlation {
    fn run(&self, kernels: &Kernels, x: &[f32], source: &Source, bias: Option<&[f32]>, y: Shared) {
        if self.count.contains(&0) {
            return;
        }
        let blocks = pack::blocks(self.cout, kernels.isa().widest_block());
        let run_len = self.cin * self.taps.len();
        let rows = (ROWS_IN_CACHE / (self.cin * self.in_size[1] * LANES * self.in_step))
            .clamp(1, self.count[0]);
        let chunks = self.count[0].div_ceil(rows);
        scratch(self.cout * run_len, |packed| {
            let shared = Shared::new(packed);
            kernels.threads().run(blocks.len(), |b| {
                let Block { first, channels } = blocks[b];
                // SAFETY: blocks are disjoint.
                let part = unsafe { shared.part(first * run_len, channels * run_len) };
                pack::block(source, blocks[b], self.cin, &self.taps, part);
            });
            let packed = &*packed;
            kernels
                .threads()
                .run(self.groups * chunks * blocks.len(), |task| {
                    let (block, rest) = (blocks[task % blocks.len()], task / blocks.len());
                    let first_row = rest % chunks * rows;
                    let tile = Task {
                        shape: self,
                        x: &x[rest / chunks
                            * self.cin
                            * self.in_size[0]
                            * self.in_size[1]
                            * LANES..],
                        weights: &packed[block.first * run_len..][..block.channels * run_len],
                        bias: bias.map(|bias| &bias[block.first..][..block.channels]),
                        y,
                        plane: rest / chunks * self.cout + block.first,
                        channels: block.channels,
                        rows: first_row..(first_row + rows).min(self.count[0]),
                    };
                    // SAFETY: the instruction set is the kernels'; tasks write different rows or channels.
                    unsafe { correlate(kernels.isa(), &tile) }
                });
        });
    }
}

/// Some rows of one block of output channels of one group.
struct Task<'a> {
    shape: &'a Correlation,
    /// From the group's first channel on.
    x: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    y: Shared<'a>,
    /// The block's first plane in `y`.
    plane: usize,
    channels: usize,
    rows: std::ops::Range<usize>,
}

multiversion! {
    /// # Safety
    /// No other task writes the same rows and channels.
    fn correlate = correlate_body(task: &Task)
}

#[inline(always)]
unsafe fn correlate_body<V: Vector>(task: &Task) {
    let shape = task.shape;
    // Every address below is a pixel inside `in_size` or `out_size`: `taps_at` drops the others.
    assert!(task.x.len() >= shape.cin * shape.in_size[0] * shape.in_size[1] * LANES);
    assert!(task.weights.len() == shape.cin * shape.taps.len() * task.channels);
    assert!(
        shape.taps.len() <= MAX_TAPS && task.bias.is_none_or(|bias| bias.len() == task.channels)
    );
    // SAFETY: the parts stay inside `y`, which this checks.
    unsafe {
        task.y.part(
            task.plane * plane_len(shape),
            task.channels * plane_len(shape),
        )
    };
    // SAFETY: asserted above; the caller promises the rest.
    unsafe {
        match (task.channels, shape.in_step) {
            (8, 1) => rows::<V, 8, 1>(task),
            (8, _) => rows::<V, 8, 2>(task),
            (4, 1) => rows::<V, 4, 1>(task),
            (4, _) => rows::<V, 4, 2>(task),
            (2, 1) => rows::<V, 2, 1>(task),
            (2, _) => rows::<V, 2, 2>(task),
            (_, 1) => rows::<V, 1, 1>(task),
            _ => rows::<V, 1, 2>(task),
        }
    }
}

/// Floats of one output plane.
#[inline(always)]
fn plane_len(shape: &Correlation) -> usize {
    shape.out_size[0] * shape.out_size[1] * LANES
}

/// One tap: where its pixel and its weights are, in floats from the tile's.
#[derive(Clone, Copy)]
struct Tap {
    x: isize,
    w: usize,
}

/// The taps that fall inside the image for output (row, column).
#[inline(always)]
fn taps_at(
    shape: &Correlation,
    co: usize,
    row: usize,
    column: usize,
    taps: &mut [Tap; MAX_TAPS],
) -> usize {
    let [height, width] = shape.in_size.map(|size| size as isize);
    let (y, x) = (
        (row * shape.in_step) as isize,
        (column * shape.in_step) as isize,
    );
    let columns = shape.offsets[1].len();
    let mut count = 0;
    for (ty, &oy) in shape.offsets[0].iter().enumerate() {
        for (tx, &ox) in shape.offsets[1].iter().enumerate() {
            if y + oy >= 0 && y + oy < height && x + ox >= 0 && x + ox < width {
                taps[count] = Tap {
                    x: ((y + oy) * width + x + ox) * LANES as isize,
                    w: (ty * columns + tx) * co,
                };
                count += 1;
            }
        }
    }
    count
}

/// The columns for which every tap is inside the image.
#[inline(always)]
fn interior(shape: &Correlation) -> std::ops::Range<usize> {
    let (step, columns) = (shape.in_step as isize, shape.count[1]);
    let least = shape.offsets[1].iter().copied().min().unwrap_or(0);
    let most = shape.offsets[1].iter().copied().max().unwrap_or(0);
    let from = (-least)
        .max(0)
        .unsigned_abs()
        .div_ceil(shape.in_step)
        .min(columns);
    let last = (shape.in_size[1] as isize - 1 - most).div_euclid(step) + 1;
    from..(last.max(0).unsigned_abs()).clamp(from, columns)
}

#[expect(
    clippy::int_plus_one,
    reason = "one column is one of several tile widths"
)]
#[inline(always)]
unsafe fn rows<V: Vector, const CO: usize, const S: usize>(task: &Task) {
    let shape = task.shape;
    let inside = interior(shape);
    let mut taps = [Tap { x: 0, w: 0 }; MAX_TAPS];
    for half in 0..LANES / V::N {
        let mut tile = Tile {
            x: task.x.as_ptr().wrapping_add(half * V::N),
            channel: shape.in_size[0] * shape.in_size[1] * LANES,
            w: task.weights.as_ptr(),
            run: shape.taps.len() * CO,
            cin: shape.cin,
            bias: task.bias.map_or(std::ptr::null(), <[f32]>::as_ptr),
            y: std::ptr::null_mut(),
            plane: plane_len(shape),
            step: shape.out_step * LANES,
        };
        for row in task.rows.clone() {
            let y = (row * shape.out_step + shape.out_origin[0]) * shape.out_size[1]
                + shape.out_origin[1];
            let y = task
                .y
                .pointer()
                .wrapping_add(task.plane * plane_len(shape) + y * LANES + half * V::N);
            for column in (0..inside.start).chain(inside.end..shape.count[1]) {
                let count = taps_at(shape, CO, row, column, &mut taps);
                tile.y = y.wrapping_add(column * tile.step);
                // SAFETY: the taps are inside the image, the column inside the plane.
                unsafe { tile.run::<V, CO, 1, S>(&taps[..count]) };
            }
            if inside.is_empty() {
                continue;
            }
            let count = taps_at(shape, CO, row, inside.start, &mut taps);
            let mut column = inside.start;
            macro_rules! span {
                ($($columns:literal)*) => {{$(
                    while column + $columns <= inside.end {
                        let mut tile = tile;
                        tile.x = tile.x.wrapping_add((column - inside.start) * S * LANES);
                        tile.y = y.wrapping_add(column * tile.step);
                        // SAFETY: interior columns have all taps inside the image.
                        unsafe { tile.run::<V, CO, $columns, S>(&taps[..count]) };
                        column += $columns;
                    }
                )*}};
            }
            match (CO, V::WIDE) {
                (8, _) => span!(3 2 1),
                (4, true) => span!(6 3 2 1),
                (4, false) => span!(3 2 1),
                (2, true) => span!(8 4 2 1),
                (2, false) => span!(5 2 1),
                _ => span!(8 4 2 1),
            }
        }
    }
}

/// Operands of one register tile; distances in floats.
#[derive(Clone, Copy)]
struct Tile {
    x: *const f32,
    /// From one input channel to the next.
    channel: usize,
    w: *const f32,
    /// From one input channel's weights to the next's.
    run: usize,
    cin: usize,
    /// Null without a bias.
    bias: *const f32,
    y: *mut f32,
    /// From one output channel to the next.
    plane: usize,
    /// From one output column to the next.
    step: usize,
}

impl Tile {
    /// `CO` output channels by `PX` columns, held in registers over all input channels and taps.
    #[inline(always)]
    unsafe fn run<V: Vector, const CO: usize, const PX: usize, const S: usize>(
        &self,
        taps: &[Tap],
    ) {
        // SAFETY: the caller's taps and columns are inside the operands.
        unsafe {
            let mut sums = [[V::splat(0.0); PX]; CO];
            if !self.bias.is_null() {
                for (c, sums) in sums.iter_mut().enumerate() {
                    *sums = [V::splat(*self.bias.add(c)); PX];
                }
            }
            let (mut x, mut w) = (self.x, self.w);
            for _ in 0..self.cin {
                for tap in taps {
                    let (x, w) = (x.offset(tap.x), w.add(tap.w));
                    let mut pixels = [V::splat(0.0); PX];
                    for j in 0..PX {
                        pixels[j] = V::load(x.add(j * S * LANES));
                    }
                    for c in 0..CO {
                        let weight = V::splat(*w.add(c));
                        for j in 0..PX {
                            sums[c][j] = pixels[j].fma(weight, sums[c][j]);
                        }
                    }
                }
                x = x.wrapping_add(self.channel);
                w = w.wrapping_add(self.run);
            }
            for c in 0..CO {
                for j in 0..PX {
                    sums[c][j].store(self.y.add(c * self.plane + j * self.step));
                }
            }
        }
    }
}
