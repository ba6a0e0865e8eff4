//! The lanes engine: the trait's operations on the kernels.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::OnceLock};

use candle_core::{Device, Result, Tensor};

use super::{
    Isa, Kernels, LANES, Threads,
    autograd::{ConvOp, DiceOp, JoinOp, NormOp, PoolOp},
    layout::{self, Images},
};
use crate::engine::{Activation, Affine, DiceOver, Engine};

/// The fast engine of the processor, in single precision.
#[derive(Clone, Debug)]
pub struct Lanes {
    kernels: Kernels,
    device: Device,
}

impl Lanes {
    /// With the machine's best instruction set.
    ///
    /// # Errors
    /// Where threads cannot be started.
    pub fn new(threads: NonZeroUsize) -> Result<Self> {
        let threads = Threads::new(threads).map_err(candle_core::Error::wrap)?;
        Ok(Self::with_kernels(Kernels::new(threads)))
    }

    /// With chosen kernels.
    pub fn with_kernels(kernels: Kernels) -> Self {
        Self {
            kernels,
            device: Device::Cpu,
        }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.kernels.isa()
    }
}

impl Engine for Lanes {
    fn device(&self) -> &Device {
        &self.device
    }

    fn pack(&self, pixels: &[f32], [batch, height, width]: [usize; 3]) -> Result<Tensor> {
        let images = Images {
            batch,
            channels: 1,
            pixels: height * width,
        };
        let mut packed = vec![0.0; images.packed_len()];
        layout::pack(&self.kernels, &images, pixels, &mut packed);
        Tensor::from_vec(
            packed,
            (images.groups(), 1, height, width, LANES),
            &self.device,
        )
    }

    fn unpack(&self, x: &Tensor, batch: usize) -> Result<Tensor> {
        let (_, channels, height, width, _) = x.dims5()?;
        let images = Images {
            batch,
            channels,
            pixels: height * width,
        };
        let packed = x.flatten_all()?.to_vec1::<f32>()?;
        let mut pixels = vec![0.0; images.plain_len()];
        layout::unpack(&self.kernels, &images, &packed, &mut pixels);
        Tensor::from_vec(pixels, (batch, channels, height, width), &self.device)
    }

    fn conv(&self, x: &Tensor, weight: &Tensor, stride: usize) -> Result<Tensor> {
        let kernels = self.kernels.clone();
        x.apply_op2(weight, ConvOp { kernels, stride })
    }

    fn conv_bias(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let kernels = self.kernels.clone();
        x.apply_op3(weight, bias, ConvOp { kernels, stride: 1 })
    }

    fn norm(
        &self,
        x: &Tensor,
        affine: Affine<'_>,
        eps: f64,
        residual: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        // Only experts that are present: an absent one must get no gradient, not one of zeros.
        let mut present = BTreeMap::new();
        for expert in affine.experts {
            present.entry(*expert).or_insert(0);
        }
        let mut rows = Vec::new();
        for (row, (expert, place)) in present.iter_mut().enumerate() {
            *place = row;
            rows.extend([&affine.gamma[*expert], &affine.beta[*expert]]);
        }
        let op = NormOp {
            kernels: self.kernels.clone(),
            eps: eps as f32,
            activation,
            rows: affine
                .experts
                .iter()
                .map(|expert| present[expert])
                .collect(),
            saved: OnceLock::new(),
        };
        let rows = Tensor::stack(&rows, 0)?;
        match residual {
            Some(residual) => x.apply_op3(&rows, residual, op),
            None => x.apply_op2(&rows, op),
        }
    }

    fn max_pool(&self, x: &Tensor) -> Result<Tensor> {
        let kernels = self.kernels.clone();
        x.apply_op1(PoolOp { kernels })
    }

    fn upsample_concat(&self, x: &Tensor, skip: Option<&Tensor>) -> Result<Tensor> {
        let op = JoinOp {
            kernels: self.kernels.clone(),
        };
        match skip {
            Some(skip) => x.apply_op2(skip, op),
            None => x.apply_op1(op),
        }
    }

    fn dice_loss(
        &self,
        logits: &Tensor,
        target: &Tensor,
        batch: usize,
        smooth: f64,
        over: DiceOver,
    ) -> Result<Tensor> {
        let op = DiceOp {
            kernels: self.kernels.clone(),
            batch,
            smooth: smooth as f32,
            over,
            saved: OnceLock::new(),
        };
        logits.apply_op2(target, op)
    }
}
