//! Makes the network that is trained for a new expert from a pretrained one.
//!
//! The rule: stages of a grid and commands adapt networks by this code alone. It depends on how the
//! new expert's branch begins, not on the names of methods, and prints nothing.

use std::{iter::zip, sync::Arc};

use crate::{
    artefact::{BranchFit, Choice},
    data::{
        Expert, Mask,
        prepare::{Prediction, Prepared},
    },
    engine::{Engine, plain},
    key::Digest,
    manifest::{ImageSpec, NetworkSpec, Recipe},
    method::{Branch, NetworkForm},
    metric::{MaskError, dice},
    net::{Checkpoint, CheckpointError, ExpertLayers, UNet},
    seed::Seed,
    train::{posterior_mean, predict},
};

/// A case that the new expert has annotated.
#[derive(Clone, Debug)]
pub struct SupportCase<'a> {
    /// The digest of its image.
    pub digest: Digest,
    /// Its image.
    pub image: Arc<Prepared>,
    /// The new expert's mask as drawn.
    pub mask: &'a Mask,
}

/// A network at the beginning of its training for a new expert.
pub struct Beginning {
    /// The network, with one branch.
    pub net: UNet,
    /// Where that branch was inherited: whose, and how well every branch fits.
    pub choice: Option<Choice>,
}

/// Why there is no network to begin with.
#[derive(Debug, thiserror::Error)]
pub enum AdaptationError {
    /// The checkpoint is of another network.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A tensor operation failed. Candle's error is no source: its text may hold a backtrace.
    #[error("{}", plain(.0))]
    Tensor(candle_core::Error),
    /// A mask has another shape than its image.
    #[error(transparent)]
    Mask(#[from] MaskError),
}

impl From<candle_core::Error> for AdaptationError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// The inputs of an adaptation.
pub struct Adapting<'a, E> {
    /// The pretrained network.
    pub pretrained: &'a Checkpoint,
    /// The experts of its branches, in their order; none where several share the only one.
    pub experts: &'a [Expert],
    /// The layers that become the new expert's.
    pub layers: ExpertLayers,
    /// What the new expert's branch starts from.
    pub branch: Branch,
    /// The new expert's cases, in the order of sampling.
    pub cases: &'a [SupportCase<'a>],
    /// How images become input, and the network.
    pub recipe: &'a Recipe,
    /// The seed of initial values.
    pub seed: Seed,
    /// The engine.
    pub engine: &'a E,
}

impl<E: Engine> Adapting<'_, E> {
    /// The network to be trained. Where a branch is inherited, it is the one that fits the cases
    /// best.
    ///
    /// # Errors
    /// Where the checkpoint is of another network, a mask of another shape than its image, or a
    /// tensor operation fails.
    pub fn begin(&self) -> Result<Beginning, AdaptationError> {
        let network = &self.recipe.network;
        let device = self.engine.device();
        match self.branch {
            Branch::Reset => Ok(Beginning {
                net: self
                    .pretrained
                    .adapt(network, self.layers, &self.seed, device)?,
                choice: None,
            }),
            Branch::Inherit => {
                let settled = self.settled()?;
                let pretrained = settled.as_ref().unwrap_or(self.pretrained);
                let (best, choice) = match self.experts {
                    [] => (0, None),
                    _ => {
                        let (best, choice) = self.choose()?;
                        (best, Some(choice))
                    }
                };
                let inherited = pretrained.inherit(best, network, self.layers, device);
                Ok(Beginning {
                    net: inherited?,
                    choice,
                })
            }
        }
    }

    /// The network with the latent of the cases, or without the head of a map; none where it has
    /// neither.
    fn settled(&self) -> Result<Option<Checkpoint>, AdaptationError> {
        let about = self.pretrained.about();
        if about.is_some_and(|about| about.network == NetworkForm::Map) {
            return Ok(Some(self.pretrained.without_map()?));
        }
        match self.pretrained.size()?.branches.has_latent() {
            false => Ok(None),
            true => {
                let Recipe { image, network, .. } = self.recipe;
                let chosen =
                    with_latent_of(self.pretrained, network, self.engine, self.cases, image)?;
                Ok(Some(chosen.0))
            }
        }
    }

    /// The branch that fits the cases best, and how all of them do.
    fn choose(&self) -> Result<(usize, Choice), AdaptationError> {
        let Recipe { image, network, .. } = self.recipe;
        let all = self.pretrained.restore(network, self.engine.device())?;
        best_branch(&all, self.experts, self.engine, self.cases, image)
    }
}

