//! The operations that a network is made of, as a trait that every engine implements.

use candle_core::{Device, Result, Tensor};

/// The activation after a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// None.
    Linear,
    /// max(0, x).
    Relu,
}

/// The scale and shift of a conditional instance norm: one pair per expert, one expert per sample.
pub struct Affine<'a, E: Engine + ?Sized> {
    /// For each expert, `[C]`.
    pub gamma: &'a [Tensor],
    /// For each expert, `[C]`.
    pub beta: &'a [Tensor],
    /// The expert of each sample.
    pub route: &'a E::Route,
}

impl<E: Engine + ?Sized> Clone for Affine<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Engine + ?Sized> Copy for Affine<'_, E> {}

/// What the first of some layers adds to its sums.
#[derive(Clone, Copy)]
pub enum Added<'a, T> {
    /// A parameter, a number for each channel.
    Bias(&'a Tensor),
    /// A value `[B, C, 1, 1]`, numbers of each sample's own.
    Shift(&'a T),
}

/// The pixels that one Dice loss is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiceOver {
    /// Each image; the loss is the mean over images.
    Image,
    /// All pixels of the batch together.
    Batch,
}

/// The logarithm of a standard deviation is taken for this where it is larger, and for the negative
/// where it is smaller than that. Its gradient is that of the bound: without any it would never
/// come back.
pub const LOG_DEVIATION: f64 = 10.0;

/// The operations of a network, on activations in the engine's own layout, and the backward pass
/// from a loss to the gradients of parameters. Parameters are candle tensors for every engine.
pub trait Engine {
    /// An activation; cloning shares it.
    type Tensor: Clone;
    /// The experts of a batch's samples, made once for all norms that a batch passes.
    type Route;

    /// Where parameters live.
    fn device(&self) -> &Device;

    /// The number of batches that other threads should draw ahead while a step computes: none on a
    /// single core.
    fn batches_ahead(&self) -> usize;

    /// From `[B, C, H, W]` in row-major order to the engine's layout.
    fn pack(&self, pixels: &[f32], shape: [usize; 4]) -> Result<Self::Tensor>;

    /// From the engine's layout to `[B, C, H, W]`.
    fn unpack(&self, x: &Self::Tensor, batch: usize) -> Result<Tensor>;

    /// For each sample of the batch, the index of its expert.
    fn route(&self, experts: &[usize]) -> Self::Route;

    /// Convolution without bias, padded by half the kernel: `weight` is `[C_out, C_in, k, k]`.
    fn conv(&self, x: &Self::Tensor, weight: &Tensor, stride: usize) -> Result<Self::Tensor>;

