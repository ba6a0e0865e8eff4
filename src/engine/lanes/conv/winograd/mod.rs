//! 3x3 convolutions, stride 1 and padding 1, by Winograd's transforms: F(4x4, 3x3) takes 36 multiplications for sixteen pixels in
//! place of 144, F(3x3, 3x3) 25 for nine. Tiles are taken in chunks whose operands stay in the cache: transform the inputs,
//! one matrix product for each point of the transform, transform the sums back.

mod points;
mod product;
mod transform;
pub(super) mod weight;

use super::super::LANES;
use super::super::isa::{Isa, Kernels, multiversion};
use super::super::threads::{Shared, Threads, scratch};
use super::super::vector::Vector;
use super::Conv;
use super::pack::{self, Block, Source};
use points::{Four, Three, Tile, by_tile};
use transform::{Window, filter_tile, input_tile, output_tile};

/// Floats of transformed tiles that should stay in L2.
const CHUNK_IN_CACHE: usize = 160 * 1024;

/// Tiles worth fetching the transformed weights for, whether they fit or not.
const LEAST: usize = 12;

/// A stride-1 correlation of planes `[G, C, H, W, 16]` with padding 1.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) groups: usize,
    pub(super) cin: usize,
    pub(super) cout: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    tile: Tile,
}

/// In which order the nine taps of the kernel are applied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taps {
    /// As stored: forward.
    Stored,
    /// Rotated by half a turn: the gradient of the input.
    Rotated,
}

impl Shape {
    /// With the tile that makes a correlation cheapest.
    pub(super) fn new(conv: &Conv) -> Self {
        Self::cheapest(conv, Self::cost)
    }

    /// With the tile that makes the weight's gradient cheapest.
    pub(super) fn of_weight(conv: &Conv, isa: Isa) -> Self {
        Self::cheapest(conv, |shape| weight::cost(shape, isa))
    }

    fn cheapest(conv: &Conv, cost: impl Fn(&Self) -> f64) -> Self {
        let [three, four] = Tile::ALL.map(|tile| Self {
            groups: conv.groups,
            cin: conv.cin,
            cout: conv.cout,
            height: conv.height,
            width: conv.width,
            tile,
        });
        if cost(&three) < cost(&four) {
            three
        } else {
            four
        }
    }

    fn tile_rows(&self) -> usize {
        self.height.div_ceil(self.tile.out())
    }

    fn tile_columns(&self) -> usize {
        self.width.div_ceil(self.tile.out())
    }

    fn tiles(&self) -> usize {
        self.tile_rows() * self.tile_columns()
    }

    fn plane(&self) -> usize {
        self.height * self.width * LANES
    }

    /// Cycles of a core with two 16-lane multiply-adds each, fitted to measurements: each tile's transforms and
    /// products, and the transforms of the weights.
    fn cost(&self) -> f64 {
        let (pairs, points) = ((self.cin * self.cout) as f64, self.tile.points() as f64);
        let tile = points * (pairs * 0.55 + 3.1 * self.cin as f64 + 2.8 * self.cout as f64);
        self.groups as f64 * self.tiles() as f64 * tile + 0.14 * points * pairs
    }

    /// Whether the transforms cost less than they save, taps outside the image not counted.
    pub(super) fn pays(&self) -> bool {
        let pairs = (self.cin * self.cout) as f64;
        let taps = ((3 * self.height - 2) * (3 * self.width - 2)) as f64;
        self.cost() * 1.1 < self.groups as f64 * pairs * taps * 0.5
    }

    /// Tiles transformed together: what fits in the cache, but enough to use each weight several times.
    fn chunk(&self) -> usize {
        let fits = CHUNK_IN_CACHE / (self.tile.points() * (self.cin + self.cout) * LANES);
        (fits / 6 * 6).max(LEAST).min(self.tiles())
    }
}

/// Overwrites `y` `[G, C_out, H, W, 16]` with the correlation of `x` `[G, C_in, H, W, 16]`.
pub(super) fn correlate(
    kernels: &Kernels,
    shape: &Shape,
    x: &[f32],
    source: &Source,
    taps: Taps,
    y: &mut [f32],
) {
    let blocks = pack::blocks(shape.cout, kernels.isa().widest_block());
    let step = spread(shape.cin * shape.cout);
    let points = shape.tile.points();
    let y = Shared::new(y);
    scratch(points * step, |weights| {
        filters(kernels, shape, source, taps, &blocks, step, weights);
        let per_group = shape.tiles().div_ceil(shape.chunk());
        let chunks = shape.groups * per_group;
        let run = |threads: &Threads, chunk: usize| {
            let (group, part) = (chunk / per_group, chunk % per_group);
            let (first, last) = (
                part * shape.tiles() / per_group,
                (part + 1) * shape.tiles() / per_group,
            );
            let chunk = Chunk {
                shape,
                group,
                first,
                count: last - first,
            };
            chunk.run(kernels.with_threads(threads), x, weights, &blocks, y);
        };
        // Either way each pixel is computed alike, so this choice may look at the threads.
        let each = shape.chunk() * points * shape.cin * shape.cout;
        if chunks >= 2 * kernels.threads().count() {
            kernels
                .threads()
                .run(chunks, each, |chunk| run(&Threads::Caller, chunk));
        } else {
            (0..chunks).for_each(|chunk| run(kernels.threads(), chunk));
        }
    });
}

