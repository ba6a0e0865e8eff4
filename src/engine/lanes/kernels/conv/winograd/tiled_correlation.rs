//! 3x3 correlations, stride 1 and padding 1, by Winograd's transforms: F(4x4, 3x3) takes 36
//! multiplications for sixteen pixels in place of 144, F(3x3, 3x3) 25 for nine.
//!
//! Tiles are taken in chunks whose operands stay in the cache: transform the inputs, compute one
//! matrix product for each point of the transform, transform the sums back. Where one chunk holds
//! all tiles, the weights take most of the memory: then they are taken in shares of output
//! channels.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::{
    plane_tiles::{self, Outputs, Planes, Sums},
    point_products::Product,
    tiling::{Chunk, Tiling},
    transformed_weights::{ChannelShare, Filters, shares},
};
use crate::engine::lanes::{
    kernels::conv::packed_weights::{self, ChannelBlock, Taps, WeightView},
    machine::{Kernels, LANES, Shared, Threads, odd_lines, scratch},
};

/// Overwrites `y` with the correlation of `x`.
pub fn correlate(
    kernels: &Kernels,
    shape: &Tiling,
    x: Planes,
    source: &WeightView,
    taps: Taps,
    y: Outputs,
) {
    // No block has channels of both sizes.
    let widest = kernels.isa().widest_block();
    let mut blocks = packed_weights::blocks(shape.half_out, widest);
    blocks.extend(
        packed_weights::blocks(shape.cout - shape.half_out, widest)
            .iter()
            .map(|block| ChannelBlock {
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
    scratch(points * odd_lines(shape.cin * shape.cout), |weights| {
        filters.transform(kernels, ChannelShare(&blocks), weights);
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
                ChannelShare(&blocks),
                y,
            );
        };
        // Each pixel is computed alike either way, so the number of threads may decide.
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

impl Chunk<'_> {
    /// With all weights transformed, `[points]` matrices of them.
    fn run(&self, kernels: &Kernels, x: Planes, weights: &[f32], all: ChannelShare, y: Outputs) {
        let shape = self.shape;
        let points = shape.tile.points();
        self.with_inputs(kernels, x, |inputs| {
            let step = odd_lines(shape.cout * self.count * LANES);
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
                    unsafe { plane_tiles::output(kernels.isa(), self, sums, co, y) }
                });
            });
        });
    }

    /// Transforms the weights of one share after the other and multiplies at once, where only this
    /// chunk uses them. They may be many times the pixels of small images, and need not be written
    /// to memory.
    fn share_by_share(
        &self,
        kernels: &Kernels,
        x: Planes,
        filters: &Filters,
        blocks: &[ChannelBlock],
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
                let step = odd_lines(channels * self.count * LANES);
                scratch(points * odd_lines(shape.cin * channels), |weights| {
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
                            unsafe { plane_tiles::output(kernels.isa(), self, sums, co, y) }
                        }
                    });
                });
            });
        });
    }

    /// Calls a function with the transformed tiles of all input channels,
    /// `[points, C_in, count, 16]`.
    fn with_inputs(&self, kernels: &Kernels, x: Planes, work: impl FnOnce(&[f32])) {
        let shape = self.shape;
        let points = shape.tile.points();
        scratch(
            points * odd_lines(shape.cin * self.count * LANES),
            |inputs| {
                let shared = Shared::new(inputs);
                let each = 3 * points * self.count;
                kernels.threads().run(shape.cin, each, |ci| {
                    // SAFETY: channels are disjoint at each point; the instruction set is the
                    // kernels'.
                    unsafe { plane_tiles::input(kernels.isa(), self, x, ci, shared) }
                });
                work(inputs);
            },
        );
    }

    /// The products at point `p` of a share's `weights`: overwrites `sums` `[channels, count, 16]`.
    fn multiply(
        &self,
        kernels: &Kernels,
        p: usize,
        inputs: &[f32],
        weights: &[f32],
        share: ChannelShare,
        sums: &mut [f32],
    ) {
        let shape = self.shape;
        let (points, vanishes) = (shape.tile.points(), shape.tile.vanishes(p));
        let product = Product {
            weights: at_point(weights, p, points, shape.cin * share.channels()),
            inputs: at_point(inputs, p, points, shape.cin * self.count * LANES),
            count: self.count,
            // Channels of half the size have no part in some products.
            first: if vanishes { shape.half_in } else { 0 },
        };
        for block in share.0 {
            if !vanishes || block.first >= shape.half_out {
                let held = ChannelBlock {
                    first: block.first - share.first(),
                    ..*block
                };
                product.multiply(kernels, held, sums);
            }
        }
    }
}

/// Point `p`'s part of what lies apart for each of some points; `len` of its floats are used.
fn at_point(all: &[f32], p: usize, points: usize, len: usize) -> &[f32] {
    &all[p * (all.len() / points)..][..len]
}
