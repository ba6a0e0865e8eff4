//! 3x3 convolutions, stride 1 and padding 1, by Winograd's transforms: F(4x4, 3x3) takes 36 multiplications for sixteen pixels in
//! place of 144, F(3x3, 3x3) 25 for nine. Tiles are taken in chunks whose operands stay in the cache: transform the inputs,
//! one matrix product for each point of the transform, transform the sums back. Where one chunk holds all tiles, the weights are what
//! is large: they are taken in shares of output channels then.

mod filters;
mod planes;
mod points;
mod product;
mod transform;
pub(super) mod weight;

use super::super::LANES;
use super::super::isa::{Isa, Kernels};
use super::super::threads::{Shared, Threads, scratch};
use super::joint::Joint;
use super::pack::{self, Block, Source, Taps};
use super::{Conv, spread};
use filters::{Filters, Share, shares};
use planes::Sums;
use points::Tile;

pub(super) use planes::{Outputs, Planes};

/// Floats of transformed tiles that should stay in L2.
const CHUNK_IN_CACHE: usize = 160 * 1024;

/// Tiles worth fetching the transformed weights for, whether they fit or not.
const LEAST: usize = 12;

/// A stride-1 correlation of planes `[G, C, H, W, 16]` with padding 1.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    groups: usize,
    cin: usize,
    cout: usize,
    height: usize,
    width: usize,
    tile: Tile,
    /// Input channels, the first ones, that are there at half the size and upsampled to the nearest.
    half_in: usize,
    /// Output channels, the first ones, that are wanted at half the size, summed over two by two pixels.
    half_out: usize,
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
            half_in: 0,
            half_out: 0,
        });
        if cost(&three) < cost(&four) {
            three
        } else {
            four
        }
    }

    /// A joint's convolution, forward. What is upsampled wants the larger tile.
    pub(super) fn of_joint(joint: &Joint) -> Self {
        Self {
            groups: joint.groups,
            cin: joint.up + joint.skip,
            cout: joint.cout,
            height: 2 * joint.height,
            width: 2 * joint.width,
            tile: Tile::Four,
            half_in: joint.up,
            half_out: 0,
        }
    }

    /// The same for the gradient of its inputs.
    pub(super) fn transposed(&self) -> Self {
        Self {
            cin: self.cout,
            cout: self.cin,
            half_in: self.half_out,
            half_out: self.half_in,
            ..*self
        }
    }

    /// The same for the channels alone that are upsampled.
    pub(super) fn half_alone(&self) -> Self {
        Self {
            cin: self.half_in,
            ..*self
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
        let halves = (self.half_in * self.cout + self.half_out * self.cin) as f64;
        let products = points * pairs - self.vanishing() as f64 * halves;
        let tile = products * 0.55 + points * (3.1 * self.cin as f64 + 2.8 * self.cout as f64);
        self.groups as f64 * self.tiles() as f64 * tile + 0.14 * points * pairs
    }

    /// Points at which channels of half the size have no product.
    fn vanishing(&self) -> usize {
        let vanishes = |point: &usize| self.tile.vanishes(*point);
        (0..self.tile.points()).filter(vanishes).count()
    }

    /// Whether the transforms cost less than they save, taps outside the image not counted. Without them a channel of half
    /// the size takes sixteen taps for each of its pixels.
    pub(super) fn pays(&self) -> bool {
        let pixels = (self.height * self.width) as f64;
        let taps = ((3 * self.height - 2) * (3 * self.width - 2)) as f64;
        let halves = (self.half_in * self.cout + self.half_out * self.cin) as f64;
        let wholes = (self.cin * self.cout) as f64 - halves;
        self.cost() * 1.1 < self.groups as f64 * 0.5 * (wholes * taps + halves * 4.0 * pixels)
    }

    /// Tiles transformed together: what fits in the cache, but enough to use each weight several times.
    fn chunk(&self) -> usize {
        let fits = CHUNK_IN_CACHE / (self.tile.points() * (self.cin + self.cout) * LANES);
        (fits / 6 * 6).max(LEAST).min(self.tiles())
    }
}

