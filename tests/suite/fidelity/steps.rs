//! Ten steps of training as tests/reference/parts/training.py takes them, by any engine, and how
//! close they come.

use candle_core::{DType, Tensor};
use expertgrid::{
    engine::{
        Engine, Lanes,
        lanes::{Isa, Kernels, Threads},
    },
    method::Objective,
    net::{Parameter, UNet},
    train::{RAdam, learning_rate},
};

use super::reader::{Tensors, deviation, deviation_from, largest_difference, within};
use crate::train::course::{pass, training_spec};

pub const STEPS: usize = 10;
pub const BATCH: usize = 5;
const SIDE: usize = 96;
const LR: f64 = 5e-3;
/// How close trainings in double and in single precision come to PyTorch's.
const DOUBLE: f64 = 1e-9;
const SINGLE: f64 = 1e-4;

/// What is compared of a training.
pub struct Outcome {
    losses: Vec<f64>,
    /// Of the first step.
    logits: Vec<f64>,
    gradients: Vec<Vec<f64>>,
    /// How far each trained parameter went.
    changes: Vec<Vec<f64>>,
}

/// Trains the parameters given on the batches from step `first` on; `branches` gives each step's
/// experts.
pub fn ten_steps<E: Engine>(
    engine: &E,
    net: &UNet,
    trained: &[Parameter],
    first: usize,
    objective: Objective,
    branches: impl Fn(usize) -> [usize; BATCH],
) -> Outcome {
    let mut spec = training_spec(BATCH, 0.999);
    if objective == Objective::Elbo {
        spec.eps /= (SIDE * SIDE) as f64;
    }
    let mut optimiser = RAdam::new(trained, &spec);
    let parameters: Vec<&Tensor> = trained.iter().map(|p| p.var.as_tensor()).collect();
    let before: Vec<Vec<f64>> = parameters.iter().map(|tensor| flat(tensor)).collect();
    let (mut losses, mut logits, mut gradients) = (vec![], vec![], vec![]);
    for step in 0..STEPS {
        let found = pass(
            engine,
            net,
            SIDE,
            first + step,
            &branches(step),
            objective,
            &parameters,
        );
        losses.push(found.loss);
        if step == 0 {
            logits = flat(&engine.unpack(&found.logits, BATCH).unwrap());
            let each = found.gradients.iter();
            gradients = each
                .map(|g| flat(g.as_ref().expect("a gradient")))
                .collect();
        }
        let lr = learning_rate(LR, &spec, step, STEPS);
        optimiser.step(&found.gradients, lr).unwrap();
    }
    let changes = parameters.iter().zip(before).map(|(tensor, before)| {
        let after = flat(tensor);
        after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .collect()
    });
    Outcome {
        losses,
        logits,
        gradients,
        changes: changes.collect(),
    }
}

/// Asserts that the gradients of a batch are PyTorch's, in double precision and in single.
pub fn gradients_are_single<E: Engine>(
    engine: &E,
    net: &UNet,
    (batch, branches): (usize, [usize; BATCH]),
    expected: &Tensors,
    (name, label): (&str, &str),
) {
    let parameters: Vec<&Tensor> = net.parameters().iter().map(|p| p.var.as_tensor()).collect();
    let found = pass(
        engine,
        net,
        SIDE,
        batch,
        &branches,
        Objective::Dice,
        &parameters,
    );
    let found = found.gradients;
    let found: Vec<Vec<f64>> = found
        .iter()
        .map(|g| flat(g.as_ref().expect("a gradient")))
        .collect();
    for (precision, prefix) in [("double", ""), ("single", "single/")] {
        let rows = expected.rows(&format!("{name}/{prefix}gradients"));
        let what = format!("{name} {label} against {precision}: gradients");
        within(SINGLE, largest(&found, &rows), &what);
    }
}

/// All values of a tensor.
pub fn flat(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The kernels of every instruction set that this machine has.
pub fn lanes() -> impl Iterator<Item = (&'static str, Lanes)> {
    Isa::available().into_iter().map(|isa| {
        let kernels = Kernels::with_isa(isa, Threads::Caller).unwrap();
        (isa.name(), Lanes::with_kernels(kernels))
    })
}

/// The largest of the deviations of tensors from their rows.
#[track_caller]
fn largest(found: &[Vec<f64>], rows: &[Vec<f64>]) -> f64 {
    assert_eq!(found.len(), rows.len());
    let each = found.iter().zip(rows).enumerate();
    each.map(|(index, (found, row))| deviation_from(found, row, index))
        .fold(0.0, f64::max)
}

impl Outcome {
    /// Asserts that a training in double precision is PyTorch's.
    pub fn is_double(&self, expected: &Tensors, name: &str) {
        let losses = expected.values(&format!("{name}/losses"));
        within(
            DOUBLE,
            largest_difference(&self.losses, &losses),
            &format!("{name} losses"),
        );
        within(
            DOUBLE,
            self.logits_from(expected, name, ""),
            &format!("{name} logits"),
        );
        let rows = |what: &str| expected.rows(&format!("{name}/{what}"));
        within(
            DOUBLE,
            largest(&self.gradients, &rows("gradients")),
            &format!("{name} gradients"),
        );
        within(
            DOUBLE,
            largest(&self.changes, &rows("changes")),
            &format!("{name} changes"),
        );
    }

    /// Asserts that a training in single precision is PyTorch's, in double precision and in single.
    ///
    /// Gradients are not compared: rounding moves some values to the other side of a ReLU.
    pub fn is_single(&self, expected: &Tensors, name: &str, engine: &str) {
        for (precision, prefix) in [("double", ""), ("single", "single/")] {
            let what = |what: &str| format!("{name} {engine} against {precision}: {what}");
            let losses = expected.values(&format!("{name}/{prefix}losses"));
            within(
                SINGLE,
                largest_difference(&self.losses, &losses),
                &what("losses"),
            );
            within(
                SINGLE,
                self.logits_from(expected, name, prefix),
                &what("logits"),
            );
        }
    }

    /// The deviation of the logits, relative to the largest of them.
    fn logits_from(&self, expected: &Tensors, name: &str, prefix: &str) -> f64 {
        let scale = expected.values(&format!("{name}/largest_logit"))[0];
        let row = expected.values(&format!("{name}/{prefix}logits"));
        // The norm and the projections are of thousands of logits: they have the norm's scale.
        let whole = deviation(&self.logits, &row[..3], 0, row[0]);
        let sample = row[3..].len();
        let places = (0..sample).map(|i| self.logits[i * self.logits.len() / sample]);
        let found: Vec<f64> = places.collect();
        whole.max(largest_difference(&found, &row[3..]) / scale)
    }
}
