//! Ways of getting a network for a new expert, as data.
//!
//! The rule: methods differ by the values of [`Method`] alone; nothing outside this module matches
//! on a method's name. A built-in method is a row of [`BUILT_IN`], one of a manifest is made from
//! four [`Words`]. The module knows no data, no network, no plan, and prints nothing.

mod words;

use std::borrow::Cow;

use itertools::Itertools;
use serde::{Deserialize, Serialize};

pub use words::{WordError, Words};

use crate::suggestion::nearest;

/// A way of getting a network for a new expert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its name in manifests and results.
    pub name: Cow<'static, str>,
    /// Which masks the network is pretrained on.
    pub annotation: Annotation,
    /// What each annotator has of its own in the pretrained network, and the new expert in the
    /// network that is made from it.
    pub network: NetworkForm,
    /// What becomes of the annotators' masks of one image.
    pub masks: Masks,
    /// What the new expert's branch starts from; [`Branch::Reset`] without a pretraining.
    pub branch: Branch,
    /// What the training for the new expert changes; none where nothing is trained, but the branch
    /// or the threshold is chosen that fits the new expert's cases best.
    pub tuned: Option<Tuned>,
    /// Whose masks this training is on.
    pub trained_on: TrainedOn,
    /// The section that sets the steps and the learning rate of this training.
    pub budget: BudgetFrom,
}

/// Which masks a network is pretrained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Annotation {
    /// None: there is no pretraining.
    None,
    /// Every annotator's mask of every image.
    Every,
    /// Of each image the mask of one annotator; the images are dealt out in balance.
    Cohort,
}

/// What experts have of their own in a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkForm {
    /// The norms.
    #[default]
    Norms,
    /// The head.
    Heads,
    /// Nothing: there is one branch for all of them.
    One,
    /// Nothing, but the network takes a latent, a few numbers of which each mask has a distribution
    /// (the probabilistic U-Net).
    Latent,
    /// In a network that is made from such a one: the layers that took the latent.
    Comb,
    /// Nothing, but a second head gives a map of how much experts disagree. A network that is made
    /// from such a one has the first head alone.
    Map,
}

impl NetworkForm {
    /// The word in keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::Norms => "norms",
            Self::Heads => "heads",
            Self::One => "one",
            Self::Latent => "latent",
            Self::Comb => "comb",
            Self::Map => "map",
        }
    }

    /// What is the new expert's in a network that is made from one of this form: one branch for all
    /// is adapted by its norms.
    pub fn adapted(self) -> Self {
        match self {
            Self::Norms | Self::One | Self::Map => Self::Norms,
            Self::Heads => Self::Heads,
            Self::Latent | Self::Comb => Self::Comb,
        }
    }

    /// Whether it is the paper's.
    pub fn is_usual(&self) -> bool {
        *self == Self::Norms
    }
}

/// What becomes of the annotators' masks of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Masks {
    /// Each is a target of its own.
    Each,
    /// They are fused to one: inside where more than half of the annotators are.
    Majority,
    /// They are fused to one by STAPLE.
    Staple,
    /// Their mean is the target: at each pixel, the share of the annotators that are inside.
    Mean,
}

/// What a training minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The soft Dice loss of each mask.
    #[default]
    Dice,
    /// The cross-entropy with the mean of the masks. The Dice loss is not for targets between 0 and
    /// 1: with a target of 0.3 it is least at 1.
    MeanMask,
    /// The soft Dice loss of the masks' majority, and the cross-entropy with the map of their
    /// disagreement: 4 m (1 - m) at a pixel where the share m of the experts is inside.
    MaskAndMap,
    /// The evidence lower bound of a probabilistic U-Net, for each mask.
    Elbo,
}

impl Objective {
    /// Every objective.
    pub const ALL: [Self; 4] = [Self::Dice, Self::MeanMask, Self::MaskAndMap, Self::Elbo];

    /// The field in keys; one that is usual has none.
    pub const FIELD: &str = "objective";

    /// The objective of a word in keys.
    pub fn of_word(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|objective| objective.word() == word)
    }

    /// The word in keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dice => "dice",
            Self::MeanMask => "mean mask",
            Self::MaskAndMap => "mask and map",
            Self::Elbo => "evidence lower bound",
        }
    }

    /// Whether it is the paper's.
    pub fn is_usual(&self) -> bool {
        *self == Self::Dice
    }
}

/// The part of the image on which STAPLE estimates the experts' performance. The more background
/// it holds, the higher all specificities, and the more a single vote weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FusionRegion {
    /// All of the image.
    Slice,
    /// The bounding box of all that any expert marked, with a margin of eight pixels.
    Box,
}

/// What the new expert's branch starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Branch {
    /// Initial values, as without a pretraining.
    Reset,
    /// The pretrained branch that fits the new expert's cases best.
    Inherit,
}

/// Which parameters a training changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tuned {
    /// All.
    Everything,
    /// What the expert has of its own; the shared part stays as it is, to the bit.
    ExpertLayers,
}

/// Whose masks the training before the test is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrainedOn {
    /// Those of the new expert.
    NewExpert,
    /// Those of an expert whom the grid names as a trainer. The new expert's masks are for tests
    /// only.
    AnotherExpert,
}

/// The section of a manifest that sets the steps and the learning rate of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BudgetFrom {
    /// `[finetune]`.
    Finetune,
    /// `[scratch]`.
    Scratch,
}

