//! What an experiment is, once its manifest has been read: typed, complete, validated.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    changes::Change,
    choices::{Block, CutMasks, Keep, Rows, Unpaired},
    kind::{number, whole},
    recipe::{Budget, Metrics, Pretrain, Recipe},
    sections::section,
    sweep::{Document, Swept},
};
use crate::key::Memo;

/// One manifest with its profile and overrides resolved.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The file's name without `.toml`: names the table and its results folder, so that a copied
    /// manifest can never overwrite the results of the one it was copied from.
    pub name: String,
    /// The manifest's file, as it was named.
    pub path: PathBuf,
    /// The caption's first sentence.
    pub title: String,
    /// The profile chosen; `paper` where none was.
    pub profile: String,
    /// What was set on top of it, as `key=value`.
    pub overrides: Vec<String>,
    /// What the profile, an extending file and overrides changed; each key once, by what counts.
    pub changes: Vec<Change>,
    /// What the user should know and might not expect; one sentence each, with places.
    pub warnings: Vec<String>,
    /// Keys that take several values, in the order in which they are written; see
    /// [`Experiment::points`].
    pub sweep: Vec<Swept>,
    /// What the points of the sweep are read from.
    pub(super) document: Option<Document>,
    /// The root of all randomness.
    pub seed: u64,
    /// What the protocol expects of the data set.
    pub cohort: Cohort,
    /// The axes of the grid.
    pub grid: Grid,
    /// What every training has in common.
    pub recipe: Memo<Recipe>,
    /// Training on the annotation experts' masks.
    pub pretrain: Pretrain,
    /// Training from random initialisation on one expert's masks.
    pub scratch: Budget,
    /// Adapting a pretrained network to the new expert.
    pub finetune: Budget,
    /// Definitions of the metrics.
    pub metrics: Memo<Metrics>,
    /// How tests are made and marked.
    pub statistics: Statistics,
    /// What the table's rows are.
    pub rows: Rows,
    /// Whether masks may reach out of the field of view.
    pub cut_masks: CutMasks,
    /// Which networks' weights stay.
    pub keep: Keep,
    /// What the results are held against.
    pub reference: Option<Published>,
}

/// Published values of the same grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// A CSV file of values, one row per cell position.
    pub values: PathBuf,
    /// Who published them, as a report names them.
    pub source: String,
    /// The label of the data set that they are of.
    pub dataset: String,
}

section! {
    /// The size of the data set that the protocol is written for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Cohort {
        /// Training cases.
        training: usize = 34, whole(1, 100_000), unkeyed;
        /// Test cases.
        test: usize = 5, whole(1, 100_000), unkeyed;
        /// Experts who annotated every case.
        experts: u8 = 7, whole(1, 200), unkeyed;
    }
}

/// The axes; every combination of their values is a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Experts to be adapted to, and tested against.
    pub new_experts: Vec<u8>,
    /// The ways of getting a network for them.
    pub arms: Vec<Arm>,
    /// Who annotates for pretraining.
    pub annotators: Annotators,
    /// Whose masks train the networks of arm `single`.
    pub train_experts: Vec<u8>,
    /// How many annotated samples.
    pub samples: Vec<usize>,
    /// First case of each way of sampling, from 1.
    pub starts: Vec<usize>,
}

impl Grid {
    /// How many runs the grid has; beyond any whole number for a wild choice of combinations.
    pub fn runs(&self) -> f64 {
        let sources = |arm: &Arm| match arm {
            Arm::With => {
                let choose = self.annotators.choose.iter();
                choose
                    .map(|k| binomial(self.annotators.from.len(), *k))
                    .sum()
            }
            Arm::Without => 1.0,
            Arm::Single => self.train_experts.len() as f64,
        };
        let cells = self.new_experts.len() * self.samples.len() * self.starts.len();
        self.arms.iter().map(sources).sum::<f64>() * cells as f64
    }
}

fn binomial(n: usize, k: usize) -> f64 {
    // Where k is too many, one factor is zero.
    (0..k)
        .map(|i| n.saturating_sub(i) as f64 / (i + 1) as f64)
        .product()
}

/// Which experts annotate the pretraining set: every combination of each size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotators {
    /// The candidates.
    pub from: Vec<u8>,
    /// How many at a time.
    pub choose: Vec<usize>,
}

/// How the network that is tested came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Arm {
    /// Pretrained on several experts, fine-tuned on the new expert's samples.
    #[serde(rename = "w/")]
    With,
    /// Trained from random initialisation on the new expert's samples.
    #[serde(rename = "w/o")]
    Without,
    /// Trained from random initialisation on one expert, tested against another.
    #[serde(rename = "single")]
    Single,
}

impl Arm {
    /// The words of the manifest.
    pub const ALL: [(&'static str, Arm); 3] = [
        ("w/", Arm::With),
        ("w/o", Arm::Without),
        ("single", Arm::Single),
    ];
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::With => "w/",
            Self::Without => "w/o",
            Self::Single => "single",
        })
    }
}

section! {
    /// How tests are made and marked. It shapes the table, never a stage.
    #[derive(Clone, Copy, Debug, PartialEq)]
    Statistics {
        /// Two-sided level of significance.
        alpha: f64 = 0.05, number(1e-9, 0.5), unkeyed;
        /// The cells among which the best is sought.
        block: Block = Block::Table, Block::KIND, unkeyed;
        /// The test where results are not paired.
        unpaired: Unpaired = Unpaired::Student, Unpaired::KIND, unkeyed;
    }
}
