//! Inputs, pooling, means over pixels, and shifts.

use std::rc::Rc;

use candle_core::{Result, bail};

use crate::engine::{
    cuda::{
        arena::CardBlock,
        card_engine::Cuda,
        machine::launch::{Gate, Launch, Packing, PlaneSums, Pooling, Shift, int},
        tape::{Back, CudaBackward, CudaTensor},
    },
    lanes::LANES,
    operations::Activation,
};

impl Cuda {
    /// Numbers `[B, C, H, W]` of the processor as a value.
    pub(in crate::engine::cuda) fn packed(
        &self,
        pixels: &[f32],
        [batch, channels, height, width]: [usize; 4],
        back: Back,
    ) -> CudaTensor {
        let groups = batch.div_ceil(LANES);
        let dims = [groups, channels, height, width];
        let block = self.take(self.len(dims));
        let from = self
            .record
            .borrow_mut()
            .feed(pixels.iter().map(|value| value.to_bits()));
        let operands = Packing {
            from,
            to: block.at(),
            batch: int(batch),
            channels: int(channels),
            pixels: int(height * width),
            unused: 0,
        };
        let count = channels * height * width * LANES;
        self.launch(Launch::each("pack", count, groups, operands));
        self.value(dims, Rc::new(block), back)
    }

    /// Sets a gradient to 0 where the output of a ReLU is not positive.
    pub(super) fn close_gate(&self, output: &CardBlock, gradient: &CardBlock) {
        let operands = Gate {
            output: output.at(),
            gradient: gradient.at(),
            length: gradient.len() as u64,
        };
        self.launch(Launch::each("close_gate", gradient.len(), 1, operands));
    }

    /// Pools to half the size, rounded up, by a kernel and that of its gradient.
    pub(in crate::engine::cuda) fn pool(
        &self,
        x: &CudaTensor,
        [kernel, of_gradient]: [&'static str; 2],
    ) -> CudaTensor {
        let [groups, channels, height, width] = x.dims();
        let dims = [groups, channels, height.div_ceil(2), width.div_ceil(2)];
        let y = Rc::new(self.take(self.len(dims)));
        let operands = Pooling {
            x: x.at(),
            y: y.at(),
            gradient: 0,
            dx: 0,
            channels: int(channels),
            height: int(height),
            width: int(width),
            onto: 0,
        };
        self.launch(Launch::each(
            kernel,
            self.len(dims) / groups,
            groups,
            operands,
        ));
        let x = x.clone();
        let back = move |backward: &mut CudaBackward<'_>, dy: &CardBlock| {
            let gradient = dy.at();
            backward.add(x.node(), |cuda, dx, onto| {
                let operands = Pooling {
                    gradient,
                    dx,
                    onto,
                    ..operands
                };
                let count = cuda.len(x.dims()) / groups;
                cuda.launch(Launch::each(of_gradient, count, groups, operands));
            });
        };
        self.value(dims, y, Back::Layer(Box::new(back)))
    }

    /// The mean over all pixels.
    pub(in crate::engine::cuda) fn mean_of_planes(&self, x: &CudaTensor) -> CudaTensor {
        let [groups, channels, height, width] = x.dims();
        let dims = [groups, channels, 1, 1];
        let y = Rc::new(self.take(self.len(dims)));
        let operands = PlaneSums {
            from: x.at(),
            to: y.at(),
            channels: int(channels),
            pixels: int(height * width),
            factor: 1.0 / (height * width) as f32,
            onto: 0,
        };
        self.launch(Launch::blocks("plane_sums", channels, groups, operands));
        let node = x.node().clone();
        let back = move |backward: &mut CudaBackward<'_>, dy: &CardBlock| {
            let from = dy.at();
            backward.add(&node, |cuda, to, onto| {
                let operands = PlaneSums {
                    from,
                    to,
                    onto,
                    ..operands
                };
                let count = cuda.len(node.dims) / groups;
                cuda.launch(Launch::each("plane_spread", count, groups, operands));
            });
        };
        self.value(dims, y, Back::Layer(Box::new(back)))
    }

    pub(in crate::engine::cuda) fn shifted(
        &self,
        x: &CudaTensor,
        by: &CudaTensor,
        activation: Activation,
    ) -> Result<CudaTensor> {
        let dims = x.dims();
        let [groups, channels, height, width] = dims;
        if by.dims() != [groups, channels, 1, 1] {
            bail!("{dims:?} cannot be shifted by {:?}", by.dims());
        }
        let y = Rc::new(self.take(self.len(dims)));
        let operands = Shift {
            x: x.at(),
            by: by.at(),
            y: y.at(),
            channels: int(channels),
            pixels: int(height * width),
            relu: i32::from(activation == Activation::Relu),
            unused: 0,
        };
        self.launch(Launch::each(
            "shift",
            self.len(dims) / groups,
            groups,
            operands,
        ));
        let (x, by) = (x.node().clone(), by.node().clone());
        let output = (activation == Activation::Relu).then(|| y.clone());
        let back = move |backward: &mut CudaBackward<'_>, dy: &CardBlock| {
            if let Some(output) = &output {
                backward.cuda.close_gate(output, dy);
            }
            let from = dy.at();
            backward.add(&by, |cuda, to, onto| {
                let operands = PlaneSums {
                    from,
                    to,
                    channels: int(channels),
                    pixels: int(height * width),
                    factor: 1.0,
                    onto,
                };
                cuda.launch(Launch::blocks("plane_sums", channels, groups, operands));
            });
            backward.pass_on(&x, dy);
        };
        Ok(self.value(dims, y, Back::Layer(Box::new(back))))
    }
}
