//! Conditional instance norm with residual and activation.

use std::rc::Rc;

use candle_core::{Result, bail};

use crate::engine::{
    cuda::{
        arena::CardBlock,
        card_engine::Cuda,
        machine::launch::{
            GradientSums, Launch, Moments, NOTHING, NormGradient, Normalise, Whole, int, pieces,
            sums_of_pieces,
        },
        moments::MomentParts,
        tape::{Back, CudaBackward, CudaTensor},
    },
    lanes::LANES,
    operations::{Activation, Affine},
};

/// The experts of a batch's samples.
#[derive(Clone, Debug)]
pub struct CardRoute {
    /// For each lane of each group, the row of its sample's expert; -1 for a lane without a sample.
    rows: Rc<CardBlock>,
    /// Those that occur.
    present: Vec<usize>,
}

impl Cuda {
    /// The experts of a batch's samples, on the card.
    pub(in crate::engine::cuda) fn routed(&self, experts: &[usize]) -> CardRoute {
        let row = |sample: usize| experts.get(sample).map_or(-1, |expert| int(*expert));
        let lanes = 0..experts.len().next_multiple_of(LANES);
        let mut present = experts.to_vec();
        present.sort_unstable();
        present.dedup();
        CardRoute {
            rows: self.fed(lanes.map(row).map(i32::cast_unsigned)),
            present,
        }
    }

    /// Launches the moments of the pieces of a value's planes.
    fn moments_of_pieces(&self, x: &CudaTensor) -> MomentParts {
        let [groups, channels, height, width] = x.dims();
        let pixels = height * width;
        let parts = MomentParts::of_planes(self, groups * channels, pixels);
        let operands = Moments {
            x: x.at(),
            moments: parts.block.at(),
            channels: int(channels),
            pixels: int(pixels),
            pieces: int(pieces(pixels)),
            unused: 0,
        };
        let planes = [channels, pixels];
        self.launch(Launch::pieces("norm_moments", planes, groups, operands));
        parts
    }

    /// Launches the mean and 1 / deviation of a value's planes, `[G, C, 2, 16]`.
    fn moments(&self, x: &CudaTensor, eps: f32) -> CardBlock {
        let [groups, channels, ..] = x.dims();
        let known = x.node().moments.take();
        let parts = known.unwrap_or_else(|| self.moments_of_pieces(x));
        let moments = self.take(groups * channels * 2 * LANES);
        let operands = Whole {
            parts: parts.block.at(),
            moments: moments.at(),
            channels: int(channels),
            rows: int(parts.rows),
            width: int(parts.width),
            span: int(parts.span),
            eps,
            unused: 0,
        };
        self.launch(Launch::blocks_with(
            "norm_whole",
            channels,
            3,
            groups,
            operands,
        ));
        moments
    }

    pub(in crate::engine::cuda) fn normalise(
        &self,
        x: &CudaTensor,
        affine: Affine<'_, Self>,
        eps: f32,
        residual: Option<&CudaTensor>,
        activation: Activation,
    ) -> Result<CudaTensor> {
        let dims = x.dims();
        let [groups, channels, height, width] = dims;
        if let Some(residual) = residual.filter(|residual| residual.dims() != dims) {
            bail!("the residual is {:?}, not {dims:?}", residual.dims());
        }
        let pixels = height * width;
        let gamma = self.rows(affine.gamma, channels)?;
        let beta = self.rows(affine.beta, channels)?;
        let CardRoute { rows, present } = affine.route.clone();
        if rows.len() != groups * LANES {
            bail!(
                "{} samples have experts, there are {groups} groups",
                rows.len()
            );
        }
        let moments = self.moments(x, eps);
        let y = Rc::new(self.take(self.len(dims)));
        let relu = i32::from(activation == Activation::Relu);
        let operands = Normalise {
            x: x.at(),
            residual: residual.map_or(NOTHING, CudaTensor::at),
            y: y.at(),
            moments: moments.at(),
            gamma: gamma.values.at(),
            beta: beta.values.at(),
            route: rows.at(),
            channels: int(channels),
            pixels: int(pixels),
            relu,
            expert_stride: int(gamma.stride),
        };
        self.launch(Launch::pieces(
            "norm_apply",
            [channels, pixels],
            groups,
            operands,
        ));

        let parameters = [affine.gamma.to_vec(), affine.beta.to_vec()];
        let (x, output) = (x.clone(), y.clone());
        let residual = residual.map(|residual| residual.node().clone());
        let back = move |backward: &mut CudaBackward<'_>, dy: &CardBlock| {
            let sums = sums_of_pieces(groups * channels, pixels);
            let sums = backward.cuda.take(sums);
            let operands = GradientSums {
                x: x.at(),
                // Without a ReLU it is not read.
                y: output.at(),
                gradient: dy.at(),
                moments: moments.at(),
                sums: sums.at(),
                channels: int(channels),
                pixels: int(pixels),
                pieces: int(pieces(pixels)),
                relu,
            };
            let planes = [channels, pixels];
            let launch = Launch::pieces("norm_gradient_sums", planes, groups, operands);
            backward.cuda.launch(launch);
            let [(dgamma, onto_affine), (dbeta, _)] =
                [0, 1].map(|i| backward.rows(&parameters[i], &present, gamma.stride));
            let mut operands = NormGradient {
                x: x.at(),
                y: output.at(),
                gradient: dy.at(),
                moments: moments.at(),
                sums: sums.at(),
                gamma: gamma.values.at(),
                route: rows.at(),
                dx: NOTHING,
                dresidual: NOTHING,
                dgamma,
                dbeta,
                channels: int(channels),
                pixels: int(pixels),
                pieces: int(pieces(pixels)),
                groups: int(groups),
                experts: int(parameters[0].len()),
                expert_stride: int(gamma.stride),
                relu,
                onto_x: 0,
                onto_residual: 0,
                onto_affine,
            };
            if let Some(residual) = residual.as_ref().filter(|node| CudaBackward::passes(node)) {
                let (to, onto) = backward.target(residual);
                (operands.dresidual, operands.onto_residual) = (to, onto);
            }
            if CudaBackward::passes(x.node()) {
                let (to, onto) = backward.target(x.node());
                (operands.dx, operands.onto_x) = (to, onto);
            }
            let launch = Launch::pieces("norm_gradient", planes, groups, operands);
            backward.cuda.launch(launch);
        };
        Ok(self.value(dims, y, Back::Layer(Box::new(back))))
    }
}