/// Overwrites `y` with the correlation of `x`.
pub(super) fn correlate(
    kernels: &Kernels,
    shape: &Shape,
    x: Planes,
    source: &Source,
    taps: Taps,
    y: Outputs,
) {
    // No block has channels of both sizes.
    let widest = kernels.isa().widest_block();
    let mut blocks = pack::blocks(shape.half_out, widest);
    blocks.extend(
        pack::blocks(shape.cout - shape.half_out, widest)
            .iter()
            .map(|block| Block {
                first: shape.half_out + block.first,
                ..*block
            }),
    );
    let filters = Filters {
        shape,
        source,
        taps,
    };
    let per_group = shape.tiles().div_ceil(shape.chunk());
    let chunks = shape.groups * per_group;
    if chunks == 1 {
        let chunk = Chunk {
            shape,
            group: 0,
            first: 0,
            count: shape.tiles(),
        };
        return chunk.share_by_share(kernels, x, &filters, &blocks, y);
    }
    let points = shape.tile.points();
    scratch(points * spread(shape.cin * shape.cout), |weights| {
        filters.transform(kernels, Share(&blocks), weights);
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
            chunk.run(
                &kernels.with_threads(threads),
                x,
                weights,
                Share(&blocks),
                y,
            );
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

/// Consecutive tiles of one group, row by row.
struct Chunk<'a> {
    shape: &'a Shape,
    group: usize,
    first: usize,
    count: usize,
}

impl Chunk<'_> {
    /// With all weights transformed, `[points]` matrices of them.
    fn run(&self, kernels: &Kernels, x: Planes, weights: &[f32], all: Share, y: Outputs) {
        let shape = self.shape;
        let points = shape.tile.points();
        self.with_inputs(kernels, x, |inputs| {
            let step = spread(shape.cout * self.count * LANES);
            scratch(points * step, |sums| {
                let sums = Shared::new(sums);
                let each = shape.cin * shape.cout * self.count;
                kernels.threads().run(points, each, |p| {
                    // SAFETY: points are disjoint.
                    let sums = unsafe { sums.part(p * step, shape.cout * self.count * LANES) };
                    self.multiply(kernels, p, inputs, weights, all, sums);
                });
                let sums = Sums {
                    values: sums,
                    first: 0,
                    channels: shape.cout,
                };
                let each = 3 * points * self.count;
                kernels.threads().run(shape.cout, each, |co| {
                    // SAFETY: tiles of a plane are disjoint; the instruction set is the kernels'.
                    unsafe { planes::output(kernels.isa(), self, sums, co, y) }
                });
            });
        });
    }

    /// Transforms the weights of one share after the other and multiplies at once, where this chunk is all that asks for them:
    /// they may be many times the pixels of small images, and need not go to memory and back.
    fn share_by_share(
        &self,
        kernels: &Kernels,
        x: Planes,
        filters: &Filters,
        blocks: &[Block],
        y: Outputs,
    ) {
        let shape = self.shape;
        let points = shape.tile.points();
        let shares = shares(blocks, shape.cin, self.count, kernels.threads());
        self.with_inputs(kernels, x, |inputs| {
            let each = points * shape.cin * shape.cout * self.count / shares.len();
            kernels.threads().run(shares.len(), each, |i| {
                let share = shares[i];
                let (first, channels) = (share.first(), share.channels());
                let step = spread(channels * self.count * LANES);
                scratch(points * spread(shape.cin * channels), |weights| {
                    filters.transform(&kernels.with_threads(&Threads::Caller), share, weights);
                    scratch(points * step, |sums| {
                        for (p, sums) in sums.chunks_exact_mut(step).enumerate() {
                            let sums = &mut sums[..channels * self.count * LANES];
                            self.multiply(kernels, p, inputs, weights, share, sums);
                        }
                        let sums = Sums {
                            values: Shared::new(sums),
                            first,
                            channels,
                        };
                        for co in first..first + channels {
                            // SAFETY: planes are disjoint; the instruction set is the kernels'.
                            unsafe { planes::output(kernels.isa(), self, sums, co, y) }
                        }
                    });
                });
            });
        });
    }

    /// Calls a function with the transformed tiles of all input channels, `[points, C_in, count, 16]`.
    fn with_inputs(&self, kernels: &Kernels, x: Planes, work: impl FnOnce(&[f32])) {
        let shape = self.shape;
        let points = shape.tile.points();
        scratch(points * spread(shape.cin * self.count * LANES), |inputs| {
            let shared = Shared::new(inputs);
            let each = 3 * points * self.count;
            kernels.threads().run(shape.cin, each, |ci| {
                // SAFETY: channels are disjoint in each point's matrix; the instruction set is the kernels'.
                unsafe { planes::input(kernels.isa(), self, x, ci, shared) }
            });
            work(inputs);
        });
    }

    /// The products at point `p` of a share's `weights`: overwrites `sums` `[channels, count, 16]`.
    fn multiply(
        &self,
        kernels: &Kernels,
        p: usize,
        inputs: &[f32],
        weights: &[f32],
        share: Share,
        sums: &mut [f32],
    ) {
        let shape = self.shape;
        let (points, vanishes) = (shape.tile.points(), shape.tile.vanishes(p));
        let product = product::Product {
            weights: at_point(weights, p, points, shape.cin * share.channels()),
            inputs: at_point(inputs, p, points, shape.cin * self.count * LANES),
            count: self.count,
            // Channels of half the size have no part in some products.
            first: if vanishes { shape.half_in } else { 0 },
        };
        for block in share.0 {
            if !vanishes || block.first >= shape.half_out {
                let held = Block {
                    first: block.first - share.first(),
                    ..*block
                };
                product.multiply(kernels, held, sums);
            }
        }
    }

    /// Row and column of the first output pixel of each tile.
    #[inline(always)]
    fn corners(&self) -> impl Iterator<Item = (usize, usize)> {
        corners(self.shape, self.first, self.count)
    }
}

/// Point `p`'s part of what lies apart for each of some points; `len` of its floats are used.
fn at_point(all: &[f32], p: usize, points: usize, len: usize) -> &[f32] {
    &all[p * (all.len() / points)..][..len]
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
