//! Runs one stage, whose result is one artefact.
//!
//! The rule: a stage reads the data set and its upstream artefact, nothing else; what it returns
//! depends on its spec alone. It does not know when or where it runs.

mod agree;
mod library;
mod serve;

use std::{iter::zip, sync::Arc};

use crate::{
    adaptation::{AdaptationError, Adapting, Beginning, SupportCase},
    artefact::{
        self, CHOICE, CURVE, CaseScores, Choice, DISAGREEMENT, IMPORT, LATENT_CURVE, LATENT_USE,
        ONLY, PREDICTIONS, SCORES, Scores, WEIGHTS, branch_name, curve, parse_predictions,
        predictions,
    },
    data::{
        Mask,
        prepare::{Prediction, Prepared},
        training_geometry::TrainingGeometry,
    },
    engine::{AnyEngine, Engine},
    key::{Digest, Keyed},
    manifest::{ImageSpec, Metrics},
    method::NetworkForm,
    metric::{self, Compared, Spacing},
    net::{About, Branches, Checkpoint, CheckpointError, Import, NetworkOrigin, UNet},
    plan::{Evaluate, Kind, Origin, Spec, Support, TestImages, Train},
    store::{Files, Found, MadeBy, Scratch, Store, StoreError, Unpublished},
    train::{Annotated, TrainError, Training, Trains, Watch, latent_use, predict, train},
};

pub use library::Library;

/// Why a stage has no artefact.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// An image or a mask that the spec names is not in the data set.
    #[error("{0}")]
    Data(String),
    /// The upstream artefact is missing or damaged.
    #[error("{0}")]
    Upstream(String),
    /// The network could not be made or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The training has no result.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The artefact could not be written to the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StageError {
    /// Whether the same inputs would fail again.
    pub fn is_deterministic(&self) -> bool {
        match self {
            // A device out of memory, a disk that is full.
            Self::Train(TrainError::Tensor(_) | TrainError::Stopped(_))
            | Self::Checkpoint(CheckpointError::Tensor(_) | CheckpointError::File(_))
            | Self::Store(_) => false,
            Self::Data(_)
            | Self::Upstream(_)
            | Self::Checkpoint(_)
            | Self::Train(TrainError::Diverged { .. }) => true,
        }
    }
}

impl From<AdaptationError> for StageError {
    fn from(error: AdaptationError) -> Self {
        match error {
            AdaptationError::Checkpoint(error) => error.into(),
            AdaptationError::Tensor(error) => error.into(),
            AdaptationError::Mask(error) => Self::Data(error.to_string()),
        }
    }
}

impl From<candle_core::Error> for StageError {
    fn from(error: candle_core::Error) -> Self {
        Self::Train(TrainError::Tensor(error))
    }
}

/// The resources of stages: one set per worker, kept from stage to stage.
pub struct Bench {
    /// The data set, prepared on demand.
    pub library: Library,
    /// The store of artefacts.
    pub store: Store,
    /// Where artefacts are written first.
    pub scratch: Arc<Scratch>,
    /// The engine.
    pub engine: AnyEngine,
    /// The program, device and engine, as recorded in artefacts.
    pub made_by: MadeBy,
}

/// What a worker computes for a stage. There is one that is of use, [`Stages`]; a benchmark that
/// times what is around the stages brings its own.
pub trait StageWork: Sync {
    /// The files of a stage's artefact.
    ///
    /// # Errors
    /// Where there is no artefact.
    fn compute(
        &self,
        spec: &Spec,
        bench: &mut Bench,
        watch: &mut dyn Watch,
    ) -> Result<Files, StageError>;
}

/// Trainings, served networks and evaluations.
pub struct Stages;

impl StageWork for Stages {
    fn compute(
        &self,
        spec: &Spec,
        bench: &mut Bench,
        watch: &mut dyn Watch,
    ) -> Result<Files, StageError> {
        compute(spec, bench, watch)
    }
}

