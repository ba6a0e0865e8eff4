//! One training step on a synthetic batch, to be timed by `bench` and by the benchmarks.

use candle_core::{Result, Tensor};

use super::RAdam;
use crate::{
    engine::{DiceOver, Engine},
    manifest::{NetworkSpec, Recipe},
    net::UNet,
    seed::Seed,
};

/// The size of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepShape {
    /// Channels of the network's first layer, a multiple of four.
    pub width: usize,
    /// Side of the input in pixels, a multiple of 32.
    pub size: usize,
    /// Images.
    pub batch: usize,
}

/// A network of one expert, an optimiser and a batch.
pub struct Probe<'a, E> {
    engine: &'a E,
    shape: StepShape,
    net: UNet,
    optimiser: RAdam,
    pixels: Vec<f32>,
    target: Vec<f32>,
}

impl<'a, E: Engine> Probe<'a, E> {
    /// In its initial state.
    ///
    /// # Errors
    /// Where the network cannot be made.
    pub fn new(engine: &'a E, shape: StepShape) -> Result<Self> {
        let StepShape { width, size, batch } = shape;
        let Recipe {
            network, training, ..
        } = Recipe::default();
        let spec = NetworkSpec { width, ..network };
        let net = UNet::init(&spec, 1, &Seed::new(0), engine.device())?;
        let pixels: Vec<f32> = (0..batch * size * size)
            .map(|i| libm::sinf(i as f32 * 0.7))
            .collect();
        let target = pixels.iter().map(|v| f32::from(u8::from(*v > 0.5)));
        Ok(Self {
            engine,
            shape,
            optimiser: RAdam::new(net.parameters(), &training),
            target: target.collect(),
            net,
            pixels,
        })
    }

    /// Packing, forward pass, loss, backward pass, update. Returns the loss.
    ///
    /// # Errors
    /// Where a tensor operation fails.
    pub fn step(&mut self) -> Result<f64> {
        let StepShape { size, batch, .. } = self.shape;
        let x = self.engine.pack(&self.pixels, [batch, 1, size, size])?;
        let y = self.engine.pack(&self.target, [batch, 1, size, size])?;
        let logits = self.net.forward(self.engine, &x, &vec![0; batch])?;
        let loss = self
            .engine
            .dice_loss(&logits, &y, batch, 1e-7, DiceOver::Image)?;
        let value = self.engine.loss(&loss)?;
        drop((x, y, logits));
        let parameters: Vec<&Tensor> = self
            .net
            .parameters()
            .iter()
            .map(|p| p.var.as_tensor())
            .collect();
        self.engine
            .backward(loss, 1.0, &parameters, &mut |place, gradient| {
                self.optimiser.update(place, &gradient, 1e-3)
            })?;
        Ok(value)
    }
}
