//! What an experiment is, once its manifest has been read: typed, complete, validated.

use std::{path::PathBuf, sync::Arc};

use super::{
    changes::{Change, ChangedBy},
    choices::{Block, CutMasks, Keep, LatentServed, Paired, Spread, Unpaired},
    data_spec::DataSpec,
    document::TomlTable,
    grid::Grid,
    kind::{ValueKind, number, whole},
    recipe::{Budget, LatentSpec, Metrics, Pretrain, Recipe},
    sections::section,
    selection::SelectionRules,
    swept::Swept,
    table_spec::TableSpec,
};
use crate::{key::Memo, method::FusionRegion};

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
    /// What the profile, an extending file and overrides changed; each key once.
    pub changes: Vec<Change>,
    /// What the user should know and might not expect; one sentence each, with places.
    pub warnings: Vec<String>,
    /// Keys that take several values, in the order in which they are written; see
    /// [`Experiment::points`].
    pub sweep: Vec<Swept>,
    /// The document that the points of the sweep are read from; `None` without a sweep.
    pub(super) document: Option<Arc<TomlTable>>,
    /// The root of all randomness.
    pub seed: u64,
    /// What the protocol expects of the data set.
    pub cohort: Cohort,
    /// How the data set's files are found and read.
    pub data: Arc<DataSpec>,
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
    /// How its cells make a table.
    pub table: TableSpec,
    /// Rules for choosing annotation experts, which stand under it.
    pub selection: SelectionRules,
    /// Where STAPLE estimates the experts' performance, for methods that fuse masks by it.
    pub fusion_region: FusionRegion,
    /// The latent of probabilistic U-Nets.
    pub latent: LatentSpec,
    /// Factor of the learning rate of their pretraining.
    pub latent_lr_factor: f64,
    /// Which latent they are served with where nothing is trained.
    pub latent_served: LatentServed,
    /// Whether masks may reach out of the field of view.
    pub cut_masks: CutMasks,
    /// Which networks' weights stay.
    pub keep: Keep,
    /// Published values that the results are compared with.
    pub reference: Option<Published>,
}

impl Experiment {
    /// The unit of distances, in every table and file.
    pub fn distances(&self) -> &'static str {
        let swept = self
            .sweep
            .iter()
            .any(|swept| swept.key == "metrics.spacing");
        match (swept, self.metrics.spacing) {
            (true, _) => "px or mm",
            (false, spacing) => spacing.symbol(),
        }
    }

    /// Whether the profile has made something smaller than in the manifest's own keys.
    pub fn is_reduced(&self) -> bool {
        let by_profile = |change: &&Change| matches!(change.by, ChangedBy::Profile(_));
        let mut changes = self.changes.iter().filter(by_profile);
        changes.any(Change::reduces)
    }
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

const NUMBER_OR_NAMES: ValueKind =
    ValueKind::Either(&[whole(1, 200), ValueKind::List(&ValueKind::Text)]);

section! {
    /// The size of the data set that the protocol is written for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Cohort {
        /// Training cases.
        training: usize = 34, whole(1, 100_000), unkeyed;
        /// Test cases.
        test: usize = 5, whole(1, 100_000), unkeyed;
        /// Experts who annotated every case: how many, or their names in an order that gives them
        /// their numbers.
        experts: u8 = 7, NUMBER_OR_NAMES, unkeyed;
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
        /// What stands beside the mean in a cell.
        spread: Spread = Spread::None, Spread::KIND, unkeyed;
        /// The test where results are paired.
        paired: Paired = Paired::Student, Paired::KIND, unkeyed;
        /// The test where results are not paired.
        unpaired: Unpaired = Unpaired::Student, Unpaired::KIND, unkeyed;
    }
}