/// Runs a stage and publishes its artefact.
///
/// # Errors
/// Where there is no artefact; nothing was published then.
pub fn run(
    spec: &Spec,
    work: &dyn StageWork,
    bench: &mut Bench,
    watch: &mut dyn Watch,
) -> Result<Digest, StageError> {
    // Checked before hours of training, which could not be published.
    bench.scratch.check()?;
    let files = work.compute(spec, bench, watch)?;
    let digest = spec.digest();
    let about = Unpublished {
        kind: spec.kind(),
        digest,
        inputs: spec.explain(),
        spec: serde_json::value::to_raw_value(spec).expect("a spec is plain data"),
        dataset: bench.library.dataset().label.clone(),
        geometry: geometry(spec, &bench.library),
        made_by: bench.made_by.clone(),
    };
    bench.store.publish(&bench.scratch, about, &files)?;
    Ok(digest)
}

/// What the headers of the training images say, where the stage's weights can leave the store.
fn geometry(spec: &Spec, library: &Library) -> Option<TrainingGeometry> {
    match spec {
        Spec::Train(train) if spec.keeps_weights() => {
            let images = train.support.images.iter();
            let headers = images.filter_map(|digest| library.header(digest));
            Some(TrainingGeometry::of(headers)).filter(|geometry| !geometry.is_silent())
        }
        Spec::Train(_) | Spec::Serve(_) | Spec::Agree(_) | Spec::Evaluate(_) => None,
    }
}

/// Runs a stage and publishes nothing: the files of its artefact.
///
/// # Errors
/// Where there is no artefact.
pub fn compute(spec: &Spec, bench: &mut Bench, watch: &mut dyn Watch) -> Result<Files, StageError> {
    match spec {
        Spec::Train(spec) => run_training(spec, bench, watch),
        Spec::Serve(spec) => serve::serve(spec, bench),
        Spec::Agree(spec) => agree::agree(spec, &bench.library),
        Spec::Evaluate(spec) => run_evaluation(spec, bench),
    }
}

fn run_training(
    spec: &Train,
    bench: &mut Bench,
    watch: &mut dyn Watch,
) -> Result<Files, StageError> {
    let Bench {
        library,
        store,
        engine,
        ..
    } = bench;
    match engine {
        AnyEngine::Stock(engine) => train_and_predict(spec, engine, library, store, watch),
        AnyEngine::Lanes(engine) => train_and_predict(spec, engine, library, store, watch),
        AnyEngine::Cuda(engine) => train_and_predict(spec, &**engine, library, store, watch),
    }
}

fn train_and_predict<E: Trains>(
    spec: &Train,
    engine: &E,
    library: &mut Library,
    store: &Store,
    watch: &mut dyn Watch,
) -> Result<Files, StageError> {
    let InitialNetwork {
        net,
        import,
        choice,
    } = start(spec, engine, library, store)?;
    let cases = annotated(spec, library)?;
    let steps = train(
        &Training {
            net: &net,
            engine,
            cases: &cases,
            recipe: &spec.recipe,
            budget: **spec.budget,
            rate_key: spec.rate_key(),
            batching: spec.origin.batching(),
            dealt: spec.support.dealt.as_deref(),
            objective: spec.objective,
            beta: spec.latent.beta,
            tuned: spec.origin.tuned(),
            seed: spec.seed,
        },
        watch,
    )?;
    let mut files = Files::new();
    files.insert(CURVE.into(), curve(&steps));
    if let Some(latent) = artefact::latent_curve(&steps) {
        files.insert(LATENT_CURVE.into(), latent);
        let used = latent_use(&net, engine, &cases, &spec.recipe.image)?;
        files.insert(LATENT_USE.into(), used.to_bytes());
    }
    if let Some(import) = import {
        files.insert(IMPORT.into(), artefact::import(&import));
    }
    if let Some(choice) = choice {
        files.insert(CHOICE.into(), choice.to_bytes());
    }
    files.insert(
        PREDICTIONS.into(),
        predict_test_images(spec, &net, engine, library)?,
    );
    if Spec::Train(spec.clone()).keeps_weights() {
        let about = About {
            recipe: **spec.recipe,
            experts: spec.support.experts.clone(),
            network: spec.network,
            latent: spec.latent.dimensions,
            // Weights depend on their key alone, in which no header is.
            geometry: None,
            provenance: NetworkOrigin::Stage {
                kind: spec.kind(),
                digest: Spec::Train(spec.clone()).digest(),
                record: None,
            },
        };
        files.insert(WEIGHTS.into(), Checkpoint::of(&net, about)?.to_bytes());
    }
    Ok(files)
}

