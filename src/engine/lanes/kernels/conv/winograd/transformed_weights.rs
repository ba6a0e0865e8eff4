//! Transformed weights, all of them at once or in shares of output channels.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::{
    line_transforms::{Four, Three, Tile, by_tile},
    tile_transforms::filter_tile,
    tiling::Tiling,
};
use crate::engine::lanes::{
    kernels::conv::packed_weights::{self, ChannelBlock, Taps, WeightView},
    machine::{Kernels, LANES, Shared, Threads, Vector, multiversion, odd_lines, scratch},
};

/// Pairs of channels whose kernels, tap by tap, stay in the cache until they are transformed.
const PAIRS: usize = 1024;

/// A share of the output channels: consecutive blocks.
#[derive(Clone, Copy)]
pub(super) struct ChannelShare<'a>(pub(super) &'a [ChannelBlock]);

impl ChannelShare<'_> {
    pub(super) fn first(&self) -> usize {
        self.0[0].first
    }

    pub(super) fn channels(&self) -> usize {
        self.0.iter().map(|block| block.channels).sum()
    }
}

/// Cuts blocks into shares of at least `pairs` pairs of channels. Each begins with a whole
/// register, so that none writes into the next.
fn cut(blocks: &[ChannelBlock], cin: usize, pairs: usize) -> Vec<ChannelShare<'_>> {
    let mut shares = Vec::new();
    let mut from = 0;
    for (next, block) in blocks.iter().enumerate().skip(1) {
        let held = (block.first - blocks[from].first) * cin;
        if held >= pairs && (block.first * cin).is_multiple_of(LANES) {
            shares.push(ChannelShare(&blocks[from..next]));
            from = next;
        }
    }
    shares.push(ChannelShare(&blocks[from..]));
    shares
}

/// Cuts blocks into shares whose pairs of channels take about as much memory as `tiles` of all
/// input channels, since each share reads those anew. Several threads get some shares each. No
/// result depends on how blocks are shared out, so the number of threads may decide it.
pub(super) fn shares<'a>(
    blocks: &'a [ChannelBlock],
    cin: usize,
    tiles: usize,
    threads: &Threads,
) -> Vec<ChannelShare<'a>> {
    let fit = tiles * LANES * cin;
    let pairs = match threads.count() {
        1 => fit.max(PAIRS),
        threads => fit.min(ChannelShare(blocks).channels() * cin / (4 * threads)),
    };
    cut(blocks, cin, pairs)
}

/// The weights of a correlation, to be transformed.
pub(super) struct Filters<'a> {
    pub(super) shape: &'a Tiling,
    pub(super) source: &'a WeightView<'a>,
    pub(super) taps: Taps,
}

impl Filters<'_> {
    /// Transforms a share's weights into blocks `[C_in, block]` in a matrix for each point. The
    /// share begins with a whole register.
    pub(super) fn transform(&self, kernels: &Kernels, share: ChannelShare, to: &mut [f32]) {
        let tile = self.shape.tile;
        assert!((share.first() * self.shape.cin).is_multiple_of(LANES));
        let to = Shared::new(to);
        let few = cut(share.0, self.shape.cin, PAIRS);
        let each = PAIRS * tile.points() / 8;
        kernels.threads().run(few.len(), each, |i| {
            let first = (few[i].first() - share.first()) * self.shape.cin;
            // SAFETY: shares that begin with whole registers have no register in common.
            unsafe { self.transform_few(kernels, few[i], first, to) };
        });
    }

    /// The same for so few that they stay in the cache; the first pair comes to the place `first`.
    ///
    /// # Safety
    /// No other task writes there.
    unsafe fn transform_few(
        &self,
        kernels: &Kernels,
        share: ChannelShare,
        first: usize,
        to: Shared,
    ) {
        let (cin, tile) = (self.shape.cin, self.shape.tile);
        let len = (share.channels() * cin).next_multiple_of(LANES);
        let stored_step = odd_lines(len);
        scratch(9 * stored_step, |stored| {
            for block in share.0 {
                let at = (block.first - share.first()) * cin;
                packed_weights::by_tap(
                    self.source,
                    *block,
                    cin,
                    self.taps,
                    stored_step,
                    at,
                    stored,
                );
            }
            let pairs = KernelPairs {
                stored,
                stored_step,
                len,
                step: to.len() / tile.points(),
                first,
            };
            // SAFETY: the caller's promise; the instruction set is the kernels'.
            unsafe { filter_pairs(kernels.isa(), tile, &pairs, to) };
        });
    }
}

/// Kernels of pairs of channels, tap by tap.
struct KernelPairs<'a> {
    /// Nine matrices, `stored_step` floats apart.
    stored: &'a [f32],
    stored_step: usize,
    /// The number of pairs, a multiple of sixteen.
    len: usize,
    /// From one point's matrix to the next.
    step: usize,
    /// The place of the first pair there.
    first: usize,
}

multiversion! {
    /// Transforms pairs of channels.
    ///
    /// # Safety
    /// No other task transforms them.
    fn filter_pairs = filter_pairs_body(tile: Tile, pairs: &KernelPairs, to: Shared)
}

#[inline(always)]
unsafe fn filter_pairs_body<V: Vector>(tile: Tile, pairs: &KernelPairs, to: Shared) {
    assert!(pairs.stored.len() == 9 * pairs.stored_step && pairs.len <= pairs.stored_step);
    assert!(to.len() == tile.points() * pairs.step && pairs.first + pairs.len <= pairs.step);
    assert!(pairs.len.is_multiple_of(LANES));
    for i in (0..pairs.len).step_by(V::N) {
        let (from, to) = (
            pairs.stored.as_ptr().wrapping_add(i),
            to.pointer().wrapping_add(pairs.first + i),
        );
        // SAFETY: asserted above.
        unsafe {
            by_tile!(
                tile,
                filter_tile::<V>(from, pairs.stored_step, to, pairs.step)
            )
        };
    }
}