/// A probabilistic U-Net with the mean latent of some cases, and that latent.
///
/// # Errors
/// Where the checkpoint is of another network, or a tensor operation fails.
pub fn with_latent_of<E: Engine>(
    pretrained: &Checkpoint,
    network: &NetworkSpec,
    engine: &E,
    cases: &[SupportCase<'_>],
    spec: &ImageSpec,
) -> Result<(Checkpoint, Vec<f32>), AdaptationError> {
    let net = pretrained.restore(network, engine.device())?;
    let annotated = cases.iter().map(|case| (case.image.clone(), case.mask));
    let latent = posterior_mean(&net, engine, &annotated.collect::<Vec<_>>(), spec)?;
    Ok((pretrained.with_latent(&latent)?, latent))
}

/// The branch that fits some cases best, and how all of them do. Each branch is one expert's.
///
/// # Errors
/// As [`dice_by_branch`], and where there is another number of experts.
pub fn best_branch<E: Engine>(
    net: &UNet,
    experts: &[Expert],
    engine: &E,
    cases: &[SupportCase<'_>],
    spec: &ImageSpec,
) -> Result<(usize, Choice), AdaptationError> {
    if net.branches().count != experts.len() {
        let why = "it does not name the experts of its branches".to_owned();
        return Err(CheckpointError::Mismatch(why).into());
    }
    let dice = dice_by_branch(net, engine, cases, spec)?;
    let fits = zip(experts, dice).map(|(expert, dice)| BranchFit {
        expert: *expert,
        mean_dice: mean(&dice),
        dice,
    });
    let branches: Vec<BranchFit> = fits.collect();
    let means: Vec<f64> = branches.iter().map(|fit| fit.mean_dice).collect();
    let best = first_of_largest(&means);
    let choice = Choice {
        images: cases.iter().map(|case| case.digest).collect(),
        chosen: branches[best].expert,
        branches,
    };
    Ok((best, choice))
}

/// The Dice coefficient of each case through each branch of a network: for each branch, all cases.
/// Images are prepared as for tests and not augmented. Masks are compared as drawn, in the frame of
/// the original image. The coefficient is 1 for two empty masks, 0 for one.
///
/// # Errors
/// Where a mask has another shape than its image, or a tensor operation fails.
pub fn dice_by_branch<E: Engine>(
    net: &UNet,
    engine: &E,
    cases: &[SupportCase<'_>],
    spec: &ImageSpec,
) -> Result<Vec<Vec<f64>>, AdaptationError> {
    let branches: Vec<usize> = (0..net.branches().count).collect();
    let by_branch = predicted(net, engine, &branches, cases, spec)?;
    let of_branch = |predictions: &Vec<Prediction>| {
        zip(predictions, cases)
            .map(|(prediction, case)| Ok(dice(prediction.mask().view(), case.mask.view())?))
            .collect()
    };
    by_branch.iter().map(of_branch).collect()
}

/// The predictions of some cases through some branches of a network: for each branch, all cases.
///
/// # Errors
/// A tensor operation fails.
pub fn predicted<E: Engine>(
    net: &UNet,
    engine: &E,
    branches: &[usize],
    cases: &[SupportCase<'_>],
    spec: &ImageSpec,
) -> candle_core::Result<Vec<Vec<Prediction>>> {
    let named = cases.iter();
    let named = named.map(|case| (case.digest.to_string(), case.image.clone()));
    let images: Vec<(String, Arc<Prepared>)> = named.collect();
    predict(net, engine, branches, &images, spec)
}

/// The mean of some numbers, added up in their order.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, value| sum + value) / values.len() as f64
}

/// The index of the largest of some numbers; among equals the first, of none 0.
pub fn first_of_largest(values: &[f64]) -> usize {
    let from_the_last = (0..values.len()).rev();
    from_the_last
        .max_by(|a, b| values[*a].total_cmp(&values[*b]))
        .unwrap_or(0)
}
