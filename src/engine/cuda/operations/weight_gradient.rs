//! Gradients of weights: products of inputs and gradients, split over rows of pixels, and the sums
//! of the splits.

use crate::engine::cuda::{
    arena::CardBlock,
    card_engine::{Cuda, Precision},
    machine::launch::{Factor, Launch, PartSums, Products, int},
    shapes::{ProductTiles, TILE, TapGrid},
};

/// An input: values `[G, channels, height, width, 16]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProductSource {
    pub values: u64,
    pub channels: usize,
    pub size: [usize; 2],
    /// 1 where its pixels are read as squares of 2 x 2.
    pub up: i32,
}

/// The inputs of a convolution, their channels one after the other.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    pub sources: Vec<ProductSource>,
    pub kernel: usize,
    pub step: usize,
}

impl Cuda {
    /// Writes (or adds) the gradient of a weight `[outputs, inputs, kernel, kernel]`, from that
    /// of the output `[G, outputs, height, width, 16]`.
    pub(super) fn weight_gradient(
        &self,
        groups: usize,
        inputs: &Inputs,
        dy: &CardBlock,
        [outputs, height, width]: [usize; 3],
        (to, onto): (u64, i32),
    ) {
        let Inputs {
            sources,
            kernel,
            step,
        } = inputs;
        let all: usize = sources.iter().map(|source| source.channels).sum();
        let taps = kernel * kernel;
        let tiles = |source: &ProductSource| source.channels.div_ceil(TILE);
        let in_tiles: usize = sources.iter().map(tiles).sum();
        let block_tiles = in_tiles * outputs.div_ceil(TILE);
        let grid = TapGrid {
            rows: *kernel,
            columns: *kernel,
            step: *step,
        };
        let cut = ProductTiles::of(block_tiles, grid, groups * height);
        let factor = |i: usize| {
            let before = sources[..i.min(sources.len())].iter();
            let before: usize = before.map(|source| source.channels).sum();
            sources.get(i).map_or(
                Factor {
                    values: 0,
                    channels: 0,
                    height: 0,
                    width: 0,
                    up: 0,
                    tiles: 0,
                    before: 0,
                },
                |source| Factor {
                    values: source.values,
                    channels: int(source.channels),
                    height: int(source.size[0]),
                    width: int(source.size[1]),
                    up: source.up,
                    tiles: int(tiles(source)),
                    before: int(before),
                },
            )
        };
        let length = outputs * all * taps;
        let sums = self.take(cut.splits * length);
        let operands = Products {
            sources: [factor(0), factor(1)],
            gradient: dy.at(),
            sums: sums.at(),
            channels: int(outputs),
            height: int(height),
            width: int(width),
            groups: int(groups),
            step: int(*step),
            rows: int(*kernel),
            columns: int(*kernel),
            above: int(kernel / 2),
            left: int(kernel / 2),
            tap_blocks: int(cut.tap_blocks),
            taps: int(taps),
            inputs: int(all),
            splits: int(cut.splits),
            rows_each: int(cut.rows_each),
            patch_stride: int(cut.patch_stride),
            gradient_stride: int(cut.gradient_stride),
        };
        let kernel = match (kernel, self.precision()) {
            (1, Precision::F32) => "products_1x1_f32",
            (3, Precision::F32) => "products_3x3_f32",
            (_, Precision::F32) => "products_7_f32",
            (1, Precision::Tf32) => "products_1x1_tf32",
            (3, Precision::Tf32) => "products_3x3_tf32",
            (_, Precision::Tf32) => "products_7_tf32",
        };
        let grid = [cut.splits, block_tiles * cut.tap_blocks];
        self.launch(Launch::new(kernel, grid, 128, cut.bytes(), 1, operands));
        let operands = PartSums {
            from: sums.at(),
            to,
            length: length as u64,
            parts: int(cut.splits),
            onto,
        };
        self.launch(Launch::each("sum_parts", length, 1, operands));
    }
}
