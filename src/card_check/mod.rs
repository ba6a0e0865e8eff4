//! Whether a card computes what the processor does: a small network as a whole, and every layer of
//! a network at its shapes.
//!
//! The rule: numbers are compared, not bytes. A card adds in another order, and where a ReLU falls
//! on the other side, a gradient differs; so what is compared is drawn such that few do, and the
//! worst of several draws' best counts.

mod layers;

use std::num::NonZeroUsize;

use candle_core::{Result, Tensor};
use rand::RngExt;

use crate::{
    engine::{DiceOver, Engine, Lanes, cuda::Precision},
    manifest::{FirstConv, NetworkSpec},
    net::UNet,
    seed::Seed,
};

pub use layers::{Layer, LayerCheck, check_layers};

/// The most by which single precision may differ, relative to the largest number.
const TOLERANCE: f64 = 1e-3;

/// The most by which a precision may differ, relative to the largest number.
pub fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => TOLERANCE,
        // Ten bits of mantissa are a thousandth, and layers add up.
        Precision::Tf32 => 200.0 * TOLERANCE,
    }
}

/// Logits, loss and gradients, each in one list.
type Numbers = Vec<Vec<f32>>;

/// How far an engine is from the processor's over a pass of a small network, relative to the
/// largest number of each: the farthest of logits, loss and gradients, the best of three draws.
///
/// # Errors
/// Where a tensor operation fails.
pub fn distance_over_a_network<E: Engine>(engine: &E) -> Result<f64> {
    let lanes = Lanes::new(NonZeroUsize::MIN);
    let mut best = f64::INFINITY;
    for draw in 1..=3 {
        let [expected, found] = [pass(&lanes, draw)?, pass(engine, draw)?];
        let pairs = expected.iter().zip(&found);
        let most = pairs.map(|(a, b)| distance(a, b)).fold(0.0, f64::max);
        best = best.min(most);
        if best < TOLERANCE / 10.0 {
            break;
        }
    }
    Ok(best)
}

/// The largest difference, relative to the largest number; numbers that are zero but for rounding
/// count as a thousandth. Infinite where one is not finite, or where numbers are missing.
fn distance(expected: &[f32], found: &[f32]) -> f64 {
    if expected.len() != found.len() {
        return f64::INFINITY;
    }
    let largest = expected
        .iter()
        .fold(1e-3_f64, |most, v| most.max(f64::from(v.abs())));
    let pairs = expected.iter().zip(found);
    let differences = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs() / largest);
    differences.fold(0.0, |most, off| {
        if off <= most {
            most
        } else {
            off.min(f64::INFINITY)
        }
    })
}

/// Numbers from -1 to 1.
fn drawn(seed: &Seed, name: &str, count: usize) -> Vec<f32> {
    let mut rng = seed.fork(name).rng();
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// A pass of three images of 32 x 32 through a network of width 4 with two experts' norms.
fn pass<E: Engine>(engine: &E, draw: u64) -> Result<Numbers> {
    const SIDE: usize = 32;
    const BATCH: usize = 3;
    let seed = Seed::new(draw).fork("card");
    let spec = NetworkSpec {
        width: 4,
        norm_eps: 1e-5,
        first_conv: FirstConv::Uniform,
    };
    let device = engine.device();
    let net = UNet::with_values(&spec, 2, device, candle_core::DType::F32, &mut |declared| {
        let values = drawn(&seed, declared.name, declared.len());
        Ok(match declared.shape {
            [_, rest @ ..] if rest.len() == 3 => {
                let spread = (3.0 / rest.iter().product::<usize>() as f32).sqrt();
                values.into_iter().map(|value| value * spread).collect()
            }
            // Scales about 1, and shifts that keep most numbers on one side of a ReLU.
            _ => values.into_iter().map(|value| 1.0 + value / 4.0).collect(),
        })
    })?;
    let pixels = drawn(&seed, "images", BATCH * SIDE * SIDE);
    let target: Vec<f32> = pixels
        .iter()
        .map(|v| f32::from(u8::from(*v > 0.3)))
        .collect();
    let shape = [BATCH, 1, SIDE, SIDE];
    let (x, y) = (engine.pack(&pixels, shape)?, engine.pack(&target, shape)?);
    let logits = net.forward(engine, &x, &[0, 1, 0])?;
    let loss = engine.dice_loss(&logits, &y, BATCH, 1e-2, DiceOver::Image)?;
    let mut numbers = vec![
        flat(&engine.unpack(&logits, BATCH)?)?,
        vec![engine.loss(&loss)? as f32],
    ];
    let parameters: Vec<&Tensor> = net.parameters().iter().map(|p| p.var.as_tensor()).collect();
    for gradient in engine.gradients(loss, 1.0, &parameters)? {
        numbers.push(gradient.as_ref().map_or(Ok(Vec::new()), flat)?);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Stock;

    #[test]
    fn engines_of_the_processor_agree() {
        let stock = Stock::new(candle_core::Device::Cpu);
        let off = distance_over_a_network(&stock).unwrap();
        assert!(off < TOLERANCE / 10.0, "{off}");
    }

    #[test]
    fn what_is_missing_or_not_finite_is_infinitely_far() {
        assert_eq!(distance(&[1.0, 2.0], &[1.0]), f64::INFINITY);
        assert_eq!(distance(&[1.0, 2.0], &[1.0, f32::NAN]), f64::INFINITY);
        assert_eq!(distance(&[1.0, 2.0], &[1.0, f32::INFINITY]), f64::INFINITY);
        assert_eq!(distance(&[1.0, -4.0], &[1.0, -5.0]), 0.25);
    }
}
