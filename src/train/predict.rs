//! Predictions of a trained network for test images.

use std::sync::Arc;

use candle_core::Result;

use crate::{
    data::prepare::{Prediction, Prepared, Region},
    engine::Engine,
    manifest::ImageSpec,
    net::UNet,
};

/// Predicts images, named, through one branch of the network. Instance norm makes the images
/// independent of each other, so those of one size share a batch.
///
/// # Errors
/// Where a tensor operation fails.
pub fn predict<E: Engine>(
    net: &UNet,
    engine: &E,
    branch: usize,
    cases: &[(String, Arc<Prepared>)],
    spec: &ImageSpec,
) -> Result<Vec<Prediction>> {
    let views: Vec<Region> = cases.iter().map(|(_, case)| case.view(spec)).collect();
    let mut predictions = Vec::with_capacity(cases.len());
    let mut first = 0;
    while first < cases.len() {
        let size = views[first].size;
        let alike = views[first..]
            .iter()
            .take_while(|view| view.size == size)
            .count();
        let batch = first..first + alike;
        let pixels: Vec<f32> = batch
            .clone()
            .flat_map(|i| cases[i].1.cut(&views[i]).values)
            .collect();
        let x = engine.pack(&pixels, [alike, size[0], size[1]])?;
        let logits = net.forward(engine, &x, &vec![branch; alike])?;
        let logits = logits_of(engine, &logits, alike)?;
        for (i, logits) in batch.zip(logits.chunks(size[0] * size[1])) {
            predictions.push(Prediction {
                case: cases[i].0.clone(),
                frame: cases[i].1.frame,
                region: views[i],
                probability: logits
                    .iter()
                    .map(|z| Prediction::quantise(sigmoid(*z)))
                    .collect(),
            });
        }
        first += alike;
    }
    Ok(predictions)
}

fn logits_of<E: Engine>(engine: &E, logits: &E::Tensor, batch: usize) -> Result<Vec<f32>> {
    engine.unpack(logits, batch)?.flatten_all()?.to_vec1()
}

fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}
