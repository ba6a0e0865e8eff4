//! Initial values, as segmentation_models_pytorch initialises a `Unet("resnet18")`.
//!
//! The rule: each tensor draws from a seed of its own, so that adding a layer moves no other
//! layer's values.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use crate::seed::Seed;

/// How a parameter's initial values are drawn. The fans of a weight `[C_out, C_in, K, K]` are
/// `C_in K K` (in) and `C_out K K` (out).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initialiser {
    /// The same value everywhere.
    Constant(f32),
    /// Uniform within `sqrt(6 / (fan_in + fan_out))`.
    XavierUniform,
    /// Uniform within `sqrt(6 / fan_in)`: Kaiming for ReLU.
    KaimingUniform,
    /// Normal with variance `2 / fan_out`: Kaiming for ReLU.
    KaimingNormal,
    /// Normal with variance 2 over so many inputs: Kaiming for ReLU, by the fan-in.
    NormalByInputs(usize),
    /// Uniform within `1 / sqrt(fan_in)`: PyTorch's default for a convolution.
    PyTorchDefault,
}

impl Initialiser {
    /// The values of a parameter, row-major.
    ///
    /// # Panics
    /// Where values are drawn for a shape that is not a convolution weight's.
    pub(super) fn values(self, seed: &Seed, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        let mut rng = seed.rng();
        let mut uniform = |bound: f64| -> Vec<f32> {
            (0..count)
                .map(|_| rng.random_range(-bound..bound) as f32)
                .collect()
        };
        match self {
            Self::Constant(value) => vec![value; count],
            Self::XavierUniform => {
                let (fan_in, fan_out) = fans(shape);
                uniform((6.0 / (fan_in + fan_out)).sqrt())
            }
            Self::KaimingUniform => uniform((6.0 / fans(shape).0).sqrt()),
            Self::PyTorchDefault => uniform(1.0 / fans(shape).0.sqrt()),
            Self::KaimingNormal => normal(&mut rng, count, 2.0 / fans(shape).1),
            Self::NormalByInputs(inputs) => normal(&mut rng, count, 2.0 / inputs as f64),
        }
    }
}

fn normal(rng: &mut impl Rng, count: usize, variance: f64) -> Vec<f32> {
    let sd = variance.sqrt();
    let draw = |_| {
        let draw: f64 = StandardNormal.sample(rng);
        (sd * draw) as f32
    };
    (0..count).map(draw).collect()
}

/// The fan-in and fan-out of a convolution's weight.
fn fans(shape: &[usize]) -> (f64, f64) {
    let &[outputs, inputs, height, width] = shape else {
        panic!("the weight of a convolution has four dimensions, not {shape:?}");
    };
    let area = (height * width) as f64;
    (inputs as f64 * area, outputs as f64 * area)
}