/// Channels' pairs transformed by one task.
const PAIRS: usize = 2048;

/// Transforms the weights into a matrix for each point, `step` floats apart, of blocks `[C_in, block]`.
fn filters(
    kernels: &Kernels,
    shape: &Shape,
    source: &Source,
    taps: Taps,
    blocks: &[Block],
    step: usize,
    to: &mut [f32],
) {
    scratch(9 * step, |stored| {
        let stored = Shared::new(stored);
        kernels
            .threads()
            .run(blocks.len(), 9 * shape.cin * blocks[0].channels, |b| {
                let order =
                    std::array::from_fn(|tap| if taps == Taps::Rotated { 8 - tap } else { tap });
                // SAFETY: blocks are disjoint in each tap's matrix.
                unsafe { pack::by_tap(source, blocks[b], shape.cin, order, step, stored) };
            });
        let to = Shared::new(to);
        let each = PAIRS * shape.tile.points() / 8;
        kernels.threads().run(step.div_ceil(PAIRS), each, |task| {
            // SAFETY: tasks transform different pairs; the instruction set is the kernels'.
            unsafe {
                filter_pairs(
                    kernels.isa(),
                    shape.tile,
                    stored,
                    step,
                    task * PAIRS,
                    step.min((task + 1) * PAIRS),
                    to,
                )
            }
        });
    });
}

multiversion! {
    /// Transforms the pairs of channels from `first` to `last`, multiples of sixteen.
    ///
    /// # Safety
    /// No other task transforms them.
    fn filter_pairs = filter_pairs_body(tile: Tile, stored: Shared, step: usize, first: usize, last: usize, to: Shared)
}

#[inline(always)]
unsafe fn filter_pairs_body<V: Vector>(
    tile: Tile,
    stored: Shared,
    step: usize,
    first: usize,
    last: usize,
    to: Shared,
) {
    assert!(
        stored.len() >= 9 * step
            && to.len() >= tile.points() * step
            && last <= step
            && step.is_multiple_of(LANES)
    );
    for i in (first..last).step_by(V::N) {
        let (from, to) = (
            stored.pointer().wrapping_add(i),
            to.pointer().wrapping_add(i),
        );
        // SAFETY: asserted above.
        unsafe { by_tile!(tile, filter_tile::<V>(from, step, to, step)) };
    }
}

/// Floats from one point's matrix to the next: whole cache lines, an odd number of them, since places a power of two
/// apart would fight for the same few places of the cache.
fn spread(len: usize) -> usize {
    (len.div_ceil(LANES) | 1) * LANES
}

/// Consecutive tiles of one group, row by row.
struct Chunk<'a> {
    shape: &'a Shape,
    group: usize,
    first: usize,
    count: usize,
}

impl Chunk<'_> {
    fn run(&self, kernels: Kernels, x: &[f32], weights: &[f32], blocks: &[Block], y: Shared) {
        let shape = self.shape;
        let (from, to) = (
            spread(shape.cin * self.count * LANES),
            spread(shape.cout * self.count * LANES),
        );
        let points = shape.tile.points();
        scratch(points * (from + to), |buffer| {
            let (inputs, sums) = buffer.split_at_mut(points * from);
            let (inputs, sums) = (Shared::new(inputs), Shared::new(sums));
            let group = &x[self.group * shape.cin * shape.plane()..][..shape.cin * shape.plane()];
            kernels
                .threads()
                .run(shape.cin, 3 * points * self.count, |ci| {
                    let plane = &group[ci * shape.plane()..][..shape.plane()];
                    // SAFETY: channels are disjoint in each point's matrix; the instruction set is the kernels'.
                    unsafe { input_channel(kernels.isa(), self, plane, ci, inputs) }
                });
            kernels
                .threads()
                .run(points, shape.cin * shape.cout * self.count, |p| {
                    // SAFETY: inputs are complete and only read from here on; points are disjoint.
                    let (inputs, sums) = unsafe {
                        let inputs = &*inputs.part(p * from, shape.cin * self.count * LANES);
                        (inputs, sums.part(p * to, shape.cout * self.count * LANES))
                    };
                    let weights =
                        &weights[p * (weights.len() / points)..][..shape.cin * shape.cout];
                    product::multiply(&kernels, weights, blocks, inputs, self.count, sums);
                });
            kernels
                .threads()
                .run(shape.cout, 3 * points * self.count, |co| {
                    let plane = (self.group * shape.cout + co) * shape.plane();
                    // SAFETY: tiles of a plane are disjoint; the instruction set is the kernels'.
                    unsafe { output_channel(kernels.isa(), self, sums, co, y, plane) }
                });
        });
    }

    /// Row and column of the first output pixel of each tile.
    #[inline(always)]
    fn corners(&self) -> impl Iterator<Item = (usize, usize)> {
        corners(self.shape, self.first, self.count)
    }
}

