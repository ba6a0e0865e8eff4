//! Gradients on the way back: each is handed out once, whole, and nothing reads its parameter any
//! more. Trainings that update parameters on the way end where those do that wait for all
//! gradients.

use std::{num::NonZeroUsize, sync::Arc};

use candle_core::{DType, Device, Result, Tensor, Var};
use expertgrid::{
    data::prepare::{Frame, Plane, Prepared, Region},
    engine::{Activation, Affine, DiceOver, Engine, Lanes, Stock},
    manifest::{AugmentSpec, Budget, ExpertBatching, ImageSpec, Recipe},
    method::{Objective, Tuned},
    net::{Part, UNet},
    seed::Seed,
    train::{Annotated, RAdam, Training, learning_rate, train},
};

use crate::train::course::{network_spec, numbers, training_spec};

const SIDE: usize = 32;

fn lanes() -> Lanes {
    Lanes::new(NonZeroUsize::MIN)
}

fn bytes(tensor: &Tensor) -> Vec<u64> {
    let values = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    let values: Vec<f64> = values.to_vec1().unwrap();
    values.into_iter().map(f64::to_bits).collect()
}

/// Asserts that each gradient of a loss is handed out once, as it is when all are waited for,
/// though every parameter is spoiled as soon as it has come.
fn handed_out_once<E: Engine>(
    engine: &E,
    loss: impl Fn() -> E::Tensor,
    parameters: &[Var],
) -> Result<()> {
    let tensors: Vec<&Tensor> = parameters.iter().map(Var::as_tensor).collect();
    let mut expected = engine.gradients(loss(), 0.5, &tensors)?;
    engine.backward(loss(), 0.5, &tensors, &mut |place, gradient| {
        let expected = expected[place].take().expect("it is handed out once");
        assert_eq!(bytes(&gradient), bytes(&expected), "parameter {place}");
        parameters[place].set(&(parameters[place].as_tensor() * f64::NAN)?)
    })?;
    assert!(expected.iter().all(Option::is_none), "all are handed out");
    Ok(())
}

fn a_network<E: Engine>(engine: &E, dtype: DType) -> Result<()> {
    let net = UNet::with_values(&network_spec(4), 2, &Device::Cpu, dtype, &mut |declared| {
        let stream = declared.name.len() as u64 + u64::from(declared.part == Part::Expert(1));
        Ok(numbers(declared.len(), stream).collect())
    })?;
    let floats = |stream| numbers(3 * SIDE * SIDE, stream).collect::<Vec<_>>();
    let target: Vec<f32> = floats(1).iter().map(|v| v.ceil().max(0.0)).collect();
    let loss = || {
        let shape = [3, 1, SIDE, SIDE];
        let (x, y) = (engine.pack(&floats(0), shape), engine.pack(&target, shape));
        let logits = net.forward(engine, &x.unwrap(), &[1, 0, 1]).unwrap();
        let loss = engine.dice_loss(&logits, &y.unwrap(), 3, 1e-7, DiceOver::Image);
        loss.unwrap()
    };
    let every: Vec<Var> = net.parameters().iter().map(|p| p.var.clone()).collect();
    // Those of a part alone are what they are among all.
    let of_expert = net
        .parameters()
        .iter()
        .enumerate()
        .filter(|(_, p)| p.part == Part::Expert(1));
    let (places, some): (Vec<usize>, Vec<&Tensor>) = of_expert
        .map(|(place, p)| (place, p.var.as_tensor()))
        .unzip();
    let tensors: Vec<&Tensor> = every.iter().map(Var::as_tensor).collect();
    let all = engine.gradients(loss(), 0.5, &tensors)?;
    let some = engine.gradients(loss(), 0.5, &some)?;
    for (place, some) in places.iter().zip(&some) {
        let [one, other] = [&all[*place], some].map(|g| bytes(g.as_ref().expect("a gradient")));
        assert_eq!(one, other);
    }
    handed_out_once(engine, loss, &every)
}

#[test]
fn a_networks_gradients_are_handed_out_once_and_may_change_their_parameters() {
    a_network(&lanes(), DType::F32).unwrap();
    a_network(&Stock::double(), DType::F64).unwrap();
}

/// A convolution and a norm that stand twice in a row.
fn used_twice<E: Engine>(engine: &E, dtype: DType) -> Result<Vec<Vec<f64>>> {
    let make = |shape: &[usize], stream| {
        let values: Vec<f32> = numbers(shape.iter().product(), stream).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?)
    };
    let parameters = [
        make(&[5, 1, 3, 3], 0)?,
        make(&[5, 5, 3, 3], 1)?,
        make(&[5], 2)?,
        make(&[5], 3)?,
        make(&[1, 5, 3, 3], 4)?,
        make(&[1], 5)?,
    ];
    let tensors: Vec<Tensor> = parameters.iter().map(|p| p.as_tensor().clone()).collect();
    let [first, twice, gamma, beta, last, bias] = &tensors[..] else {
        unreachable!("six parameters")
    };
    let loss = || {
        let shape = [2, 1, 6, 6];
        let floats = |stream| numbers(72, stream).collect::<Vec<f32>>();
        let affine = Affine {
            gamma: std::slice::from_ref(gamma),
            beta: std::slice::from_ref(beta),
            route: &engine.route(&[0, 0]),
        };
        let run = || {
            let mut y = engine.conv(&engine.pack(&floats(6), shape)?, first, 1)?;
            for _ in 0..2 {
                y = engine.conv(&y, twice, 1)?;
                y = engine.norm(&y, affine, 1e-5, None, Activation::Relu)?;
            }
            let logits = engine.conv_bias(&y, last, bias, Activation::Linear)?;
            let target: Vec<f32> = floats(7).iter().map(|v| v.ceil().max(0.0)).collect();
            let target = engine.pack(&target, shape)?;
            engine.dice_loss(&logits, &target, 2, 1e-2, DiceOver::Image)
        };
        run().unwrap()
    };
    let all: Vec<&Tensor> = tensors.iter().collect();
    let flat = |gradient: &Option<Tensor>| {
        let gradient = gradient.as_ref().expect("a gradient");
        gradient.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
    };
    let found = engine.gradients(loss(), 1.0, &all)?;
    let found = found.iter().map(flat).collect::<Result<_>>()?;
    handed_out_once(engine, loss, &parameters)?;
    Ok(found)
}

