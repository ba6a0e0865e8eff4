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
mod predict;
mod probe;
mod posterior;
mod progress;
mod radam;

use std::{collections::BTreeSet, iter::zip, sync::Arc};

use candle_core::{Result, Tensor};

use crate::{
    data::{
        augment::{Sample, sample},
        prepare::{Plane, Prepared},
    },
    engine::{DiceOver, Engine, plain},
    event::{LatentTerms, Step},
    manifest::{Budget, ExpertBatching, Recipe, Reduction, TrainingSpec},
    method::{Objective, Tuned},
    net::{ExpertLayers, Parameter, Part, UNet},
    seed::Seed,
};

pub use elbo::standard_normals;
pub use posterior::{latent_use, posterior_mean};
pub use predict::{logits, predict, samples, sigmoid};
pub use probe::{Probe, StepShape};
pub use radam::RAdam;

use ahead::Ahead;
use average::Average;
use batches::Batches;
use elbo::{Decoding, DrawnMasks};

/// An annotated image.
#[derive(Clone, Debug)]
pub struct Annotated {
    /// The image.
    pub image: Arc<Prepared>,
    /// A mask of each expert; where cases are dealt out or masks are fused, the one there is.
    pub masks: Vec<Arc<Plane>>,
}

/// One training.
pub struct Training<'a, E> {
    /// The network; its parameters change.
    pub net: &'a UNet,
    /// The engine.
    pub engine: &'a E,
    /// The annotated images.
    pub cases: &'a [Annotated],
    /// Image, loss, optimiser, augmentation.
    pub recipe: &'a Recipe,
    /// Steps and initial learning rate.
    pub budget: Budget,
    /// The user's setting of the initial learning rate: a manifest's key or a command's option.
    pub rate_key: String,
    /// The masks that a step trains on, each through the branch of its expert; without effect for
    /// one mask. A network of one branch learns all masks by it.
    pub batching: ExpertBatching,
    /// The branch of each case, where every case has the mask of one expert only; then every image
    /// of a batch goes through its branch.
    pub dealt: Option<&'a [usize]>,
    /// What it minimises.
    pub objective: Objective,
    /// The parameters that change.
    pub tuned: Tuned,
    /// The seed of shuffling and augmentation.
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
pub fn train<E: Engine>(
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
    rayon::in_place_scope_fifo(|scope| {
        let mut batches = Ahead::new(steps.len(), training.budget.steps, &draw);
        let mut next = || batches.next(scope, training.engine.batches_ahead());
        go_on(
            training,
            &parameters,
            &mut optimiser,
            &mut average,
            &mut steps,
            &mut next,
            watch,
        )
    })?;
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
            Objective::Dice | Objective::MeanMask => spec.eps,
            Objective::Elbo => spec.eps / pixels,
        },
        ..*spec
    }
}

