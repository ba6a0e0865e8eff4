//! 3x3 convolutions, stride 1 and padding 1, by Winograd's F(4x4, 3x3): 36 multiplications for sixteen pixels in place of 144.
//! Tiles are taken in chunks whose operands stay in the cache: transform the inputs, one matrix product for each of
//! the 36 points, transform the sums back.

mod product;
mod transform;
pub(super) mod weight;

use super::super::LANES;
use super::super::isa::{Kernels, multiversion};
use super::super::threads::{Shared, Threads, scratch};
use super::super::vector::Vector;
use super::pack::{self, Block, Source};
use transform::{IN, OUT, POINTS, Window};

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
    fn tile_rows(&self) -> usize {
        self.height.div_ceil(OUT)
    }

    fn tile_columns(&self) -> usize {
        self.width.div_ceil(OUT)
    }

    fn tiles(&self) -> usize {
        self.tile_rows() * self.tile_columns()
    }

    fn plane(&self) -> usize {
        self.height * self.width * LANES
    }

    /// Whether the transforms cost less than they save. In cycles of a core with two 16-lane multiply-adds each,
    /// fitted to measurements: a tile's transforms against its products, taps outside the image not counted.
    pub(super) fn pays(&self) -> bool {
        let pairs = (self.cin * self.cout) as f64;
        let taps = ((3 * self.height - 2) * (3 * self.width - 2)) as f64;
        let direct = self.groups as f64 * pairs * taps * 0.5;
        let tile = pairs * 18.0 * 1.1 + 110.0 * self.cin as f64 + 100.0 * self.cout as f64;
        let transformed = self.groups as f64 * self.tiles() as f64 * tile + 5.0 * pairs;
        transformed * 1.1 < direct
    }

    /// Tiles transformed together: what fits in the cache, but enough to use each weight several times.
    fn chunk(&self) -> usize {
        let fits = CHUNK_IN_CACHE / (POINTS * (self.cin + self.cout) * LANES);
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
    let y = Shared::new(y);
    scratch(POINTS * step, |weights| {
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
        if chunks >= 2 * kernels.threads().count() {
            kernels
                .threads()
                .run(chunks, |chunk| run(&Threads::Caller, chunk));
        } else {
            (0..chunks).for_each(|chunk| run(kernels.threads(), chunk));
        }
    });
}

/// Channels' pairs transformed by one task.
const PAIRS: usize = 2048;