/// A network before its first step.
struct InitialNetwork {
    net: UNet,
    /// What happened to the tensors of an imported file.
    import: Option<Import>,
    /// Whose branch was inherited.
    choice: Option<Choice>,
}

fn start<E: Engine>(
    spec: &Train,
    engine: &E,
    library: &mut Library,
    store: &Store,
) -> Result<InitialNetwork, StageError> {
    let seed = spec.seed.fork("initialisation");
    let network = &spec.recipe.network;
    let branches = branches(spec);
    let of = |net: UNet| InitialNetwork {
        net,
        import: None,
        choice: None,
    };
    match spec.origin {
        Origin::Random | Origin::RandomForExperts(_) => {
            let net = UNet::init(network, branches, &seed, engine.device())?;
            Ok(of(net))
        }
        Origin::ImportedForExperts(_, tensors) => {
            let imported = library.import(&tensors)?;
            let (net, import) = imported.import(network, branches, &seed, engine.device())?;
            Ok(InitialNetwork {
                import: Some(import),
                ..of(net)
            })
        }
        Origin::Pretrained(pretrained) | Origin::Adapted { pretrained, .. } => {
            let pretrained = library.pretrained(store, &pretrained)?;
            let Beginning { net, choice } = Adapting {
                pretrained: &pretrained,
                experts: pretrained.about().map_or(&[], |about| about.owners()),
                layers: branches.layers,
                branch: spec.origin.branch(),
                cases: &support_cases(&spec.support, &spec.recipe.image, library)?,
                recipe: &spec.recipe,
                seed,
                engine,
            }
            .begin()?;
            Ok(InitialNetwork { choice, ..of(net) })
        }
    }
}

/// The branches of a network that is trained.
pub fn branches(spec: &Train) -> Branches {
    Branches::trained_on(spec.network, &spec.support.experts, spec.latent.dimensions)
}

/// The annotated cases with the first expert's masks as they were drawn.
fn support_cases<'a>(
    support: &Support,
    spec: &ImageSpec,
    library: &'a mut Library,
) -> Result<Vec<SupportCase<'a>>, StageError> {
    let digests = &support.images;
    let images: Vec<Arc<Prepared>> = digests
        .iter()
        .map(|digest| library.image(digest, spec))
        .collect::<Result<_, _>>()?;
    let library = &*library;
    zip(digests, images)
        .zip(support.masks.iter().flatten())
        .map(|((digest, image), mask)| {
            Ok(SupportCase {
                digest: *digest,
                image,
                mask: library.original_mask(mask)?,
            })
        })
        .collect()
}

/// One file of an upstream artefact.
fn upstream(store: &Store, kind: Kind, digest: &Digest, file: &str) -> Result<Vec<u8>, StageError> {
    match store.read(kind, digest, &[file]) {
        Found::Intact(mut artefact) => Ok(artefact.files.remove(file).unwrap_or_default()),
        Found::Missing => Err(StageError::Upstream(format!(
            "the {kind} stage {} is not in the store any more",
            digest.short()
        ))),
        Found::Damaged(why) => Err(StageError::Upstream(format!(
            "the {kind} stage {} is damaged ({why}); running again repairs it",
            digest.short()
        ))),
    }
}