/// Row and column of the first output pixel of each of `count` tiles from the `first` on. Counted up, without
/// divisions for each tile.
#[inline(always)]
fn corners(shape: &Shape, first: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
    let (out, columns) = (shape.tile.out(), shape.tile_columns());
    let (mut row, mut column) = (first / columns * out, first % columns * out);
    (0..count).map(move |_| {
        let corner = (row, column);
        column += out;
        if column == columns * out {
            (row, column) = (row + out, 0);
        }
        corner
    })
}

multiversion! {
    /// Transforms one channel's tiles into `[points, C_in, count, 16]`.
    ///
    /// # Safety
    /// No other task writes this channel.
    fn input_channel = input_channel_body(chunk: &Chunk, plane: &[f32], ci: usize, to: Shared)
}

#[inline(always)]
unsafe fn input_channel_body<V: Vector>(chunk: &Chunk, plane: &[f32], ci: usize, to: Shared) {
    let shape = chunk.shape;
    let (side, points) = (shape.tile.side(), shape.tile.points());
    let step = spread(shape.cin * chunk.count * LANES);
    assert!(plane.len() == shape.plane() && ci < shape.cin && to.len() == points * step);
    for (i, (row, column)) in chunk.corners().enumerate() {
        let to = to.pointer().wrapping_add((ci * chunk.count + i) * LANES);
        let corner = plane
            .as_ptr()
            .wrapping_add((row * shape.width + column) * LANES);
        let corner = corner.wrapping_sub((shape.width + 1) * LANES);
        let at = Window {
            row: shape.width * LANES,
            column: LANES,
            from: (usize::from(row == 0), usize::from(column == 0)),
            to: (
                side.min(shape.height + 1 - row),
                side.min(shape.width + 1 - column),
            ),
        };
        // The same tile of the next channel is read some hundred cycles from now, from far away.
        let next = corner.wrapping_add(shape.plane());
        for r in 0..side {
            for c in 2..side {
                V::prefetch(next.wrapping_add((r * shape.width + c) * LANES));
            }
        }
        for half in (0..LANES).step_by(V::N) {
            // SAFETY: the window's pixels inside the image are inside the plane; results are inside this channel's part.
            unsafe {
                by_tile!(
                    shape.tile,
                    input_tile::<V>(corner.wrapping_add(half), at, to.wrapping_add(half), step)
                )
            };
        }
    }
}

multiversion! {
    /// Transforms one channel's sums `[points, C_out, count, 16]` back into pixels of the plane that starts at `plane`.
    ///
    /// # Safety
    /// No other task writes these tiles.
    fn output_channel = output_channel_body(chunk: &Chunk, sums: Shared, co: usize, y: Shared, plane: usize)
}

#[inline(always)]
unsafe fn output_channel_body<V: Vector>(
    chunk: &Chunk,
    sums: Shared,
    co: usize,
    y: Shared,
    plane: usize,
) {
    let shape = chunk.shape;
    let (out, points) = (shape.tile.out(), shape.tile.points());
    let step = spread(shape.cout * chunk.count * LANES);
    assert!(sums.len() == points * step && co < shape.cout && y.len() >= plane + shape.plane());
    for (i, (row, column)) in chunk.corners().enumerate() {
        let from = sums.pointer().wrapping_add((co * chunk.count + i) * LANES);
        let corner = y
            .pointer()
            .wrapping_add(plane + (row * shape.width + column) * LANES);
        let at = Window {
            row: shape.width * LANES,
            column: LANES,
            from: (0, 0),
            to: (out.min(shape.height - row), out.min(shape.width - column)),
        };
        for half in (0..LANES).step_by(V::N) {
            // SAFETY: sums are inside this channel's part; the window's pixels inside the image are inside the plane.
            unsafe {
                by_tile!(
                    shape.tile,
                    output_tile::<V>(from.wrapping_add(half), step, corner.wrapping_add(half), at)
                )
            };
        }
    }
}
