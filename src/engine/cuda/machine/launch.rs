//! Launches of kernels as data: names, grids and operands, to be recorded and launched any number
//! of times.
//!
//! Operands are offsets in floats into the memory of a network, so a launch serves any network. The
//! structures are those of the kernels' sources, field by field.

use bytemuck::{NoUninit, Pod, Zeroable};

use super::super::shapes::PIECE;
use crate::engine::lanes::LANES;

/// An offset that stands for nothing.
pub(in crate::engine::cuda) const NOTHING: u64 = u64::MAX;
/// Networks of one launch.
pub const MOST_NETWORKS: usize = 64;
/// Words at the head of the feed: the addresses of the networks' memory.
pub(in crate::engine::cuda) const FEED_HEAD: usize = 2 * MOST_NETWORKS;
/// Threads of a block that goes through memory once.
const THREADS: usize = 256;
/// Bytes of the shared memory in which a block of that size adds up.
const SUMS: usize = THREADS * size_of::<f32>();

/// The networks of a launch: `Networks` of gpu.h.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(in crate::engine::cuda) struct Networks {
    pub feed: u64,
    pub constants: u64,
    pub feed_stride: u64,
    pub groups: i32,
    pub unused: i32,
}

/// One kernel's launch for each network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine::cuda) struct Launch {
    pub kernel: &'static str,
    /// Blocks; the third dimension counts networks times groups.
    pub grid: [usize; 2],
    pub threads: usize,
    /// Bytes of shared memory.
    pub shared: usize,
    pub groups: i32,
    /// The operands' bytes, aligned for the driver.
    pub operands: Box<[u64]>,
    /// Their number of bytes.
    pub bytes: usize,
}

impl Launch {
    /// A launch of `grid` blocks of so many threads for each group of samples.
    pub fn new<T: NoUninit>(
        kernel: &'static str,
        grid: [usize; 2],
        threads: usize,
        shared: usize,
        groups: usize,
        operands: T,
    ) -> Self {
        let bytes = bytemuck::bytes_of(&operands);
        let words = bytes.chunks(8).map(|word| {
            let mut whole = [0; 8];
            whole[..word.len()].copy_from_slice(word);
            u64::from_ne_bytes(whole)
        });
        Self {
            kernel,
            grid,
            threads,
            shared,
            groups: int(groups),
            operands: words.collect(),
            bytes: bytes.len(),
        }
    }

    /// A thread for each of `count` numbers.
    pub fn each<T: NoUninit>(
        kernel: &'static str,
        count: usize,
        groups: usize,
        operands: T,
    ) -> Self {
        let blocks = count.div_ceil(THREADS);
        Self::new(kernel, [blocks, 1], THREADS, 0, groups, operands)
    }

    /// A block for each piece of every plane of a group.
    pub fn pieces<T: NoUninit>(
        kernel: &'static str,
        [channels, pixels]: [usize; 2],
        groups: usize,
        operands: T,
    ) -> Self {
        let grid = [pieces(pixels), channels];
        Self::new(kernel, grid, THREADS, SUMS, groups, operands)
    }

    /// So many blocks that add up what they read, for each group.
    pub fn blocks<T: NoUninit>(
        kernel: &'static str,
        blocks: usize,
        groups: usize,
        operands: T,
    ) -> Self {
        Self::blocks_with(kernel, blocks, 1, groups, operands)
    }

    /// The same, with so many numbers of every thread at a time.
    pub fn blocks_with<T: NoUninit>(
        kernel: &'static str,
        blocks: usize,
        numbers: usize,
        groups: usize,
        operands: T,
    ) -> Self {
        let shared = numbers * SUMS;
        Self::new(kernel, [blocks, 1], THREADS, shared, groups, operands)
    }
}

/// A number of the kernels.
pub(in crate::engine::cuda) fn int(number: usize) -> i32 {
    i32::try_from(number).expect("a dimension fits 31 bits")
}

/// The pieces that sums over a plane's pixels are cut into.
pub(in crate::engine::cuda) fn pieces(pixels: usize) -> usize {
    pixels.div_ceil(PIECE)
}

/// The addresses of networks' memory as the head of a feed; there is no network where they end.
pub(in crate::engine::cuda) fn feed_head(memory: impl Iterator<Item = u64>) -> [u32; FEED_HEAD] {
    let mut addresses = [0u64; MOST_NETWORKS];
    addresses
        .iter_mut()
        .zip(memory)
        .for_each(|(to, address)| *to = address);
    bytemuck::cast(addresses)
}

/// Floats of two sums for each piece of so many planes.
pub(in crate::engine::cuda) fn sums_of_pieces(planes: usize, pixels: usize) -> usize {
    planes * pieces(pixels) * 2 * LANES
}

macro_rules! operands {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Pod, Zeroable)]
            #[repr(C)]
            pub(in crate::engine::cuda) struct $name {
                $(pub $field: $type,)*
            }
        )*
    };
}

