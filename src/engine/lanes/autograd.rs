//! The kernels as candle custom operations, so that a network trains on them through candle's
//! autograd.
//!
//! The rule: an operation saves what its backward pass needs beside its output, never in it, and
//! computes no gradient that nobody asked for.

use std::sync::OnceLock;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Storage, Tensor,
    bail,
};

use super::{
    Kernels, LANES,
    conv::{self, Conv},
    dice::{self, Dice, Losses},
    norm::{self, Affine, Gate, Gradients, Norm, Statistics},
    pool::{self, Pool},
    resize::{self, Joint},
};
use crate::engine::{Activation, DiceOver};

/// The numbers of a contiguous CPU tensor.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((from, to))) => Ok(&values[from..to]),
        _ => bail!("the lanes engine takes contiguous tensors in single precision"),
    }
}

/// Calls a function with the numbers of tensors.
fn with<const N: usize, R>(tensors: [&Tensor; N], f: impl FnOnce([&[f32]; N]) -> R) -> Result<R> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("the lanes engine works on the processor");
        };
        *slice = floats(storage, layout)?;
    }
    Ok(f(slices))
}

fn tensor(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), &Device::Cpu)
}

fn output(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

fn zeros(n: usize) -> Vec<f32> {
    vec![0.0; n]
}

/// `[G, C, H, W, 16]` as groups, channels, height, width.
fn dims(layout: &Layout) -> Result<[usize; 4]> {
    match *layout.dims() {
        [groups, channels, height, width, LANES] => Ok([groups, channels, height, width]),
        ref other => bail!("an activation is [G, C, H, W, {LANES}], not {other:?}"),
    }
}

/// A convolution: arguments x and weight, and a bias.
pub(super) struct ConvOp {
    pub kernels: Kernels,
    pub stride: usize,
}

impl ConvOp {
    fn shape(&self, x: &Layout, weight: &Layout) -> Result<Conv> {
        let [groups, cin, height, width] = dims(x)?;
        let &[cout, inputs, kernel, _] = weight.dims() else {
            bail!("a weight is [C_out, C_in, k, k]");
        };
        if inputs != cin {
            bail!("a weight for {inputs} channels meets {cin}");
        }
        Ok(Conv {
            groups,
            cin,
            cout,
            height,
            width,
            kernel,
            stride: self.stride,
            padding: kernel / 2,
        })
    }

    fn forward(
        &self,
        (x, x_layout): (&CpuStorage, &Layout),
        (weight, weight_layout): (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let conv = self.shape(x_layout, weight_layout)?;
        let mut y = zeros(conv.output_len());
        let (x, weight) = (floats(x, x_layout)?, floats(weight, weight_layout)?);
        conv::forward(&self.kernels, &conv, x, weight, bias, &mut y);
        let shape = [
            conv.groups,
            conv.cout,
            conv.out_height(),
            conv.out_width(),
            LANES,
        ];
        Ok(output(y, &shape[..]))
    }

    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let conv = self.shape(x.layout(), weight.layout())?;
        let dx = match x.track_op() {
            true => {
                let mut dx = zeros(conv.input_len());
                with([dy, weight], |[dy, weight]| {
                    conv::grad_input(&self.kernels, &conv, dy, weight, &mut dx)
                })?;
                Some(tensor(dx, x)?)
            }
            false => None,
        };
        let mut dw = zeros(conv.weight_len());
        with([x, dy], |[x, dy]| {
            conv::grad_weight(&self.kernels, &conv, x, dy, &mut dw)
        })?;
        Ok((dx, Some(tensor(dw, weight)?)))
    }
}

impl CustomOp2 for ConvOp {
    fn name(&self) -> &'static str {
        "lanes-conv"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (w, wl), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, w, dy)
    }
}

impl CustomOp3 for ConvOp {
    fn name(&self) -> &'static str {
        "lanes-conv-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (w, wl), Some(floats(b, bl)?))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let conv = self.shape(x.layout(), w.layout())?;
        let (dx, dw) = self.backward(x, w, dy)?;
        let mut db = zeros(conv.cout);
        with([dy], |[dy]| {
            conv::grad_bias(&self.kernels, &conv, dy, &mut db)
        })?;
        Ok((dx, dw, Some(tensor(db, b)?)))
    }
}

