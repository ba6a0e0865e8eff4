//! The gradient of the weight through Winograd's transform,
//! `dg = G^T [sum over tiles (A dY A^T) * (B^T d B)] G`. The sums of products are outer products
//! with input channels in lanes.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::{
    line_transforms::{Four, Three, Tile, by_tile},
    tile_transforms::{TileWindow, filter_gradient, gradient_tile, half_input_tile, input_tile},
    tiling::{Tiling, corners},
    transformed_weights::{ChannelShare, shares},
};
use crate::engine::lanes::{
    kernels::{
        conv::{
            conv_shape::Conv,
            outer_products::{self, Outer, Strip, padded},
            packed_weights::ChannelBlock,
        },
        features::{AsStored, Features},
        operand::Onto,
    },
    machine::{Kernels, LANES, Shared, Vector, multiversion, odd_lines, scratch},
};

/// Tiles transformed together, if rows of tiles allow.
const TILES: usize = 12;

/// Cycles of a core with two 16-lane multiply-adds each, fitted to measurements.
pub fn weight_cost(shape: &Tiling) -> f64 {
    let (wide, out) = (shape.cin.next_multiple_of(LANES) as f64, shape.cout as f64);
    let vanishing = if shape.half_in > 0 {
        shape.vanishing()
    } else {
        0
    };
    let (tiles, points) = (
        (shape.groups * shape.tiles()) as f64,
        (shape.tile.points() - vanishing) as f64,
    );
    points * (tiles * (wide * out * 0.55 + 4.7 * wide + 3.1 * out) + 0.9 * wide * out)
}

/// The tiling that makes the gradient cheapest.
pub fn weight_tiling(conv: &Conv) -> Tiling {
    Tiling::cheapest(conv, weight_cost)
}

/// Overwrites `dw` `[C_out, C_in, 3, 3]`. All input channels of `x` have the same size: the
/// output's or half of it.
pub fn weight_gradient(kernels: &Kernels, shape: &Tiling, x: Features, dy: &[f32], dw: &mut [f32]) {
    assert!(shape.half_in == 0 || shape.half_in == shape.cin);
    let blocks =
        outer_products::blocks(shape.cout, padded(shape.cin, kernels.isa()), kernels.isa());
    let dw = Shared::new(dw);
    let rows = (TILES / shape.tile_columns()).clamp(1, shape.tile_rows());
    if shape.groups == 1 && rows == shape.tile_rows() {
        let all = Rows {
            shape,
            group: 0,
            first: 0,
            count: rows,
        };
        return all.share_by_share(kernels, x, dy, &blocks, dw);
    }
    let wide = padded(shape.cin, kernels.isa());
    scratch(shape.tile.points() * odd_lines(shape.cout * wide), |sums| {
        let mut onto = Onto::Nothing;
        for group in 0..shape.groups {
            for first in (0..shape.tile_rows()).step_by(rows) {
                let chunk = Rows {
                    shape,
                    group,
                    first,
                    count: rows.min(shape.tile_rows() - first),
                };
                chunk.add(kernels, x, dy, &blocks, sums, onto);
                onto = Onto::Sums;
            }
        }
        let each = shape.tile.points() * wide / 4;
        kernels.threads().run(shape.cout, each, |co| {
            // SAFETY: output channels are disjoint; the instruction set is the kernels'.
            unsafe { transform_back(kernels.isa(), shape, sums, co, dw, co) }
        });
    });
}

/// Some rows of tiles of one group.
struct Rows<'a> {
    shape: &'a Tiling,
    group: usize,
    first: usize,
    count: usize,
}