impl Branch {
    /// The word in manifests and keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Inherit => "inherit",
        }
    }
}

impl Tuned {
    /// The word in keys; in manifests `adapt = "full"` stands for everything.
    pub fn word(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::ExpertLayers => "expert-layers",
        }
    }
}

/// The methods that need no section in a manifest.
pub static BUILT_IN: [Method; 20] = {
    use Annotation::{Cohort, Every};
    use Branch::{Inherit, Reset};
    use Masks::{Each, Majority, Mean, Staple};
    use NetworkForm::{Heads, Latent, Map, One};
    use Tuned::{Everything, ExpertLayers};
    const FULL: Option<Tuned> = Some(Everything);
    [
        from_random("scratch", TrainedOn::NewExpert),
        from_random("single", TrainedOn::AnotherExpert),
        from_pretrained("customised", Every, Reset, Everything),
        from_pretrained("customised-inherit", Every, Inherit, Everything),
        from_pretrained("customised-frozen", Every, Reset, ExpertLayers),
        from_pretrained("customised-frozen-inherit", Every, Inherit, ExpertLayers),
        from_pretrained("original", Cohort, Inherit, ExpertLayers),
        from_pretrained("cohort-frozen", Cohort, Reset, ExpertLayers),
        from_pretrained("cohort-full", Cohort, Reset, Everything),
        from_pretrained("cohort-full-inherit", Cohort, Inherit, Everything),
        of_form("heads", Heads, Each, Reset, FULL),
        of_form("pool", One, Each, Inherit, FULL),
        of_form("majority", One, Majority, Inherit, FULL),
        of_form("staple", One, Staple, Inherit, FULL),
        of_form("uncertainty", One, Mean, Inherit, None),
        of_form("uncertainty-full", One, Mean, Inherit, FULL),
        of_form("uncertainty-map", Map, Mean, Inherit, None),
        of_form("uncertainty-map-full", Map, Mean, Inherit, FULL),
        of_form("probabilistic", Latent, Each, Inherit, None),
        of_form("probabilistic-full", Latent, Each, Inherit, FULL),
    ]
};

/// Other names of built-in methods, from Hu & Qin's tables, each with the method's own name.
pub const ALIASES: [(&str, &str); 2] = [("w/", "customised"), ("w/o", "scratch")];

const fn from_random(name: &'static str, trained_on: TrainedOn) -> Method {
    Method {
        name: Cow::Borrowed(name),
        annotation: Annotation::None,
        network: NetworkForm::One,
        masks: Masks::Each,
        branch: Branch::Reset,
        tuned: Some(Tuned::Everything),
        trained_on,
        budget: BudgetFrom::Scratch,
    }
}

const fn from_pretrained(
    name: &'static str,
    annotation: Annotation,
    branch: Branch,
    tuned: Tuned,
) -> Method {
    Method {
        name: Cow::Borrowed(name),
        annotation,
        network: NetworkForm::Norms,
        masks: Masks::Each,
        branch,
        tuned: Some(tuned),
        trained_on: TrainedOn::NewExpert,
        budget: BudgetFrom::Finetune,
    }
}

/// Another way of learning from several annotators.
const fn of_form(
    name: &'static str,
    network: NetworkForm,
    masks: Masks,
    branch: Branch,
    tuned: Option<Tuned>,
) -> Method {
    Method {
        name: Cow::Borrowed(name),
        annotation: Annotation::Every,
        network,
        masks,
        branch,
        tuned,
        trained_on: TrainedOn::NewExpert,
        budget: BudgetFrom::Finetune,
    }
}

impl Method {
    /// The built-in method of a name or an alias.
    ///
    /// # Errors
    /// Where there is none: a text with the nearest name, or with all names.
    pub fn named(name: &str) -> Result<Self, String> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        let meant = alias.map_or(name, |(_, name)| name);
        let found = BUILT_IN.iter().find(|method| method.name == meant);
        found.cloned().ok_or_else(|| {
            let names = BUILT_IN.iter().map(|method| &*method.name);
            let known = names.chain(ALIASES.map(|(alias, _)| alias)).collect_vec();
            format!("there is no method \"{name}\"; {}", nearest(name, &known))
        })
    }

    /// Its name in Hu & Qin's tables, where it is another one.
    pub fn alias(&self) -> Option<&'static str> {
        let alias = ALIASES.iter().find(|(_, name)| *name == self.name);
        alias.map(|(alias, _)| *alias)
    }

    /// Whether its networks are trained on the new expert's masks alone.
    pub fn is_alone(&self) -> bool {
        !self.is_pretrained() && self.trained_on == TrainedOn::NewExpert
    }

    /// Whether its pretraining has a branch for each annotation expert.
    pub fn has_branches(&self) -> bool {
        matches!(self.network, NetworkForm::Norms | NetworkForm::Heads)
    }

    /// What its pretraining minimises.
    pub fn objective(&self) -> Objective {
        match (self.network, self.masks) {
            (NetworkForm::Latent, _) => Objective::Elbo,
            (NetworkForm::Map, _) => Objective::MaskAndMap,
            (_, Masks::Each | Masks::Majority | Masks::Staple) => Objective::Dice,
            (_, Masks::Mean) => Objective::MeanMask,
        }
    }

    /// Whether a network is pretrained on annotators' masks first.
    pub fn is_pretrained(&self) -> bool {
        self.annotation != Annotation::None
    }
}
