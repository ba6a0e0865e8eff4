//! Every operation of the lanes engine against candle's own in double precision, on each
//! instruction set: over every batch from 1 to 33, sizes from 1x1 on, channels that no register
//! divides. Each stands between two convolutions, so that its gradients are those of the first's
//! weight and of its own parameters.

use candle_core::{DType, Device, Result, Tensor};
use expertgrid::engine::{
    Activation, Added, Affine, DiceOver, Engine, Lanes, Stock,
    lanes::{Isa, Kernels, Threads},
};
use rand::RngExt;

use expertgrid::seed::Seed;

/// The middle of a small network.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Kernel and stride.
    Conv(usize, usize),
    Norm(Activation),
    Residual(Activation),
    Pool,
    /// Upsampled, without a skip and with one.
    Joint,
    JointWithSkip,
    /// With a bias.
    Biased(Activation),
    MeanPool,
    /// By numbers that come from means over pixels.
    Shift(Activation),
    /// Three of them, the first with a bias or with such numbers.
    PixelLayers {
        shifted: bool,
    },
    /// Behind a convolution with ReLU.
    GatedMeanPool,
    /// A convolution with ReLU, read twice.
    ReadTwice(Readers),
    /// A value of a normal distribution; its divergence from another is part of the loss.
    Draw,
}

/// Two that read one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    Convs,
    /// The backward pass meets the residual first.
    ConvAndResidual,
    /// The backward pass meets the convolution first.
    PoolAndConv,
}

pub const OPERATIONS: [Operation; 23] = [
    Operation::Conv(3, 1),
    Operation::Conv(3, 2),
    Operation::Conv(1, 2),
    Operation::Conv(7, 2),
    Operation::Norm(Activation::Linear),
    Operation::Norm(Activation::Relu),
    Operation::Residual(Activation::Linear),
    Operation::Residual(Activation::Relu),
    Operation::Pool,
    Operation::Joint,
    Operation::JointWithSkip,
    Operation::Biased(Activation::Linear),
    Operation::Biased(Activation::Relu),
    Operation::MeanPool,
    Operation::Shift(Activation::Linear),
    Operation::Shift(Activation::Relu),
    Operation::PixelLayers { shifted: false },
    Operation::PixelLayers { shifted: true },
    Operation::GatedMeanPool,
    Operation::ReadTwice(Readers::Convs),
    Operation::ReadTwice(Readers::ConvAndResidual),
    Operation::ReadTwice(Readers::PoolAndConv),
    Operation::Draw,
];

/// Dimensions of the distributions.
const LATENT: usize = 3;

#[derive(Clone, Copy, Debug)]
pub struct Case {
    operation: Operation,
    batch: usize,
    size: usize,
    channels: usize,
    loss: Loss,
}

/// The loss at the end.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    Dice(DiceOver),
    CrossEntropy,
}

impl Case {
    /// Sizes and channels follow the batch, so that over all batches they meet in every way.
    pub fn new(operation: Operation, batch: usize) -> Self {
        let size = match operation {
            // The engine's pooling halves even sizes.
            Operation::Pool
            | Operation::MeanPool
            | Operation::GatedMeanPool
            | Operation::ReadTwice(Readers::PoolAndConv) => 2 * (1 + batch % 6),
            _ => 1 + batch % 6,
        };
        Self {
            operation,
            batch,
            size,
            channels: [3, 5, 7, 12, 9][batch % 5],
            loss: match batch % 3 {
                0 => Loss::Dice(DiceOver::Batch),
                1 => Loss::Dice(DiceOver::Image),
                _ => Loss::CrossEntropy,
            },
        }
    }