impl Rows<'_> {
    fn tiles(&self) -> usize {
        self.count * self.shape.tile_columns()
    }

    /// Whether the input has half the output's size.
    fn half(&self) -> bool {
        self.shape.half_in > 0
    }

    /// Input pixels from one tile to the next.
    fn stride(&self) -> usize {
        if self.half() {
            2
        } else {
            self.shape.tile.out()
        }
    }

    /// Height and width of the input.
    fn input_size(&self) -> (usize, usize) {
        let halves = if self.half() { 2 } else { 1 };
        (self.shape.height / halves, self.shape.width / halves)
    }

    /// Rows of the turned input, its padding included.
    fn turned_height(&self) -> usize {
        self.count * self.stride() + 2
    }

    /// Pixels in a row of the turned input, its padding included.
    fn turned_width(&self) -> usize {
        self.shape.tile_columns() * self.stride() + 2
    }

    /// Adds the products at all points to `sums` `[points, C_out, C_in rounded up]`.
    fn add(
        &self,
        kernels: &Kernels,
        x: Features,
        dy: &[f32],
        blocks: &[ChannelBlock],
        sums: &mut [f32],
        onto: Onto,
    ) {
        let shape = self.shape;
        let pairs = shape.cout * padded(shape.cin, kernels.isa());
        let (points, step) = (shape.tile.points(), odd_lines(pairs));
        self.with_operands(kernels, x, dy, |operands| {
            let shared = Shared::new(sums);
            kernels.threads().run(points, self.tiles() * pairs, |p| {
                // SAFETY: points are disjoint.
                let sums = unsafe { shared.part(p * step, pairs) };
                operands.multiply(kernels, p, ChannelShare(blocks), onto, sums);
            });
        });
    }

    /// One share of the output channels after the other, where these are all the tiles. The sums
    /// may be many times the pixels of small images, and need not be written to memory. Overwrites
    /// `dw`.
    fn share_by_share(
        &self,
        kernels: &Kernels,
        x: Features,
        dy: &[f32],
        blocks: &[ChannelBlock],
        dw: Shared,
    ) {
        let shape = self.shape;
        let wide = padded(shape.cin, kernels.isa());
        let points = shape.tile.points();
        let shares = shares(blocks, wide, self.tiles(), kernels.threads());
        self.with_operands(kernels, x, dy, |operands| {
            let each = points * self.tiles() * shape.cout * wide / shares.len();
            kernels.threads().run(shares.len(), each, |i| {
                let share = shares[i];
                let (first, channels) = (share.first(), share.channels());
                let step = odd_lines(channels * wide);
                scratch(points * step, |sums| {
                    for (p, sums) in sums.chunks_exact_mut(step).enumerate() {
                        let sums = &mut sums[..channels * wide];
                        operands.multiply(kernels, p, share, Onto::Nothing, sums);
                    }
                    for c in 0..channels {
                        // SAFETY: output channels are disjoint; the instruction set is the
                        // kernels'.
                        unsafe { transform_back(kernels.isa(), shape, sums, c, dw, first + c) }
                    }
                });
            });
        });
    }

    /// Calls a function with the transformed tiles of the input and of the gradient.
    fn with_operands(
        &self,
        kernels: &Kernels,
        x: Features,
        dy: &[f32],
        work: impl FnOnce(&Operands),
    ) {
        let (shape, tiles) = (self.shape, self.tiles());
        let wide = padded(shape.cin, kernels.isa());
        let points = shape.tile.points();
        let (turned, row) = (self.turned_height(), self.turned_width() * LANES * wide);
        let (left, right) = (
            odd_lines(shape.cout * tiles * LANES),
            odd_lines(tiles * LANES * wide),
        );
        scratch(points * (left + right), |operands| {
            let (lefts, rights) = operands.split_at_mut(points * left);
            scratch(turned * row, |image| {
                let shared = Shared::new(image);
                kernels.threads().run(turned, row / LANES, |r| {
                    // SAFETY: rows are disjoint.
                    self.turn_row(kernels, x, r, unsafe { shared.part(r * row, row) });
                });
                let shared = Shared::new(rights);
                kernels.threads().run(tiles, 3 * points * wide, |tile| {
                    // SAFETY: tiles are disjoint; the instruction set is the kernels'.
                    unsafe { input_tiles(kernels.isa(), self, tile, image, shared) }
                });
            });
            let shared = Shared::new(lefts);
            kernels.threads().run(shape.cout, 3 * points * tiles, |co| {
                let plane = &dy[(self.group * shape.cout + co) * shape.plane()..][..shape.plane()];
                // SAFETY: channels are disjoint; the instruction set is the kernels'.
                unsafe { gradient_tiles(kernels.isa(), self, co, plane, shared) }
            });
            work(&Operands {
                rows: self,
                lefts,
                rights,
                wide,
                pairs: (0..tiles).map(|t| (t * LANES, t * LANES * wide)).collect(),
            });
        });
    }

    /// Row `r` of the image around these tiles, channels in lanes, zeros outside.
    fn turn_row(&self, kernels: &Kernels, x: Features, r: usize, to: &mut [f32]) {
        let shape = self.shape;
        let pixel = LANES * padded(shape.cin, kernels.isa());
        let (height, width) = self.input_size();
        let y = self.first * self.stride() + r;
        if y == 0 || y > height {
            to.fill(0.0);
            return;
        }
        to[..pixel].fill(0.0);
        to[(width + 1) * pixel..].fill(0.0);
        let strip = Strip {
            group: self.group,
            channels: shape.cin,
            plane: height * width * LANES,
            first: (y - 1) * width,
            pixels: width,
        };
        strip.turn(kernels, x, &mut to[pixel..(width + 1) * pixel]);
    }
}

