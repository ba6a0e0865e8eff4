//! One training step on a synthetic batch, to be timed by `bench` and by the benchmarks.

use std::sync::Arc;

use candle_core::Result;

use super::{Annotated, Learner, RAdam, Training, Trains, optimiser_spec};
use crate::{
    data::{
        Expert, Image,
        augment::Sample,
        prepare::{Plane, prepare},
    },
    engine::Engine,
    manifest::{Budget, ExpertBatching, ImageSpec, LatentSpec, NetworkSpec, Recipe, TrainingSpec},
    method::{Annotation, Masks, Method, Tuned},
    net::{Branches, UNet},
    seed::Seed,
};

/// The size of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepShape {
    /// Channels of the network's first layer, a multiple of four.
    pub width: usize,
    /// Side of the input in pixels, a multiple of 32.
    pub size: usize,
    /// Images.
    pub batch: usize,
}

/// A network and a batch.
pub struct Probe<'a, E> {
    engine: &'a E,
    net: UNet,
    recipe: Recipe,
    method: Method,
    cases: Vec<Annotated>,
    dealt: Option<Vec<usize>>,
    samples: Vec<Sample>,
}

/// The steps of a probe.
pub struct ProbeSteps<'a, E: Trains + 'a> {
    training: Training<'a, E>,
    learner: E::Learner<'a>,
    samples: &'a [Sample],
}

impl<E: Trains> ProbeSteps<'_, E> {
    /// Packing, forward pass, loss, backward pass, update. Returns the loss.
    ///
    /// # Errors
    /// Where a tensor operation fails.
    pub fn step(&mut self) -> Result<f64> {
        let (loss, _) = self.learner.step(&self.training, 0, self.samples, 1e-3)?;
        Ok(f64::from(loss))
    }
}

impl<'a, E: Engine> Probe<'a, E> {
    /// A step of pretraining by a method on the masks of so many experts, in its initial state. By
    /// `customised` on those of one expert it is the step of every training for one expert.
    ///
    /// # Errors
    /// Where the network cannot be made.
    pub fn new(engine: &'a E, shape: StepShape, method: &Method, experts: Expert) -> Result<Self> {
        let StepShape { width, size, batch } = shape;
        let default = Recipe::default();
        let recipe = Recipe {
            image: ImageSpec {
                crop: size,
                reduce: 1,
                ..default.image
            },
            network: NetworkSpec {
                width,
                ..default.network
            },
            training: TrainingSpec {
                batch,
                ..default.training
            },
            ..default
        };
        let everyone: Vec<Expert> = (1..=experts).collect();
        let branches =
            Branches::trained_on(method.network, &everyone, LatentSpec::USUAL.dimensions);
        let net = UNet::init(&recipe.network, branches, &Seed::new(0), engine.device())?;
        let shared = method.annotation == Annotation::Cohort;
        let masks = match method.masks {
            Masks::Majority | Masks::Staple => 1,
            _ if shared => 1,
            Masks::Each | Masks::Mean => usize::from(experts),
        };
        let pixels = size * size;
        let samples = (0..batch).map(|image| {
            let places = image * pixels..(image + 1) * pixels;
            let values: Vec<f32> = places.map(|i| libm::sinf(i as f32 * 0.7)).collect();
            let plane = |values| Plane {
                height: size,
                width: size,
                values,
            };
            let mask = |place: usize| {
                let least = 0.5 - 0.1 * place as f32;
                plane(
                    values
                        .iter()
                        .map(|v| f32::from(u8::from(*v > least)))
                        .collect(),
                )
            };
            Sample {
                masks: (0..masks).map(mask).collect(),
                image: plane(values),
            }
        });
        let samples: Vec<Sample> = samples.collect();
        let cases = samples.iter().map(|sample| {
            let image = Image {
                height: size,
                width: size,
                pixels: sample.image.values.clone(),
            };
            Annotated {
                image: Arc::new(prepare(&image, &recipe.image)),
                masks: sample.masks.iter().cloned().map(Arc::new).collect(),
            }
        });
        let dealt = (0..batch).map(|case| case % usize::from(experts));
        Ok(Self {
            engine,
            net,
            recipe,
            method: method.clone(),
            cases: cases.collect(),
            dealt: shared.then(|| dealt.collect()),
            samples,
        })
    }

    /// Begins with the network's initial state.
    ///
    /// # Errors
    /// Where a tensor operation fails.
    pub fn begin(&self) -> Result<ProbeSteps<'_, E>>
    where
        E: Trains,
    {
        let training = self.training();
        let optimiser = RAdam::new(self.net.parameters(), &optimiser_spec(&training));
        Ok(ProbeSteps {
            learner: self
                .engine
                .learner(&training, self.net.parameters(), optimiser)?,
            training,
            samples: &self.samples,
        })
    }

    fn training(&self) -> Training<'_, E> {
        Training {
            net: &self.net,
            engine: self.engine,
            cases: &self.cases,
            recipe: &self.recipe,
            budget: Budget::FROM_RANDOM,
            rate_key: String::new(),
            batching: ExpertBatching::All,
            dealt: self.dealt.as_deref(),
            objective: self.method.objective(),
            beta: LatentSpec::USUAL.beta,
            tuned: Tuned::Everything,
            seed: Seed::new(0),
        }
    }
}
