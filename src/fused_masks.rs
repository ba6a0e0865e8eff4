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

/// Fused masks that hold nothing are named up to this many.
const NAMED: usize = 4;

/// The masks that experiments fuse.
#[derive(Debug)]
pub struct FusedMasks {
    /// The digest of each.
    pub digests: FusedDigests,
    /// Which hold nothing, though experts marked something: a network learns from them that nothing
    /// is inside.
    pub warnings: Vec<String>,
}

/// All masks that experiments fuse, over the training cases of a data set, which holds the masks of
/// all experts that they name.
///
/// # Errors
/// Masks cannot be fused.
pub fn fused(experiments: &[Experiment], dataset: &Dataset) -> Result<FusedMasks, FusedMaskError> {
    let mut known: BTreeMap<Fusion, Vec<Digest>> = BTreeMap::new();
    let mut warnings = Vec::new();
    for experiment in experiments {
        let points = experiment.points().into_iter();
        let wanted: BTreeSet<Fusion> = points
            .flat_map(|point| fusions(&point.experiment))
            .filter(|fusion| !known.contains_key(fusion))
            .collect();
        let wanted = wanted.into_iter().collect_vec();
        let made = wanted.par_iter().map(|fusion| {
            let each = dataset.training.iter();
            let each = each.map(|case| {
                let mask = fusion.of(case)?;
                Ok((
                    mask.digest(),
                    mask.area_px() == 0 && is_marked(fusion, case),
                ))
            });
            let each: Result<Vec<(Digest, bool)>, String> = each.collect();
            each.map_err(|why| FusedMaskError {
                experiment: experiment.name.clone(),
                experts: fusion.experts.iter().join(", "),
                why,
            })
        });
        let made: Vec<Vec<(Digest, bool)>> = made.collect::<Result<_, _>>()?;
        let lost = wanted.iter().zip(&made).flat_map(|(fusion, made)| {
            let cases = dataset.training.iter().zip(made);
            let lost = cases.filter(|(_, (_, lost))| *lost);
            lost.map(move |(case, _)| (fusion, case))
        });
        warnings.extend(warning(experiment, &lost.collect_vec()));
        let digests = made
            .into_iter()
            .map(|made| made.into_iter().map(|(digest, _)| digest));
        known.extend(wanted.into_iter().zip(digests.map(Iterator::collect)));
    }
    Ok(FusedMasks {
        digests: FusedDigests::Known(known),
        warnings,
    })
}

/// Whether one of the experts marked something in a case.
fn is_marked(fusion: &Fusion, case: &Case) -> bool {
    let mut masks = fusion
        .experts
        .iter()
        .filter_map(|expert| case.mask(*expert));
    masks.any(|mask| mask.area_px() > 0)
}

fn warning(experiment: &Experiment, lost: &[(&Fusion, &Case)]) -> Option<String> {
    let named = lost.iter().take(NAMED).map(|(fusion, case)| {
        let experts = experiment.grid.names.joined(&fusion.experts);
        format!(
            "{} of experts {experts} by {}",
            case.name,
            fusion.rule.word()
        )
    });
    let named = named.collect_vec();
    let more = match lost.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| {
        format!(
            "{}: the experts of a case marked something, and their fused mask is empty: {}{more}; \
             a network learns from it that nothing is inside, so check these masks, or take other \
             experts",
            experiment.name,
            named.join(", ")
        )
    })
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