/// Transforms the weights into 36 matrices, `step` floats apart, of blocks `[C_in, block]`.
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
        kernels.threads().run(blocks.len(), |b| {
            let order =
                std::array::from_fn(|tap| if taps == Taps::Rotated { 8 - tap } else { tap });
            // SAFETY: blocks are disjoint in each tap's matrix.
            unsafe { pack::by_tap(source, blocks[b], shape.cin, order, step, stored) };
        });
        let to = Shared::new(to);
        kernels.threads().run(step.div_ceil(PAIRS), |task| {
            // SAFETY: tasks transform different pairs; the instruction set is the kernels'.
            unsafe {
                filter_pairs(
                    kernels.isa(),
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
    fn filter_pairs = filter_pairs_body(stored: Shared, step: usize, first: usize, last: usize, to: Shared)
}

#[inline(always)]
unsafe fn filter_pairs_body<V: Vector>(
    stored: Shared,
    step: usize,
    first: usize,
    last: usize,
    to: Shared,
) {
    assert!(
        stored.len() >= 9 * step
            && to.len() >= POINTS * step
            && last <= step
            && step.is_multiple_of(LANES)
    );
    for i in (first..last).step_by(V::N) {
        let (from, to) = (
            stored.pointer().wrapping_add(i),
            to.pointer().wrapping_add(i),
        );
        // SAFETY: asserted above.
        unsafe { transform::filter_tile::<V>(from, step, to, step) };
    }
}

/// Floats from one point's matrix to the next: whole cache lines, an odd number of them, since 36 places a power of
/// two apart would fight for the same few places of the cache.
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
        scratch(POINTS * (from + to), |buffer| {
            let (inputs, sums) = buffer.split_at_mut(POINTS * from);
            let (inputs, sums) = (Shared::new(inputs), Shared::new(sums));
            let group = &x[self.group * shape.cin * shape.plane()..][..shape.cin * shape.plane()];
            kernels.threads().run(shape.cin, |ci| {
                let plane = &group[ci * shape.plane()..][..shape.plane()];
                // SAFETY: channels are disjoint in each point's matrix; the instruction set is the kernels'.
                unsafe { input_channel(kernels.isa(), self, plane, ci, inputs) }
            });
            kernels.threads().run(POINTS, |p| {
                // SAFETY: inputs are complete and only read from here on; points are disjoint.
                let (inputs, sums) = unsafe {
                    let inputs = &*inputs.part(p * from, shape.cin * self.count * LANES);
                    (inputs, sums.part(p * to, shape.cout * self.count * LANES))
                };
                let weights = &weights[p * (weights.len() / POINTS)..][..shape.cin * shape.cout];
                product::multiply(&kernels, weights, blocks, inputs, self.count, sums);
            });
            kernels.threads().run(shape.cout, |co| {
                let plane = (self.group * shape.cout + co) * shape.plane();
                // SAFETY: tiles of a plane are disjoint; the instruction set is the kernels'.
                unsafe { output_channel(kernels.isa(), self, sums, co, y, plane) }
            });
        });
    }

    /// The chunk's tiles: index in the chunk, row and column of the first output pixel.
    #[inline(always)]
    fn tile(&self, i: usize) -> (usize, usize) {
        let tile = self.first + i;
        (
            tile / self.shape.tile_columns() * OUT,
            tile % self.shape.tile_columns() * OUT,
        )
    }
}

multiversion! {
    /// Transforms one channel's tiles into `[36, C_in, count, 16]`.
    ///
    /// # Safety
    /// No other task writes this channel.
    fn input_channel = input_channel_body(chunk: &Chunk, plane: &[f32], ci: usize, to: Shared)
}

#[inline(always)]
unsafe fn input_channel_body<V: Vector>(chunk: &Chunk, plane: &[f32], ci: usize, to: Shared) {
    let shape = chunk.shape;
    let step = spread(shape.cin * chunk.count * LANES);
    assert!(plane.len() == shape.plane() && ci < shape.cin && to.len() == POINTS * step);
    for i in 0..chunk.count {
        let (row, column) = chunk.tile(i);
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
                IN.min(shape.height + 1 - row),
                IN.min(shape.width + 1 - column),
            ),
        };
        // The same tile of the next channel is read some hundred cycles from now, from far away.
        let next = corner.wrapping_add(shape.plane());
        for r in 0..IN {
            for c in 2..IN {
                V::prefetch(next.wrapping_add((r * shape.width + c) * LANES));
            }
        }
        for half in (0..LANES).step_by(V::N) {
            // SAFETY: the window's pixels inside the image are inside the plane; results are inside this channel's part.
            unsafe {
                transform::input_tile::<V>(
                    corner.wrapping_add(half),
                    at,
                    to.wrapping_add(half),
                    step,
                )
            };
        }
    }
}

multiversion! {
    /// Transforms one channel's sums `[36, C_out, count, 16]` back into pixels of the plane that starts at `plane`.
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
    let step = spread(shape.cout * chunk.count * LANES);
    assert!(sums.len() == POINTS * step && co < shape.cout && y.len() >= plane + shape.plane());
    for i in 0..chunk.count {
        let (row, column) = chunk.tile(i);
        let from = sums.pointer().wrapping_add((co * chunk.count + i) * LANES);
        let corner = y
            .pointer()
            .wrapping_add(plane + (row * shape.width + column) * LANES);
        let at = Window {
            row: shape.width * LANES,
            column: LANES,
            from: (0, 0),
            to: (OUT.min(shape.height - row), OUT.min(shape.width - column)),
        };
        for half in (0..LANES).step_by(V::N) {
            // SAFETY: sums are inside this channel's part; the window's pixels inside the image are inside the plane.
            unsafe {
                transform::output_tile::<V>(
                    from.wrapping_add(half),
                    step,
                    corner.wrapping_add(half),
                    at,
                )
            };
        }
    }
}
