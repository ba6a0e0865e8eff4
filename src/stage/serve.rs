//! The stage that takes a new expert's predictions from a pretrained network as it is.

use std::sync::Arc;

use super::{Bench, Library, StageError, named_images, support_cases, upstream};
use crate::{
    adaptation::{SupportCase, best_branch, with_latent_of},
    artefact::{
        CHOICE, LATENT, LatentChoice, PREDICTIONS, SERVED, THRESHOLD, ThresholdChoice,
        parse_predictions, predictions,
    },
    data::{
        Mask,
        prepare::{Prediction, Prepared},
    },
    engine::{AnyEngine, Engine},
    manifest::Recipe,
    metric::MaskError,
    net::{About, Checkpoint, CheckpointError},
    plan::{Kind, Serve, Support, Way},
    serving::{consensus, thresholds},
    store::{Files, Store},
    train::predict,
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
    let stored: Vec<Vec<Prediction>> = stored.into_iter().map(|(_, branch)| branch).collect();
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
            images: self.cases.iter().map(|case| case.digest).collect(),
            chosen: latent,
        };
        Ok((served.into_iter().flatten().collect(), choice))
    }

    /// The threshold that fits best, and how all of them do.
    fn threshold<E: Engine>(&self, engine: &E) -> Result<ThresholdChoice, StageError> {
        let Recipe { image, network, .. } = &self.about.recipe;
        let net = self.pretrained.restore(network, engine.device())?;
        let named = self.cases.iter();
        let named = named.map(|case| (case.digest.to_string(), case.image.clone()));
        let images: Vec<(String, Arc<Prepared>)> = named.collect();
        let predicted = predict(&net, engine, &[0], &images, image)?;
        let masks: Vec<&Mask> = self.cases.iter().map(|case| case.mask).collect();
        let wrong = |error: MaskError| StageError::Data(error.to_string());
        let (thresholds, best) = thresholds(&predicted[0], &masks).map_err(wrong)?;
        Ok(ThresholdChoice {
            images: self.cases.iter().map(|case| case.digest).collect(),
            chosen: thresholds[best].threshold,
            thresholds,
        })
    }
}
