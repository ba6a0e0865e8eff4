//! An engine that computes nothing: it notes what a recorded step reads from the processor.
//!
//! The rule: every word that [`Cuda`](super::Cuda) puts into its feed while a step is recorded,
//! this notes in the same order. Shapes were checked when the step was recorded.

use std::cell::RefCell;

use candle_core::{Device, Result, Tensor, bail};

use crate::engine::{
    lanes::LANES,
    operations::{Activation, Affine, DiceOver, Engine},
};

/// The words that the processor gives to a step.
#[derive(Debug, Default)]
pub struct Feeder {
    words: RefCell<Vec<u32>>,
}

impl Feeder {
    /// What was noted.
    pub fn into_words(self) -> Vec<u32> {
        self.words.into_inner()
    }

    fn floats(&self, values: &[f32]) {
        let words = values.iter().map(|value| value.to_bits());
        self.words.borrow_mut().extend(words);
    }
}

/// The channels, height and width of a value that is not there.
type ValueShape = [usize; 3];

impl Engine for Feeder {
    type Tensor = ValueShape;
    type Route = ();

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn batches_ahead(&self) -> usize {
        0
    }

    fn pack(&self, pixels: &[f32], [_, channels, height, width]: [usize; 4]) -> Result<ValueShape> {
        self.floats(pixels);
        Ok([channels, height, width])
    }

    fn unpack(&self, _x: &ValueShape, _batch: usize) -> Result<Tensor> {
        bail!("nothing is computed here")
    }

    fn route(&self, experts: &[usize]) {
        let lanes = 0..experts.len().next_multiple_of(LANES);
        let row = |sample: usize| {
            experts
                .get(sample)
                .map_or(u32::MAX, |expert| *expert as u32)
        };
        self.words.borrow_mut().extend(lanes.map(row));
    }

    fn conv(&self, x: &ValueShape, weight: &Tensor, stride: usize) -> Result<ValueShape> {
        let [_, height, width] = *x;
        let [height, width] = [height, width].map(|side| side.div_ceil(stride));
        Ok([weight.dim(0)?, height, width])
    }

    fn conv_bias(
        &self,
        x: &ValueShape,
        weight: &Tensor,
        _bias: &Tensor,
        _activation: Activation,
    ) -> Result<ValueShape> {
        self.conv(x, weight, 1)
    }

    fn norm(
        &self,
        x: &ValueShape,
        _affine: Affine<'_, Self>,
        _eps: f64,
        _residual: Option<&ValueShape>,
        _activation: Activation,
    ) -> Result<ValueShape> {
        Ok(*x)
    }

    fn max_pool(&self, x: &ValueShape) -> Result<ValueShape> {
        let [channels, height, width] = *x;
        Ok([channels, height.div_ceil(2), width.div_ceil(2)])
    }

    fn mean_pool(&self, x: &ValueShape) -> Result<ValueShape> {
        self.max_pool(x)
    }

    fn mean(&self, x: &ValueShape) -> Result<ValueShape> {
        Ok([x[0], 1, 1])
    }

    fn shift(
        &self,
        x: &ValueShape,
        _by: &ValueShape,
        _activation: Activation,
    ) -> Result<ValueShape> {
        Ok(*x)
    }

    fn joint_conv(
        &self,
        x: &ValueShape,
        _skip: Option<&ValueShape>,
        weight: &Tensor,
    ) -> Result<ValueShape> {
        let [_, height, width] = *x;
        Ok([weight.dim(0)?, 2 * height, 2 * width])
    }

    fn dice_loss(
        &self,
        _logits: &ValueShape,
        _target: &ValueShape,
        _batch: usize,
        _smooth: f64,
        _over: DiceOver,
    ) -> Result<ValueShape> {
        Ok([1; 3])
    }

    fn cross_entropy(
        &self,
        _logits: &ValueShape,
        _target: &ValueShape,
        _batch: usize,
    ) -> Result<ValueShape> {
        Ok([1; 3])
    }

    fn draw(&self, distribution: &ValueShape, noise: &[f32]) -> Result<ValueShape> {
        self.floats(noise);
        Ok([distribution[0] / 2, 1, 1])
    }

    fn divergence(
        &self,
        _posterior: &ValueShape,
        _prior: &ValueShape,
        _batch: usize,
    ) -> Result<ValueShape> {
        Ok([1; 3])
    }

    fn sum(&self, _losses: &[(ValueShape, f64)]) -> Result<ValueShape> {
        Ok([1; 3])
    }

    fn loss(&self, _loss: &ValueShape) -> Result<f64> {
        bail!("nothing is computed here")
    }

    fn backward(
        &self,
        _loss: ValueShape,
        _share: f64,
        _parameters: &[&Tensor],
        _receive: &mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Result<()> {
        bail!("nothing is computed here")
    }
}
