//! The description of a network in a checkpoint, beside the tensors: what is needed to use it, and
//! its origin.

use itertools::Itertools;
use serde::{Deserialize, Serialize};

use super::branches::{Branches, ExpertLayers};
use crate::{
    data::{Expert, training_geometry::TrainingGeometry},
    key::{Digest, Input},
    manifest::{Budget, LatentSpec, Recipe},
    method::{NetworkForm, Objective},
    plan::Kind,
    store::MadeBy,
};

/// A checkpoint's description of its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// How images become input, the network, and how it was trained.
    pub recipe: Recipe,
    /// The experts whose masks it was trained on, in the order of the branches; empty where their
    /// masks were fused.
    pub experts: Vec<Expert>,
    /// What each expert has of its own.
    #[serde(default, skip_serializing_if = "NetworkForm::is_usual")]
    pub network: NetworkForm,
    /// Dimensions of the latent of a probabilistic U-Net.
    #[serde(default = "usual_latent", skip_serializing_if = "is_usual_latent")]
    pub latent: usize,
    /// What the headers of the images that it was trained on last say; `None` where they say
    /// nothing, and in the store, where the stage's description has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geometry: Option<TrainingGeometry>,
    /// Its origin.
    pub provenance: NetworkOrigin,
}

fn usual_latent() -> usize {
    LatentSpec::USUAL.dimensions
}

fn is_usual_latent(dimensions: &usize) -> bool {
    *dimensions == usual_latent()
}

/// The origin of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkOrigin {
    /// A stage of a grid.
    Stage {
        /// Its kind.
        kind: Kind,
        /// Its key.
        digest: Digest,
        /// The store's record of it, in a file taken out of the store.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<StageRecord>,
    },
    /// An adaptation to one more expert, outside any grid.
    Adaptation(Box<Adaptation>),
}

/// The store's record of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The name of the data set.
    pub dataset: Option<String>,
    /// The program, device and engine that computed it.
    pub made_by: MadeBy,
    /// The inputs behind its key.
    pub inputs: Vec<Input>,
    /// What the only branch learned, where that is none of the experts' masks: `masks of experts
    /// 1, 2, 3 fused by majority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// How a network was adapted to one more expert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adaptation {
    /// Digest of the tensors it started from.
    pub from: Digest,
    /// The data set that those were trained on, if known.
    pub pretrained_on: Option<String>,
    /// The name of the data set of the annotated cases.
    pub dataset: String,
    /// The annotated cases.
    pub cases: Vec<String>,
    /// Digests of their images.
    pub images: Vec<Digest>,
    /// Digests of the new expert's masks.
    pub masks: Vec<Digest>,
    /// The parameters that were trained, in words.
    pub method: String,
    /// Steps and learning rate.
    pub budget: Budget,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The program, device and engine that computed it.
    pub made_by: MadeBy,
}

/// The size of a network, as the shapes of its tensors have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSize {
    /// Channels of the first layer.
    pub width: usize,
    /// Experts' branches. Of a network with one, it is not known which layers are the expert's:
    /// the norms are named.
    pub branches: Branches,
}

impl About {
    /// The size of the network.
    pub fn size(&self) -> NetworkSize {
        let branches = match (self.network, self.experts.len()) {
            (NetworkForm::Heads, several) if several > 1 => {
                Branches::new(ExpertLayers::Head, several)
            }
            (NetworkForm::One, _) => Branches::from(1),
            (NetworkForm::Map, _) => Branches::with_map(),
            (NetworkForm::Latent, _) => Branches::probabilistic(self.latent),
            (NetworkForm::Comb, _) => Branches::new(ExpertLayers::Comb, 1),
            (NetworkForm::Norms | NetworkForm::Heads, count) => Branches::from(count),
        };
        NetworkSize {
            width: self.recipe.network.width,
            branches,
        }
    }

    /// The experts of the branches; empty where the only branch is several experts'.
    pub fn owners(&self) -> &[Expert] {
        match self.network {
            NetworkForm::One | NetworkForm::Latent | NetworkForm::Map => &[],
            // With a latent of its own choice, and not adapted.
            NetworkForm::Comb if self.experts.len() > 1 => &[],
            NetworkForm::Norms | NetworkForm::Heads | NetworkForm::Comb => &self.experts,
        }
    }

    /// What it minimised, where it comes from a store.
    pub fn objective(&self) -> Option<Objective> {
        let record = self.record()?;
        let mut inputs = record.inputs.iter();
        match inputs.find(|input| input.field == Objective::FIELD) {
            None => Some(Objective::default()),
            Some(input) => Objective::of_word(&input.value),
        }
    }

    fn record(&self) -> Option<&StageRecord> {
        match &self.provenance {
            NetworkOrigin::Stage { record, .. } => record.as_ref(),
            NetworkOrigin::Adaptation(_) => None,
        }
    }

    /// Whose its branches are: `experts 1, 2`, `one branch for experts 1, 2`.
    pub fn whose(&self) -> String {
        if let Some(target) = self.record().and_then(|record| record.target.as_ref()) {
            return format!("one branch for the {target}");
        }
        let experts = self.experts.iter().join(", ");
        match (self.network, self.experts.as_slice()) {
            (NetworkForm::One, []) => "one branch for fused masks".to_owned(),
            (NetworkForm::One, _) => format!("one branch for experts {experts}"),
            (NetworkForm::Map, _) => {
                format!("a mask and a map of the disagreement of experts {experts}")
            }
            (NetworkForm::Latent, _) | (NetworkForm::Comb, [_, _, ..]) => {
                format!("a latent for the masks of experts {experts}")
            }
            (NetworkForm::Norms | NetworkForm::Heads | NetworkForm::Comb, _) => {
                format!("experts {experts}")
            }
        }
    }

    /// The data sets that the network was trained on, if known.
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