/// Transformed tiles, and what is multiplied with what.
struct Operands<'a> {
    rows: &'a Rows<'a>,
    /// Of the gradient, `[points, C_out, tiles, 16]`.
    lefts: &'a [f32],
    /// Of the input, `[points, tiles, 16, C_in rounded up]`.
    rights: &'a [f32],
    /// Input channels, rounded up.
    wide: usize,
    pairs: Vec<(usize, usize)>,
}

impl Operands<'_> {
    /// A share's products at point `p`, over or onto `sums` `[channels, C_in rounded up]`.
    fn multiply(
        &self,
        kernels: &Kernels,
        p: usize,
        share: ChannelShare,
        onto: Onto,
        sums: &mut [f32],
    ) {
        let Rows { shape, .. } = self.rows;
        if self.rows.half() && shape.tile.vanishes(p) {
            sums.fill(0.0);
            return;
        }
        let points = shape.tile.points();
        let (left, right) = (self.lefts.len() / points, self.rights.len() / points);
        let left_step = self.rows.tiles() * LANES;
        for block in share.0 {
            let outer = Outer {
                left: &self.lefts[p * left + block.first * left_step..],
                left_step,
                right: &self.rights[p * right..],
                width: self.wide,
                pairs: &self.pairs,
                onto,
            };
            let at = (block.first - share.first()) * self.wide;
            let sums = &mut sums[at..at + block.channels * self.wide];
            // SAFETY: the instruction set is the kernels'.
            unsafe { outer_products::add_products(kernels.isa(), &outer, *block, sums) };
        }
    }
}

multiversion! {
    /// `B^T d B` of one tile, all lanes and channels: `[points, tiles, 16, C_in rounded up]`.
    ///
    /// # Safety
    /// No other task writes this tile.
    fn input_tiles = input_tiles_body(rows: &Rows, tile: usize, image: &[f32], to: Shared)
}

#[inline(always)]
unsafe fn input_tiles_body<V: Vector>(rows: &Rows, tile: usize, image: &[f32], to: Shared) {
    let shape = rows.shape;
    let pixel = LANES * shape.cin.next_multiple_of(V::N);
    let step = odd_lines(rows.tiles() * pixel);
    assert!(
        tile < rows.tiles() && image.len() == rows.turned_height() * rows.turned_width() * pixel
    );
    assert!(to.len() == shape.tile.points() * step);
    let side = rows.stride() + 2;
    let (row, column) = (
        tile / shape.tile_columns() * rows.stride(),
        tile % shape.tile_columns() * rows.stride(),
    );
    let at = TileWindow {
        row: rows.turned_width() * pixel,
        column: pixel,
        from: (0, 0),
        to: (side, side),
    };
    let from = image
        .as_ptr()
        .wrapping_add((row * rows.turned_width() + column) * pixel);
    let to = to.pointer().wrapping_add(tile * pixel);
    for i in (0..pixel).step_by(V::N) {
        let (from, to) = (from.wrapping_add(i), to.wrapping_add(i));
        // SAFETY: the window is inside the turned image, whose length is asserted.
        unsafe {
            if rows.half() {
                half_input_tile::<V>(from, at, to, step, AsStored);
            } else {
                by_tile!(shape.tile, input_tile::<V>(from, at, to, step, AsStored));
            }
        };
    }
}

