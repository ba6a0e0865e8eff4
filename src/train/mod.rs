//! Training and prediction: the only training loop there is.
//!
//! The rule: every arm gets its full budget and the last iterate is the model. No early stopping,
//! no selection. All chance comes from the seed by step and slot, so the same inputs give the same
//! weights whatever ran before or beside.

mod ahead;
mod batches;
mod predict;
mod probe;
mod progress;
mod radam;

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::{
    data::{
        augment::{Sample, sample},
        prepare::{Plane, Prepared},
    },
    engine::{DiceOver, Engine, plain},
    event::Step,
    manifest::{Budget, ExpertBatching, Recipe, Reduction, TrainingSpec},
    method::Tuned,
    net::{Parameter, Part, UNet},
    seed::Seed,
};

pub use predict::{logits, predict, sigmoid};
pub use probe::{Probe, StepShape};
pub use radam::RAdam;

use ahead::Ahead;
use batches::Batches;

/// An annotated image.
#[derive(Clone, Debug)]
pub struct Annotated {
    /// The image.
    pub image: Arc<Prepared>,
    /// A mask for each expert of the network.
    pub masks: Vec<Arc<Plane>>,
}

/// One training.
pub struct Training<'a, E> {
    /// The network; its parameters change.
    pub net: &'a UNet,
    /// What computes.
    pub engine: &'a E,
    /// The annotated images.
    pub cases: &'a [Annotated],
    /// Image, loss, optimiser, augmentation.
    pub recipe: &'a Recipe,
    /// How long and how fast.
    pub budget: Budget,
    /// What a user sets the initial learning rate by: a key of a manifest, an option of a command.
    pub rate_key: String,
    /// Which branches a step passes through; of no consequence with one expert.
    pub batching: ExpertBatching,
    /// What changes.
    pub tuned: Tuned,
    /// Of shuffling and augmentation.
    pub seed: Seed,
}

/// The parameters of a network that a training changes, in the network's order.
fn tuned(tuned: Tuned, net: &UNet) -> Vec<Parameter> {
    let all = net.parameters().iter();
    let chosen = all.filter(|parameter| match (tuned, parameter.part) {
        (Tuned::Everything, _) | (Tuned::ExpertLayers, Part::Expert(_)) => true,
        (Tuned::ExpertLayers, Part::Shared) => false,
    });
    chosen.cloned().collect()
}

