//! Losses over pixels, draws from normal distributions and their divergence, and sums of losses.

use candle_core::{Result, bail};

use crate::engine::{
    LOG_DEVIATION,
    cuda::{
        arena::CardBlock,
        card_engine::Cuda,
        machine::launch::{
            Divergence, Draw, Launch, LossGradient, LossOf, LossSums, Scaled, int, pieces,
            sums_of_pieces,
        },
        tape::{Back, CudaBackward, CudaTensor},
    },
    lanes::LANES,
    operations::DiceOver,
};

/// A loss of one channel of logits against a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine::cuda) enum LossKind {
    Dice { smooth: f32, over: DiceOver },
    CrossEntropy,
}

impl Cuda {
    pub(in crate::engine::cuda) fn pixel_loss(
        &self,
        logits: &CudaTensor,
        target: &CudaTensor,
        batch: usize,
        kind: LossKind,
    ) -> Result<CudaTensor> {
        let [groups, channels, height, width] = logits.dims();
        if channels != 1 || batch > groups * LANES || target.dims() != logits.dims() {
            bail!(
                "{batch} samples do not fit one channel of logits {:?} and targets {:?}",
                logits.dims(),
                target.dims()
            );
        }
        let pixels = height * width;
        let (smooth, over_batch) = match kind {
            LossKind::Dice { smooth, over } => (smooth, over == DiceOver::Batch),
            LossKind::CrossEntropy => (0.0, false),
        };
        let cross_entropy = i32::from(kind == LossKind::CrossEntropy);
        let sums = self.take(sums_of_pieces(groups, pixels));
        let tables = self.take(3 * groups * LANES);
        let loss = self.take(1);
        let operands = LossSums {
            logits: logits.at(),
            target: target.at(),
            sums: sums.at(),
            pixels: int(pixels),
            pieces: int(pieces(pixels)),
            cross_entropy,
            unused: 0,
        };
        self.launch(Launch::pieces("loss_sums", [1, pixels], groups, operands));
        let operands = LossOf {
            sums: sums.at(),
            tables: tables.at(),
            loss: loss.at(),
            groups: int(groups),
            pixels: int(pixels),
            pieces: int(pieces(pixels)),
            batch: int(batch),
            cross_entropy,
            over_batch: i32::from(over_batch),
            smooth,
            unused: 0,
        };
        self.launch(Launch::blocks("loss_of", 1, 1, operands));
        let (logits, target) = (logits.clone(), target.clone());
        let back = move |backward: &mut CudaBackward<'_>, weight: f32| {
            backward.add(logits.node(), |cuda, gradient, onto| {
                let operands = LossGradient {
                    logits: logits.at(),
                    target: target.at(),
                    tables: tables.at(),
                    gradient,
                    groups: int(groups),
                    pixels: int(pixels),
                    cross_entropy,
                    onto,
                    weight,
                    unused: 0,
                };
                let count = pixels * LANES;
                cuda.launch(Launch::each("loss_gradient", count, groups, operands));
            });
        };
        Ok(self.number(loss, back))
    }

    pub(in crate::engine::cuda) fn drawn(
        &self,
        distribution: &CudaTensor,
        noise: &[f32],
    ) -> Result<CudaTensor> {
        let [groups, latent] = dimensions(distribution)?;
        let batch = noise.len() / latent.max(1);
        if batch * latent != noise.len() || batch.div_ceil(LANES) != groups {
            bail!(
                "{} numbers are no noise for {:?}",
                noise.len(),
                distribution.dims()
            );
        }
        let noise = self.packed(noise, [batch, latent, 1, 1], Back::Given);
        let z = std::rc::Rc::new(self.take(groups * latent * LANES));
        let operands = Draw {
            distribution: distribution.at(),
            noise: noise.at(),
            z: z.at(),
            dz: 0,
            gradient: 0,
            latent: int(latent),
            onto: 0,
            bound: LOG_DEVIATION as f32,
            unused: 0,
        };
        self.launch(Launch::each("draw", latent * LANES, groups, operands));
        let distribution = distribution.clone();
        let back = move |backward: &mut CudaBackward<'_>, dz: &CardBlock| {
            let (dz, noise) = (dz.at(), noise.at());
            backward.add(distribution.node(), |cuda, gradient, onto| {
                let operands = Draw {
                    noise,
                    dz,
                    gradient,
                    onto,
                    ..operands
                };
                let count = latent * LANES;
                cuda.launch(Launch::each("draw_gradient", count, groups, operands));
            });
        };
        Ok(self.value([groups, latent, 1, 1], z, Back::Layer(Box::new(back))))
    }

    pub(in crate::engine::cuda) fn divergence_of(
        &self,
        posterior: &CudaTensor,
        prior: &CudaTensor,
        batch: usize,
    ) -> Result<CudaTensor> {
        let [groups, latent] = dimensions(posterior)?;
        if prior.dims() != posterior.dims() || batch > groups * LANES {
            bail!(
                "{batch} samples do not fit a posterior {:?} and a prior {:?}",
                posterior.dims(),
                prior.dims()
            );
        }
        let loss = self.take(1);
        let operands = Divergence {
            posterior: posterior.at(),
            prior: prior.at(),
            loss: loss.at(),
            of_posterior: 0,
            of_prior: 0,
            groups: int(groups),
            latent: int(latent),
            batch: int(batch),
            onto_posterior: 0,
            onto_prior: 0,
            bound: LOG_DEVIATION as f32,
            weight: 0.0,
            unused: 0,
        };
        let shared = batch.max(1) * size_of::<f32>();
        self.launch(Launch::new("divergence", [1, 1], 256, shared, 1, operands));
        let (posterior, prior) = (posterior.clone(), prior.clone());
        let back = move |backward: &mut CudaBackward<'_>, weight: f32| {
            let (of_posterior, onto_posterior) = backward.target(posterior.node());
            let (of_prior, onto_prior) = backward.target(prior.node());
            let operands = Divergence {
                of_posterior,
                of_prior,
                onto_posterior,
                onto_prior,
                weight,
                ..operands
            };
            let launch = Launch::each("divergence_gradient", latent * LANES, groups, operands);
            backward.cuda.launch(launch);
        };
        Ok(self.number(loss, back))
    }

    /// The sum of losses, each times its weight.
    pub(in crate::engine::cuda) fn sum_of(&self, losses: &[(CudaTensor, f64)]) -> CudaTensor {
        let sum = self.take(1);
        for (i, (loss, weight)) in losses.iter().enumerate() {
            let operands = Scaled {
                from: loss.at(),
                to: sum.at(),
                length: 1,
                factor: *weight as f32,
                onto: i32::from(i > 0),
            };
            self.launch(Launch::each("scale", 1, 1, operands));
        }
        let nodes = losses.iter();
        let nodes: Vec<_> = nodes
            .map(|(loss, weight)| (loss.node().clone(), *weight as f32))
            .collect();
        self.number(sum, move |backward, weight| {
            for (node, share) in &nodes {
                backward.weight(node, weight * share);
            }
        })
    }
}

/// Groups and dimensions of distributions `[G, 2 d, 1, 1]`.
fn dimensions(distribution: &CudaTensor) -> Result<[usize; 2]> {
    match distribution.dims() {
        [groups, numbers, 1, 1] if numbers.is_multiple_of(2) => Ok([groups, numbers / 2]),
        other => bail!("{other:?} holds no means and deviations"),
    }
}
