//! Every section of a manifest with its keys: what `expertgrid manifest keys` lists and the JSON
//! Schema is made of.
//!
//! The rule: the keys of a spec come from its own declaration; only keys that belong to no spec
//! (the grid's, the reference's, those at the top, those read beside a spec) are declared here.

use std::{collections::HashMap, sync::LazyLock};

use super::{
    choices::{CutMasks, ExpertBatching, Keep, LatentServed, Pairing},
    data_keys,
    experiment::{Cohort, Statistics},
    kind::{Fallback, Key, ValueKind, from, number, optional, whole},
    recipe::{AugmentSpec, Budget, ImageSpec, LatentSpec, Metrics, NetworkSpec, TrainingSpec},
    sections::{SectionSpec, section},
    selection::SelectionRules,
};
use crate::method::FusionRegion;

/// A section: a table of the manifest, or its top level.
#[derive(Clone, Debug)]
pub struct SectionTable {
    /// Its name; empty for the top level.
    pub name: &'static str,
    /// What its keys are about, as written in the source.
    pub about: &'static str,
    /// Its keys, in the order in which they are written.
    pub keys: Vec<Key>,
}

impl SectionTable {
    /// The name of one of its keys from the top of the manifest.
    pub fn path(&self, key: &Key) -> String {
        match self.name {
            "" => key.name.to_owned(),
            section => format!("{section}.{}", key.name),
        }
    }
}

section! {
    /// What the experiment is called and where its randomness comes from.
    #[derive(Clone, Debug)]
    Top {
        /// First sentence of the table's caption.
        title: String = String::new(), ValueKind::Text, unkeyed;
        /// Root of all randomness.
        seed: u64 = 0, from(0), keyed;
        /// Which networks' weights stay in the store; predictions stay of all of them.
        keep: Keep = Keep::Pretrained, Keep::KIND, unkeyed;
    }
}

section! {
    /// What is read beside the image's spec.
    #[derive(Clone, Debug)]
    MoreImage {
        /// Whether a mask may reach out of the test crop.
        cut_masks: CutMasks = CutMasks::Refuse, CutMasks::KIND, unkeyed;
    }
}

section! {
    /// What is read beside the training's spec.
    #[derive(Clone, Debug)]
    MoreTraining {
        /// Initial learning rate of every training whose section names none.
        lr: f64 = Budget::FROM_RANDOM.lr, ValueKind::Rate, keyed;
    }
}

section! {
    /// What is read beside the pretraining's budget.
    #[derive(Clone, Debug)]
    MorePretrain {
        /// Which experts' branches a training step passes through.
        expert_batching: ExpertBatching = ExpertBatching::All, ExpertBatching::KIND, keyed;
        /// Training images that are to be had; 0: all.
        images: usize = 0, whole(0, 100_000), keyed;
        /// Masks that the annotators draw in all: each of them every image, or each image one of
        /// them; 0: of all images.
        annotations: usize = 0, whole(0, 100_000), keyed;
    }
}

section! {
    /// Several experts' masks that become one.
    #[derive(Clone, Debug)]
    FusionOptions {
        /// Where STAPLE estimates the experts' performance.
        region: FusionRegion = FusionRegion::Slice, FusionRegion::KIND, keyed;
    }
}

section! {
    /// The latent of probabilistic U-Nets.
    #[derive(Clone, Copy, Debug, PartialEq)]
    LatentKeys {
        /// Dimensions of the latent.
        latent: usize = LatentSpec::USUAL.dimensions, whole(1, 64), keyed;
        /// Weight of the divergence between posterior and prior against the cross-entropy summed
        /// over pixels. Less of it lets more of the latent be used.
        beta: f64 = LatentSpec::USUAL.beta, number(0.0, 1e6), keyed;
        /// Factor of the pretraining's learning rate for networks with a latent, which collapses
        /// where the rate is too high.
        lr_factor: f64 = 1.0, number(0.0, 1e3), keyed;
        /// Which latent a network without further training is served with.
        serve: LatentServed = LatentServed::Posterior, LatentServed::KIND, keyed;
    }
}

section! {
    /// What is read beside the axes that every grid names.
    #[derive(Clone, Debug)]
    MoreGrid {
        /// Which combinations of annotation experts meet which ways of sampling.
        pairing: Pairing = Pairing::Crossed, Pairing::KIND, keyed;
        /// Pretrainings of each combination of annotation experts, which differ in their seed.
        repeats: usize = 1, whole(1, 1000), keyed;
    }
}

/// An expert: a number, or one of the names in `dataset.experts`.
const EXPERT: ValueKind = ValueKind::Either(&[whole(1, 200), ValueKind::Text]);
const COUNT: ValueKind = whole(1, 100_000);
const fn axis(
    name: &'static str,
    kind: ValueKind,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default: Fallback::Required(example),
        doc,
        keyed: true,
    }
}

