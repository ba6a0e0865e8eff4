//! Training and prediction: the only training loop there is.
//!
//! The rule: every training uses its full budget and keeps the last iterate, or the mean of the
//! last ones where the manifest says so. There is no early stopping and no model selection. Random
//! numbers depend on the seed, the step and the slot alone, so the same inputs give the same
//! weights, whatever else runs.

mod ahead;
mod average;
mod batches;
mod elbo;
mod pass;
mod predict;
mod probe;
mod posterior;
mod progress;
mod radam;
mod training;
mod host_learner;
mod card_learner;
mod learner;

use crate::{
    data::augment::{Sample, sample},
    engine::plain,
    event::Step,
    manifest::{Recipe, TrainingSpec},
    method::{Objective, Tuned},
    net::{ExpertLayers, Parameter, Part, UNet},
    seed::Seed,
};

pub use elbo::standard_normals;
pub use learner::{Learner, StepLoss, Trains};
pub use pass::disagreement;
pub use posterior::{distance_from_prior, latent_use, posterior_mean};
pub use predict::{logits, predict, predict_drawn, samples, sigmoid};
pub use probe::{Probe, ProbeSteps, StepShape};
pub use radam::RAdam;
pub use training::{Annotated, Training};

use ahead::Ahead;
use average::Average;
use batches::batch;

/// The parameters of a network that a training changes, in the network's order.
fn tuned(tuned: Tuned, net: &UNet) -> Vec<Parameter> {
    let all = net.parameters().iter();
    let chosen = all.filter(|parameter| match (tuned, parameter.part) {
        (Tuned::Everything, _) | (Tuned::ExpertLayers, Part::Expert(_)) => true,
        (Tuned::ExpertLayers, Part::Shared) => false,
    });
    chosen.cloned().collect()
}

/// An observer of a training, which can stop it. A function of a step observes only.
pub trait Watch {
    /// The saved state of an interrupted training, to continue from.
    fn kept(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Called after every step; decides what comes next.
    fn step(&mut self, step: Step) -> Next;

    /// Saves the present state of the training.
    fn keep(&mut self, _state: Vec<u8>) {}
}

impl<F: FnMut(Step)> Watch for F {
    fn step(&mut self, step: Step) -> Next {
        self(step);
        Next::GoOn
    }
}

/// What comes after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next step.
    GoOn,
    /// The state is saved, then comes the next step.
    Keep,
    /// The state is saved, and the training stops.
    Stop,
}

/// Why a training has no result.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss is not finite; the same inputs would diverge again.
    #[error(
        "the training diverged: the loss is {} at step {} (learning rate {:.3e}); \
         a lower `{rate_key}` may help",
        .step.loss, .step.step, .step.lr
    )]
    Diverged {
        /// The step.
        step: Step,
        /// The user's setting of the initial learning rate.
        rate_key: String,
    },
    /// It was asked to stop, after this many steps.
    #[error("stopped after {0} steps")]
    Stopped(usize),
    /// A tensor operation failed. Candle's error is no source: its text may hold a backtrace.
    #[error("{}", plain(.0))]
    Tensor(candle_core::Error),
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// The polynomial schedule: `(lr - end)(1 - t/T)^power + end` after t of T updates.
pub fn learning_rate(lr: f64, spec: &TrainingSpec, completed: usize, steps: usize) -> f64 {
    let left = 1.0 - completed as f64 / steps as f64;
    (lr - spec.lr_end) * libm::pow(left, spec.lr_power) + spec.lr_end
}