/// Who looks on while a training goes on. A function of a step looks and lets it go on.
pub trait Watch {
    /// The state that a training before this one was left in, to go on from.
    fn kept(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// A step is done; what comes next.
    fn step(&mut self, step: Step) -> Next;

    /// Keeps the state that the training is in now.
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
    /// The next one.
    GoOn,
    /// The state is kept, then the next one.
    Keep,
    /// The state is kept, and the training stops.
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
    /// A tensor operation failed.
    #[error("{}", plain(.0))]
    Tensor(#[from] candle_core::Error),
}

/// The polynomial schedule: `(lr - end)(1 - t/T)^power + end` after t of T updates.
pub fn learning_rate(lr: f64, spec: &TrainingSpec, completed: usize, steps: usize) -> f64 {
    let left = 1.0 - completed as f64 / steps as f64;
    (lr - spec.lr_end) * left.powf(spec.lr_power) + spec.lr_end
}

/// Trains the network in place and reports each step to `watch`; returns the curve.
///
/// # Errors
/// The loss is no number, the training is asked to stop, or a tensor operation fails. Parameters
/// may then be partly updated.
pub fn train<E: Engine>(
    training: &Training<'_, E>,
    watch: &mut dyn Watch,
) -> std::result::Result<Vec<Step>, TrainError> {
    let Training { recipe, .. } = training;
    let parameters = tuned(training.tuned, training.net);
    let mut optimiser = RAdam::new(&parameters, &recipe.training);
    let mut steps = match watch.kept() {
        Some(state) => progress::restore(&state, &parameters, &mut optimiser)?.unwrap_or_default(),
        None => Vec::new(),
    };
    let drawing = Drawing::of(training);
    let draw = |step| drawing.batch(step);
    rayon::in_place_scope_fifo(|scope| {
        let mut batches = Ahead::new(steps.len(), training.budget.steps, &draw);
        let mut next = || batches.next(scope, training.engine.batches_ahead());
        go_on(
            training,
            &parameters,
            &mut optimiser,
            &mut steps,
            &mut next,
            watch,
        )
    })?;
    Ok(steps)
}

/// The steps that are still to be done.
fn go_on<E: Engine>(
    training: &Training<'_, E>,
    parameters: &[Parameter],
    optimiser: &mut RAdam,
    steps: &mut Vec<Step>,
    batches: &mut dyn FnMut() -> Vec<Sample>,
    watch: &mut dyn Watch,
) -> std::result::Result<(), TrainError> {
    let Training { recipe, budget, .. } = training;
    for completed in steps.len()..budget.steps {
        let samples = batches();
        let lr = learning_rate(budget.lr, &recipe.training, completed, budget.steps);
        let loss = update(training, parameters, optimiser, completed, &samples, lr)?;
        let step = Step {
            step: completed + 1,
            lr,
            loss,
        };
        steps.push(step);
        let next = watch.step(step);
        if !loss.is_finite() {
            return Err(TrainError::Diverged {
                step,
                rate_key: training.rate_key.clone(),
            });
        }
        if next != Next::GoOn {
            watch.keep(progress::to_bytes(parameters, optimiser, steps)?);
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
        let shuffled = self.seed.fork("shuffle");
        let batch = Batches::starting_at(self.cases.len(), training.batch, shuffled, step).next();
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

/// One update; returns the mean loss over all pairs of image and expert of this step. No parameter
/// changes where the loss is no number.
fn update<E: Engine>(
    training: &Training<'_, E>,
    parameters: &[Parameter],
    optimiser: &mut RAdam,
    step: usize,
    samples: &[Sample],
    lr: f64,
) -> Result<f32> {
    let engine = training.engine;
    let passes = passes(training, step, samples.len());
    let share = 1.0 / passes.len() as f64;
    let tensors: Vec<&Tensor> = parameters.iter().map(|p| p.var.as_tensor()).collect();
    let mut sums: Vec<Option<Tensor>> = vec![None; parameters.len()];
    let plus = |sum: Option<Tensor>, gradient: Tensor| match sum {
        Some(sum) => sum + gradient,
        None => Ok(gradient),
    };
    let mut loss = 0.0;
    // One expert's branch at a time: the memory of one pass, whatever the number of experts.
    for (pass, branches) in passes.iter().enumerate() {
        let of_pass = forward(training, samples, branches)?;
        loss += engine.loss(&of_pass)? as f32 * share as f32;
        if pass + 1 < passes.len() {
            engine.backward(of_pass, share, &tensors, &mut |place, gradient| {
                sums[place] = Some(plus(sums[place].take(), gradient)?);
                Ok(())
            })?;
        } else if loss.is_finite() {
            // In the last backward pass a parameter changes as soon as its gradient is known, while
            // both are in the cache.
            engine.backward(of_pass, share, &tensors, &mut |place, gradient| {
                optimiser.update(place, &plus(sums[place].take(), gradient)?, lr)
            })?;
            // Branches that other passes alone went through.
            optimiser.step(&sums, lr)?;
        }
    }
    Ok(loss)
}

/// For each pass of a step, the branch of every slot.
fn passes<E: Engine>(training: &Training<'_, E>, step: usize, slots: usize) -> Vec<Vec<usize>> {
    let experts = training.net.experts();
    match training.batching {
        ExpertBatching::All => (0..experts).map(|expert| vec![expert; slots]).collect(),
        ExpertBatching::OnePerImage => {
            // Rounds of all experts in random order, cut into batches: balanced over any stretch.
            let seed = training.seed.fork("branches");
            let mut rounds = Batches::starting_at(experts, slots, seed, step);
            vec![rounds.next()]
        }
    }
}

/// The loss of some samples, each through its branch.
fn forward<E: Engine>(
    training: &Training<'_, E>,
    samples: &[Sample],
    branches: &[usize],
) -> Result<E::Tensor> {
    let Training {
        net,
        engine,
        recipe,
        ..
    } = training;
    let (height, width) = (samples[0].image.height, samples[0].image.width);
    let shape = [samples.len(), height, width];
    let images: Vec<&[f32]> = samples.iter().map(|s| s.image.values.as_slice()).collect();
    let targets: Vec<&[f32]> = samples
        .iter()
        .zip(branches)
        .map(|(sample, branch)| sample.masks[*branch].values.as_slice())
        .collect();
    let x = engine.pack(&images.concat(), shape)?;
    let y = engine.pack(&targets.concat(), shape)?;
    let logits = net.forward(*engine, &x, branches)?;
    let over = match recipe.training.reduction {
        Reduction::Image => DiceOver::Image,
        Reduction::Batch => DiceOver::Batch,
    };
    let smooth = recipe.training.smooth;
    engine.dice_loss(&logits, &y, samples.len(), smooth, over)
}