pub(super) const NEW_EXPERTS: Key = axis(
    "new_experts",
    ValueKind::List(&EXPERT),
    "[6, 7]",
    "Experts to be adapted to, and tested against.",
);
pub(super) const METHODS: Key = axis(
    "methods",
    ValueKind::List(&ValueKind::Text),
    "[\"w/\", \"w/o\"]",
    "The ways of getting a network for them: built-in methods, or those of `[method.NAME]`.",
);
pub(super) const FROM: Key = axis(
    "annotators.from",
    ValueKind::List(&EXPERT),
    "[1, 2, 3, 4, 5]",
    "Candidates for annotating the pretraining set; methods that pretrain need them.",
);
pub(super) const CHOOSE: Key = axis(
    "annotators.choose",
    ValueKind::List(&whole(1, 200)),
    "3",
    "How many of them annotate at a time: every combination of that size; methods that pretrain \
     need it.",
);
pub(super) const TRAIN_EXPERTS: Key = axis(
    "train_experts",
    ValueKind::List(&EXPERT),
    "[1, 2, 3]",
    "Experts whose masks train the networks of method \"single\", which needs them.",
);
pub(super) const SAMPLES: Key = axis(
    "samples",
    ValueKind::List(&whole(0, 100_000)),
    "[5, 10, 34]",
    "Numbers of annotated samples; with 0, a pretrained network is tested as it is.",
);
pub(super) const STARTS: Key = axis(
    "starts",
    ValueKind::List(&COUNT),
    "[1, 4, 7]",
    "First case of each way of sampling, from 1; cases wrap around.",
);

pub(super) const ARMS: Key = optional(
    "arms",
    ValueKind::List(&ValueKind::Text),
    true,
    "Older name of `methods`.",
);
pub(super) const TOP_ROWS: Key = optional(
    "rows",
    ValueKind::Axes,
    false,
    "Older name of `table.rows`.",
);
pub(super) const PANELS: Key = optional(
    "panels",
    ValueKind::Axes,
    false,
    "Axes with a panel of the table for each value; absent: the new expert.",
);
pub(super) const ROWS: Key = optional(
    "rows",
    ValueKind::Axes,
    false,
    "Axes with a row for each value; absent: the number of samples.",
);
pub(super) const COLUMNS: Key = optional(
    "columns",
    ValueKind::Axes,
    false,
    "Axes with a column for each value, under every measure; absent: those of method, number of \
     annotation experts, samples, expert trained on and swept keys that stand nowhere else.",
);
pub(super) const AVERAGE: Key = optional(
    "average",
    ValueKind::Axes,
    false,
    "Axes that are averaged over before anything else; absent: the combination of annotation \
     experts, where it stands nowhere else.",
);
pub(super) const RESULTS: Key = optional(
    "results",
    ValueKind::Axes,
    false,
    "Axes that tell the results of a cell apart, which are its sample and the pairs of its tests; \
     absent: the way of sampling.",
);
pub(super) const COMPARE: Key = optional(
    "compare",
    ValueKind::Comparison,
    false,
    "What a cell is compared with, such as \"method=w/o\"; absent: the one method that trains on \
     the new expert's samples alone, where others pretrain.",
);
pub(super) const EXTENDS: Key = optional(
    "extends",
    ValueKind::Path,
    false,
    "Another manifest, over whose keys and profiles those of this one are laid.",
);
pub(super) const START: Key = optional(
    "from",
    ValueKind::Path,
    true,
    "Safetensors file whose tensors, as far as they fit, the pretraining starts from; absent: \
     random initialisation.",
);
pub(super) const VALUES: Key = optional(
    "values",
    ValueKind::Path,
    false,
    "CSV file of published values, one row per cell position.",
);
pub(super) const SOURCE: Key = optional(
    "source",
    ValueKind::Text,
    false,
    "Who published them, as a report names them; absent: the path of the file.",
);
pub(super) const LABEL: Key = optional(
    "dataset",
    ValueKind::Text,
    false,
    "Label of the data set that they are of.",
);

/// The learning rate of a section, by default that of `[training]`.
fn lr() -> Key {
    Key {
        default: Fallback::As("training.lr"),
        doc: "Initial learning rate.",
        ..Budget::KEYS[1]
    }
}

/// The keys of a budget beside steps and rate.
fn more_budget() -> &'static [Key] {
    &Budget::KEYS[2..]
}

fn steps(default: fn() -> String) -> Key {
    Key {
        default: Fallback::Value(default),
        ..Budget::KEYS[0]
    }
}