operands! {
    /// The taps that one class of output pixels reads (correlate.cu).
    Taps {
        rows: i32, columns: i32, above: i32, left: i32,
        first: i32, down: i32, across: i32, unused: i32,
    }
    /// What is correlated.
    Source {
        values: u64, weights: u64,
        channels: i32, height: i32, width: i32, step: i32, taps: i32, unused: i32,
        of_class: [Taps; 4],
    }
    /// A correlation.
    Correlation {
        sources: [Source; 2],
        output: u64, bias: u64,
        count: i32, classes: i32, spread: i32, height: i32, width: i32,
        channels: i32, padded_channels: i32,
        full_height: i32, full_width: i32, relu: i32, onto: i32,
        patch_stride: i32, weight_stride: i32, stages: i32,
        moments: u64,
    }
    /// An input of products.cu.
    Factor {
        values: u64,
        channels: i32, height: i32, width: i32, up: i32, tiles: i32, before: i32,
    }
    /// The products behind the gradient of a weight.
    Products {
        sources: [Factor; 2],
        gradient: u64, sums: u64,
        channels: i32, height: i32, width: i32, groups: i32, step: i32,
        rows: i32, columns: i32, above: i32, left: i32,
        tap_blocks: i32, taps: i32, inputs: i32,
        splits: i32, rows_each: i32,
        patch_stride: i32, gradient_stride: i32,
    }
    /// sums.cu
    PartSums { from: u64, to: u64, length: u64, parts: i32, onto: i32 }
    /// sums.cu
    Scaled { from: u64, to: u64, length: u64, factor: f32, onto: i32 }
    /// sums.cu
    Gathered { table: u64, count: u64, output: u64 }
    /// sums.cu
    Fed { from: u64, to: u64, length: u64 }
    /// sums.cu
    Packing { from: u64, to: u64, batch: i32, channels: i32, pixels: i32, unused: i32 }
    /// sums.cu
    Arrangement { table: u64 }
    /// sums.cu
    Gate { output: u64, gradient: u64, length: u64 }
    /// sums.cu
    ChannelSums { from: u64, to: u64, groups: i32, channels: i32, pixels: i32, onto: i32 }
    /// norm.cu
    Moments { x: u64, moments: u64, channels: i32, pixels: i32, pieces: i32, unused: i32 }
    /// norm.cu
    Whole {
        parts: u64, moments: u64,
        channels: i32, rows: i32, width: i32, span: i32, eps: f32, unused: i32,
    }
    /// norm.cu
    Normalise {
        x: u64, residual: u64, y: u64, moments: u64, gamma: u64, beta: u64, route: u64,
        channels: i32, pixels: i32, relu: i32, expert_stride: i32,
    }
    /// norm.cu
    GradientSums {
        x: u64, y: u64, gradient: u64, moments: u64, sums: u64,
        channels: i32, pixels: i32, pieces: i32, relu: i32,
    }
    /// norm.cu
    NormGradient {
        x: u64, y: u64, gradient: u64, moments: u64, sums: u64, gamma: u64, route: u64,
        dx: u64, dresidual: u64, dgamma: u64, dbeta: u64,
        channels: i32, pixels: i32, pieces: i32, groups: i32, experts: i32, expert_stride: i32,
        relu: i32, onto_x: i32, onto_residual: i32, onto_affine: i32,
    }
    /// pool.cu
    Pooling {
        x: u64, y: u64, gradient: u64, dx: u64,
        channels: i32, height: i32, width: i32, onto: i32,
    }
    /// pool.cu
    PlaneSums { from: u64, to: u64, channels: i32, pixels: i32, factor: f32, onto: i32 }
    /// pool.cu
    Shift { x: u64, by: u64, y: u64, channels: i32, pixels: i32, relu: i32, unused: i32 }
    /// losses.cu
    LossSums {
        logits: u64, target: u64, sums: u64,
        pixels: i32, pieces: i32, cross_entropy: i32, unused: i32,
    }
    /// losses.cu
    LossOf {
        sums: u64, tables: u64, loss: u64,
        groups: i32, pixels: i32, pieces: i32, batch: i32, cross_entropy: i32, over_batch: i32,
        smooth: f32, unused: i32,
    }
    /// losses.cu
    LossGradient {
        logits: u64, target: u64, tables: u64, gradient: u64,
        groups: i32, pixels: i32, cross_entropy: i32, onto: i32, weight: f32, unused: i32,
    }
    /// losses.cu
    Draw {
        distribution: u64, noise: u64, z: u64, dz: u64, gradient: u64,
        latent: i32, onto: i32, bound: f32, unused: i32,
    }
    /// losses.cu
    Divergence {
        posterior: u64, prior: u64, loss: u64, of_posterior: u64, of_prior: u64,
        groups: i32, latent: i32, batch: i32, onto_posterior: i32, onto_prior: i32,
        bound: f32, weight: f32, unused: i32,
    }
    /// radam.cu
    Update {
        parameters: u64, gradients: u64, first: u64, second: u64, length: u64, rates: u64,
        table: u64, losses: u64, passes: i32, unused: i32,
        beta1: f32, beta2: f32, rest1: f32, rest2: f32, eps: f32, unused2: i32,
    }
}
