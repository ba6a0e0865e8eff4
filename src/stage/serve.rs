//! The stage that takes a new expert's predictions from a pretrained network as it is.

use std::{iter::zip, sync::Arc};

use super::{Bench, Library, StageError, named_images, support_cases, upstream};
use crate::{
    adaptation::{SupportCase, best_branch, predicted, with_latent_of},
    artefact::{
        CHOICE, DISAGREEMENT, LATENT, LatentChoice, MAP_WEIGHT, MapChoice, PREDICTIONS,
        RELATIVE_LATENT, SERVED, THRESHOLD, ThresholdChoice, parse_predictions, predictions,
    },
    data::{
        Mask,
        prepare::{Prediction, Prepared},
    },
    engine::{AnyEngine, Engine},
    key::Digest,
    manifest::Recipe,
    metric::MaskError,
    net::{About, Checkpoint, CheckpointError},
    plan::{Kind, Serve, Support, Way},
    serving::{consensus, map_weights, moved_by, thresholds, weight},
    store::{Files, Store},
    train::{distance_from_prior, predict, predict_drawn},
};

/// The files of the artefact.
pub(super) fn serve(spec: &Serve, bench: &mut Bench) -> Result<Files, StageError> {
    let Bench {
        library,
        store,
        engine,
        ..
    } = bench;
    match engine {
        AnyEngine::Stock(engine) => serve_with(spec, engine, library, store),
        AnyEngine::Lanes(engine) => serve_with(spec, engine, library, store),
        AnyEngine::Cuda(engine) => serve_with(spec, &**engine, library, store),
    }
}

fn serve_with<E: Engine>(
    spec: &Serve,
    engine: &E,
    library: &mut Library,
    store: &Store,
) -> Result<Files, StageError> {
    let bytes = upstream(store, Kind::Pretrain, &spec.pretrained, PREDICTIONS)?;
    let stored = parse_predictions(&bytes).map_err(StageError::Upstream)?;
    // A map is no mask.
    let (maps, stored): (Vec<_>, Vec<_>) = stored
        .into_iter()
        .partition(|(branch, _)| branch == DISAGREEMENT);
    let of_branch = |(_, branch)| branch;
    let stored: Vec<Vec<Prediction>> = stored.into_iter().map(of_branch).collect();
    let mut files = Files::new();
    let served = match (spec.way, &spec.support) {
        (Way::Consensus, _) | (_, None) => consensus(&stored),
        (Way::Branch, Some(support)) => {
            let fitting = Serving::new(spec, support, library, store)?;
            let (branch, choice) = fitting.branch(engine)?;
            files.insert(CHOICE.into(), choice);
            stored.into_iter().nth(branch).unwrap_or_default()
        }
        (Way::Latent, Some(support)) => {
            let fitting = Serving::new(spec, support, library, store)?;
            let (served, choice) = fitting.latent(engine)?;
            files.insert(LATENT.into(), choice.to_bytes());
            served
        }
        (Way::Relative, Some(support)) => {
            let fitting = Serving::new(spec, support, library, store)?;
            let (served, choice) = fitting.relative_latent(engine)?;
            files.insert(RELATIVE_LATENT.into(), choice.to_bytes());
            served
        }
        (Way::Map, Some(support)) => {
            let fitting = Serving::new(spec, support, library, store)?;
            let (step, choice) = fitting.map_weight(engine)?;
            files.insert(MAP_WEIGHT.into(), choice.to_bytes());
            let maps = maps.into_iter().flat_map(of_branch);
            let pairs = zip(consensus(&stored), maps);
            pairs
                .map(|(mask, map)| moved_by(&mask, &map, step))
                .collect()
        }
        (Way::Threshold, Some(support)) => {
            let fitting = Serving::new(spec, support, library, store)?;
            let choice = fitting.threshold(engine)?;
            let threshold = choice.chosen;
            files.insert(THRESHOLD.into(), choice.to_bytes());
            let only = consensus(&stored).into_iter();
            let at_threshold = |prediction| Prediction {
                threshold,
                ..prediction
            };
            only.map(at_threshold).collect()
        }
    };
    let served = [(SERVED.to_owned(), served)];
    files.insert(PREDICTIONS.into(), predictions(&served));
    Ok(files)
}

/// A pretrained network and the cases that it has to fit.
struct Serving<'a> {
    pretrained: Arc<Checkpoint>,
    about: About,
    cases: Vec<SupportCase<'a>>,
    /// The images to predict, where stored predictions do not serve.
    test: Vec<(String, Arc<Prepared>)>,
}

