//! Parameters in the network itself, as candle tensors, each changed as soon as its gradient is
//! known.

use candle_core::{Result, Tensor};

use super::{
    Training,
    learner::{Learner, StepLoss},
    pass::{forward, passes},
    radam::{Moment, RAdam},
};
use crate::{data::augment::Sample, engine::Engine, net::Parameter};

/// A network's parameters with their optimiser.
#[derive(Debug)]
pub struct HostLearner<'a> {
    parameters: &'a [Parameter],
    optimiser: RAdam,
}

impl<'a> HostLearner<'a> {
    pub(super) fn new(parameters: &'a [Parameter], optimiser: RAdam) -> Self {
        Self {
            parameters,
            optimiser,
        }
    }
}

impl<E: Engine> Learner<E> for HostLearner<'_> {
    fn step(
        &mut self,
        training: &Training<'_, E>,
        step: usize,
        samples: &[Sample],
        lr: f64,
    ) -> Result<StepLoss> {
        let Self {
            parameters,
            optimiser,
        } = self;
        let engine = training.engine;
        let passes = passes(training, step, samples.len());
        let tensors: Vec<&Tensor> = parameters.iter().map(|p| p.var.as_tensor()).collect();
        let mut sums: Vec<Option<Tensor>> = vec![None; parameters.len()];
        let plus = |sum: Option<Tensor>, gradient: Tensor| match sum {
            Some(sum) => sum + gradient,
            None => Ok(gradient),
        };
        let mut loss = 0.0;
        let mut latent = None;
        // One expert's branch at a time: the memory of one pass, whatever the number of experts.
        for (place, pass) in passes.iter().enumerate() {
            let (of_pass, terms) = forward(training, engine, step, samples, pass)?;
            latent = latent.or(terms.read(engine)?);
            loss += engine.loss(&of_pass)? as f32 * pass.share as f32;
            if place + 1 < passes.len() {
                engine.backward(of_pass, pass.share, &tensors, &mut |place, gradient| {
                    sums[place] = Some(plus(sums[place].take(), gradient)?);
                    Ok(())
                })?;
            } else if loss.is_finite() {
                // In the last backward pass a parameter changes as soon as its gradient is known,
                // while both are in the cache.
                engine.backward(of_pass, pass.share, &tensors, &mut |place, gradient| {
                    optimiser.update(place, &plus(sums[place].take(), gradient)?, lr)
                })?;
                // Parameters that only earlier passes used.
                optimiser.step(&sums, lr)?;
            }
        }
        Ok((loss, latent))
    }

    fn bring_back(&mut self) -> Result<()> {
        Ok(())
    }

    fn moments(&self) -> Result<Vec<Moment>> {
        self.optimiser.moments()
    }
}
