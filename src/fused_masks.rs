//! The fused masks of experiments: made when a data set is opened, as they are part of keys.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools;
use rayon::prelude::*;
use thiserror::Error;

use crate::{
    data::{Case, Dataset},
    key::{Digest, Keyed},
    manifest::Experiment,
    plan::{FusedDigests, Fusion},
};

/// Masks that a method cannot fuse.
#[derive(Debug, Error)]
#[error("{experiment}: fusing the masks of experts {experts}: {why}")]
pub struct FusedMaskError {
    /// The experiment that fuses them.
    experiment: String,
    experts: String,
    why: String,
}

/// The digests of all masks that experiments fuse, over the training cases of a data set, which
/// holds the masks of all experts that they name.
///
/// # Errors
/// Masks cannot be fused.
pub fn digests(
    experiments: &[Experiment],
    dataset: &Dataset,
) -> Result<FusedDigests, FusedMaskError> {
    let mut known: BTreeMap<Fusion, Vec<Digest>> = BTreeMap::new();
    for experiment in experiments {
        let points = experiment.points().into_iter();
        let wanted: BTreeSet<Fusion> = points
            .flat_map(|point| fusions(&point.experiment))
            .filter(|fusion| !known.contains_key(fusion))
            .collect();
        let wanted = wanted.into_iter().collect_vec();
        let fused = wanted.par_iter().map(|fusion| {
            let digest = |case: &Case| fusion.of(case).map(|mask| mask.digest());
            let digests: Result<Vec<Digest>, String> =
                dataset.training.iter().map(digest).collect();
            digests.map_err(|why| FusedMaskError {
                experiment: experiment.name.clone(),
                experts: fusion.experts.iter().join(", "),
                why,
            })
        });
        let fused: Vec<Vec<Digest>> = fused.collect::<Result<_, _>>()?;
        known.extend(wanted.into_iter().zip(fused));
    }
    Ok(FusedDigests::Known(known))
}

/// The masks that an experiment fuses, each once.
fn fusions(experiment: &Experiment) -> BTreeSet<Fusion> {
    let grid = &experiment.grid;
    let fusions = grid.methods.iter().flat_map(|chosen| {
        let method = &chosen.method;
        let networks = grid.networks(method).into_iter();
        networks.filter_map(|network| {
            Fusion::wanted(method, experiment.fusion_region, &network.experts)
        })
    });
    fusions.collect()
}