multiversion! {
    /// `A dY A^T` of one channel's tiles: `[points, C_out, tiles, 16]`.
    ///
    /// # Safety
    /// No other task writes this channel.
    fn gradient_tiles = gradient_tiles_body(rows: &Rows, co: usize, plane: &[f32], to: Shared)
}

#[inline(always)]
unsafe fn gradient_tiles_body<V: Vector>(rows: &Rows, co: usize, plane: &[f32], to: Shared) {
    let shape = rows.shape;
    let step = odd_lines(shape.cout * rows.tiles() * LANES);
    let (out, points) = (shape.tile.out(), shape.tile.points());
    assert!(plane.len() == shape.plane() && co < shape.cout && to.len() == points * step);
    let first = rows.first * shape.tile_columns();
    for (i, (row, column)) in corners(shape, first, rows.tiles()).enumerate() {
        let from = plane
            .as_ptr()
            .wrapping_add((row * shape.width + column) * LANES);
        let to = to.pointer().wrapping_add((co * rows.tiles() + i) * LANES);
        let at = TileWindow {
            row: shape.width * LANES,
            column: LANES,
            from: (0, 0),
            to: (out.min(shape.height - row), out.min(shape.width - column)),
        };
        for half in (0..LANES).step_by(V::N) {
            // SAFETY: the window's pixels inside the image are inside the plane; results are inside
            // this channel's part.
            unsafe {
                by_tile!(
                    shape.tile,
                    gradient_tile::<V>(from.wrapping_add(half), at, to.wrapping_add(half), step)
                )
            };
        }
    }
}

multiversion! {
    /// `G^T u G` of the sums in place `held`, for the output channel `co` of `dw`
    /// `[C_out, C_in, 3, 3]`.
    ///
    /// # Safety
    /// No other task writes this channel.
    fn transform_back = transform_back_body(
        shape: &Tiling,
        sums: &[f32],
        held: usize,
        dw: Shared,
        co: usize,
    )
}

#[inline(always)]
unsafe fn transform_back_body<V: Vector>(
    shape: &Tiling,
    sums: &[f32],
    held: usize,
    dw: Shared,
    co: usize,
) {
    let wide = shape.cin.next_multiple_of(V::N);
    let points = shape.tile.points();
    let step = sums.len() / points;
    assert!((held + 1) * wide <= step);
    // SAFETY: the caller's promise.
    let to = unsafe { dw.part(co * shape.cin * 9, shape.cin * 9) };
    let mut taps = [0.0f32; 9 * LANES];
    for first in (0..shape.cin).step_by(LANES) {
        for half in (0..LANES.min(wide - first)).step_by(V::N) {
            let from = sums.as_ptr().wrapping_add(held * wide + first + half);
            for p in 0..points {
                // The hardware prefetches fewer streams than these.
                V::prefetch(from.wrapping_add(p * step + 2 * LANES));
            }
            // SAFETY: the channels are inside each point's sums, the results inside `taps`.
            unsafe {
                by_tile!(
                    shape.tile,
                    filter_gradient::<V>(from, step, taps.as_mut_ptr().add(half), LANES)
                )
            };
        }
        for (ci, kernel) in to[first * 9..]
            .as_chunks_mut::<9>()
            .0
            .iter_mut()
            .take(LANES)
            .enumerate()
        {
            for (tap, weight) in kernel.iter_mut().enumerate() {
                *weight = taps[tap * LANES + ci];
            }
        }
    }
}
