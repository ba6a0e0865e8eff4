//! One of the layers, forward and backward, on some pixels.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use std::ops::Range;

use super::layer_shape::{LayerParameters, PixelLayers};
use crate::engine::{
    Activation,
    lanes::{
        kernels::conv::{
            conv_shape::Conv,
            direct::{
                row_tiles::{self, Finish, InitialSums, OutputRow, SumEnds, Tap},
                weight_sums::{self, InputRows, TapSums},
            },
            packed_weights::{self, ChannelBlock},
        },
        machine::{Kernels, LANES, Shared},
    },
};

/// One layer, ready to run.
pub(super) struct LayerRun<'a> {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    weight: &'a [f32],
    bias: &'a [f32],
    shift: Option<&'a [f32]>,
    activation: Activation,
    /// Output channels computed together.
    forward_blocks: Vec<ChannelBlock>,
    /// Input channels whose gradients are computed together.
    backward_blocks: Vec<ChannelBlock>,
    /// Output channels of the weight's gradient that are computed together.
    pub(super) weight_blocks: Vec<ChannelBlock>,
}

impl<'a> LayerRun<'a> {
    pub(super) fn all(
        kernels: &Kernels,
        shape: &PixelLayers,
        parameters: &LayerParameters<'a>,
    ) -> Vec<Self> {
        let widest = kernels.isa().widest_block();
        let last = parameters.layers.len() - 1;
        let layers = shape.layers().zip(parameters.layers).enumerate();
        let run = |(place, ((inputs, outputs), &(weight, bias))): (_, (_, &(&'a [f32], _)))| Self {
            inputs,
            outputs,
            weight,
            bias,
            shift: parameters.shift.filter(|_| place == 0),
            activation: match place == last {
                true => Activation::Linear,
                false => Activation::Relu,
            },
            forward_blocks: packed_weights::blocks(outputs, widest),
            backward_blocks: packed_weights::blocks(inputs, widest),
            weight_blocks: weight_sums::blocks(outputs),
        };
        layers.map(run).collect()
    }

    /// The output of some pixels of a group.
    pub(super) fn forward(
        &self,
        kernels: &Kernels,
        group: usize,
        pixels: usize,
        from: &[f32],
        to: LayerOutput,
    ) {
        let start = match self.shift {
            Some(shift) => {
                let each = self.outputs * LANES;
                InitialSums::Lanes(&shift[group * each..(group + 1) * each])
            }
            None => InitialSums::Bias(self.bias),
        };
        let ends = SumEnds {
            start,
            finish: Finish::Activation(self.activation),
        };
        let strides = [1, self.inputs];
        self.products(
            kernels,
            &self.forward_blocks,
            strides,
            self.inputs,
            pixels,
            from,
            ends,
            to,
        );
    }

    /// The gradient of the input of some pixels: 0 where the `output` of the ReLU that it came
    /// through, if there is one, is not positive.
    pub(super) fn backward(
        &self,
        kernels: &Kernels,
        pixels: usize,
        from: &[f32],
        output: Option<&[f32]>,
        to: LayerOutput,
    ) {
        let strides = [self.inputs, 1];
        let blocks = &self.backward_blocks;
        let ends = SumEnds {
            finish: output.map_or(Finish::SUMS, Finish::Gate),
            ..SumEnds::PLAIN
        };
        self.products(
            kernels,
            blocks,
            strides,
            self.outputs,
            pixels,
            from,
            ends,
            to,
        );
    }

    /// Sums over `channels` of `from` `[channels, pixels, 16]`, whose weights are `run` apart, for
    /// each channel of `to`, whose weights are `turn` apart.
    #[expect(clippy::too_many_arguments, reason = "two directions of one product")]
    fn products(
        &self,
        kernels: &Kernels,
        blocks: &[ChannelBlock],
        [run, turn]: [usize; 2],
        channels: usize,
        pixels: usize,
        from: &[f32],
        ends: SumEnds,
        to: LayerOutput,
    ) {
        for block in blocks {
            let row = OutputRow {
                x: from,
                channel: pixels * LANES,
                cin: channels,
                weights: &self.weight[block.first * turn..],
                run,
                turn,
                taps: &[Tap { x: 0, w: 0 }],
                ends: ends.of(*block),
                y: to.values,
                at: to.first + block.first * to.channel,
                plane: to.channel,
                step: LANES,
                columns: pixels,
                channels: block.channels,
            };
            // SAFETY: the instruction set is the kernels'; tasks write different pixels.
            unsafe { row_tiles::correlate(kernels.isa(), &row) };
        }
    }

    /// Adds to the gradient of the weight, `[block, inputs, channels of block, 16]`.
    pub(super) fn add_weight(
        &self,
        kernels: &Kernels,
        pixels: usize,
        from: &[f32],
        dy: &[f32],
        mut sums: &mut [f32],
    ) {
        let conv = Conv {
            groups: 1,
            cin: self.inputs,
            cout: self.outputs,
            height: 1,
            width: pixels,
            kernel: 1,
            stride: 1,
            padding: 0,
        };
        let x = InputRows {
            x: from,
            first: 0,
            channel: pixels * LANES,
            next: None,
        };
        for &block in &self.weight_blocks {
            let task = TapSums {
                conv: &conv,
                x: &x,
                inputs: self.inputs,
                dy,
                group: 0,
                rows: 0..1,
                block,
            };
            let held = sums.split_off_mut(..block.channels * self.inputs * LANES);
            let held = held.expect("there are sums for every pair");
            // SAFETY: the instruction set is the kernels'.
            unsafe { weight_sums::correlate(kernels.isa(), &task, held) };
        }
    }
}

/// Where a layer's output goes.
#[derive(Clone, Copy)]
pub(super) struct LayerOutput<'a> {
    values: Shared<'a>,
    /// The first pixel of the first channel.
    first: usize,
    /// Floats from one channel to the next.
    channel: usize,
}

impl<'a> LayerOutput<'a> {
    /// Some pixels in the cache.
    pub(super) fn of(values: &'a mut [f32], pixels: usize) -> Self {
        Self {
            values: Shared::new(values),
            first: 0,
            channel: pixels * LANES,
        }
    }

    /// Some pixels of whole planes, `[G, channels, P, 16]`.
    pub(super) fn in_planes(
        shape: &PixelLayers,
        values: Shared<'a>,
        group: usize,
        pixels: &Range<usize>,
        channels: usize,
    ) -> Self {
        Self {
            values,
            first: group * channels * shape.plane() + pixels.start * LANES,
            channel: shape.plane(),
        }
    }
}