fn annotated(spec: &Train, library: &mut Library) -> Result<Vec<Annotated>, StageError> {
    let image = &spec.recipe.image;
    let support = &spec.support;
    if let Some(fusion) = &support.fused {
        library.fuse(fusion, &support.images)?;
    }
    (0..support.images.len())
        .map(|i| {
            Ok(Annotated {
                image: library.image(&support.images[i], image)?,
                masks: support
                    .masks
                    .iter()
                    .map(|masks| library.mask(&masks[i], image))
                    .collect::<Result<_, _>>()?,
            })
        })
        .collect()
}

fn predict_test_images<E: Engine>(
    spec: &Train,
    net: &UNet,
    engine: &E,
    library: &mut Library,
) -> Result<Vec<u8>, StageError> {
    let image = &spec.recipe.image;
    let cases = named_images(&spec.test, image, library)?;
    let branches: Vec<usize> = (0..net.branches().count).collect();
    let predicted = predict(net, engine, &branches, &cases, image)?;
    let names: Vec<String> = match spec.network {
        NetworkForm::Norms | NetworkForm::Heads | NetworkForm::Comb => {
            let experts = spec.support.experts.iter();
            experts.map(|expert| branch_name(*expert)).collect()
        }
        NetworkForm::One | NetworkForm::Latent => vec![ONLY.to_owned()],
        NetworkForm::Map => [ONLY, DISAGREEMENT].map(str::to_owned).into(),
    };
    let by_branch: Vec<_> = names.into_iter().zip(predicted).collect();
    Ok(predictions(&by_branch))
}

/// Images with their cases' names.
fn named_images(
    test: &TestImages,
    spec: &ImageSpec,
    library: &mut Library,
) -> Result<Vec<(String, Arc<Prepared>)>, StageError> {
    zip(&test.names, &test.images)
        .map(|(name, digest)| Ok((name.clone(), library.image(digest, spec)?)))
        .collect()
}

fn run_evaluation(spec: &Evaluate, bench: &mut Bench) -> Result<Files, StageError> {
    let scores = evaluate(spec, &mut bench.library, &bench.store)?;
    let mut files = Files::new();
    files.insert(SCORES.into(), scores.to_bytes());
    Ok(files)
}

/// Scores stored predictions.
///
/// # Errors
/// Where there are none, or they do not fit the masks.
pub fn evaluate(
    spec: &Evaluate,
    library: &mut Library,
    store: &Store,
) -> Result<Scores, StageError> {
    let bytes = upstream(store, spec.training_kind, &spec.training, PREDICTIONS)?;
    let branches = parse_predictions(&bytes).map_err(StageError::Upstream)?;
    let [(_, predicted)] = branches.as_slice() else {
        return Err(StageError::Upstream(format!(
            "a network that is tested has one branch, this one has {}",
            branches.len()
        )));
    };
    let mut cases = Vec::new();
    let references = spec.reference.masks.iter().zip(&spec.reference.spacing);
    for (prediction, (digest, [row, column])) in predicted.iter().zip(references) {
        let spacing = Spacing {
            row: *row,
            column: *column,
        };
        let reference = library.original_mask(digest)?;
        cases.push(score(prediction, reference, spacing, &spec.metrics)?);
    }
    Ok(Scores { cases })
}

fn score(
    prediction: &Prediction,
    reference: &Mask,
    spacing: Spacing,
    metrics: &Metrics,
) -> Result<CaseScores, StageError> {
    let mask = prediction.mask();
    let shapes =
        |error: metric::MaskError| StageError::Data(format!("{}: {error}", prediction.case));
    let pair = Compared::new(mask.view(), reference.view(), spacing, metrics.definition())
        .map_err(shapes)?;
    let measured = metrics.measured().into_iter();
    Ok(CaseScores {
        case: prediction.case.clone(),
        scores: measured
            .map(|measure| (measure.word().to_owned(), measure.of(&pair)))
            .collect(),
        diagonal: spacing.diagonal(mask.height, mask.width),
    })
}
