//! How much work a stage is, in terms that make stages comparable.

use serde::{Deserialize, Serialize};

use super::Spec;
use crate::{manifest::ExpertBatching, method::NetworkForm};

/// How much work a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Steps of its training; 0 where nothing is trained.
    pub steps: usize,
    /// Batches that pass through the network in each step: one per expert in turn, or one in which
    /// every image goes through the branch of one expert. A probabilistic U-Net takes as many as
    /// cost the same: one for itself, one for its prior and one for the posterior of each mask.
    pub batches: usize,
    /// What a batch costs; `None` where nothing is trained.
    pub size: Option<Size>,
}

/// What the cost of a batch depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Size {
    /// Channels of the network's first level.
    pub width: usize,
    /// Side of the network's input, in pixels.
    pub side: usize,
    /// Images in a batch.
    pub batch: usize,
}

impl Spec {
    /// How much work it is.
    pub fn work(&self) -> Work {
        match self {
            Self::Train(train) => Work {
                steps: train.budget.steps,
                batches: match (train.network, train.origin.batching(), &train.support.dealt) {
                    (NetworkForm::Latent, ExpertBatching::All, None) => {
                        2 + train.support.masks.len()
                    }
                    (NetworkForm::Latent, ..) => 3,
                    // Heads share no batch, but all of them read the same features.
                    (NetworkForm::Heads, ExpertBatching::OnePerImage, _)
                    | (NetworkForm::Heads, _, Some(_)) => train.support.experts.len(),
                    (NetworkForm::Heads | NetworkForm::One | NetworkForm::Map, ..) => 1,
                    (_, ExpertBatching::OnePerImage, _) | (_, _, Some(_)) => 1,
                    (_, ExpertBatching::All, None) => train.support.masks.len(),
                },
                size: Some(Size {
                    width: train.recipe.network.width,
                    side: train.recipe.image.input(),
                    batch: train.recipe.training.batch,
                }),
            },
            Self::Serve(_) | Self::Agree(_) | Self::Evaluate(_) => Work {
                steps: 0,
                batches: 0,
                size: None,
            },
        }
    }
}

impl Work {
    /// Batches that pass through the network, all in all.
    pub fn passes(&self) -> u64 {
        self.steps as u64 * self.batches as u64
    }

    /// What it costs against other stages: multiplications grow with the pixels and with the square
    /// of the channels. An evaluation costs 1, so that progress over evaluations alone is measured
    /// too.
    pub fn cost(&self) -> u64 {
        let Some(Size { width, side, batch }) = self.size else {
            return 1;
        };
        (width * width * side * side * batch) as u64 * self.passes()
    }
}