/// Conditional instance norm: arguments x, affine, and a residual.
///
/// The affine argument is `[2 R, C]`: for each of R experts present, a row of scales and a row of
/// shifts; `rows` names each sample's.
pub(super) struct NormOp {
    pub kernels: Kernels,
    pub eps: f32,
    pub activation: Activation,
    pub rows: Vec<usize>,
    pub saved: OnceLock<Saved>,
}

/// What the norm's backward pass needs beside its arguments, each `[G, C, 16]`.
pub(super) struct Saved {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    rstd: Vec<f32>,
}

impl NormOp {
    fn shape(&self, x: &Layout) -> Result<Norm> {
        let [groups, channels, height, width] = dims(x)?;
        Ok(Norm {
            groups,
            channels,
            pixels: height * width,
            eps: self.eps,
        })
    }

    /// The row of scales (0) or shifts (1) of a lane; a padded lane follows the first sample.
    fn row(&self, group: usize, lane: usize, which: usize) -> usize {
        2 * self.rows.get(group * LANES + lane).unwrap_or(&self.rows[0]) + which
    }

    /// One of both tables, `[G, C, 16]`, from the rows.
    fn table(&self, norm: &Norm, affine: &[f32], which: usize) -> Vec<f32> {
        let mut table = Vec::with_capacity(norm.tables());
        for group in 0..norm.groups {
            let rows: [usize; LANES] = std::array::from_fn(|lane| self.row(group, lane, which));
            for channel in 0..norm.channels {
                table.extend(rows.map(|row| affine[row * norm.channels + channel]));
            }
        }
        table
    }

    fn forward(
        &self,
        (x, x_layout): (&CpuStorage, &Layout),
        (affine, affine_layout): (&CpuStorage, &Layout),
        residual: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let norm = self.shape(x_layout)?;
        let affine = floats(affine, affine_layout)?;
        let mut saved = Saved {
            gamma: self.table(&norm, affine, 0),
            beta: self.table(&norm, affine, 1),
            mean: zeros(norm.tables()),
            rstd: zeros(norm.tables()),
        };
        let mut y = zeros(norm.len());
        let activation = match self.activation {
            Activation::Linear => norm::Activation::Identity,
            Activation::Relu => norm::Activation::Relu,
        };
        norm::forward(
            &self.kernels,
            &norm,
            floats(x, x_layout)?,
            Affine {
                gamma: &saved.gamma,
                beta: &saved.beta,
            },
            residual,
            activation,
            &mut y,
            Statistics {
                mean: &mut saved.mean,
                rstd: &mut saved.rstd,
            },
        );
        if self.saved.set(saved).is_err() {
            bail!("an operation runs forward once");
        }
        Ok(output(y, x_layout.shape()))
    }

    fn backward(
        &self,
        (x, affine, residual): (&Tensor, &Tensor, Option<&Tensor>),
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Tensor, Tensor, Option<Tensor>)> {
        let norm = self.shape(x.layout())?;
        let Some(saved) = self.saved.get() else {
            bail!("backward before forward");
        };
        let mut dx = zeros(norm.len());
        let (mut dgamma, mut dbeta) = (zeros(norm.tables()), zeros(norm.tables()));
        // Without an activation the residual's gradient is the output's.
        let gated = residual.is_some() && self.activation == Activation::Relu;
        let mut dresidual = gated.then(|| zeros(norm.len()));
        with([x, y, dy], |[x, y, dy]| {
            let gate = match (self.activation, residual) {
                (Activation::Linear, _) => Gate::Open,
                (Activation::Relu, None) => Gate::Input,
                (Activation::Relu, Some(_)) => Gate::Output(y),
            };
            norm::backward(
                &self.kernels,
                &norm,
                x,
                &saved.mean,
                &saved.rstd,
                Affine {
                    gamma: &saved.gamma,
                    beta: &saved.beta,
                },
                gate,
                dy,
                Gradients {
                    dx: &mut dx,
                    dgamma: &mut dgamma,
                    dbeta: &mut dbeta,
                    dresidual: dresidual.as_deref_mut(),
                },
            );
        })?;
        let daffine = self.by_row(&norm, [&dgamma, &dbeta], affine.elem_count());
        let dresidual = match (dresidual, residual) {
            (Some(dresidual), Some(residual)) => Some(tensor(dresidual, residual)?),
            (None, Some(_)) => Some(dy.clone()),
            (_, None) => None,
        };
        Ok((tensor(dx, x)?, tensor(daffine, affine)?, dresidual))
    }