impl<'a> Serving<'a> {
    fn new(
        spec: &Serve,
        support: &Support,
        library: &'a mut Library,
        store: &Store,
    ) -> Result<Self, StageError> {
        let pretrained = library.pretrained(store, &spec.pretrained)?;
        let about = pretrained.about().cloned().ok_or_else(|| {
            let why = "it has no description of its network".to_owned();
            CheckpointError::Mismatch(why)
        })?;
        let test = match &spec.test {
            Some(test) => named_images(test, &about.recipe.image, library)?,
            None => Vec::new(),
        };
        Ok(Self {
            test,
            cases: support_cases(support, &about.recipe.image, library)?,
            about,
            pretrained,
        })
    }

    /// The branch that fits best, and how all of them do, as JSON.
    fn branch<E: Engine>(&self, engine: &E) -> Result<(usize, Vec<u8>), StageError> {
        let Recipe { image, network, .. } = &self.about.recipe;
        let net = self.pretrained.restore(network, engine.device())?;
        let (branch, choice) = best_branch(&net, self.about.owners(), engine, &self.cases, image)?;
        Ok((branch, choice.to_bytes()))
    }

    /// The predictions with the latent of the cases, and that latent.
    fn latent<E: Engine>(&self, engine: &E) -> Result<(Vec<Prediction>, LatentChoice), StageError> {
        let Recipe { image, network, .. } = &self.about.recipe;
        let (chosen, latent) =
            with_latent_of(&self.pretrained, network, engine, &self.cases, image)?;
        let net = chosen.restore(network, engine.device())?;
        let served = predict(&net, engine, &[0], &self.test, image)?;
        let choice = LatentChoice {
            images: self.digests(),
            chosen: latent,
        };
        Ok((served.into_iter().flatten().collect(), choice))
    }

    /// The predictions with the prior of each image, moved as the cases are from theirs, and by how
    /// many deviations in each dimension.
    fn relative_latent<E: Engine>(
        &self,
        engine: &E,
    ) -> Result<(Vec<Prediction>, LatentChoice), StageError> {
        let Recipe { image, network, .. } = &self.about.recipe;
        let net = self.pretrained.restore(network, engine.device())?;
        let annotated = self.cases.iter();
        let annotated = annotated.map(|case| (case.image.clone(), case.mask));
        let annotated: Vec<_> = annotated.collect();
        let distance = distance_from_prior(&net, engine, &annotated, image)?;
        let served = predict_drawn(&net, engine, &distance, &self.test, image)?;
        let choice = LatentChoice {
            images: self.digests(),
            chosen: distance,
        };
        Ok((served, choice))
    }

    /// The threshold that fits best, and how all of them do.
    fn threshold<E: Engine>(&self, engine: &E) -> Result<ThresholdChoice, StageError> {
        let predicted = self.predicted(engine, &[0])?;
        let (thresholds, best) = thresholds(&predicted[0], &self.masks()).map_err(wrong)?;
        Ok(ThresholdChoice {
            images: self.digests(),
            chosen: thresholds[best].threshold,
            thresholds,
        })
    }

    /// The step of the weight of the map that fits best, and how all of them do.
    fn map_weight<E: Engine>(&self, engine: &E) -> Result<(u8, MapChoice), StageError> {
        let predicted = self.predicted(engine, &[0, 1])?;
        let (masks, maps) = (&predicted[0], &predicted[1]);
        let (weights, step) = map_weights(masks, maps, &self.masks()).map_err(wrong)?;
        let choice = MapChoice {
            images: self.digests(),
            weights,
            chosen: weight(step),
        };
        Ok((step, choice))
    }

    /// The predictions of the cases, branch by branch.
    fn predicted<E: Engine>(
        &self,
        engine: &E,
        branches: &[usize],
    ) -> Result<Vec<Vec<Prediction>>, StageError> {
        let Recipe { image, network, .. } = &self.about.recipe;
        let net = self.pretrained.restore(network, engine.device())?;
        Ok(predicted(&net, engine, branches, &self.cases, image)?)
    }

    fn masks(&self) -> Vec<&Mask> {
        self.cases.iter().map(|case| case.mask).collect()
    }

    fn digests(&self) -> Vec<Digest> {
        self.cases.iter().map(|case| case.digest).collect()
    }
}

fn wrong(error: MaskError) -> StageError {
    StageError::Data(error.to_string())
}
