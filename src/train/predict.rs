//! Predictions of a trained network for test images.

use std::sync::Arc;

use candle_core::Result;

use crate::{
    data::prepare::{Prediction, Prepared, Region},
    engine::Engine,
    manifest::ImageSpec,
    net::UNet,
};

/// Images in a batch: what the fast engine takes at once. Few test images fill it with several experts' branches.
const TOGETHER: usize = 16;

/// Predicts images, named, through branches of the network: for each branch, all images. Instance norm makes the samples of a
/// batch independent of each other, so images of one size share batches, whatever their branch.
///
/// # Errors
/// Where a tensor operation fails.
pub fn predict<E: Engine>(
    net: &UNet,
    engine: &E,
    branches: &[usize],
    cases: &[(String, Arc<Prepared>)],
    spec: &ImageSpec,
) -> Result<Vec<Vec<Prediction>>> {
    let views: Vec<Region> = cases.iter().map(|(_, case)| case.view(spec)).collect();
    let mut samples: Vec<(usize, usize)> = (0..branches.len())
        .flat_map(|branch| (0..cases.len()).map(move |case| (branch, case)))
        .collect();
    // Stable: within a size the order stays.
    samples.sort_by_key(|(_, case)| views[*case].size);
    let mut predictions = vec![vec![None; cases.len()]; branches.len()];
    for alike in samples.chunk_by(|(_, a), (_, b)| views[*a].size == views[*b].size) {
        for batch in alike.chunks(TOGETHER) {
            let [height, width] = views[batch[0].1].size;
            let pixels: Vec<f32> = batch
                .iter()
                .flat_map(|(_, case)| cases[*case].1.cut(&views[*case]).values)
                .collect();
            let x = engine.pack(&pixels, [batch.len(), height, width])?;
            let experts: Vec<usize> = batch.iter().map(|(branch, _)| branches[*branch]).collect();
            let logits = net.forward(engine, &x, &experts)?;
            let logits = logits_of(engine, &logits, batch.len())?;
            for ((branch, case), logits) in batch.iter().zip(logits.chunks(height * width)) {
                let (name, prepared) = &cases[*case];
                predictions[*branch][*case] = Some(Prediction {
                    case: name.clone(),
                    frame: prepared.frame,
                    region: views[*case],
                    probability: logits
                        .iter()
                        .map(|z| Prediction::quantise(sigmoid(*z)))
                        .collect(),
                });
            }
        }
    }
    let whole = |of_branch: Vec<Option<Prediction>>| of_branch.into_iter().flatten().collect();
    Ok(predictions.into_iter().map(whole).collect())
}

fn logits_of<E: Engine>(engine: &E, logits: &E::Tensor, batch: usize) -> Result<Vec<f32>> {
    engine.unpack(logits, batch)?.flatten_all()?.to_vec1()
}

fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}