    /// Adds the lanes' gradients up by expert, in the order of samples.
    fn by_row(&self, norm: &Norm, tables: [&[f32]; 2], len: usize) -> Vec<f32> {
        let mut sums = zeros(len);
        for (which, table) in tables.into_iter().enumerate() {
            for (sample, row) in self.rows.iter().enumerate() {
                let (group, lane) = (sample / LANES, sample % LANES);
                let first = (2 * row + which) * norm.channels;
                for (channel, sum) in sums[first..first + norm.channels].iter_mut().enumerate() {
                    *sum += table[(group * norm.channels + channel) * LANES + lane];
                }
            }
        }
        sums
    }
}

impl CustomOp2 for NormOp {
    fn name(&self) -> &'static str {
        "lanes-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (a, al), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, da, _) = self.backward((x, a, None), y, dy)?;
        Ok((Some(dx), Some(da)))
    }
}

impl CustomOp3 for NormOp {
    fn name(&self) -> &'static str {
        "lanes-norm-residual"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
        r: &CpuStorage,
        rl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (a, al), Some(floats(r, rl)?))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        r: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, da, dr) = self.backward((x, a, Some(r)), y, dy)?;
        Ok((Some(dx), Some(da), dr))
    }
}

/// Padded overlapping max-pooling.
pub(super) struct PoolOp {
    pub kernels: Kernels,
}

impl PoolOp {
    fn shape(layout: &Layout) -> Result<(Pool, Shape)> {
        let [groups, channels, height, width] = dims(layout)?;
        let pool = Pool {
            planes: groups * channels,
            height,
            width,
        };
        let shape = [groups, channels, pool.out_height(), pool.out_width(), LANES];
        Ok((pool, Shape::from(&shape[..])))
    }
}

impl CustomOp1 for PoolOp {
    fn name(&self) -> &'static str {
        "lanes-max-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (pool, shape) = Self::shape(layout)?;
        let mut y = zeros(shape.elem_count());
        pool::forward(&self.kernels, &pool, floats(x, layout)?, &mut y);
        Ok(output(y, shape))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (pool, _) = Self::shape(x.layout())?;
        let mut dx = zeros(x.elem_count());
        with([x, dy], |[x, dy]| {
            pool::backward(&self.kernels, &pool, x, dy, &mut dx)
        })?;
        Ok(Some(tensor(dx, x)?))
    }
}

/// Upsampling, and concatenation with a skip.
pub(super) struct JoinOp {
    pub kernels: Kernels,
}

impl JoinOp {
    fn shape(x: &Layout, skip: Option<&Layout>) -> Result<Joint> {
        let [groups, up, height, width] = dims(x)?;
        Ok(Joint {
            groups,
            up,
            skip: match skip {
                Some(skip) => dims(skip)?[1],
                None => 0,
            },
            height,
            width,
        })
    }

    fn forward(&self, joint: &Joint, x: &[f32], skip: &[f32]) -> (CpuStorage, Shape) {
        let shape = [
            joint.groups,
            joint.up + joint.skip,
            2 * joint.height,
            2 * joint.width,
            LANES,
        ];
        let shape = Shape::from(&shape[..]);
        let mut y = zeros(shape.elem_count());
        resize::forward(&self.kernels, joint, x, skip, &mut y);
        output(y, shape)
    }
}