/// Runs the remaining steps.
fn go_on<E: Engine>(
    training: &Training<'_, E>,
    parameters: &[Parameter],
    optimiser: &mut RAdam,
    average: &mut Average,
    steps: &mut Vec<Step>,
    batches: &mut dyn FnMut() -> Vec<Sample>,
    watch: &mut dyn Watch,
) -> std::result::Result<(), TrainError> {
    let Training { recipe, budget, .. } = training;
    for completed in steps.len()..budget.steps {
        let samples = batches();
        let lr = learning_rate(budget.lr, &recipe.training, completed, budget.steps);
        let (loss, latent) = update(training, parameters, optimiser, completed, &samples, lr)?;
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
        average.add(parameters, completed + 1)?;
        if next != Next::GoOn {
            watch.keep(progress::to_bytes(parameters, optimiser, average, steps)?);
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

/// The cases of a step's batch.
fn batch(seed: Seed, cases: usize, size: usize, step: usize) -> Vec<usize> {
    Batches::starting_at(cases, size, seed.fork("shuffle"), step).next()
}

/// Images of a batch that go through the network together.
struct TrainingPass {
    slots: Vec<BatchSlot>,
    /// The losses of its logits, which share its loss alike.
    losses: Vec<PassLoss>,
    /// The share of its loss in the loss of the step.
    share: f64,
}

/// An image of a batch on its way through the network.
#[derive(Clone, Copy)]
struct BatchSlot {
    /// Its place in the batch.
    sample: usize,
    /// Its branch.
    branch: usize,
}

/// A loss over the images of a pass.
struct PassLoss {
    /// The branch whose head gives the logits.
    branch: usize,
    target: Target,
}

/// What counts as correct.
enum Target {
    /// For each slot, one of its masks.
    Masks(Vec<usize>),
    /// The mean of all masks of a slot.
    MeanMask,
}

/// One update; returns the mean loss over all pairs of image and expert of this step, and its terms
/// where it has some. No parameter changes where the loss is not finite.
fn update<E: Engine>(
    training: &Training<'_, E>,
    parameters: &[Parameter],
    optimiser: &mut RAdam,
    step: usize,
    samples: &[Sample],
    lr: f64,
) -> Result<(f32, Option<LatentTerms>)> {
    let engine = training.engine;
    let passes = passes(training, step, samples.len());
    let tensors: Vec<&Tensor> = parameters.iter().map(|p| p.var.as_tensor()).collect();
    let mut sums: Vec<Option<Tensor>> = vec![None; parameters.len()];
    let plus = |sum: Option<Tensor>, gradient: Tensor| match sum {
        Some(sum) => sum + gradient,
        None => Ok(gradient),
    };
    let mut loss = 0.0;
    let mut latent = None;
    // One expert's branch at a time: the memory of one pass, whatever the number of experts.
    for (place, pass) in passes.iter().enumerate() {
        let (of_pass, terms) = forward(training, step, samples, pass)?;
        latent = latent.or(terms);
        loss += engine.loss(&of_pass)? as f32 * pass.share as f32;
        if place + 1 < passes.len() {
            engine.backward(of_pass, pass.share, &tensors, &mut |place, gradient| {
                sums[place] = Some(plus(sums[place].take(), gradient)?);
                Ok(())
            })?;
        } else if loss.is_finite() {
            // In the last backward pass a parameter changes as soon as its gradient is known, while
            // both are in the cache.
            engine.backward(of_pass, pass.share, &tensors, &mut |place, gradient| {
                optimiser.update(place, &plus(sums[place].take(), gradient)?, lr)
            })?;
            // Parameters that only earlier passes used.
            optimiser.step(&sums, lr)?;
        }
    }
    Ok((loss, latent))
}

/// The passes of a step. Masks of one expert that take the same way through all layers but the last
/// share a pass.
fn passes<E: Engine>(training: &Training<'_, E>, step: usize, slots: usize) -> Vec<TrainingPass> {
    let net = training.net;
    // All experts share an only branch.
    let branch = |expert: usize| match net.branches().count {
        1 => 0,
        _ => expert,
    };
    let masks = training.cases.first().map_or(1, |case| case.masks.len());
    let each = |branches: Vec<usize>| -> Vec<BatchSlot> {
        let slots = branches.into_iter().enumerate();
        slots
            .map(|(sample, branch)| BatchSlot { sample, branch })
            .collect()
    };
    // Every image with one mask.
    let of_experts = |experts: Vec<usize>, targets: Vec<usize>| {
        let branches = experts.into_iter().map(branch).collect();
        by_branch(net, each(branches), &targets)
    };
    match (training.dealt, training.batching) {
        _ if training.objective == Objective::MeanMask => vec![TrainingPass {
            slots: each(vec![0; slots]),
            losses: vec![PassLoss {
                branch: 0,
                target: Target::MeanMask,
            }],
            share: 1.0,
        }],
        (Some(dealt), _) => {
            let batch = batch(training.seed, training.cases.len(), slots, step);
            let experts = batch.iter().map(|case| dealt[*case]);
            of_experts(experts.collect(), vec![0; slots])
        }
        (None, ExpertBatching::OnePerImage) => {
            // Random permutations of the experts, cut into batches: branches stay balanced.
            let seed = training.seed.fork("branches");
            let round = Batches::starting_at(masks, slots, seed, step).next();
            of_experts(round.clone(), round)
        }
        (None, ExpertBatching::All) => {
            let loss = |expert: usize| PassLoss {
                branch: branch(expert),
                target: Target::Masks(vec![expert; slots]),
            };
            let by_norms = net.mixes_branches() && net.branches().count > 1;
            match by_norms {
                true => (0..masks)
                    .map(|expert| TrainingPass {
                        slots: each(vec![expert; slots]),
                        losses: vec![loss(expert)],
                        share: 1.0 / masks as f64,
                    })
                    .collect(),
                false => vec![TrainingPass {
                    slots: each(vec![0; slots]),
                    losses: (0..masks).map(loss).collect(),
                    share: 1.0,
                }],
            }
        }
    }
}

/// One pass where branches mix, or else one for each branch, with shares by their numbers of
/// images.
fn by_branch(net: &UNet, slots: Vec<BatchSlot>, targets: &[usize]) -> Vec<TrainingPass> {
    let all = slots.len() as f64;
    let pass = |slots: Vec<BatchSlot>| TrainingPass {
        share: slots.len() as f64 / all,
        losses: vec![PassLoss {
            branch: slots[0].branch,
            target: Target::Masks(slots.iter().map(|slot| targets[slot.sample]).collect()),
        }],
        slots,
    };
    if net.mixes_branches() {
        return vec![pass(slots)];
    }
    let branches: BTreeSet<usize> = slots.iter().map(|slot| slot.branch).collect();
    let of_branch = |branch: usize| {
        let slots = slots.iter().filter(|slot| slot.branch == branch);
        pass(slots.copied().collect())
    };
    branches.into_iter().map(of_branch).collect()
}

/// The loss of a pass, and its terms where it has some.
fn forward<E: Engine>(
    training: &Training<'_, E>,
    step: usize,
    samples: &[Sample],
    TrainingPass { slots, losses, .. }: &TrainingPass,
) -> Result<(E::Tensor, Option<LatentTerms>)> {
    let Training {
        net,
        engine,
        recipe,
        ..
    } = training;
    let (height, width) = (samples[0].image.height, samples[0].image.width);
    let shape = [slots.len(), 1, height, width];
    let images = slots.iter().map(|slot| &samples[slot.sample].image);
    let images: Vec<&[f32]> = images.map(|image| image.values.as_slice()).collect();
    let branches: Vec<usize> = slots.iter().map(|slot| slot.branch).collect();
    let x = engine.pack(&images.concat(), shape)?;
    let features = net.features(*engine, &x, &branches)?;
    let prior = match training.objective {
        Objective::Elbo => Some(net.prior(*engine, &x)?),
        Objective::Dice | Objective::MeanMask => None,
    };
    drop(x);
    let over = match recipe.training.reduction {
        Reduction::Image => DiceOver::Image,
        Reduction::Batch => DiceOver::Batch,
    };
    let smooth = recipe.training.smooth;
    let mut logits: Option<(usize, E::Tensor)> = None;
    let mut each = Vec::new();
    let mut terms = Vec::new();
    let share = 1.0 / losses.len() as f64;
    for PassLoss { branch, target } in losses {
        if let (Some(prior), Target::Masks(places)) = (&prior, target) {
            let decoding = Decoding {
                net,
                engine: *engine,
                shape,
                images: &images,
                features: &features,
                prior,
                seed: training.seed.fork("latent").at(step as u64),
            };
            let pairs = zip(slots, places).map(|(slot, place)| (slot.sample, *place));
            let (loss, of_loss) = decoding.loss(&DrawnMasks {
                masks: &chosen_masks(samples, slots, places),
                places: &pairs.collect::<Vec<_>>(),
            })?;
            each.push((loss, share));
            terms.push(of_loss);
            continue;
        }
        let of_branch = match logits.take() {
            Some((same, logits)) if same == *branch => logits,
            _ => net.logits(*engine, &features, *branch)?,
        };
        let loss = match target {
            Target::Masks(places) => {
                let masks = chosen_masks(samples, slots, places).concat();
                let y = engine.pack(&masks, shape)?;
                engine.dice_loss(&of_branch, &y, slots.len(), smooth, over)?
            }
            Target::MeanMask => {
                let means = slots.iter();
                let means = means.flat_map(|slot| mean_mask(&samples[slot.sample].masks));
                let y = engine.pack(&means.collect::<Vec<f32>>(), shape)?;
                engine.cross_entropy(&of_branch, &y, slots.len())?
            }
        };
        each.push((loss, share));
        logits = Some((*branch, of_branch));
    }
    let loss = match each.len() {
        1 => each.remove(0).0,
        _ => engine.sum(&each)?,
    };
    Ok((loss, LatentTerms::mean(&terms)))
}

/// One mask of each image of a pass.
fn chosen_masks<'a>(
    samples: &'a [Sample],
    slots: &[BatchSlot],
    places: &[usize],
) -> Vec<&'a [f32]> {
    let masks = zip(slots, places).map(|(slot, place)| &samples[slot.sample].masks[*place]);
    masks.map(|mask| mask.values.as_slice()).collect()
}

/// The mean of some masks of one image, at least one, pixel by pixel.
fn mean_mask(masks: &[Plane]) -> Vec<f32> {
    let mut sum = masks[0].values.clone();
    for mask in &masks[1..] {
        zip(&mut sum, &mask.values).for_each(|(sum, more)| *sum += more);
    }
    let count = masks.len() as f32;
    sum.into_iter().map(|sum| sum / count).collect()
}
