//! The probabilistic U-Net against PyTorch: divergences, draws, and ten steps of training on two
//! masks an image.

use candle_core::{DType, Device, Tensor, Var};
use expertgrid::{
    engine::{Activation, Engine, Stock},
    method::Objective,
    net::{Branches, UNet},
};
use serde::Deserialize;

use super::{
    reader::Tensors,
    steps::{BATCH, lanes, ten_steps},
};
use crate::train::course::net;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

/// Distributions `[B, 2 d]`, d means and d logarithms of deviations.
#[derive(Deserialize)]
struct Case {
    posterior: Vec<Vec<f64>>,
    prior: Vec<Vec<f64>>,
    divergence: f64,
    /// Of the posterior and of the prior.
    gradients: [Vec<Vec<f64>>; 2],
    noise: Vec<Vec<f64>>,
    z: Vec<Vec<f64>>,
    /// Of the sum of the squares of all drawn values.
    gradient_of_squares: Vec<Vec<f64>>,
}

/// A distribution of one sample as a parameter: the biases of a convolution of one pixel.
struct Distribution {
    weight: Var,
    bias: Var,
}

impl Distribution {
    fn new(numbers: &[f64], dtype: DType) -> Self {
        let variable = |values: Vec<f64>, shape: &[usize]| {
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()
        };
        let count = numbers.len();
        Self {
            weight: variable(vec![0.0; count], &[count, 1, 1, 1]),
            bias: variable(numbers.to_vec(), &[count]),
        }
    }

    fn value<E: Engine>(&self, engine: &E) -> E::Tensor {
        let x = engine.pack(&[1.0], [1, 1, 1, 1]).unwrap();
        let value = engine.conv_bias(&x, &self.weight, &self.bias, Activation::Linear);
        value.unwrap()
    }
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(found: &[f64], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in std::iter::zip(found, expected) {
        let error = (found - expected).abs();
        assert!(
            error <= bound * (1.0 + expected.abs()),
            "{found} {expected}"
        );
    }
}

impl Case {
    /// Checks every sample on its own.
    fn check<E: Engine>(&self, engine: &E, dtype: DType, bound: f64) {
        let count = self.posterior.len();
        let mut divergence = 0.0;
        for i in 0..count {
            let [q, p] = [&self.posterior[i], &self.prior[i]].map(|n| Distribution::new(n, dtype));
            let of_pair = engine
                .divergence(&q.value(engine), &p.value(engine), 1)
                .unwrap();
            divergence += engine.loss(&of_pair).unwrap() / count as f64;
            let biases = [q.bias.as_tensor(), p.bias.as_tensor()];
            let gradients = engine
                .gradients(of_pair, 1.0 / count as f64, &biases)
                .unwrap();
            for (found, expected) in std::iter::zip(gradients, &self.gradients) {
                close(&flat(&found.unwrap()), &expected[i], bound);
            }
            let noise: Vec<f32> = self.noise[i].iter().map(|n| *n as f32).collect();
            let distribution = q.value(engine);
            let z = engine.draw(&distribution, &noise).unwrap();
            close(&flat(&engine.unpack(&z, 1).unwrap()), &self.z[i], bound);
            let found = squares(engine, &z, &q.bias);
            close(&found, &self.gradient_of_squares[i], 4.0 * bound);
        }
        close(&[divergence], &[self.divergence], bound);
    }
}

/// The gradient of the sum of the squares of drawn values. No operation squares, so that a linear
/// map of weights 2 z stands for it, whose slope is the same.
fn squares<E: Engine>(engine: &E, z: &E::Tensor, bias: &Var) -> Vec<f64> {
    let values = engine.unpack(z, 1).unwrap().detach();
    let count = values.elem_count();
    let weight = (values.reshape((1, count, 1, 1)).unwrap() * 2.0).unwrap();
    let zero = Tensor::zeros(1, values.dtype(), &Device::Cpu).unwrap();
    let sum = engine
        .conv_bias(z, &weight, &zero, Activation::Linear)
        .unwrap();
    // The cross-entropy has the slope s - y of its logit.
    let target = engine.pack(&[0.0], [1, 1, 1, 1]).unwrap();
    let logit = flat(&engine.unpack(&sum, 1).unwrap())[0];
    let slope = 1.0 / (1.0 + (-logit).exp());
    let loss = engine.cross_entropy(&sum, &target, 1).unwrap();
    let gradients = engine
        .gradients(loss, 1.0 / slope, &[bias.as_tensor()])
        .unwrap();
    flat(gradients[0].as_ref().unwrap())
}

#[test]
fn divergences_and_draws_are_pytorchs() {
    let text = include_str!("../../fixtures/gaussian.json");
    let Fixture { cases } = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 4);
    for case in &cases {
        case.check(&Stock::double(), DType::F64, 1e-9);
        for (_, engine) in lanes() {
            case.check(&engine, DType::F32, 1e-6);
        }
    }
}

fn probabilistic(width: usize, dtype: DType) -> UNet {
    net(width, Branches::probabilistic(6), 0.0, dtype)
}

#[test]
fn ten_steps_with_latents_are_pytorchs() {
    let expected = Tensors::read(include_bytes!("../../fixtures/probabilistic.safetensors"));
    for width in [8, 16] {
        let name = format!("width_{width}");
        let objective = Objective::Elbo;
        let net = probabilistic(width, DType::F64);
        let engine = Stock::double();
        let found = ten_steps(&engine, &net, net.parameters(), 0, objective, |_| {
            [0; BATCH]
        });
        found.is_double(&expected, &name);
        for (isa, engine) in lanes() {
            let net = probabilistic(width, DType::F32);
            let found = ten_steps(&engine, &net, net.parameters(), 0, objective, |_| {
                [0; BATCH]
            });
            found.is_single(&expected, &name, isa);
        }
    }
}
