//! The engine trait on the operations.

use candle_core::{Device, Result, Tensor};

use super::{
    card_engine::Cuda,
    operations::{losses::LossKind, norm::CardRoute},
    tape::{Back, CudaBackward, CudaTensor, gradients},
};
use crate::engine::{
    lanes::LANES,
    operations::{Activation, Affine, DiceOver, Engine},
};

impl Engine for Cuda {
    type Tensor = CudaTensor;
    type Route = CardRoute;

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn batches_ahead(&self) -> usize {
        (2 * rayon::current_num_threads())
            .div_ceil(self.company())
            .max(2)
    }

    fn pack(&self, pixels: &[f32], shape: [usize; 4]) -> Result<CudaTensor> {
        Ok(self.packed(pixels, shape, Back::Given))
    }

    fn unpack(&self, x: &CudaTensor, batch: usize) -> Result<Tensor> {
        let [_, channels, height, width] = x.dims();
        let mut lanes = vec![0.0; self.len(x.dims())];
        self.read(x.at(), &mut lanes)?;
        let numbers = channels * height * width;
        let mut plain: Vec<f32> = Vec::with_capacity(batch * numbers);
        for sample in 0..batch {
            let group = &lanes[sample / LANES * numbers * LANES..][..numbers * LANES];
            plain.extend(group.iter().skip(sample % LANES).step_by(LANES));
        }
        Tensor::from_vec(plain, (batch, channels, height, width), &Device::Cpu)
    }

    fn route(&self, experts: &[usize]) -> CardRoute {
        self.routed(experts)
    }

    fn conv(&self, x: &CudaTensor, weight: &Tensor, stride: usize) -> Result<CudaTensor> {
        self.convolve(x, weight, None, stride, Activation::Linear)
    }

    fn conv_bias(
        &self,
        x: &CudaTensor,
        weight: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<CudaTensor> {
        self.convolve(x, weight, Some(bias), 1, activation)
    }

    fn norm(
        &self,
        x: &CudaTensor,
        affine: Affine<'_, Self>,
        eps: f64,
        residual: Option<&CudaTensor>,
        activation: Activation,
    ) -> Result<CudaTensor> {
        self.normalise(x, affine, eps as f32, residual, activation)
    }

    fn max_pool(&self, x: &CudaTensor) -> Result<CudaTensor> {
        Ok(self.pool(x, ["max_pool", "max_pool_gradient"]))
    }

    fn mean_pool(&self, x: &CudaTensor) -> Result<CudaTensor> {
        let [.., height, width] = x.dims();
        if !height.is_multiple_of(2) || !width.is_multiple_of(2) {
            candle_core::bail!("{height} x {width} pixels have no whole squares of 2 x 2");
        }
        Ok(self.pool(x, ["mean_pool", "mean_pool_gradient"]))
    }

    fn mean(&self, x: &CudaTensor) -> Result<CudaTensor> {
        Ok(self.mean_of_planes(x))
    }

    fn shift(&self, x: &CudaTensor, by: &CudaTensor, activation: Activation) -> Result<CudaTensor> {
        self.shifted(x, by, activation)
    }

    fn joint_conv(
        &self,
        x: &CudaTensor,
        skip: Option<&CudaTensor>,
        weight: &Tensor,
    ) -> Result<CudaTensor> {
        self.joined(x, skip, weight)
    }

    fn dice_loss(
        &self,
        logits: &CudaTensor,
        target: &CudaTensor,
        batch: usize,
        smooth: f64,
        over: DiceOver,
    ) -> Result<CudaTensor> {
        let smooth = smooth as f32;
        self.pixel_loss(logits, target, batch, LossKind::Dice { smooth, over })
    }

    fn cross_entropy(
        &self,
        logits: &CudaTensor,
        target: &CudaTensor,
        batch: usize,
    ) -> Result<CudaTensor> {
        self.pixel_loss(logits, target, batch, LossKind::CrossEntropy)
    }

    fn draw(&self, distribution: &CudaTensor, noise: &[f32]) -> Result<CudaTensor> {
        self.drawn(distribution, noise)
    }

    fn divergence(
        &self,
        posterior: &CudaTensor,
        prior: &CudaTensor,
        batch: usize,
    ) -> Result<CudaTensor> {
        self.divergence_of(posterior, prior, batch)
    }

    fn sum(&self, losses: &[(CudaTensor, f64)]) -> Result<CudaTensor> {
        Ok(self.sum_of(losses))
    }

    fn loss(&self, loss: &CudaTensor) -> Result<f64> {
        let mut value = [0.0];
        self.read(loss.at(), &mut value)?;
        Ok(f64::from(value[0]))
    }

    fn backward(
        &self,
        loss: CudaTensor,
        share: f64,
        parameters: &[&Tensor],
        receive: &mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Result<()> {
        let parts = CudaBackward::new(self, parameters).run(loss, share as f32);
        gradients(self, parts, receive)
    }
}