#[test]
fn a_parameter_used_twice_has_one_gradient() {
    let found = used_twice(&lanes(), DType::F32).unwrap();
    let expected = used_twice(&Stock::double(), DType::F64).unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        let largest = expected.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-4 * largest);
        }
    }
}

/// Two steps of three images through every expert's branch.
#[test]
fn a_training_ends_where_one_that_waits_for_all_gradients_does() {
    const EXPERTS: usize = 3;
    let training = training_spec(2, 0.999);
    let paper = Recipe::default();
    let recipe = Recipe {
        image: ImageSpec {
            crop: SIDE,
            reduce: 1,
            ..paper.image
        },
        network: network_spec(4),
        training,
        augment: AugmentSpec {
            rotation: 0.0,
            zoom: 0.0,
            noise: 0.0,
            blur: 0.0,
            brightness: 0.0,
            ..paper.augment
        },
    };
    let plane = |values: Vec<f32>| Plane {
        height: SIDE,
        width: SIDE,
        values,
    };
    let image: Vec<f32> = numbers(SIDE * SIDE, 0).collect();
    let masks: Vec<Vec<f32>> = (1..=EXPERTS as u64)
        .map(|expert| {
            let noise = numbers(SIDE * SIDE, expert);
            noise.map(|v| v.ceil().max(0.0)).collect()
        })
        .collect();
    let case = Annotated {
        image: Arc::new(Prepared {
            image: plane(image.clone()),
            background: 0.0,
            foreground: Region {
                origin: [0; 2],
                size: [SIDE; 2],
            },
            frame: Frame {
                original: [SIDE; 2],
                reduce: 1,
            },
        }),
        masks: masks
            .iter()
            .map(|mask| Arc::new(plane(mask.clone())))
            .collect(),
    };
    let start = || UNet::init(&recipe.network, EXPERTS, &Seed::new(3), &Device::Cpu).unwrap();
    let budget = Budget {
        steps: 2,
        lr: 1e-2,
        ..Budget::FINETUNE
    };
    let engine = Lanes::new(NonZeroUsize::MIN);

    let trained = start();
    let batching = ExpertBatching::All;
    let run = Training {
        net: &trained,
        engine: &engine,
        cases: &[case],
        recipe: &recipe,
        budget,
        batching,
        dealt: None,
        objective: Objective::Dice,
        beta: 1.0,
        rate_key: "pretrain.lr".to_owned(),
        tuned: Tuned::Everything,
        seed: Seed::new(4),
    };
    let curve = train(&run, &mut |_| {}).unwrap();

    let waited = start();
    let mut optimiser = RAdam::new(waited.parameters(), &training);
    let parameters: Vec<&Tensor> = waited
        .parameters()
        .iter()
        .map(|p| p.var.as_tensor())
        .collect();
    let share = 1.0 / EXPERTS as f64;
    for (step, of_step) in curve.iter().enumerate() {
        let mut sums: Vec<Option<Tensor>> = vec![None; parameters.len()];
        let mut mean = 0.0;
        for (expert, mask) in masks.iter().enumerate() {
            let shape = [2, 1, SIDE, SIDE];
            let x = engine.pack(&image.repeat(2), shape).unwrap();
            let y = engine.pack(&mask.repeat(2), shape).unwrap();
            let logits = waited.forward(&engine, &x, &[expert; 2]).unwrap();
            let loss = engine
                .dice_loss(&logits, &y, 2, training.smooth, DiceOver::Image)
                .unwrap();
            mean += engine.loss(&loss).unwrap() as f32 * share as f32;
            let found = engine.gradients(loss, share, &parameters).unwrap();
            for (sum, gradient) in sums.iter_mut().zip(found) {
                *sum = match (sum.take(), gradient) {
                    (Some(sum), Some(gradient)) => Some((sum + gradient).unwrap()),
                    (sum, gradient) => sum.or(gradient),
                };
            }
        }
        assert_eq!(of_step.loss, mean);
        let lr = learning_rate(budget.lr, &training, step, budget.steps);
        optimiser.step(&sums, lr).unwrap();
    }
    for (one, other) in trained.parameters().iter().zip(waited.parameters()) {
        let name = (&one.name, one.part);
        assert_eq!(
            bytes(one.var.as_tensor()),
            bytes(other.var.as_tensor()),
            "{name:?}"
        );
    }
}
