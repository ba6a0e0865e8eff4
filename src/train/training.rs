//! The inputs of a training.

use std::sync::Arc;

use crate::{
    data::prepare::{Plane, Prepared},
    manifest::{Budget, ExpertBatching, Recipe},
    method::{Objective, Tuned},
    net::UNet,
    seed::Seed,
};

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
    /// The weight of the divergence in the objective of a probabilistic U-Net.
    pub beta: f64,
    /// The parameters that change.
    pub tuned: Tuned,
    /// The seed of shuffling and augmentation.
    pub seed: Seed,
}
