//! Predictions of a trained network for test images.

use std::sync::Arc;

use candle_core::Result;

use crate::{
    data::prepare::{Plane, Prediction, Prepared, Region},
    engine::Engine,
    manifest::ImageSpec,
    net::UNet,
};

/// Images in a batch: as many as the fast engine computes at once.
const TOGETHER: usize = 16;

/// Predictions for named images by branches of the network: for each branch, all images.
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
    let images: Vec<Arc<Prepared>> = cases.iter().map(|(_, image)| image.clone()).collect();
    let predicted = |((name, image), logits): (&(String, Arc<Prepared>), Plane)| {
        prediction(name, image, &logits, spec)
    };
    let by_branch = logits(net, engine, branches, &images, spec)?;
    let of_branch = |planes: Vec<Plane>| cases.iter().zip(planes).map(predicted).collect();
    Ok(by_branch.into_iter().map(of_branch).collect())
}

/// The predictions of test images with the latent of each image that `noise` `[d]` draws from its
/// prior.
///
/// # Errors
/// Where a tensor operation fails, or the network takes no latent.
pub fn predict_drawn<E: Engine>(
    net: &UNet,
    engine: &E,
    noise: &[f32],
    cases: &[(String, Arc<Prepared>)],
    spec: &ImageSpec,
) -> Result<Vec<Prediction>> {
    let noises = [noise.to_vec()];
    let each = cases.iter().map(|(name, image)| {
        let planes = samples(net, engine, image, &noises, spec)?;
        Ok(prediction(name, image, &planes[0], spec))
    });
    each.collect()
}

fn prediction(name: &str, image: &Prepared, logits: &Plane, spec: &ImageSpec) -> Prediction {
    let probability = logits.values.iter();
    Prediction {
        case: name.to_owned(),
        frame: image.frame,
        region: image.view(spec),
        probability: probability
            .map(|z| Prediction::quantise(sigmoid(*z)))
            .collect(),
        threshold: Prediction::HALF,
    }
}

/// The network's output for images, over the field of view of each ([`Prepared::view`]): for each
/// branch, all images. Instance norm makes the samples of a batch independent of each other, so
/// images of one size share batches, whatever their branch, as far as branches mix.
///
/// # Errors
/// Where a tensor operation fails.
pub fn logits<E: Engine>(
    net: &UNet,
    engine: &E,
    branches: &[usize],
    images: &[Arc<Prepared>],
    spec: &ImageSpec,
) -> Result<Vec<Vec<Plane>>> {
    let views: Vec<Region> = images.iter().map(|image| image.view(spec)).collect();
    let mut samples: Vec<(usize, usize)> = (0..branches.len())
        .flat_map(|branch| (0..images.len()).map(move |image| (branch, image)))
        .collect();
    // What can share a batch: images of one size, of any branch where branches mix.
    let alike = |(branch, image): &(usize, usize)| {
        let branch = (!net.mixes_branches()).then_some(*branch);
        (views[*image].size, branch)
    };
    // Stable: among those the order stays.
    samples.sort_by_key(&alike);
    let mut planes = vec![vec![None; images.len()]; branches.len()];
    for together in samples.chunk_by(|a, b| alike(a) == alike(b)) {
        for batch in together.chunks(TOGETHER) {
            let [height, width] = views[batch[0].1].size;
            let pixels: Vec<f32> = batch
                .iter()
                .flat_map(|(_, image)| images[*image].cut(&views[*image]).values)
                .collect();
            let x = engine.pack(&pixels, [batch.len(), 1, height, width])?;
            let experts: Vec<usize> = batch.iter().map(|(branch, _)| branches[*branch]).collect();
            let logits = net.forward(engine, &x, &experts)?;
            let logits = logits_of(engine, &logits, batch.len())?;
            for ((branch, image), logits) in batch.iter().zip(logits.chunks(height * width)) {
                planes[*branch][*image] = Some(Plane {
                    height,
                    width,
                    values: logits.to_vec(),
                });
            }
        }
    }
    let whole = |of_branch: Vec<Option<Plane>>| of_branch.into_iter().flatten().collect();
    Ok(planes.into_iter().map(whole).collect())
}

/// The logits of one image for several latents that are drawn from its prior, each with a noise
/// `[d]`.
///
/// # Errors
/// Where a tensor operation fails, or the network takes no latent.
pub fn samples<E: Engine>(
    net: &UNet,
    engine: &E,
    image: &Prepared,
    noises: &[Vec<f32>],
    spec: &ImageSpec,
) -> Result<Vec<Plane>> {
    let view = image.view(spec);
    let [height, width] = view.size;
    let pixels = image.cut(&view).values;
    let mut planes = Vec::new();
    for together in noises.chunks(TOGETHER) {
        let shape = [together.len(), 1, height, width];
        let x = engine.pack(&pixels.repeat(together.len()), shape)?;
        let logits = net.sample(engine, &x, &together.concat())?;
        let logits = logits_of(engine, &logits, together.len())?;
        planes.extend(logits.chunks(height * width).map(|logits| Plane {
            height,
            width,
            values: logits.to_vec(),
        }));
    }
    Ok(planes)
}

fn logits_of<E: Engine>(engine: &E, logits: &E::Tensor, batch: usize) -> Result<Vec<f32>> {
    engine.unpack(logits, batch)?.flatten_all()?.to_vec1()
}

/// From a logit to a probability.
pub fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-z))
}