    /// The parameters' shapes: the first convolution's weight, the last's weight and bias, the
    /// operation's own.
    fn shapes(&self) -> Vec<Vec<usize>> {
        let c = self.channels;
        let (own, last) = match self.operation {
            Operation::Conv(kernel, _) => (vec![vec![c + 2, c, kernel, kernel]], c + 2),
            // Scales and shifts of two experts.
            Operation::Norm(_) | Operation::Residual(_) => (vec![vec![c]; 4], c),
            Operation::Pool | Operation::MeanPool => (vec![], c),
            Operation::GatedMeanPool => (vec![vec![c, c, 3, 3], vec![c]], c),
            Operation::ReadTwice(_) => {
                let weight = vec![c, c, 3, 3];
                (vec![weight.clone(), vec![c], weight.clone(), weight], c)
            }
            Operation::Biased(_) => (vec![vec![c + 2, c, 3, 3], vec![c + 2]], c + 2),
            Operation::Shift(_) => (vec![vec![c, c, 1, 1], vec![c]], c),
            Operation::PixelLayers { shifted } => {
                let d = c + 2;
                let added = match shifted {
                    true => vec![vec![d, c, 1, 1], vec![d]],
                    false => vec![vec![d]],
                };
                let layers = [vec![d, c, 1, 1], vec![c, d, 1, 1], vec![c]];
                let last = [vec![2, c, 1, 1], vec![2]];
                ([&layers[..], &last, &added].concat(), 2)
            }
            Operation::Draw => {
                let distribution = [vec![2 * LATENT, c, 1, 1], vec![2 * LATENT]];
                ([distribution.clone(), distribution].concat(), LATENT)
            }
            Operation::Joint => (vec![vec![c + 1, c, 3, 3]], c + 1),
            // The skip's own convolution comes last.
            Operation::JointWithSkip => (vec![vec![c, c + 2, 3, 3], vec![2, 1, 3, 3]], c),
        };
        let mut shapes = vec![vec![c, 1, 3, 3], vec![1, last, 3, 3], vec![1]];
        shapes.extend(own);
        shapes
    }

    fn parameters(&self, seed: u64, dtype: DType) -> Vec<Tensor> {
        let shapes = self.shapes();
        let parameter = |(i, shape): (usize, &Vec<usize>)| {
            let mut rng = Seed::new(seed).fork("parameter").at(i as u64).rng();
            let count: usize = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
            let values = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu).unwrap();
            // A variable, for candle's autograd to look for.
            candle_core::Var::from_tensor(&values.to_dtype(dtype).unwrap())
                .unwrap()
                .into_inner()
        };
        shapes.iter().enumerate().map(parameter).collect()
    }

    /// The logits and the gradient of every parameter, nothing for one that is not used.
    pub fn run<E: Engine>(&self, engine: &E, seed: u64, dtype: DType) -> Result<Vec<Vec<f64>>> {
        let parameters = self.parameters(seed, dtype);
        let [first, last, bias, own @ ..] = parameters.as_slice() else {
            unreachable!("there are three at least")
        };
        let (batch, size) = (self.batch, self.size);
        let mut rng = Seed::new(seed).fork("images").rng();
        let mut floats = |count: usize| -> Vec<f32> {
            (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
        };
        let pixels = engine.pack(&floats(batch * size * size), [batch, 1, size, size])?;
        let x = engine.conv(&pixels, first, 1)?;
        // The third expert of every three samples is that of the first.
        let experts: Vec<usize> = (0..batch).map(|i| usize::from(i % 3 == 1)).collect();
        let route = engine.route(&experts);
        let norm = |residual, activation| {
            let affine = Affine {
                gamma: &own[..2],
                beta: &own[2..],
                route: &route,
            };
            engine.norm(&x, affine, 1e-5, residual, activation)
        };
        let from_means = |weight: usize| {
            let means = engine.mean(&x)?;
            let [weight, bias] = [&own[weight], &own[weight + 1]];
            engine.conv_bias(&means, weight, bias, Activation::Linear)
        };
        let ones = vec![Tensor::ones(self.channels, dtype, &Device::Cpu)?; 2];
        let plain_norm = |y: &E::Tensor, residual, activation| {
            let affine = Affine {
                gamma: &ones,
                beta: &ones,
                route: &route,
            };
            engine.norm(y, affine, 1e-5, residual, activation)
        };
        let mut divergence = None;
        let (y, side) = match self.operation {
            Operation::Conv(_, stride) => {
                (engine.conv(&x, &own[0], stride)?, size.div_ceil(stride))
            }
            Operation::Norm(activation) => (norm(None, activation)?, size),
            Operation::Residual(activation) => (norm(Some(&x), activation)?, size),
            Operation::Pool => {
                // What is pooled is not negative: squares would do, a norm's ReLU is what the
                // network has.
                let positive = plain_norm(&x, None, Activation::Relu)?;
                (engine.max_pool(&positive)?, size / 2)
            }
            Operation::Biased(activation) => {
                (engine.conv_bias(&x, &own[0], &own[1], activation)?, size)
            }
            Operation::MeanPool => (engine.mean_pool(&x)?, size / 2),
            Operation::GatedMeanPool => {
                let y = engine.conv_bias(&x, &own[0], &own[1], Activation::Relu)?;
                (engine.mean_pool(&y)?, size / 2)
            }
            Operation::ReadTwice(readers) => {
                let y = engine.conv_bias(&x, &own[0], &own[1], Activation::Relu)?;
                let (one, other, side) = match readers {
                    Readers::Convs => {
                        let one = engine.conv(&y, &own[2], 1)?;
                        (one, engine.conv(&y, &own[3], 1)?, size)
                    }
                    Readers::ConvAndResidual => {
                        let one = engine.conv(&y, &own[2], 1)?;
                        let other = engine.conv(&one, &own[3], 1)?;
                        (y, other, size)
                    }
                    Readers::PoolAndConv => {
                        let one = engine.max_pool(&y)?;
                        (one, engine.conv(&y, &own[2], 2)?, size / 2)
                    }
                };
                (plain_norm(&other, Some(&one), Activation::Linear)?, side)
            }
            Operation::Shift(activation) => (engine.shift(&x, &from_means(0)?, activation)?, size),
            Operation::PixelLayers { shifted } => {
                let rest = [1, 3].map(|at| (own[at].clone(), own[at + 1].clone()));
                let by = shifted.then(|| from_means(5)).transpose()?;
                let added = by.as_ref().map_or(Added::Bias(&own[5]), Added::Shift);
                (engine.pixel_layers(&x, (&own[0], added), &rest)?, size)
            }
            Operation::Draw => {
                let (posterior, prior) = (from_means(0)?, from_means(2)?);
                let z = engine.draw(&posterior, &floats(batch * LATENT))?;
                divergence = Some(engine.divergence(&posterior, &prior, batch)?);
                (z, 1)
            }
            Operation::Joint => (engine.joint_conv(&x, None, &own[0])?, 2 * size),
            Operation::JointWithSkip => {
                let large = engine.pack(
                    &floats(4 * batch * size * size),
                    [batch, 1, 2 * size, 2 * size],
                )?;
                let skip = engine.conv(&large, &own[1], 1)?;
                (engine.joint_conv(&x, Some(&skip), &own[0])?, 2 * size)
            }
        };
        let logits = engine.conv_bias(&y, last, bias, Activation::Linear)?;
        let target = floats(batch * side * side).into_iter();
        let target: Vec<f32> = match self.loss {
            Loss::Dice(_) => target.map(|v| f32::from(u8::from(v > 0.0))).collect(),
            Loss::CrossEntropy => target.map(|v| 0.5 + v / 2.0).collect(),
        };
        let target = engine.pack(&target, [batch, 1, side, side])?;
        let loss = match self.loss {
            Loss::Dice(over) => engine.dice_loss(&logits, &target, batch, 1e-2, over)?,
            Loss::CrossEntropy => engine.cross_entropy(&logits, &target, batch)?,
        };
        let loss = match divergence {
            Some(divergence) => engine.sum(&[(loss, 1.0), (divergence, 0.1)])?,
            None => loss,
        };
        let flat = |tensor: &Tensor| -> Result<Vec<f64>> {
            tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
        };
        let mut found = vec![
            flat(&engine.unpack(&logits, batch)?)?,
            vec![engine.loss(&loss)?],
        ];
        let all: Vec<&Tensor> = parameters.iter().collect();
        for gradient in engine.gradients(loss, 1.0, &all)? {
            found.push(gradient.map_or(Ok(Vec::new()), |gradient| flat(&gradient))?);
        }
        Ok(found)
    }
}

