//! The engines against each other: the same network, weights and images.

use std::num::NonZeroUsize;

use candle_core::{DType, Device, Tensor};
use expertgrid::{
    engine::{
        DiceOver, Engine, Lanes, Stock,
        lanes::{Isa, Kernels, Threads},
    },
    manifest::{FirstConv, NetworkSpec},
    net::{Part, UNet},
    seed::Seed,
};
use rand::RngExt;

pub fn net(seed: u64, dtype: DType) -> UNet {
    let spec = NetworkSpec {
        width: 8,
        norm_eps: 1e-5,
        first_conv: FirstConv::Uniform,
    };
    // Off the initial state, where the deepest norms see single pixels and ReLUs sit on their kink.
    UNet::with_values(&spec, 3, &Device::Cpu, dtype, &mut |declared| {
        let expert = match declared.part {
            Part::Shared => 0,
            Part::Expert(expert) => expert as u64,
        };
        let mut rng = Seed::new(seed).fork(declared.name).at(expert).rng();
        let count = declared.len();
        let spread = match declared.shape {
            [_, inputs, height, width] => (3.0 / (inputs * height * width) as f32).sqrt(),
            _ => 0.5,
        };
        let centre = if declared.shape.len() == 1 && declared.name.contains(".weight") {
            1.0
        } else {
            0.0
        };
        Ok((0..count)
            .map(|_| centre + rng.random_range(-spread..spread))
            .collect())
    })
    .unwrap()
}

/// The logits of a batch, its loss, and the gradient of every parameter.
pub fn pass<E: Engine>(
    engine: &E,
    net: &UNet,
    batch: usize,
    size: usize,
    over: DiceOver,
) -> (Vec<f64>, f64, Vec<Vec<f64>>) {
    let mut rng = Seed::new(2).rng();
    let pixels: Vec<f32> = (0..batch * size * size)
        .map(|_| rng.random_range(-1.0..1.0))
        .collect();
    let target: Vec<f32> = pixels
        .iter()
        .map(|v| f32::from(u8::from(*v > 0.3)))
        .collect();
    // The third expert is absent.
    let experts: Vec<usize> = (0..batch).map(|i| i % 2).collect();
    let shape = [batch, 1, size, size];
    let x = engine.pack(&pixels, shape).unwrap();
    let y = engine.pack(&target, shape).unwrap();
    let logits = net.forward(engine, &x, &experts).unwrap();
    let loss = engine.dice_loss(&logits, &y, batch, 1e-7, over).unwrap();
    let flat = |tensor: &Tensor| -> Vec<f64> {
        let tensor = tensor.to_dtype(DType::F64).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    let logits = flat(&engine.unpack(&logits, batch).unwrap());
    let value = engine.loss(&loss).unwrap();
    let parameters: Vec<&Tensor> = net.parameters().iter().map(|p| p.var.as_tensor()).collect();
    let gradients = engine.gradients(loss, 1.0, &parameters).unwrap();
    let gradients = gradients
        .iter()
        .map(|g| g.as_ref().map_or(Vec::new(), &flat))
        .collect();
    (logits, value, gradients)
}

/// The largest difference, relative to the largest value; what is smaller than 1e-6 throughout (the
/// gradients behind norms of single pixels are zero but for rounding) counts as that large.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(1e-6_f64, |m, v| m.max(v.abs()));
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0_f64, f64::max) / largest
}

fn threads(count: usize) -> Threads {
    Threads::new(NonZeroUsize::new(count).unwrap())
}

