//! The latent that a new expert is served with: the mean of the posterior over annotated cases.

use std::sync::Arc;

use candle_core::{DType, Result};

use super::elbo::with_mask;
use crate::{
    data::{
        Mask,
        prepare::{Prepared, prepare_mask},
    },
    engine::Engine,
    manifest::ImageSpec,
    net::{LATENT, UNet},
};

/// The mean over some cases of the mean of the posterior. Each image is in its test view and not
/// augmented, its mask in the same.
///
/// # Errors
/// A tensor operation fails, or the network has no latent.
pub fn posterior_mean<E: Engine>(
    net: &UNet,
    engine: &E,
    cases: &[(Arc<Prepared>, &Mask)],
    spec: &ImageSpec,
) -> Result<Vec<f32>> {
    let mut sums = vec![0.0f64; LATENT];
    for (image, mask) in cases {
        let view = image.view(spec);
        let mut inside = prepare_mask(mask, spec);
        for share in &mut inside.values {
            *share = if *share >= 0.5 { 1.0 } else { 0.0 };
        }
        let mask = Prepared {
            image: inside,
            background: 0.0,
            ..(**image).clone()
        };
        let pair = with_mask(&image.cut(&view).values, &mask.cut(&view).values);
        let [height, width] = view.size;
        let posterior = net.posterior(engine, &engine.pack(&pair, [1, 2, height, width])?)?;
        let numbers = engine.unpack(&posterior, 1)?.flatten_all()?;
        let numbers: Vec<f32> = numbers.to_dtype(DType::F32)?.to_vec1()?;
        let means = sums.iter_mut().zip(numbers);
        means.for_each(|(sum, mean)| *sum += f64::from(mean));
    }
    let count = cases.len() as f64;
    Ok(sums.into_iter().map(|sum| (sum / count) as f32).collect())
}
