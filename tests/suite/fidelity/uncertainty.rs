//! Cross-entropy with soft targets against PyTorch: its value and gradient, and ten steps of a
//! network that learns the mean of several masks.

use candle_core::{DType, Device, Tensor, Var};
use expertgrid::{
    engine::{Activation, Engine, Stock},
    method::Objective,
    net::Branches,
};
use serde::Deserialize;

use super::{
    reader::Tensors,
    steps::{BATCH, lanes, ten_steps},
};
use crate::train::course::net;

const WIDTHS: [usize; 2] = [8, 16];

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

/// A batch of logits and targets `[B, H, W]`.
#[derive(Deserialize)]
struct Case {
    logits: Vec<Vec<Vec<f64>>>,
    targets: Vec<Vec<Vec<f64>>>,
    loss: f64,
    gradient: Vec<Vec<Vec<f64>>>,
}

impl Case {
    /// Loss and gradient by an engine, pixel by pixel: a logit is the bias of a convolution of one
    /// pixel.
    fn run<E: Engine>(&self, engine: &E, dtype: DType) -> (f64, Vec<f64>) {
        let batch = self.logits.len();
        let [height, width] = [self.logits[0].len(), self.logits[0][0].len()];
        let (mut loss, mut gradient) = (0.0, Vec::new());
        let pixels = batch * height * width;
        let flat = |planes: &[Vec<Vec<f64>>]| planes.concat().concat();
        for (z, y) in std::iter::zip(flat(&self.logits), flat(&self.targets)) {
            let variable = |value: f64, shape: &[usize]| {
                let tensor = Tensor::full(value, shape, &Device::Cpu).unwrap();
                Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()
            };
            let (weight, bias) = (variable(0.0, &[1, 1, 1, 1]), variable(z, &[1]));
            let x = engine.pack(&[1.0], [1, 1, 1, 1]).unwrap();
            let target = engine.pack(&[y as f32], [1, 1, 1, 1]).unwrap();
            let logits = engine.conv_bias(&x, &weight, &bias, Activation::Linear);
            let logits = logits.unwrap();
            let of_pixel = engine.cross_entropy(&logits, &target, 1).unwrap();
            loss += engine.loss(&of_pixel).unwrap() / pixels as f64;
            let share = 1.0 / pixels as f64;
            let found = engine.gradients(of_pixel, share, &[bias.as_tensor()]);
            let found = found.unwrap()[0].clone().unwrap();
            let found = found.to_dtype(DType::F64).unwrap();
            gradient.push(found.to_vec1::<f64>().unwrap()[0]);
        }
        (loss, gradient)
    }
}

#[test]
fn cross_entropy_is_pytorchs() {
    let text = include_str!("../../fixtures/cross_entropy.json");
    let Fixture { cases } = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 3);
    let check = |case: &Case, (loss, gradient): (f64, Vec<f64>), bound: f64| {
        assert!(
            (loss - case.loss).abs() < bound * case.loss,
            "{loss} {}",
            case.loss
        );
        let expected = case.gradient.concat().concat();
        for (found, expected) in std::iter::zip(gradient, expected) {
            assert!((found - expected).abs() < bound, "{found} {expected}");
        }
    };
    for case in &cases {
        // Targets are packed in single precision.
        check(case, case.run(&Stock::double(), DType::F64), 1e-7);
        for (_, engine) in lanes() {
            check(case, case.run(&engine, DType::F32), 3e-7);
        }
    }
}

#[test]
fn ten_steps_on_the_mean_of_masks_are_pytorchs() {
    let expected = Tensors::read(include_bytes!("../../fixtures/uncertainty.safetensors"));
    let objective = Objective::MeanMask;
    for width in WIDTHS {
        let name = format!("width_{width}");
        let double = net(width, 1, 0.0, DType::F64);
        let parameters = double.parameters();
        let found = ten_steps(&Stock::double(), &double, parameters, 0, objective, |_| {
            [0; BATCH]
        });
        found.is_double(&expected, &name);
        for (isa, engine) in lanes() {
            let single = net(width, 1, 0.0, DType::F32);
            let found = ten_steps(&engine, &single, single.parameters(), 0, objective, |_| {
                [0; BATCH]
            });
            found.is_single(&expected, &name, isa);
        }
    }
}

#[test]
fn ten_steps_on_a_mask_and_a_map_are_pytorchs() {
    let expected = Tensors::read(include_bytes!("../../fixtures/uncertainty.safetensors"));
    let objective = Objective::MaskAndMap;
    for width in WIDTHS {
        let name = format!("width_{width}/map");
        let double = net(width, Branches::with_map(), 0.0, DType::F64);
        let parameters = double.parameters();
        let found = ten_steps(&Stock::double(), &double, parameters, 0, objective, |_| {
            [0; BATCH]
        });
        found.is_double(&expected, &name);
        for (isa, engine) in lanes() {
            let single = net(width, Branches::with_map(), 0.0, DType::F32);
            let found = ten_steps(&engine, &single, single.parameters(), 0, objective, |_| {
                [0; BATCH]
            });
            found.is_single(&expected, &name, isa);
        }
    }
}
