//! The passes of a step through the network: which images go together, through which branches and
//! against which masks, and their losses.

use std::{collections::BTreeSet, iter::zip};

use candle_core::Result;

use super::{
    batches::{Batches, batch},
    elbo::{DecodedTerms, Decoding, DrawnMasks},
    training::Training,
};
use crate::{
    data::{augment::Sample, prepare::Plane},
    engine::{DiceOver, Engine},
    event::LatentTerms,
    manifest::{ExpertBatching, Reduction},
    method::Objective,
    net::UNet,
};

/// Images of a batch that go through the network together.
pub(super) struct TrainingPass {
    slots: Vec<BatchSlot>,
    /// The losses of its logits, which share its loss alike.
    losses: Vec<PassLoss>,
    /// The share of its loss in the loss of the step.
    pub share: f64,
}

/// An image of a batch on its way through the network.
#[derive(Clone, Copy)]
struct BatchSlot {
    /// Its place in the batch.
    sample: usize,
    /// Its branch.
    branch: usize,
}

impl TrainingPass {
    /// Its form.
    pub fn form(&self, net: &UNet) -> PassForm {
        let of_head = |branch| match net.mixes_branches() {
            true => 0,
            false => branch,
        };
        let branch = |slot: &BatchSlot| of_head(slot.branch);
        PassForm {
            branches: self.slots.iter().map(branch).collect(),
            losses: self
                .losses
                .iter()
                .map(|loss| (of_head(loss.branch), loss.target.form()))
                .collect(),
            mixed: net.mixes_branches(),
            share: self.share.to_bits(),
        }
    }

    /// Whether an image goes through a branch.
    pub fn goes_through(&self, branch: usize) -> bool {
        self.slots.iter().any(|slot| slot.branch == branch)
    }
}

/// What passes of the same operations have in common, whatever their images, masks and norms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PassForm {
    /// Of each image the branch; 0 where branches mix.
    branches: Vec<usize>,
    /// Of each loss the branch and the form of its target.
    losses: Vec<(usize, TargetForm)>,
    mixed: bool,
    share: u64,
}

/// The form of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TargetForm {
    Masks,
    MeanMask,
    Majority,
    Disagreement,
}

impl Target {
    fn form(&self) -> TargetForm {
        match self {
            Self::Masks(_) => TargetForm::Masks,
            Self::MeanMask => TargetForm::MeanMask,
            Self::Majority => TargetForm::Majority,
            Self::Disagreement => TargetForm::Disagreement,
        }
    }
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
    /// The majority of all masks of a slot.
    Majority,
    /// How much the masks of a slot disagree.
    Disagreement,
}

/// The passes of a step. Masks of one expert that take the same way through all layers but the last
/// share a pass.
pub(super) fn passes<E: Engine>(
    training: &Training<'_, E>,
    step: usize,
    slots: usize,
) -> Vec<TrainingPass> {
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
        _ if training.objective == Objective::MaskAndMap => vec![TrainingPass {
            slots: each(vec![0; slots]),
            losses: [(0, Target::Majority), (1, Target::Disagreement)]
                .map(|(branch, target)| PassLoss { branch, target })
                .into(),
            // The two losses are added, where those of several masks share one.
            share: 2.0,
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

/// The loss of a pass, and its terms where it has some. The engine need not be the training's.
pub(super) fn forward<E: Engine, T>(
    training: &Training<'_, T>,
    engine: &E,
    step: usize,
    samples: &[Sample],
    TrainingPass { slots, losses, .. }: &TrainingPass,
) -> Result<(E::Tensor, TermTensors<E>)> {
    let Training { net, recipe, .. } = training;
    let (height, width) = (samples[0].image.height, samples[0].image.width);
    let shape = [slots.len(), 1, height, width];
    let images = slots.iter().map(|slot| &samples[slot.sample].image);
    let images: Vec<&[f32]> = images.map(|image| image.values.as_slice()).collect();
    let branches: Vec<usize> = slots.iter().map(|slot| slot.branch).collect();
    let x = engine.pack(&images.concat(), shape)?;
    let features = net.features(engine, &x, &branches)?;
    let prior = match training.objective {
        Objective::Elbo => Some(net.prior(engine, &x)?),
        Objective::Dice | Objective::MeanMask | Objective::MaskAndMap => None,
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
                engine,
                shape,
                images: &images,
                features: &features,
                prior,
                beta: training.beta,
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
            _ => net.logits(engine, &features, *branch)?,
        };
        let loss = match target {
            Target::Masks(places) => {
                let masks = chosen_masks(samples, slots, places).concat();
                let y = engine.pack(&masks, shape)?;
                engine.dice_loss(&of_branch, &y, slots.len(), smooth, over)?
            }
            Target::MeanMask => {
                let y = engine.pack(&of_means(samples, slots, |mean| mean), shape)?;
                engine.cross_entropy(&of_branch, &y, slots.len())?
            }
            Target::Majority => {
                let inside = |mean: f32| if mean > 0.5 { 1.0 } else { 0.0 };
                let y = engine.pack(&of_means(samples, slots, inside), shape)?;
                engine.dice_loss(&of_branch, &y, slots.len(), smooth, over)?
            }
            Target::Disagreement => {
                let y = engine.pack(&of_means(samples, slots, disagreement), shape)?;
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
    Ok((loss, TermTensors { each: terms }))
}

/// The terms of a loss, not read yet: of a probabilistic U-Net, for each mask.
pub(super) struct TermTensors<E: Engine> {
    each: Vec<DecodedTerms<E>>,
}

impl<E: Engine> TermTensors<E> {
    /// The tensors behind them.
    pub fn tensors(&self) -> impl Iterator<Item = E::Tensor> + '_ {
        self.each.iter().flat_map(DecodedTerms::tensors)
    }

    /// The mean terms; none where the loss has none.
    pub fn read(&self, engine: &E) -> Result<Option<LatentTerms>> {
        let terms = self.each.iter().map(|terms| terms.read(engine));
        Ok(LatentTerms::mean(&terms.collect::<Result<Vec<_>>>()?))
    }
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

/// How much experts disagree at a pixel where a share of them is inside: 0 where all agree, 1 where
/// half of them are inside.
pub fn disagreement(share: f32) -> f32 {
    4.0 * share * (1.0 - share)
}

/// Of each image of a pass, what follows from the mean of its masks at each pixel.
fn of_means(samples: &[Sample], slots: &[BatchSlot], of: impl Fn(f32) -> f32) -> Vec<f32> {
    let means = slots.iter();
    let means = means.flat_map(|slot| mean_mask(&samples[slot.sample].masks));
    means.map(of).collect()
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