/// Trains the network in place and reports each step to `watch`; returns the curve.
///
/// # Errors
/// The loss is not finite, the training is asked to stop, or a tensor operation fails. Parameters
/// may then be partly updated.
pub fn train<E: Trains>(
    training: &Training<'_, E>,
    watch: &mut dyn Watch,
) -> std::result::Result<Vec<Step>, TrainError> {
    let parameters = tuned(training.tuned, training.net);
    let mut optimiser = RAdam::new(&parameters, &optimiser_spec(training));
    // The last layers of a network that took a latent were all experts', and are not begun anew.
    if training.net.branches().layers != ExpertLayers::Comb {
        let factor = training.budget.expert_lr_factor;
        optimiser = optimiser.with_expert_factor(&parameters, factor);
    }
    let mut average = Average::of(&training.budget);
    let mut steps = match watch.kept() {
        Some(state) => progress::restore(&state, &parameters, &mut optimiser, &mut average)?
            .unwrap_or_default(),
        None => Vec::new(),
    };
    let drawing = Drawing::of(training);
    let draw = |step| drawing.batch(step);
    let mut learner = training.engine.learner(training, &parameters, optimiser)?;
    rayon::in_place_scope_fifo(|scope| {
        let mut batches = Ahead::new(steps.len(), training.budget.steps, &draw);
        let mut next = || batches.next(scope, training.engine.batches_ahead());
        go_on(
            training,
            &parameters,
            &mut learner,
            &mut average,
            &mut steps,
            &mut next,
            watch,
        )
    })?;
    learner.bring_back()?;
    average.set(&parameters)?;
    Ok(steps)
}

/// The optimiser's numbers. Where the loss is a sum over pixels over their number, eps is too.
fn optimiser_spec<E>(training: &Training<'_, E>) -> TrainingSpec {
    let Recipe {
        image,
        training: spec,
        ..
    } = training.recipe;
    let pixels = image.input().pow(2) as f64;
    TrainingSpec {
        eps: match training.objective {
            Objective::Dice | Objective::MeanMask | Objective::MaskAndMap => spec.eps,
            Objective::Elbo => spec.eps / pixels,
        },
        ..*spec
    }
}

/// Runs the remaining steps.
fn go_on<E: Trains>(
    training: &Training<'_, E>,
    parameters: &[Parameter],
    learner: &mut E::Learner<'_>,
    average: &mut Average,
    steps: &mut Vec<Step>,
    batches: &mut dyn FnMut() -> Vec<Sample>,
    watch: &mut dyn Watch,
) -> std::result::Result<(), TrainError> {
    let Training { recipe, budget, .. } = training;
    for completed in steps.len()..budget.steps {
        let samples = batches();
        let lr = learning_rate(budget.lr, &recipe.training, completed, budget.steps);
        let (loss, latent) = learner.step(training, completed, &samples, lr)?;
        let step = Step {
            step: completed + 1,
            lr,
            loss,
            latent,
        };
        steps.push(step);
        let next = watch.step(step);
        if !loss.is_finite() {
            return Err(TrainError::Diverged {
                step,
                rate_key: training.rate_key.clone(),
            });
        }
        if average.counts(completed + 1) {
            learner.bring_back()?;
            average.add(parameters)?;
        }
        if next != Next::GoOn {
            learner.bring_back()?;
            let moments = learner.moments()?;
            watch.keep(progress::to_bytes(parameters, &moments, average, steps)?);
        }
        if next == Next::Stop {
            return Err(TrainError::Stopped(steps.len()));
        }
    }
    Ok(())
}

/// What the batches of a training depend on.
struct Drawing<'a> {
    cases: &'a [Annotated],
    recipe: &'a Recipe,
    seed: Seed,
}

impl<'a> Drawing<'a> {
    fn of<E>(training: &Training<'a, E>) -> Self {
        Self {
            cases: training.cases,
            recipe: training.recipe,
            seed: training.seed,
        }
    }

    /// The samples of a step. A case that comes twice is augmented twice, each time differently.
    fn batch(&self, step: usize) -> Vec<Sample> {
        let Recipe {
            image: view,
            augment,
            training,
            ..
        } = self.recipe;
        let batch = batch(self.seed, self.cases.len(), training.batch, step);
        let seed = self.seed.fork("sample").at(step as u64);
        let slots = batch.iter().enumerate();
        slots
            .map(|(slot, case)| {
                let Annotated { image, masks } = &self.cases[*case];
                sample(image, masks, view, augment, &seed.at(slot as u64))
            })
            .collect()
    }
}
