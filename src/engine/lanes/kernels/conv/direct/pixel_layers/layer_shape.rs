//! The shape of layers, what they compute with, and how their pixels are shared out.

use std::ops::Range;

use crate::engine::lanes::{
    kernels::{features::Features, operand::check},
    machine::LANES,
};

/// Floats that one layer's pixels take of the cache.
const LAYER_IN_CACHE: usize = 4 * 1024;

/// Parts that the pixels of a group are shared out in. Each has sums of its own, so the number is
/// the same for any number of threads.
pub(super) const PARTS: usize = 16;

/// The shape of some layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PixelLayers {
    /// Groups of sixteen samples.
    pub groups: usize,
    /// Pixels of a plane.
    pub pixels: usize,
    /// The channels of the input, and of the output of each layer.
    pub channels: Vec<usize>,
}

/// What the layers compute with.
#[derive(Clone, Copy, Debug)]
pub struct LayerParameters<'a> {
    /// Added to each sample in the first layer, `[G, C, 16]`, in place of a bias.
    pub shift: Option<&'a [f32]>,
    /// The weight `[C_out, C_in]` of each layer, and its bias `[C_out]`; empty for the first layer
    /// where there is a shift.
    pub layers: &'a [(&'a [f32], &'a [f32])],
}

impl PixelLayers {
    /// Floats of the output.
    pub fn output_len(&self) -> usize {
        self.groups * self.channels[self.channels.len() - 1] * self.plane()
    }

    /// Floats of the input.
    pub fn input_len(&self) -> usize {
        self.groups * self.channels[0] * self.plane()
    }

    pub(super) fn plane(&self) -> usize {
        self.pixels * LANES
    }

    /// Input and output channels of each layer.
    pub(super) fn layers(
        &self,
    ) -> impl DoubleEndedIterator<Item = (usize, usize)> + ExactSizeIterator {
        self.channels.windows(2).map(|pair| (pair[0], pair[1]))
    }

    pub(super) fn check(&self, x: Features, parameters: &LayerParameters) {
        x.check("x", self.groups * self.channels[0], self.plane());
        assert!(self.channels.len() > 1, "there is no layer");
        check("layers", parameters.layers.len(), self.layers().len());
        if let Some(shift) = parameters.shift {
            check("shift", shift.len(), self.groups * self.channels[1] * LANES);
        }
        let layers = self.layers().zip(parameters.layers).enumerate();
        for (place, ((inputs, outputs), (weight, bias))) in layers {
            check("a weight", weight.len(), outputs * inputs);
            let has_bias = place > 0 || parameters.shift.is_none();
            check("a bias", bias.len(), if has_bias { outputs } else { 0 });
        }
    }

    /// Pixels computed together.
    pub(super) fn together(&self) -> usize {
        let most = self.channels.iter().copied().max().unwrap_or(1);
        (LAYER_IN_CACHE / (most * LANES)).clamp(1, self.pixels)
    }

    /// The pixels of a part of a group.
    pub(super) fn part(&self, part: usize) -> Range<usize> {
        part * self.pixels / PARTS..(part + 1) * self.pixels / PARTS
    }
}
