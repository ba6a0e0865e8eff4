//! The branches of a network: how many there are, and which layers they do not share.

use serde::{Deserialize, Serialize};

use super::parameters::Part;
use crate::{data::Expert, method::NetworkForm};

/// The layers that every expert has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpertLayers {
    /// The scales and shifts of all instance norms.
    #[default]
    Norms,
    /// The last convolution, from features to logits.
    Head,
    /// The last four convolutions of a probabilistic U-Net (`f_comb`), from features and a latent
    /// to logits.
    Comb,
}

/// The branches of a network. A network of one branch is the same whichever layers are named as the
/// expert's; what a training may change, and what a new expert starts with, differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branches {
    /// The layers of each branch.
    pub layers: ExpertLayers,
    /// How many there are.
    pub count: usize,
    /// Whose heads they are; empty where that is not known or has no effect.
    owners: Vec<Expert>,
    /// Dimensions of the latent to be chosen, for which there are networks that give its
    /// distributions; 0 where there is none.
    latent: usize,
}

impl Branches {
    /// So many branches of certain layers, whoever they belong to.
    pub fn new(layers: ExpertLayers, count: usize) -> Self {
        Self {
            layers,
            count,
            owners: Vec::new(),
            latent: 0,
        }
    }

    /// Of a probabilistic U-Net: one branch, and a latent of so many dimensions.
    pub fn probabilistic(latent: usize) -> Self {
        Self {
            latent,
            ..Self::new(ExpertLayers::Comb, 1)
        }
    }

    /// A head for a mask, and one for a map of how much experts disagree.
    pub fn with_map() -> Self {
        Self::new(ExpertLayers::Head, 2)
    }

    /// Whether the network takes a latent.
    pub fn has_latent(&self) -> bool {
        self.latent > 0
    }

    /// The dimensions of the latent; 0 where the network takes none.
    pub fn latent(&self) -> usize {
        self.latent
    }

    /// A branch for each expert. The initial values of a head depend on its expert's number, so
    /// that heads differ, and an expert's head begins alike in every combination of experts. The
    /// only branch of a network begins as in every other network.
    pub fn of(layers: ExpertLayers, experts: &[Expert]) -> Self {
        let owners = match (layers, experts) {
            (ExpertLayers::Head, several) if several.len() > 1 => several.to_vec(),
            (ExpertLayers::Norms | ExpertLayers::Head | ExpertLayers::Comb, _) => Vec::new(),
        };
        Self {
            owners,
            ..Self::new(layers, experts.len())
        }
    }

    /// The branches of a network that is trained on the masks of some experts; `latent` is the
    /// dimensions of a latent, where the network takes one.
    pub fn trained_on(network: NetworkForm, experts: &[Expert], latent: usize) -> Self {
        match network {
            NetworkForm::Norms | NetworkForm::Heads => Self::of(network.into(), experts),
            NetworkForm::One => Self::from(1),
            NetworkForm::Map => Self::with_map(),
            NetworkForm::Latent => Self::probabilistic(latent),
            NetworkForm::Comb => Self::new(ExpertLayers::Comb, 1),
        }
    }

    /// Whose the layers of some kind are, each once.
    pub(super) fn parts(&self, layers: ExpertLayers) -> Vec<Part> {
        match layers == self.layers {
            true => (0..self.count).map(Part::Expert).collect(),
            false => vec![Part::Shared],
        }
    }

    /// The expert from whose number a part's initial values follow; none where they do not.
    pub(super) fn owner(&self, part: Part) -> Option<Expert> {
        match part {
            Part::Expert(branch) => self.owners.get(branch).copied(),
            Part::Shared => None,
        }
    }

    /// The shape of a parameter in a file, in which the branches of one layer are one tensor.
    pub(super) fn shape_in_file(&self, part: Part, shape: &[usize]) -> Vec<usize> {
        match (part, self.layers) {
            (Part::Expert(_), ExpertLayers::Norms) if self.count > 1 => {
                [&[self.count], shape].concat()
            }
            // A head has one output.
            (Part::Expert(_), ExpertLayers::Head) => [&[self.count], &shape[1..]].concat(),
            (Part::Expert(_) | Part::Shared, _) => shape.to_vec(),
        }
    }
}

impl From<NetworkForm> for ExpertLayers {
    /// Those of a network's only branch are its norms.
    fn from(network: NetworkForm) -> Self {
        match network {
            NetworkForm::Norms | NetworkForm::One => Self::Norms,
            NetworkForm::Heads | NetworkForm::Map => Self::Head,
            NetworkForm::Latent | NetworkForm::Comb => Self::Comb,
        }
    }
}

impl From<usize> for Branches {
    /// So many branches by norms.
    fn from(count: usize) -> Self {
        Self::new(ExpertLayers::Norms, count)
    }
}
