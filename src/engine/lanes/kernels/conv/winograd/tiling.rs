//! How the planes of a correlation are cut into tiles, and what that costs.

use super::line_transforms::Tile;
use crate::engine::lanes::{
    kernels::conv::conv_shape::Conv,
    machine::{ConvMethod, Kernels, LANES},
};

/// Floats of transformed tiles that should stay in L2.
const CHUNK_IN_CACHE: usize = 160 * 1024;

/// Tiles worth fetching the transformed weights for, whether they fit or not.
const LEAST: usize = 6;

/// A stride-1 correlation of planes `[G, C, H, W, 16]` with padding 1.
#[derive(Clone, Copy)]
pub struct Tiling {
    pub(super) groups: usize,
    pub(super) cin: usize,
    pub(super) cout: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) tile: Tile,
    /// Input channels, the first ones, that are stored at half the size and upsampled to the
    /// nearest.
    pub(super) half_in: usize,
    /// Output channels, the first ones, that are written at half the size, summed over two by two
    /// pixels.
    pub(super) half_out: usize,
}

impl Tiling {
    /// With the tile that makes a correlation cheapest.
    pub fn new(conv: &Conv) -> Self {
        Self::cheapest(conv, Self::cost)
    }

    /// With the tile of the least cost.
    pub(super) fn cheapest(conv: &Conv, cost: impl Fn(&Self) -> f64) -> Self {
        let [three, four] = Tile::ALL.map(|tile| Self::with_tile(conv, tile));
        if cost(&three) < cost(&four) {
            three
        } else {
            four
        }
    }

    /// With the larger tile, for a convolution whose first `half_in` input channels are there at
    /// half the size. Only the larger tile has transforms for those.
    pub fn of_halves(conv: &Conv, half_in: usize) -> Self {
        Self {
            half_in,
            ..Self::with_tile(conv, Tile::Four)
        }
    }

    fn with_tile(conv: &Conv, tile: Tile) -> Self {
        Self {
            groups: conv.groups,
            cin: conv.cin,
            cout: conv.cout,
            height: conv.height,
            width: conv.width,
            tile,
            half_in: 0,
            half_out: 0,
        }
    }

    /// The same for the gradient of its inputs.
    pub fn transposed(&self) -> Self {
        Self {
            cin: self.cout,
            cout: self.cin,
            half_in: self.half_out,
            half_out: self.half_in,
            ..*self
        }
    }

    /// The same with only the channels that are upsampled.
    pub fn half_alone(&self) -> Self {
        Self {
            cin: self.half_in,
            ..*self
        }
    }

    /// Rows of tiles.
    pub(super) fn tile_rows(&self) -> usize {
        self.height.div_ceil(self.tile.out())
    }

    /// Tiles in a row.
    pub(super) fn tile_columns(&self) -> usize {
        self.width.div_ceil(self.tile.out())
    }

    /// Tiles of a plane.
    pub(super) fn tiles(&self) -> usize {
        self.tile_rows() * self.tile_columns()
    }

    /// Floats of a plane.
    pub(super) fn plane(&self) -> usize {
        self.height * self.width * LANES
    }

    /// Floats of a plane of half the size.
    pub(super) fn half_plane(&self) -> usize {
        self.height / 2 * (self.width / 2) * LANES
    }

    /// Cycles of a core with two 16-lane multiply-adds each, fitted to measurements: each tile's
    /// transforms and products, and the transforms of the weights.
    fn cost(&self) -> f64 {
        let (pairs, points) = ((self.cin * self.cout) as f64, self.tile.points() as f64);
        let halves = (self.half_in * self.cout + self.half_out * self.cin) as f64;
        let products = points * pairs - self.vanishing() as f64 * halves;
        let tile = products * 0.55 + points * (3.1 * self.cin as f64 + 2.8 * self.cout as f64);
        self.groups as f64 * self.tiles() as f64 * tile + 0.14 * points * pairs
    }

    /// Points at which channels of half the size have no product.
    pub(super) fn vanishing(&self) -> usize {
        let vanishes = |point: &usize| self.tile.vanishes(*point);
        (0..self.tile.points()).filter(vanishes).count()
    }

    /// Whether the transforms cost less than they save, taps outside the image not counted. Without
    /// them a channel of half the size takes sixteen taps for each of its pixels.
    fn pays(&self) -> bool {
        let pixels = (self.height * self.width) as f64;
        let taps = ((3 * self.height - 2) * (3 * self.width - 2)) as f64;
        let halves = (self.half_in * self.cout + self.half_out * self.cin) as f64;
        let wholes = (self.cin * self.cout) as f64 - halves;
        self.cost() * 1.1 < self.groups as f64 * 0.5 * (wholes * taps + halves * 4.0 * pixels)
    }

    /// This tiling, if the kernels' method chooses it.
    pub fn if_chosen(self, kernels: &Kernels) -> Option<Self> {
        let chosen = match kernels.method() {
            ConvMethod::Cheapest => self.pays(),
            ConvMethod::Winograd => true,
            ConvMethod::Direct | ConvMethod::Turned => false,
        };
        chosen.then_some(self)
    }

    /// Tiles transformed together: what fits in the cache, but enough to use each weight several
    /// times.
    pub(super) fn chunk(&self) -> usize {
        let fits = CHUNK_IN_CACHE / (self.tile.points() * (self.cin + self.cout) * LANES);
        (fits / 6 * 6).max(LEAST).min(self.tiles())
    }
}

/// Consecutive tiles of one group, row by row.
pub(super) struct Chunk<'a> {
    pub(super) shape: &'a Tiling,
    pub(super) group: usize,
    pub(super) first: usize,
    pub(super) count: usize,
}

impl Chunk<'_> {
    /// Row and column of the first output pixel of each tile.
    #[inline(always)]
    pub(super) fn corners(&self) -> impl Iterator<Item = (usize, usize)> {
        corners(self.shape, self.first, self.count)
    }
}

/// Row and column of the first output pixel of each of `count` tiles from the `first` on. Counted
/// up, without divisions for each tile.
#[inline(always)]
pub(super) fn corners(
    shape: &Tiling,
    first: usize,
    count: usize,
) -> impl Iterator<Item = (usize, usize)> {
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