/// The largest difference, relative to the largest value; a gradient that is zero but for rounding
/// counts as 1e-2: the norm of a single pixel multiplies rounding errors by 316.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "the same parameters have a gradient");
    let largest = a.iter().fold(1e-2_f64, |most, v| most.max(v.abs()));
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f64::max) / largest
}

#[test]
fn every_operation_agrees_with_stock_for_every_batch_size_and_instruction_set() {
    let kernels: Vec<Kernels> = Isa::available()
        .into_iter()
        .map(|isa| Kernels::with_isa(isa, Threads::Caller).unwrap())
        .collect();
    for operation in OPERATIONS {
        for batch in 1..=33 {
            let case = Case::new(operation, batch);
            // Single precision may fall on the other side of a ReLU or of a tie between maxima than
            // double precision: rounding alone must explain the better of two draws.
            let mut off = vec![f64::INFINITY; kernels.len()];
            for seed in [1, 2] {
                let expected = case.run(&Stock::double(), seed, DType::F64).unwrap();
                for (kernels, off) in kernels.iter().zip(&mut off) {
                    let lanes = Lanes::with_kernels(kernels.clone());
                    let found = case.run(&lanes, seed, DType::F32).unwrap();
                    let pairs = expected.iter().zip(&found);
                    let most = pairs.map(|(a, b)| distance(a, b)).fold(0.0, f64::max);
                    *off = off.min(most);
                }
            }
            for (kernels, off) in kernels.iter().zip(off) {
                assert!(off < 1e-4, "{} {case:?}: {off}", kernels.isa());
            }
        }
    }
}
