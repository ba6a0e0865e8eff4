//! Convolutions, and the gradients of their inputs, as correlations.

use std::rc::Rc;

use candle_core::{Result, Tensor, bail};

use crate::engine::{
    cuda::{
        arena::CardBlock,
        card_engine::{Cuda, Precision},
        forms::Form,
        machine::launch::{ChannelSums, Correlation, Launch, NOTHING, Source, Taps, int},
        moments::MomentParts,
        parameters::Weight,
        shapes::{CorrelationTiles, TapGrid},
        tape::{Back, CudaBackward, CudaTensor},
    },
    operations::Activation,
};

use super::weight_gradient::{Inputs, ProductSource};

/// Correlations without taps, for classes and sources that are not used.
const NO_TAPS: Taps = Taps {
    rows: 0,
    columns: 0,
    above: 0,
    left: 0,
    first: 0,
    down: 0,
    across: 0,
    unused: 0,
};

/// What a correlation reads: values `[G, channels, height, width, 16]`, weights
/// `[channels][taps][outputs]`.
#[derive(Clone, Debug)]
pub(super) struct Correlated {
    pub values: u64,
    pub weights: Rc<CardBlock>,
    pub channels: usize,
    pub size: [usize; 2],
    pub step: usize,
    /// Taps of the weight.
    pub taps: usize,
    /// Of each class of output pixels: one or four.
    pub of_class: Vec<Taps>,
}

/// What a correlation gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correlating {
    pub output: u64,
    pub bias: u64,
    pub channels: usize,
    /// The output's height and width.
    pub size: [usize; 2],
    /// Pixels between neighbours of one class: 1, or 2 with four classes.
    pub spread: usize,
    pub activation: Activation,
    pub onto: i32,
    /// Where the moments of its parts go, if they are asked for.
    pub moments: u64,
}

impl Correlated {
    fn operands(&self) -> Source {
        let taps = |class: usize| self.of_class.get(class).copied().unwrap_or(NO_TAPS);
        Source {
            values: self.values,
            weights: self.weights.at(),
            channels: int(self.channels),
            height: int(self.size[0]),
            width: int(self.size[1]),
            step: int(self.step),
            taps: int(self.taps),
            unused: 0,
            of_class: std::array::from_fn(taps),
        }
    }

    fn grids(&self) -> impl Iterator<Item = TapGrid> {
        self.of_class.iter().map(|taps| TapGrid {
            rows: taps.rows as usize,
            columns: taps.columns as usize,
            step: self.step,
        })
    }

    fn is_dense(&self) -> bool {
        let mut grids = self.grids();
        grids.all(|grid| (grid.rows, grid.columns, grid.step) == (3, 3, 1))
            && self.of_class.len() == 1
    }
}

/// A square of taps, read in order from so many rows above and columns to the left.
pub(super) fn square(kernel: usize, [above, left]: [usize; 2], first: usize) -> Taps {
    Taps {
        rows: int(kernel),
        columns: int(kernel),
        above: int(above),
        left: int(left),
        first: int(first),
        down: int(kernel),
        across: 1,
        unused: 0,
    }
}

/// The taps of the gradient of an input at step 1: the same square backwards.
pub(super) fn flipped(kernel: usize) -> Taps {
    let last = int(kernel * kernel) - 1;
    Taps {
        first: last,
        down: -int(kernel),
        across: -1,
        ..square(kernel, [(kernel - 1) / 2; 2], 0)
    }
}

/// The taps of the gradient of an input at step 2, for the input pixels of row parity `p` and
/// column parity `q`.
fn flipped_by_parity(kernel: usize, [p, q]: [usize; 2]) -> Taps {
    let padding = kernel / 2;
    // The taps of one axis that pixels of a parity are read by: their number and the last one.
    let axis = |parity: usize| {
        let first = (parity + padding) % 2;
        let count = (kernel + 1 - first) / 2;
        (count, (first + 2 * count.max(1)) - 2)
    };
    let ((rows, lowest), (columns, rightmost)) = (axis(p), axis(q));
    // The output row that the last tap reads the pixel from, counted up from the pixel's half.
    let before = |last: usize, parity: usize| (int(last) - int(parity) - int(padding)) / 2;
    let side = int(kernel);
    Taps {
        rows: int(rows),
        columns: int(columns),
        above: before(lowest, p),
        left: before(rightmost, q),
        first: int(lowest) * side + int(rightmost),
        down: -2 * side,
        across: -2,
        unused: 0,
    }
}