    /// Convolution with bias `[C_out]`, stride 1, padded by half the kernel, through an activation.
    fn conv_bias(
        &self,
        x: &Self::Tensor,
        weight: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Self::Tensor>;

    /// Conditional instance norm, plus a residual, through an activation:
    /// `act(gamma[e] (x - mu) / sqrt(var + eps) + beta[e] + residual)` with mean and biased
    /// variance per sample and channel.
    fn norm(
        &self,
        x: &Self::Tensor,
        affine: Affine<'_, Self>,
        eps: f64,
        residual: Option<&Self::Tensor>,
        activation: Activation,
    ) -> Result<Self::Tensor>;

    /// Maximum over 3x3 with stride 2, padded by 1. The input's height and width are even, its
    /// values not negative (it follows a ReLU), so that padding with 0 is padding with -inf.
    fn max_pool(&self, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// Mean over squares of 2x2. The input's height and width are even.
    fn mean_pool(&self, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// Mean over all pixels: `[B, C, 1, 1]`.
    fn mean(&self, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// `act(x + by)`, `by` being `[B, C, 1, 1]`.
    fn shift(
        &self,
        x: &Self::Tensor,
        by: &Self::Tensor,
        activation: Activation,
    ) -> Result<Self::Tensor>;

    /// Layers of 1x1 convolutions `[C_out, C_in, 1, 1]`, each with ReLU but the last. The `first`
    /// weight comes with what is added; the `rest`, of which there is one at least, are weights and
    /// biases.
    fn pixel_layers(
        &self,
        x: &Self::Tensor,
        (first, added): (&Tensor, Added<'_, Self::Tensor>),
        rest: &[(Tensor, Tensor)],
    ) -> Result<Self::Tensor> {
        if rest.is_empty() {
            candle_core::bail!("one layer is a convolution");
        }
        let relu = Activation::Relu;
        let mut y = match added {
            Added::Bias(bias) => self.conv_bias(x, first, bias, relu)?,
            Added::Shift(by) => self.shift(&self.conv(x, first, 1)?, by, relu)?,
        };
        for (place, (weight, bias)) in rest.iter().enumerate() {
            let activation = match place + 1 == rest.len() {
                true => Activation::Linear,
                false => relu,
            };
            y = self.conv_bias(&y, weight, bias, activation)?;
        }
        Ok(y)
    }

    /// The decoder's joint: `x` upsampled by 2 to the nearest, `skip` appended to its channels, and
    /// a 3x3 convolution of both without bias, padded by 1. `weight` is
    /// `[C_out, C_x + C_skip, 3, 3]`.
    fn joint_conv(
        &self,
        x: &Self::Tensor,
        skip: Option<&Self::Tensor>,
        weight: &Tensor,
    ) -> Result<Self::Tensor>;

    /// `1 - (2 sum(s y) + smooth) / (sum(s) + sum(y) + smooth)` with s the sigmoid of the logits:
    /// one number. `batch` counts the samples.
    fn dice_loss(
        &self,
        logits: &Self::Tensor,
        target: &Self::Tensor,
        batch: usize,
        smooth: f64,
        over: DiceOver,
    ) -> Result<Self::Tensor>;

    /// The cross-entropy of the sigmoid of the logits with a target from 0 to 1, the mean over the
    /// pixels of all samples of `ln(1 + exp(z)) - y z`: one number. `batch` counts the samples.
    fn cross_entropy(
        &self,
        logits: &Self::Tensor,
        target: &Self::Tensor,
        batch: usize,
    ) -> Result<Self::Tensor>;

    /// A value of a normal distribution of d independent dimensions for each sample,
    /// `mean + deviation * noise`: `[B, d, 1, 1]`. The distribution is `[B, 2 d, 1, 1]`: d means,
    /// then d logarithms of standard deviations, these [within bounds](LOG_DEVIATION). `noise` is
    /// `[B, d]`, row-major.
    fn draw(&self, distribution: &Self::Tensor, noise: &[f32]) -> Result<Self::Tensor>;

    /// The divergence (Kullback and Leibler) of each sample's posterior from its prior, the mean
    /// over samples: one number. Both are distributions as in [`Self::draw`]; `batch` counts the
    /// samples.
    fn divergence(
        &self,
        posterior: &Self::Tensor,
        prior: &Self::Tensor,
        batch: usize,
    ) -> Result<Self::Tensor>;

    /// The sum of losses of one batch, each times its weight: one number. There is at least one.
    fn sum(&self, losses: &[(Self::Tensor, f64)]) -> Result<Self::Tensor>;

    /// The value of a loss.
    fn loss(&self, loss: &Self::Tensor) -> Result<f64>;

    /// The backward pass from `share` times a loss. `receive` gets the gradient of each parameter
    /// that the loss depends on, with the parameter's index, in any order. `parameters` are
    /// distinct. No operation reads a parameter after its gradient is handed out, so `receive` may
    /// change it. The loss is consumed, so that memory can be freed on the way.
    ///
    /// # Errors
    /// When a tensor operation or `receive` fails.
    fn backward(
        &self,
        loss: Self::Tensor,
        share: f64,
        parameters: &[&Tensor],
        receive: &mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Result<()>;

    /// The same gradients in the parameters' order. `None` for a parameter that the loss does not
    /// depend on.
    ///
    /// # Errors
    /// As for [`Self::backward`].
    fn gradients(
        &self,
        loss: Self::Tensor,
        share: f64,
        parameters: &[&Tensor],
    ) -> Result<Vec<Option<Tensor>>> {
        let mut gradients = vec![None; parameters.len()];
        self.backward(loss, share, parameters, &mut |place, gradient| {
            gradients[place] = Some(gradient);
            Ok(())
        })?;
        Ok(gradients)
    }
}