/// The steps of a pretraining: none where its weights come from a file as they are.
pub(super) fn pretrain_steps(least: u64) -> Key {
    Key {
        kind: whole(least, Budget::MOST_STEPS),
        doc: "Optimiser steps; 0 is allowed where `pretrain.from` gives the weights.",
        ..steps(|| Budget::FROM_RANDOM.steps.to_string())
    }
}

/// The keys of the grid that every grid names.
const GRID: [Key; 8] = [
    NEW_EXPERTS,
    METHODS,
    ARMS,
    FROM,
    CHOOSE,
    TRAIN_EXPERTS,
    SAMPLES,
    STARTS,
];

/// All sections, in the order in which they are written.
pub fn sections() -> &'static [SectionTable] {
    static SECTIONS: LazyLock<Vec<SectionTable>> = LazyLock::new(all);
    &SECTIONS
}

fn all() -> Vec<SectionTable> {
    let table = |name, about, keys: &[&[Key]]| SectionTable {
        name,
        about,
        keys: keys.concat(),
    };
    let random = || Budget::FROM_RANDOM.steps.to_string();
    let tuned = || Budget::FINETUNE.steps.to_string();
    vec![
        table("", Top::ABOUT, &[&[EXTENDS], Top::KEYS, &[TOP_ROWS]]),
        table(
            "table",
            "How the cells make a table.",
            &[&[PANELS, ROWS, COLUMNS, AVERAGE, RESULTS, COMPARE]],
        ),
        table(
            "grid",
            "The axes of the grid: every combination of their values is a run.",
            &[&GRID, MoreGrid::KEYS],
        ),
        table(
            "dataset",
            "The data set: how many cases and experts it has, where its files lie and how they are \
             read.",
            &[Cohort::KEYS, &data_keys::ALL],
        ),
        table(
            "image",
            ImageSpec::ABOUT,
            &[ImageSpec::KEYS, MoreImage::KEYS],
        ),
        table("network", NetworkSpec::ABOUT, &[NetworkSpec::KEYS]),
        table(
            "training",
            TrainingSpec::ABOUT,
            &[TrainingSpec::KEYS, MoreTraining::KEYS],
        ),
        table("augment", AugmentSpec::ABOUT, &[AugmentSpec::KEYS]),
        table(
            "pretrain",
            "Training on the annotation experts' masks.",
            &[
                &[pretrain_steps(0), lr()],
                more_budget(),
                MorePretrain::KEYS,
                &[START],
            ],
        ),
        table("fusion", FusionOptions::ABOUT, &[FusionOptions::KEYS]),
        table("probabilistic", LatentKeys::ABOUT, &[LatentKeys::KEYS]),
        table(
            "finetune",
            "Adapting a pretrained network to the new expert.",
            &[&[steps(tuned), lr()], more_budget()],
        ),
        table(
            "scratch",
            "Training from random initialisation on one expert's masks.",
            &[&[steps(random), lr()], more_budget()],
        ),
        table("metrics", Metrics::ABOUT, &[Metrics::KEYS]),
        table("statistics", Statistics::ABOUT, &[Statistics::KEYS]),
        table("selection", SelectionRules::ABOUT, &[SelectionRules::KEYS]),
        table(
            "reference",
            "Published values of the same grid, which results are held against.",
            &[&[VALUES, SOURCE, LABEL]],
        ),
        table(
            "sweep",
            "Keys that take several values: the grid is run for every combination of them.",
            &[&[optional(
                "KEY",
                ValueKind::Values,
                true,
                "Values of a key that shapes results, such as \"network.width\" or seed.",
            )]],
        ),
        table(
            "method",
            "Methods of the manifest's own; each is a table named after it.",
            &[&[optional(
                "NAME",
                ValueKind::Overlay,
                true,
                "The words of a method: annotation, multitask, branch and adapt.",
            )]],
        ),
        table(
            "profile",
            "Keys laid over the manifest's own where `--profile` names their table.",
            &[&[optional(
                "NAME",
                ValueKind::Overlay,
                false,
                "Any keys of a manifest other than `extends` and `profile`.",
            )]],
        ),
    ]
}

/// The section and the key of a name from the top of the manifest.
pub(super) fn key(path: &str) -> Option<(&'static SectionTable, &'static Key)> {
    static BY_PATH: LazyLock<HashMap<String, (&SectionTable, &Key)>> = LazyLock::new(|| {
        let mut by_path = HashMap::new();
        for section in sections() {
            for key in &section.keys {
                by_path.entry(section.path(key)).or_insert((section, key));
            }
        }
        by_path
    });
    BY_PATH.get(path).copied()
}

/// The default of a key as TOML; `None` where it has none.
pub(super) fn default_text(path: &str) -> Option<String> {
    match key(path)?.1.default {
        Fallback::Value(text) => Some(text()),
        Fallback::As(other) => default_text(other),
        Fallback::Required(_) | Fallback::Absent => None,
    }
}
