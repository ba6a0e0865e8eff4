//! The decoder's joint: an input upsampled by 2, a skip beside it, and a 3x3 convolution of both.
//!
//! An upsampled pixel is a square of four alike, so that 3 x 3 taps on it are 2 x 2 taps on the
//! input, of which each class of output pixels has its own.

use std::rc::Rc;

use candle_core::{Result, Tensor, bail};

use super::{
    convolution::{Correlated, Correlating, flipped, square},
    weight_gradient::{Inputs, ProductSource},
};
use crate::engine::{
    cuda::{
        arena::CardBlock,
        card_engine::Cuda,
        forms::Form,
        machine::launch::{NOTHING, Taps},
        moments::MomentParts,
        tape::{Back, CudaBackward, CudaTensor},
    },
    operations::Activation,
};

/// A value for each of the four classes of output pixels, by the parities of row and column.
fn by_parity(taps: impl Fn([usize; 2]) -> Taps) -> Vec<Taps> {
    [[0, 0], [0, 1], [1, 0], [1, 1]].map(taps).to_vec()
}

impl Cuda {
    /// Writes (or adds) the gradient of one of the inputs, of so many channels and such a size,
    /// from that of the output.
    fn joint_gradient(
        &self,
        weights: Rc<CardBlock>,
        (dy, [groups, outputs, height, width]): (&CardBlock, [usize; 4]),
        (step, taps): (usize, Taps),
        (channels, size): (usize, [usize; 2]),
        (output, onto): (u64, i32),
    ) {
        let source = Correlated {
            values: dy.at(),
            weights,
            channels: outputs,
            size: [height, width],
            step,
            taps: (taps.rows * taps.columns) as usize,
            of_class: vec![taps],
        };
        let to = Correlating {
            output,
            bias: NOTHING,
            channels,
            size,
            spread: 1,
            activation: Activation::Linear,
            onto,
            moments: NOTHING,
        };
        self.correlate(groups, &[source], &to);
    }

    pub(in crate::engine::cuda) fn joined(
        &self,
        x: &CudaTensor,
        skip: Option<&CudaTensor>,
        weight: &Tensor,
    ) -> Result<CudaTensor> {
        let [groups, up, height, width] = x.dims();
        let on_card = self.weight(weight)?;
        let outputs = on_card.outputs;
        let beside = skip.map_or(0, |skip| skip.dims()[1]);
        let size = [2 * height, 2 * width];
        if on_card.inputs != up + beside || on_card.kernel != 3 {
            bail!(
                "the weight is {:?}, not 3x3 over {up} upsampled and {beside} skip channels",
                weight.dims()
            );
        }
        let of_skip = [groups, beside, size[0], size[1]];
        if let Some(skip) = skip.filter(|skip| skip.dims() != of_skip) {
            bail!(
                "the skip is {:?}, not twice the size of the input {:?}",
                skip.dims(),
                x.dims()
            );
        }
        let dims = [groups, outputs, size[0], size[1]];
        let y = Rc::new(self.take(self.len(dims)));
        let moments = MomentParts::of_correlation(self, dims, 2);
        let mut sources = vec![Correlated {
            values: x.at(),
            weights: self.arranged(&on_card, Form::JointForward, [0, up]),
            channels: up,
            size: [height, width],
            step: 1,
            taps: 16,
            of_class: by_parity(|[p, q]| square(2, [1 - p, 1 - q], (p * 2 + q) * 4)),
        }];
        if let Some(skip) = skip {
            sources.push(Correlated {
                values: skip.at(),
                weights: self.arranged(&on_card, Form::Forward, [up, beside]),
                channels: beside,
                size,
                step: 2,
                taps: 9,
                of_class: by_parity(|[p, q]| square(3, [1 - p, 1 - q], 0)),
            });
        }
        let to = Correlating {
            output: y.at(),
            bias: NOTHING,
            channels: outputs,
            size,
            spread: 2,
            activation: Activation::Linear,
            onto: 0,
            moments: moments.block.at(),
        };
        self.correlate(groups, &sources, &to);
        let (x, skip, weight) = (x.clone(), skip.cloned(), weight.clone());
        let back = move |backward: &mut CudaBackward<'_>, dy: &CardBlock| {
            if let Some(to) = backward.parameter(&weight) {
                let from = |value: &CudaTensor, up| {
                    let [_, channels, height, width] = value.dims();
                    ProductSource {
                        values: value.at(),
                        channels,
                        size: [height, width],
                        up,
                    }
                };
                let inputs = Inputs {
                    sources: [from(&x, 1)]
                        .into_iter()
                        .chain(skip.as_ref().map(|skip| from(skip, 0)))
                        .collect(),
                    kernel: 3,
                    step: 1,
                };
                backward
                    .cuda
                    .weight_gradient(groups, &inputs, dy, [outputs, size[0], size[1]], to);
            }
            let image = [groups, outputs, size[0], size[1]];
            backward.add(x.node(), |cuda, output, onto| {
                let weights = cuda.arranged(&on_card, Form::JointBackward, [0, up]);
                let taps = (2, square(4, [1, 1], 0));
                let to = (up, [height, width]);
                cuda.joint_gradient(weights, (dy, image), taps, to, (output, onto));
            });
            if let Some(skip) = &skip {
                backward.add(skip.node(), |cuda, output, onto| {
                    let weights = cuda.arranged(&on_card, Form::Backward, [up, beside]);
                    let taps = (1, flipped(3));
                    cuda.joint_gradient(weights, (dy, image), taps, (beside, size), (output, onto));
                });
            }
        };
        let y = self.value(dims, y, Back::Layer(Box::new(back)));
        y.node().moments.replace(Some(moments));
        Ok(y)
    }
}