impl Cuda {
    /// Launches a correlation of one or two sources.
    pub(super) fn correlate(&self, groups: usize, sources: &[Correlated], to: &Correlating) {
        let classes = sources[0].of_class.len();
        let grids: Vec<TapGrid> = sources.iter().flat_map(Correlated::grids).collect();
        let tiles = CorrelationTiles::of(to.channels, &grids);
        let stages = if self.fits(2 * tiles.bytes()) { 2 } else { 1 };
        let of_class = to.size.map(|side| side.div_ceil(to.spread));
        let source = |i: usize| sources.get(i).unwrap_or(&sources[0]).operands();
        let operands = Correlation {
            sources: [source(0), source(1)],
            output: to.output,
            bias: to.bias,
            count: int(sources.len()),
            classes: int(classes),
            spread: int(to.spread),
            height: int(of_class[0]),
            width: int(of_class[1]),
            channels: int(to.channels),
            padded_channels: int(to.channels.next_multiple_of(4)),
            full_height: int(to.size[0]),
            full_width: int(to.size[1]),
            relu: i32::from(to.activation == Activation::Relu),
            onto: to.onto,
            patch_stride: int(tiles.patch_stride),
            weight_stride: int(tiles.weight_stride),
            stages,
            moments: to.moments,
        };
        let shared = match to.moments {
            NOTHING => 0,
            _ => tiles.moment_bytes(),
        };
        let dense = sources.iter().all(Correlated::is_dense);
        self.launch(Launch::new(
            correlation(dense, tiles.channels, self.precision()),
            tiles.grid(classes, of_class, to.channels),
            128,
            shared.max(stages as usize * tiles.bytes()),
            groups,
            operands,
        ));
    }

    /// Writes (or adds) the gradient of a convolution's input from that of its output.
    fn input_gradient(
        &self,
        weight: &Weight,
        dy: &CardBlock,
        ([groups, channels, height, width], stride): ([usize; 4], usize),
        (output, onto): (u64, i32),
    ) {
        let kernel = weight.kernel;
        let (of_class, spread) = match stride {
            1 => (vec![flipped(kernel)], 1),
            _ => {
                let classes = [[0, 0], [0, 1], [1, 0], [1, 1]];
                let taps = classes.map(|parity| flipped_by_parity(kernel, parity));
                (taps.to_vec(), 2)
            }
        };
        let source = Correlated {
            values: dy.at(),
            weights: self.arranged(weight, Form::Backward, [0, channels]),
            channels: weight.outputs,
            size: [height, width].map(|side| side.div_ceil(stride)),
            step: 1,
            taps: kernel * kernel,
            of_class,
        };
        let to = Correlating {
            output,
            bias: NOTHING,
            channels,
            size: [height, width],
            spread,
            activation: Activation::Linear,
            onto,
            moments: NOTHING,
        };
        self.correlate(groups, &[source], &to);
    }

