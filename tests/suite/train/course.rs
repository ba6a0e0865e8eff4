//! Training, step after step: both engines and PyTorch from the same weights, over the same
//! batches.

use std::num::NonZeroUsize;

use candle_core::{DType, Device, Tensor};
use expertgrid::{
    engine::{
        DiceOver, Engine, Lanes, Stock,
        lanes::{Isa, Kernels, Threads},
    },
    manifest::{FirstConv, NetworkSpec, Reduction, TrainingSpec},
    method::Objective,
    net::{Branches, UNet},
    train::{RAdam, learning_rate},
};
use serde_json::Value;

/// Uniform in [-1, 1), as tests/reference/course.py makes them.
pub fn numbers(count: usize, stream: u64) -> impl Iterator<Item = f32> {
    (0..count as u64).map(move |i| {
        let mut z = (i + (stream << 32) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 40) as f64 / f64::from(1 << 23) - 1.0) as f32
    })
}

struct Course {
    width: usize,
    size: usize,
    batch: usize,
    lr: f64,
    beta2: f64,
    losses: Vec<f64>,
}

/// What PyTorch did.
fn course() -> Course {
    let value: Value = serde_json::from_str(include_str!("../../fixtures/course.json")).unwrap();
    let whole = |name: &str| value[name].as_u64().unwrap() as usize;
    let losses = value["losses"].as_array().unwrap();
    Course {
        width: whole("width"),
        size: whole("size"),
        batch: whole("batch"),
        lr: value["lr"].as_f64().unwrap(),
        beta2: value["beta2"].as_f64().unwrap(),
        losses: losses.iter().map(|loss| loss.as_f64().unwrap()).collect(),
    }
}

/// The network that a course trains.
pub fn network_spec(width: usize) -> NetworkSpec {
    NetworkSpec {
        width,
        norm_eps: 1e-5,
        first_conv: FirstConv::Uniform,
    }
}

/// The paper's training, but for the size of a batch.
pub fn training_spec(batch: usize, beta2: f64) -> TrainingSpec {
    TrainingSpec {
        batch,
        reduction: Reduction::Image,
        smooth: 1e-7,
        lr_end: 0.0,
        lr_power: 0.9,
        beta1: 0.9,
        beta2,
        eps: 1e-8,
    }
}

/// The network at its start: one stream of numbers for each parameter, in the network's order.
///
/// Norms shift even channels up and odd ones down; those whose sum goes through a ReLU shift all
/// channels up.
pub fn net(width: usize, branches: impl Into<Branches>, shift: f32, dtype: DType) -> UNet {
    let spec = network_spec(width);
    let mut stream = 0;
    UNet::with_values(&spec, branches, &Device::Cpu, dtype, &mut |declared| {
        let name = declared.name;
        let values = numbers(declared.len(), stream);
        stream += 1;
        Ok(match declared.shape {
            [_, rest @ ..] if rest.len() == 3 => {
                let bound = (3.0 / rest.iter().product::<usize>() as f64).sqrt() as f32;
                values.map(|value| value * bound).collect()
            }
            [1] => vec![0.0],
            _ if name.ends_with(".weight") => values.map(|value| value * 0.25 + 1.0).collect(),
            _ => {
                let summed = name.contains(".bn2.") || name.contains(".downsample.");
                let sign = |channel| {
                    if summed || channel % 2 == 0 {
                        1.0
                    } else {
                        -1.0
                    }
                };
                let shifted = |(channel, value)| value * 0.25 + shift * sign(channel);
                values.enumerate().map(shifted).collect()
            }
        })
    })
    .unwrap()
}

/// The images and targets of a step: discs on noise, with the disc or the mean of three discs.
fn batch(side: usize, count: usize, step: usize, objective: Objective) -> (Vec<f32>, Vec<f32>) {
    let (mut images, mut masks) = (Vec::new(), Vec::new());
    for b in 0..count {
        let (row, column) = (20 + (step * 7 + b * 5) % 24, 20 + (step * 11 + b * 3) % 24);
        let noise = numbers(side * side, (1000 + step * count + b) as u64);
        for (place, noise) in noise.enumerate() {
            let (y, x) = (place / side, place % side);
            let distance = y.abs_diff(row).pow(2) + x.abs_diff(column).pow(2);
            let within = |square| f32::from(u8::from(distance < square));
            let disc = within(144);
            masks.push(match objective {
                Objective::Dice | Objective::Elbo => disc,
                Objective::MeanMask | Objective::MaskAndMap => {
                    [100, 144, 196].map(within).iter().sum::<f32>() / 3.0
                }
            });
            images.push(disc + noise);
        }
    }
    (images, masks)
}

/// What a batch made of a network.
pub struct Pass<T> {
    pub logits: T,
    pub loss: f64,
    /// Of the parameters asked for.
    pub gradients: Vec<Option<Tensor>>,
}