/// In single precision a ReLU or a maximum may fall on the other side than in double precision, and
/// with few pixels in the deepest layers that moves every gradient before it. So each case is tried
/// with several sets of weights: rounding alone must explain the best of them, and no flip explains
/// a large error.
#[test]
fn lanes_agree_with_stock_in_double_precision() {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    // 64 and 96 pixels: at 32 the deepest norms see single pixels, which no f32 can follow.
    for (batch, size, over) in [
        (1, 64, DiceOver::Image),
        (5, 96, DiceOver::Batch),
        (16, 64, DiceOver::Image),
        (19, 64, DiceOver::Batch),
    ] {
        let mut best = vec![f64::INFINITY; Isa::available().len()];
        for seed in 1..=5 {
            let (logits, loss, gradients) =
                pass(&Stock::double(), &net(seed, DType::F64), batch, size, over);
            for (isa, best) in Isa::available().into_iter().zip(&mut best) {
                let lanes = Lanes::with_kernels(Kernels::with_isa(isa, threads(1)).unwrap());
                let single = net(seed, DType::F32);
                let (found, found_loss, found_gradients) = pass(&lanes, &single, batch, size, over);
                assert!(
                    distance(&logits, &found) < 1e-4,
                    "{isa}, batch {batch}, weights {seed}: logits"
                );
                assert!(
                    (loss - found_loss).abs() < 1e-5,
                    "{isa}, batch {batch}: {loss} against {found_loss}"
                );
                let pairs = gradients.iter().zip(&found_gradients);
                let off: Vec<f64> = pairs
                    .map(|(expected, found)| distance(expected, found))
                    .collect();
                assert!(
                    mean(&off) < 5e-2,
                    "{isa}, batch {batch}, weights {seed}: {off:?}"
                );
                *best = best.min(mean(&off));
                for (parameter, gradient) in single.parameters().iter().zip(&found_gradients) {
                    // An absent expert has no gradient, not one of zeros.
                    let absent =
                        matches!(parameter.part, Part::Expert(expert) if expert >= batch.min(2));
                    assert_eq!(gradient.is_empty(), absent);
                }
            }
        }
        assert!(
            best.iter().all(|off| *off < 1e-4),
            "batch {batch}: {best:?}"
        );
    }
}

#[test]
fn threads_change_no_bit() {
    let bits = |count: usize| {
        let lanes = Lanes::with_kernels(Kernels::new(threads(count)));
        let (logits, loss, gradients) = pass(&lanes, &net(1, DType::F32), 19, 64, DiceOver::Image);
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        (
            bits(&logits),
            loss.to_bits(),
            gradients.iter().map(|g| bits(g)).collect::<Vec<_>>(),
        )
    };
    let one = bits(1);
    assert!(one == bits(1), "twice the same");
    for count in [2, 3] {
        assert!(one == bits(count), "{count} threads");
    }
}

/// Seven images of two sizes through three branches, so that batches are cut and mixed in every
/// way.
#[test]
fn predicting_branches_together_changes_no_bit() {
    use expertgrid::data::prepare::{Frame, Plane, Prepared, Region};
    use expertgrid::manifest::{CropAt, FieldOfView, ImageSpec};
    use expertgrid::train::predict;
    use std::sync::Arc;

    let spec = ImageSpec {
        crop: 64,
        reduce: 1,
        crop_at: CropAt::Foreground,
        field_of_view: FieldOfView::Full,
    };
    let case = |i: usize| {
        let (height, width) = if i.is_multiple_of(3) {
            (64, 96)
        } else {
            (64, 64)
        };
        let mut rng = Seed::new(7).at(i as u64).rng();
        let values = (0..height * width).map(|_| rng.random_range(-1.0..1.0));
        let size = [height, width];
        let image = Prepared {
            image: Plane {
                height,
                width,
                values: values.collect(),
            },
            background: 0.0,
            foreground: Region {
                origin: [0, 0],
                size,
            },
            frame: Frame {
                original: size,
                reduce: 1,
            },
        };
        (format!("case {i}"), Arc::new(image))
    };
    let cases: Vec<_> = (0..7).map(case).collect();
    let net = net(1, DType::F32);
    let lanes = Lanes::with_kernels(Kernels::new(threads(1)));
    let together = predict(&net, &lanes, &[0, 1, 2], &cases, &spec).unwrap();
    for (branch, together) in together.iter().enumerate() {
        for (case, together) in cases.iter().zip(together) {
            let alone = predict(&net, &lanes, &[branch], std::slice::from_ref(case), &spec);
            assert_eq!(alone.unwrap(), [vec![together.clone()]]);
            assert_eq!(together.case, case.0);
        }
    }
    assert!(together[0] != together[1]);
}
