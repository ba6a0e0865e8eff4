//! The description of a network in a checkpoint, beside the tensors: what is needed to use it, and
//! its origin.

use serde::{Deserialize, Serialize};

use crate::{
    data::Expert,
    key::{Digest, Input},
    manifest::{Budget, Recipe},
    plan::Kind,
    store::MadeBy,
};

/// What a checkpoint says of its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// How images become input, the network, and how it was trained.
    pub recipe: Recipe,
    /// The experts, in the order of the branches.
    pub experts: Vec<Expert>,
    /// Where it comes from.
    pub provenance: NetworkOrigin,
}

/// Where a network comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkOrigin {
    /// A stage of a grid.
    Stage {
        /// Its kind.
        kind: Kind,
        /// Its key.
        digest: Digest,
        /// What the store knows of it, in a file that has left the store.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<StageRecord>,
    },
    /// An adaptation to one more expert, outside any grid.
    Adaptation(Box<Adaptation>),
}

/// What the store knows of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// What the data set was called.
    pub dataset: Option<String>,
    /// What computed it.
    pub made_by: MadeBy,
    /// The inputs behind its key.
    pub inputs: Vec<Input>,
}

/// How a network was adapted to one more expert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adaptation {
    /// Digest of the tensors it started from.
    pub from: Digest,
    /// What those were trained on, where it is known.
    pub pretrained_on: Option<String>,
    /// What the annotated cases were called.
    pub dataset: String,
    /// The annotated cases.
    pub cases: Vec<String>,
    /// Digests of their images.
    pub images: Vec<Digest>,
    /// Digests of the new expert's masks.
    pub masks: Vec<Digest>,
    /// What was trained.
    pub method: String,
    /// How long and how fast.
    pub budget: Budget,
    /// Of all its randomness.
    pub seed: u64,
    /// What computed it.
    pub made_by: MadeBy,
}

/// The size of a network, as the shapes of its tensors have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkSize {
    /// Channels of the first layer.
    pub width: usize,
    /// Experts' branches.
    pub experts: usize,
}

impl About {
    /// The size of the network.
    pub fn size(&self) -> NetworkSize {
        NetworkSize {
            width: self.recipe.network.width,
            experts: self.experts.len(),
        }
    }

    /// What the network was trained on, where it is known.
    pub fn trained_on(&self) -> Option<String> {
        match &self.provenance {
            NetworkOrigin::Stage { record, .. } => record.as_ref()?.dataset.clone(),
            NetworkOrigin::Adaptation(adaptation) => {
                let Adaptation {
                    pretrained_on,
                    dataset,
                    ..
                } = &**adaptation;
                Some(match pretrained_on {
                    Some(before) if before != dataset => format!("{before}, then {dataset}"),
                    Some(_) | None => dataset.clone(),
                })
            }
        }
    }
}
