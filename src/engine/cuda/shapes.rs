//! How operations are cut into tiles and splits: by their shapes alone, so that neither a card nor
//! the other networks of a launch change a sum.

use crate::engine::lanes::LANES;

/// Pixels of the pieces that sums over a plane are cut into.
pub(super) const PIECE: usize = 512;
/// Channels that a correlation adds up at a time.
const CHUNK: usize = 8;
/// Output pixels of a correlation's block.
pub(super) const PIXELS: usize = 8;
/// Channels of a block of products, of both sides, and its pixels.
pub(super) const TILE: usize = 32;
const PRODUCT_PIXELS: usize = 4;
/// Blocks that keep a large card busy.
const ENOUGH_BLOCKS: usize = 264;

/// A rectangle of taps: rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TapGrid {
    pub rows: usize,
    pub columns: usize,
    /// Input pixels between neighbouring outputs.
    pub step: usize,
}

/// How a correlation is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CorrelationTiles {
    /// Output channels of a block: 16, 32 or 64.
    pub channels: usize,
    /// Floats of a channel's patch and of its weights in shared memory.
    pub patch_stride: usize,
    pub weight_stride: usize,
}

impl CorrelationTiles {
    /// Of so many output channels, for all taps that blocks may have.
    pub fn of(channels: usize, taps: &[TapGrid]) -> Self {
        let most = |f: fn(&TapGrid) -> usize| taps.iter().map(f).max().unwrap_or(0);
        let patch = most(|t| t.rows * ((PIXELS - 1) * t.step + t.columns) * 16);
        let weights = most(|t| t.rows * t.columns);
        let channels = match channels {
            0..=16 => 16,
            // The weights of many taps fill the shared memory.
            _ if weights > 16 => 16,
            17..=32 => 32,
            _ => 64,
        };
        // Four channels by eight samples are read from different banks: 8 or 24 modulo 32.
        let stride = |floats: usize| floats.next_multiple_of(16) + 8;
        Self {
            channels,
            patch_stride: stride(patch),
            weight_stride: stride(weights * channels),
        }
    }

    /// Bytes of shared memory for one chunk of channels.
    pub fn bytes(&self) -> usize {
        CHUNK * (self.patch_stride + self.weight_stride) * size_of::<f32>()
    }

    /// Bytes of shared memory for the moments of a block's channels.
    pub fn moment_bytes(&self) -> usize {
        2 * self.channels * LANES * size_of::<f32>()
    }

    /// Blocks for an image of `height x width` pixels of each of so many classes.
    pub fn grid(&self, classes: usize, [height, width]: [usize; 2], channels: usize) -> [usize; 2] {
        [
            classes * height * width.div_ceil(PIXELS),
            channels.div_ceil(self.channels),
        ]
    }
}

/// How the products of a weight's gradient are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProductTiles {
    /// Blocks that share the taps: one takes all, or one row.
    pub tap_blocks: usize,
    /// Parts of the sum, and rows of pixels of each.
    pub splits: usize,
    pub rows_each: usize,
    pub patch_stride: usize,
    pub gradient_stride: usize,
}

impl ProductTiles {
    /// Of so many tiles of channels of both sides, and so many rows of pixels in all groups.
    pub fn of(tiles: usize, taps: TapGrid, lines: usize) -> Self {
        let tap_blocks = match taps.rows {
            7 => 7,
            _ => 1,
        };
        let wanted = ENOUGH_BLOCKS.div_ceil(tiles * tap_blocks).clamp(1, lines);
        let rows_each = lines.div_ceil(wanted);
        // Eight channels by four samples are read from different banks: 4 or 20 modulo 32.
        let stride = |floats: usize| floats.next_multiple_of(16) + 4;
        let across = (PRODUCT_PIXELS - 1) * taps.step + taps.columns;
        Self {
            tap_blocks,
            splits: lines.div_ceil(rows_each),
            rows_each,
            patch_stride: stride(taps.rows / tap_blocks * across * 16),
            gradient_stride: stride(PRODUCT_PIXELS * 16),
        }
    }

    /// Bytes of shared memory.
    pub fn bytes(&self) -> usize {
        TILE * (self.patch_stride + self.gradient_stride) * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fit_the_shared_memory_of_every_card() {
        // 99 KiB: the least of cards with compute capability 8.0 or newer.
        const LEAST: usize = 99 << 10;
        let taps = |side, step| TapGrid {
            rows: side,
            columns: side,
            step,
        };
        for channels in [1, 8, 16, 24, 32, 64, 512] {
            for grid in [
                taps(1, 1),
                taps(1, 2),
                taps(2, 1),
                taps(3, 1),
                taps(3, 2),
                taps(4, 2),
                taps(7, 2),
            ] {
                let tiles = CorrelationTiles::of(channels, &[grid]);
                assert!(
                    tiles.bytes() <= LEAST,
                    "{channels} {grid:?}: {}",
                    tiles.bytes()
                );
                if grid.rows != 2 && grid.rows != 4 {
                    let tiles = ProductTiles::of(1, grid, 100);
                    assert!(tiles.bytes() <= LEAST, "{grid:?}: {}", tiles.bytes());
                    assert!(tiles.splits * tiles.rows_each >= 100);
                }
            }
        }
        let joint = CorrelationTiles::of(64, &[taps(2, 1), taps(3, 2)]);
        assert!(joint.bytes() <= LEAST);
    }
}