/// Passes the batch of a step through the network, forth and back; `experts` has the branch of each
/// image.
pub fn pass<E: Engine>(
    engine: &E,
    net: &UNet,
    side: usize,
    step: usize,
    experts: &[usize],
    objective: Objective,
    parameters: &[&Tensor],
) -> Pass<E::Tensor> {
    let count = experts.len();
    let (images, masks) = batch(side, count, step, objective);
    let x = engine.pack(&images, [count, 1, side, side]).unwrap();
    let y = engine.pack(&masks, [count, 1, side, side]).unwrap();
    if objective == Objective::MaskAndMap {
        return mask_and_map(engine, net, &x, &masks, [count, 1, side, side], parameters);
    }
    if objective == Objective::Elbo {
        return two_latents(engine, net, side, step, &x, &images, parameters);
    }
    let logits = net.forward(engine, &x, experts).unwrap();
    let loss = match objective {
        Objective::Elbo | Objective::MaskAndMap => unreachable!("they have functions of their own"),
        Objective::Dice => engine.dice_loss(&logits, &y, count, 1e-7, DiceOver::Image),
        Objective::MeanMask => engine.cross_entropy(&logits, &y, count),
    };
    let loss = loss.unwrap();
    Pass {
        logits,
        loss: engine.loss(&loss).unwrap(),
        gradients: engine.gradients(loss, 1.0, parameters).unwrap(),
    }
}

/// Passes a batch through a network with a head for a mask and one for a map; the logits are those
/// of the mask.
fn mask_and_map<E: Engine>(
    engine: &E,
    net: &UNet,
    x: &E::Tensor,
    means: &[f32],
    shape: [usize; 4],
    parameters: &[&Tensor],
) -> Pass<E::Tensor> {
    let count = shape[0];
    let packed = |of: &dyn Fn(f32) -> f32| {
        let values: Vec<f32> = means.iter().map(|mean| of(*mean)).collect();
        engine.pack(&values, shape).unwrap()
    };
    let majority = packed(&|mean| f32::from(u8::from(mean > 0.5)));
    let map = packed(&|mean| 4.0 * mean * (1.0 - mean));
    let features = net.features(engine, x, &vec![0; count]).unwrap();
    let logits = net.logits(engine, &features, 0).unwrap();
    let of_map = net.logits(engine, &features, 1).unwrap();
    let dice = engine.dice_loss(&logits, &majority, count, 1e-7, DiceOver::Image);
    let cross_entropy = engine.cross_entropy(&of_map, &map, count);
    let losses = [(dice.unwrap(), 1.0), (cross_entropy.unwrap(), 1.0)];
    let loss = engine.sum(&losses).unwrap();
    Pass {
        logits,
        loss: engine.loss(&loss).unwrap(),
        gradients: engine.gradients(loss, 1.0, parameters).unwrap(),
    }
}

/// Passes a batch with two masks an image through a probabilistic network; the logits are those of
/// the first mask.
fn two_latents<E: Engine>(
    engine: &E,
    net: &UNet,
    side: usize,
    step: usize,
    x: &E::Tensor,
    images: &[f32],
    parameters: &[&Tensor],
) -> Pass<E::Tensor> {
    let pixels = side * side;
    let count = images.len() / pixels;
    let shape = [count, 1, side, side];
    let features = net.features(engine, x, &vec![0; count]).unwrap();
    let prior = net.prior(engine, x).unwrap();
    let mut logits = None;
    let mut losses = Vec::new();
    for (place, square) in [100, 196].into_iter().enumerate() {
        let discs = (0..count).flat_map(|b| {
            let (row, column) = (20 + (step * 7 + b * 5) % 24, 20 + (step * 11 + b * 3) % 24);
            (0..pixels).map(move |pixel| {
                let (y, x) = (pixel / side, pixel % side);
                let distance = y.abs_diff(row).pow(2) + x.abs_diff(column).pow(2);
                f32::from(u8::from(distance < square))
            })
        });
        let masks: Vec<f32> = discs.collect();
        let pairs = images.chunks(pixels).zip(masks.chunks(pixels));
        let pairs = pairs.flat_map(|(image, mask)| {
            let centred = mask.iter().map(|inside| inside - 0.5);
            image.iter().copied().chain(centred).collect::<Vec<f32>>()
        });
        let pairs: Vec<f32> = pairs.collect();
        let pairs = engine.pack(&pairs, [count, 2, side, side]).unwrap();
        let posterior = net.posterior(engine, &pairs).unwrap();
        let noise = numbers(
            count * net.branches().latent(),
            (50_000 + 2 * step + place) as u64,
        );
        let z = engine
            .draw(&posterior, &noise.collect::<Vec<f32>>())
            .unwrap();
        let decoded = net.decode(engine, &features, &z).unwrap();
        let target = engine.pack(&masks, shape).unwrap();
        let cross_entropy = engine.cross_entropy(&decoded, &target, count).unwrap();
        let divergence = engine.divergence(&posterior, &prior, count).unwrap();
        losses.push((cross_entropy, 0.5));
        losses.push((divergence, 0.5 / pixels as f64));
        logits.get_or_insert(decoded);
    }
    let loss = engine.sum(&losses).unwrap();
    Pass {
        logits: logits.unwrap(),
        loss: engine.loss(&loss).unwrap(),
        gradients: engine.gradients(loss, 1.0, parameters).unwrap(),
    }
}