impl CustomOp1 for JoinOp {
    fn name(&self) -> &'static str {
        "lanes-upsample"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let joint = Self::shape(layout, None)?;
        Ok(self.forward(&joint, floats(x, layout)?, &[]))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let joint = Self::shape(x.layout(), None)?;
        let mut dx = zeros(x.elem_count());
        with([dy], |[dy]| {
            resize::backward(&self.kernels, &joint, dy, &mut dx, &mut [])
        })?;
        Ok(Some(tensor(dx, x)?))
    }
}

impl CustomOp2 for JoinOp {
    fn name(&self) -> &'static str {
        "lanes-upsample-concat"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        s: &CpuStorage,
        sl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let joint = Self::shape(xl, Some(sl))?;
        Ok(self.forward(&joint, floats(x, xl)?, floats(s, sl)?))
    }

    fn bwd(
        &self,
        x: &Tensor,
        s: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let joint = Self::shape(x.layout(), Some(s.layout()))?;
        let (mut dx, mut ds) = (zeros(x.elem_count()), zeros(s.elem_count()));
        with([dy], |[dy]| {
            resize::backward(&self.kernels, &joint, dy, &mut dx, &mut ds)
        })?;
        Ok((Some(tensor(dx, x)?), Some(tensor(ds, s)?)))
    }
}

/// The Dice loss of logits and target, as one number; the target gets no gradient.
pub(super) struct DiceOp {
    pub kernels: Kernels,
    pub batch: usize,
    pub smooth: f32,
    pub over: DiceOver,
    /// Numerators and denominators, `[G, 16]`.
    pub saved: OnceLock<(Vec<f32>, Vec<f32>)>,
}

impl DiceOp {
    fn shape(&self, layout: &Layout) -> Result<Dice> {
        let [groups, channels, height, width] = dims(layout)?;
        if channels != 1 || self.batch > groups * LANES {
            bail!("{} logits of {channels} channels", self.batch);
        }
        Ok(Dice {
            planes: groups,
            pixels: height * width,
            smooth: self.smooth,
        })
    }
}

impl CustomOp2 for DiceOp {
    fn name(&self) -> &'static str {
        "lanes-dice"
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        zl: &Layout,
        y: &CpuStorage,
        yl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dice = self.shape(zl)?;
        let lanes = dice.planes * LANES;
        let (mut loss, mut numerator, mut denominator) = (zeros(lanes), zeros(lanes), zeros(lanes));
        dice::forward(
            &self.kernels,
            &dice,
            floats(z, zl)?,
            floats(y, yl)?,
            Losses {
                loss: &mut loss,
                numerator: &mut numerator,
                denominator: &mut denominator,
            },
        );
        let loss = match self.over {
            DiceOver::Image => loss[..self.batch].iter().sum::<f32>() / self.batch as f32,
            DiceOver::Batch => {
                // Every lane's sum has the smoothing term in it; the batch's has it once.
                let total = |sums: &[f32]| {
                    let images = sums[..self.batch].iter();
                    images.map(|sum| sum - self.smooth).sum::<f32>() + self.smooth
                };
                let (n, d) = (total(&numerator), total(&denominator));
                numerator.fill(n);
                denominator.fill(d);
                1.0 - n / d
            }
        };
        if self.saved.set((numerator, denominator)).is_err() {
            bail!("an operation runs forward once");
        }
        Ok(output(vec![loss], ()))
    }

    fn bwd(
        &self,
        z: &Tensor,
        y: &Tensor,
        _loss: &Tensor,
        dloss: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dice = self.shape(z.layout())?;
        let Some((numerator, denominator)) = self.saved.get() else {
            bail!("backward before forward");
        };
        let each = match self.over {
            DiceOver::Image => dloss.to_scalar::<f32>()? / self.batch as f32,
            DiceOver::Batch => dloss.to_scalar::<f32>()?,
        };
        // A padded lane has no share in the loss.
        let mut weights = vec![0.0; dice.planes * LANES];
        weights[..self.batch].fill(each);
        let mut dz = zeros(z.elem_count());
        with([z, y], |[z, y]| {
            dice::backward(
                &self.kernels,
                &dice,
                z,
                y,
                numerator,
                denominator,
                &weights,
                &mut dz,
            );
        })?;
        Ok((Some(tensor(dz, z)?), None))
    }
}