    /// A convolution padded by half its kernel.
    pub(in crate::engine::cuda) fn convolve(
        &self,
        x: &CudaTensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: usize,
        activation: Activation,
    ) -> Result<CudaTensor> {
        let [groups, channels, height, width] = x.dims();
        let on_card = self.weight(weight)?;
        let (kernel, outputs) = (on_card.kernel, on_card.outputs);
        if on_card.inputs != channels {
            bail!(
                "the weight takes {} input channels, the input has {channels}",
                on_card.inputs
            );
        }
        if !matches!((kernel, stride), (1 | 3 | 7, 1 | 2)) {
            bail!("there is no convolution {kernel} x {kernel} with stride {stride} on cards");
        }
        let bias_on_card = bias.map(|bias| self.parameter(bias)).transpose()?;
        let size = [height, width].map(|side| side.div_ceil(stride));
        let dims = [groups, outputs, size[0], size[1]];
        let y = Rc::new(self.take(self.len(dims)));
        // A norm follows where there is no bias.
        let moments = bias
            .is_none()
            .then(|| MomentParts::of_correlation(self, dims, 1));
        let source = Correlated {
            values: x.at(),
            weights: self.arranged(&on_card, Form::Forward, [0, channels]),
            channels,
            size: [height, width],
            step: stride,
            taps: kernel * kernel,
            of_class: vec![square(kernel, [kernel / 2; 2], 0)],
        };
        let to = Correlating {
            output: y.at(),
            bias: bias_on_card.map_or(NOTHING, |bias| bias.at()),
            channels: outputs,
            size,
            spread: 1,
            activation,
            onto: 0,
            moments: moments.as_ref().map_or(NOTHING, |parts| parts.block.at()),
        };
        self.correlate(groups, &[source], &to);
        let (x, weight, bias) = (x.clone(), weight.clone(), bias.cloned());
        let output = (activation == Activation::Relu).then(|| y.clone());
        let back = move |backward: &mut CudaBackward<'_>, dy: &CardBlock| {
            if let Some(output) = &output {
                backward.cuda.close_gate(output, dy);
            }
            if let Some(to) = backward.parameter(&weight) {
                let inputs = Inputs {
                    sources: vec![ProductSource {
                        values: x.at(),
                        channels,
                        size: [height, width],
                        up: 0,
                    }],
                    kernel,
                    step: stride,
                };
                backward
                    .cuda
                    .weight_gradient(groups, &inputs, dy, [outputs, size[0], size[1]], to);
            }
            let of_bias = bias.as_ref().and_then(|bias| backward.parameter(bias));
            if let Some((to, onto)) = of_bias {
                let operands = ChannelSums {
                    from: dy.at(),
                    to,
                    groups: int(groups),
                    channels: int(outputs),
                    pixels: int(size[0] * size[1]),
                    onto,
                };
                let launch = Launch::blocks("channel_sums", outputs, 1, operands);
                backward.cuda.launch(launch);
            }
            backward.add(x.node(), |cuda, to, onto| {
                let input = [groups, channels, height, width];
                cuda.input_gradient(&on_card, dy, (input, stride), (to, onto));
            });
        };
        let y = self.value(dims, y, Back::Layer(Box::new(back)));
        y.node().moments.replace(moments);
        Ok(y)
    }
}

/// The kernel of a correlation, by the channels of its blocks.
fn correlation(dense: bool, channels: usize, precision: Precision) -> &'static str {
    match (dense, channels, precision) {
        (false, 16, Precision::F32) => "correlate_16_f32",
        (false, 32, Precision::F32) => "correlate_32_f32",
        (false, _, Precision::F32) => "correlate_64_f32",
        (true, 16, Precision::F32) => "correlate3x3_16_f32",
        (true, 32, Precision::F32) => "correlate3x3_32_f32",
        (true, _, Precision::F32) => "correlate3x3_64_f32",
        (false, 16, Precision::Tf32) => "correlate_16_tf32",
        (false, 32, Precision::Tf32) => "correlate_32_tf32",
        (false, _, Precision::Tf32) => "correlate_64_tf32",
        (true, 16, Precision::Tf32) => "correlate3x3_16_tf32",
        (true, 32, Precision::Tf32) => "correlate3x3_32_tf32",
        (true, _, Precision::Tf32) => "correlate3x3_64_tf32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By every tap of every class, an input pixel gets the gradient of exactly the outputs that
    /// read it.
    #[test]
    fn the_taps_of_a_parity_are_those_that_read_its_pixels() {
        for kernel in [1usize, 3, 7] {
            let padding = kernel as i64 / 2;
            for parity in 0..2 {
                let taps = flipped_by_parity(kernel, [parity, 0]);
                for half in 0..6i64 {
                    let input = 2 * half + parity as i64;
                    let mut expected: Vec<(i64, i64)> = (0..kernel as i64)
                        .filter(|tap| (input + padding - tap).rem_euclid(2) == 0)
                        .map(|tap| ((input + padding - tap) / 2, tap))
                        .collect();
                    expected.sort_unstable();
                    let found: Vec<(i64, i64)> = (0..i64::from(taps.rows))
                        .map(|row| {
                            let first = i64::from(taps.first) / kernel as i64;
                            (half + row - i64::from(taps.above), first - 2 * row)
                        })
                        .collect();
                    assert_eq!(found, expected, "{kernel}, {parity}, {half}");
                }
            }
        }
    }
}