/// The loss of each of the first `steps` steps, and all parameters after the last.
fn losses<E: Engine>(
    engine: &E,
    dtype: DType,
    course: &Course,
    steps: usize,
    mut between: impl FnMut(usize),
) -> (Vec<f64>, Vec<f64>) {
    let net = net(course.width, 1, 0.0, dtype);
    let spec = training_spec(course.batch, course.beta2);
    let mut optimiser = RAdam::new(net.parameters(), &spec);
    let parameters: Vec<&Tensor> = net.parameters().iter().map(|p| p.var.as_tensor()).collect();
    let experts = vec![0; course.batch];
    let mut losses = Vec::new();
    for step in 0..steps {
        between(step);
        let Pass {
            loss, gradients, ..
        } = pass(
            engine,
            &net,
            course.size,
            step,
            &experts,
            Objective::Dice,
            &parameters,
        );
        losses.push(loss);
        let lr = learning_rate(course.lr, &spec, step, course.losses.len());
        optimiser.step(&gradients, lr).unwrap();
    }
    let flat = |tensor: &&Tensor| -> Vec<f64> {
        let tensor = tensor.to_dtype(DType::F64).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    (losses, parameters.iter().flat_map(flat).collect())
}

/// Asserts that two courses are one. Rounding errors grow with the steps, by ReLUs and maxima that
/// fall on the other side: candle's own operations and PyTorch, which round alike at first, are
/// 2.5e-3 apart at most, while the loss falls by 0.4.
fn same_course(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        let bound = if step < 10 { 1e-3 } else { 1e-2 };
        assert!(
            (found - expected).abs() <= bound,
            "{what}, step {step}: a loss of {found} for {expected}"
        );
    }
}

#[test]
fn a_hundred_steps_take_pytorchs_course() {
    let course = course();
    let steps = course.losses.len();
    assert_eq!(steps, 100);
    for isa in Isa::available() {
        let lanes = Lanes::with_kernels(Kernels::with_isa(isa, Threads::Caller).unwrap());
        let (found, _) = losses(&lanes, DType::F32, &course, steps, |_| {});
        same_course(isa.name(), &found, &course.losses);
    }
}

#[test]
fn no_instruction_set_changes_a_bit_of_a_training() {
    for (width, size, batch) in [(8, 64, 16), (16, 64, 5), (12, 96, 17)] {
        let course = Course {
            width,
            size,
            batch,
            ..course()
        };
        let bits = |isa: Isa| -> Vec<u64> {
            let lanes = Lanes::with_kernels(Kernels::with_isa(isa, Threads::Caller).unwrap());
            let (losses, parameters) = losses(&lanes, DType::F32, &course, 10, |_| {});
            let all = losses.iter().chain(&parameters);
            all.map(|value| value.to_bits()).collect()
        };
        let [first, others @ ..] = &Isa::available()[..] else {
            panic!("every machine has an instruction set");
        };
        let expected = bits(*first);
        for isa in others {
            assert!(
                expected == bits(*isa),
                "width {width}: {isa} beside {first}"
            );
        }
    }
}

#[test]
fn lanes_and_stock_stay_close_over_a_hundred_steps() {
    let course = course();
    let steps = course.losses.len();
    let stock = Stock::new(Device::Cpu);
    let (expected, expected_parameters) = losses(&stock, DType::F32, &course, steps, |_| {});
    let lanes = Lanes::with_kernels(Kernels::new(Threads::Caller));
    let (found, parameters) = losses(&lanes, DType::F32, &course, steps, |_| {});
    same_course("lanes", &found, &expected);
    // Where the networks ended, relative to their size; strangers are 1.4 apart.
    let distance = |a: &[f64], b: &[f64]| -> f64 {
        let square = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        square.sqrt()
    };
    let zeros = vec![0.0; parameters.len()];
    let apart = distance(&parameters, &expected_parameters) / distance(&parameters, &zeros);
    assert!(apart < 0.25, "{apart}");
}

#[test]
fn threads_change_no_bit_of_a_training_even_when_their_number_changes() {
    let course = course();
    let bits = |threads: Threads, between: &mut dyn FnMut(usize)| -> Vec<u64> {
        let lanes = Lanes::with_kernels(Kernels::new(threads));
        let (losses, parameters) = losses(&lanes, DType::F32, &course, 6, between);
        losses
            .iter()
            .chain(&parameters)
            .map(|v| v.to_bits())
            .collect()
    };
    let count = |count| NonZeroUsize::new(count).unwrap();
    let alone = bits(Threads::Caller, &mut |_| {});
    assert!(
        alone == bits(Threads::Caller, &mut |_| {}),
        "twice the same"
    );
    for threads in [2, 3] {
        assert!(
            alone == bits(Threads::eager(count(threads)), &mut |_| {}),
            "{threads} threads"
        );
    }
    let threads = Threads::eager(count(1));
    let adjusted = bits(threads.clone(), &mut |step| {
        threads.adjust(count(1 + step % 3))
    });
    assert!(alone == adjusted, "threads that come and go");
}
