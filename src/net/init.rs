//! Initial values, as segmentation_models_pytorch initialises a `Unet("resnet18")`.
//!
//! The rule: each tensor draws from a seed forked by its own name, so that adding a layer moves
//! no other layer's values.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::parameters::Part;
use crate::{manifest::FirstConv, seed::Seed};

/// Values for a parameter by its name and shape.
pub(super) fn values(
    seed: &Seed,
    first_conv: FirstConv,
    name: &str,
    part: Part,
    shape: &[usize],
) -> Vec<f32> {
    let count = shape.iter().product();
    let &[outputs, inputs, height, width] = shape else {
        // Norms and biases: scale 1, shift 0.
        let norm_scale = matches!(part, Part::Expert(_)) && name.ends_with(".weight");
        return vec![if norm_scale { 1.0 } else { 0.0 }; count];
    };
    let area = (height * width) as f64;
    let (fan_in, fan_out) = (inputs as f64 * area, outputs as f64 * area);
    let mut rng = seed.fork(name).rng();
    let mut uniform = |bound: f64| -> Vec<f32> {
        (0..count)
            .map(|_| rng.random_range(-bound..bound) as f32)
            .collect()
    };
    if name.starts_with("segmentation_head.") {
        // Xavier, uniform.
        uniform((6.0 / (fan_in + fan_out)).sqrt())
    } else if name.starts_with("decoder.") {
        // Kaiming for ReLU, uniform, fan-in.
        uniform((6.0 / fan_in).sqrt())
    } else if name == "encoder.conv1.weight" && first_conv == FirstConv::Uniform {
        // PyTorch's default, which the one-channel replacement of the first layer keeps: 1/7.
        uniform(1.0 / fan_in.sqrt())
    } else {
        // Kaiming for ReLU, normal, fan-out.
        let sd = (2.0 / fan_out).sqrt();
        (0..count)
            .map(|_| {
                let draw: f64 = StandardNormal.sample(&mut rng);
                (sd * draw) as f32
            })
            .collect()
    }
}
