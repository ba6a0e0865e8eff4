//! The engine: what every operation shares, and the engine trait on it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    str::FromStr,
};

use candle_core::{Device as CandleDevice, Result, Tensor};

use super::{
    arena::{Arena, Block},
    device::{CudaError, Device},
    held::Held,
    launch::Launch,
    operations::{losses::LossKind, norm::CardRoute},
    record::{CardMemory, Record},
    tape::{Back, CudaBackward, CudaNode, CudaTensor, gradients},
};
use crate::engine::{
    lanes::LANES,
    operations::{Activation, Affine, DiceOver, Engine},
};

/// How factors of convolutions go into tensor cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In two parts each, three products: single precision.
    #[default]
    F32,
    /// Rounded to ten bits of mantissa.
    Tf32,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "f32" => Ok(Self::F32),
            "tf32" => Ok(Self::Tf32),
            _ => Err(format!("`{text}` is no precision: `f32` or `tf32`")),
        }
    }
}

/// The engine of a card. Parameters stay with the processor; what is computed stays on the card
/// until it is read.
#[derive(Debug)]
pub struct Cuda {
    pub(super) device: Rc<Device>,
    precision: Precision,
    pub(super) arena: Arena,
    pub(super) record: RefCell<Record>,
    pub(super) memory: RefCell<CardMemory>,
    /// Parameters that stay on the card.
    pub(super) held: RefCell<Option<Held>>,
    made: Cell<u64>,
}

impl Cuda {
    /// On an open card.
    pub fn new(device: Device, precision: Precision) -> Self {
        Self {
            device: Rc::new(device),
            precision,
            arena: Arena::default(),
            record: RefCell::default(),
            memory: RefCell::default(),
            held: RefCell::default(),
            made: Cell::new(0),
        }
    }

    /// The card.
    pub fn card(&self) -> &super::Card {
        &self.device.card
    }

    /// The precision of convolutions.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Waits until all that was asked for is done.
    ///
    /// # Errors
    /// The card reports one.
    pub fn finish(&self) -> std::result::Result<(), CudaError> {
        self.run()?;
        self.device.wait()
    }

    /// Does what is recorded.
    fn run(&self) -> std::result::Result<(), CudaError> {
        let record = self.record.take();
        if record.launches.is_empty() {
            return Ok(());
        }
        let mut memory = self.memory.borrow_mut();
        memory.run(&self.device, &record, self.arena.len())
    }

    /// Reads numbers, once all before is done.
    pub(super) fn read(&self, at: u64, values: &mut [f32]) -> std::result::Result<(), CudaError> {
        self.run()?;
        self.memory.borrow().read(at, values)
    }

    /// Writes numbers, once all before is done.
    pub(super) fn write(&self, at: u64, values: &[f32]) -> std::result::Result<(), CudaError> {
        self.run()?;
        let mut memory = self.memory.borrow_mut();
        memory.arena(&self.device, self.arena.len())?;
        memory.write(at, values)
    }

    /// Whether the card gives a block so many bytes of shared memory.
    pub(super) fn fits(&self, shared: usize) -> bool {
        shared <= self.device.card.shared_memory
    }

    /// Floats of a value.
    pub(super) fn len(&self, dims: [usize; 4]) -> usize {
        dims.iter().product::<usize>() * LANES
    }

    pub(super) fn take(&self, len: usize) -> Block {
        self.arena.take(len)
    }

    pub(super) fn launch(&self, launch: Launch) {
        self.record.borrow_mut().launches.push(launch);
    }

    /// A value in a block, with the way of its gradient.
    pub(super) fn value(&self, dims: [usize; 4], block: Rc<Block>, back: Back) -> CudaTensor {
        let number = self.made.get();
        self.made.set(number + 1);
        CudaTensor::new(CudaNode { number, dims, back }, block)
    }

    /// One number: a loss.
    pub(super) fn number(
        &self,
        block: Block,
        back: impl Fn(&mut CudaBackward<'_>, f32) + 'static,
    ) -> CudaTensor {
        self.value([1; 4], Rc::new(block), Back::Loss(Box::new(back)))
    }
}

impl Engine for Cuda {
    type Tensor = CudaTensor;
    type Route = CardRoute;

    fn device(&self) -> &CandleDevice {
        &CandleDevice::Cpu
    }

    fn batches_ahead(&self) -> usize {
        2 * rayon::current_num_threads()
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
        Tensor::from_vec(plain, (batch, channels, height, width), &CandleDevice::Cpu)
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
