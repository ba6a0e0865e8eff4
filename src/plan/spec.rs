//! What one stage computes: the complete, typed input of its work and of its content key.
//!
//! The rule: a stage's key is the digest of its spec and of nothing else. Device, threads, paths
//! and attempts are not in here, so they cannot enter a key.

use std::{fmt, sync::Arc};

use itertools::Itertools;
use serde::{Deserialize, Serialize};

use super::Fusion;
use crate::{
    key::{Digest, Keyed, Memo, Sink},
    manifest::{Budget, ExpertBatching, Keep, LatentSpec, Metrics, Recipe},
    method::{Branch, NetworkForm, Objective, Tuned},
    seed::Seed,
};

/// The kinds of stage, in the order in which they depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Training on the annotation experts' masks.
    Pretrain,
    /// Adapting a pretrained network to the new expert.
    Finetune,
    /// Training from random initialisation on one expert's masks.
    Scratch,
    /// Predicting for the new expert with a pretrained network that is not trained further.
    Serve,
    /// Comparing the annotation experts' masks with the new expert's and with each other's.
    Agree,
    /// Scoring predictions against one expert's masks.
    Evaluate,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 6] = [
        Self::Pretrain,
        Self::Finetune,
        Self::Scratch,
        Self::Serve,
        Self::Agree,
        Self::Evaluate,
    ];

    /// Whether a network is trained.
    pub fn is_training(self) -> bool {
        match self {
            Self::Pretrain | Self::Finetune | Self::Scratch => true,
            Self::Serve | Self::Agree | Self::Evaluate => false,
        }
    }

    /// Whether its last bits depend on the engine and its device: scores do not.
    pub fn depends_on_engine(self) -> bool {
        match self {
            Self::Pretrain | Self::Finetune | Self::Scratch | Self::Serve => true,
            Self::Agree | Self::Evaluate => false,
        }
    }

    /// The word in file names, JSON and text.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Finetune => "finetune",
            Self::Scratch => "scratch",
            Self::Serve => "serve",
            Self::Agree => "agree",
            Self::Evaluate => "evaluate",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A stage's work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spec {
    /// Trains a network and predicts the test images.
    Train(Train),
    /// Takes the new expert's predictions from a pretrained network as it is.
    Serve(Serve),
    /// Compares masks with masks.
    Agree(Agree),
    /// Scores a network's predictions.
    Evaluate(Evaluate),
}

/// Trains a network and predicts the test images.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Train {
    /// What all trainings of the experiment share.
    pub recipe: Arc<Memo<Recipe>>,
    /// How long and how fast.
    pub budget: Arc<Memo<Budget>>,
    /// Where the weights come from.
    pub origin: Origin,
    /// What experts have of their own in it; in a network for one expert, what is that expert's.
    #[serde(default, skip_serializing_if = "NetworkForm::is_usual")]
    pub network: NetworkForm,
    /// What it minimises.
    #[serde(default, skip_serializing_if = "Objective::is_usual")]
    pub objective: Objective,
    /// The latent of a probabilistic U-Net; usual without one.
    #[serde(default, skip_serializing_if = "LatentSpec::is_usual")]
    pub latent: LatentSpec,
    /// The annotated images.
    pub support: Arc<Memo<Support>>,
    /// The images to predict afterwards.
    pub test: Arc<Memo<TestImages>>,
    /// The seed of all its randomness.
    pub seed: Seed,
    /// Whether the weights of a network that nothing else needs stay.
    #[serde(default = "keep_pretrained", skip_serializing_if = "is_usual")]
    pub keep: Keep,
}

fn keep_pretrained() -> Keep {
    Keep::Pretrained
}

fn is_usual(keep: &Keep) -> bool {
    *keep == Keep::Pretrained
}

/// Where a training's weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Random initialisation, to be adapted later: one branch per expert.
    RandomForExperts(ExpertBatching),
    /// The tensors of an imported file as far as they fit, random initialisation elsewhere; to be
    /// adapted later: one branch per expert. The digest is that of the file's tensors.
    ImportedForExperts(ExpertBatching, Digest),
    /// Random initialisation, one branch.
    Random,
    /// A pretrained network: its shared part is kept, the expert's part initialised anew;
    /// everything is trained.
    Pretrained(Digest),
    /// A pretrained network, adapted in another way; see [`Origin::adapted`].
    Adapted {
        /// The stage that pretrained it.
        pretrained: Digest,
        /// What the new expert's branch starts from.
        branch: Branch,
        /// What is trained.
        tuned: Tuned,
    },
}

impl Origin {
    /// A pretrained network, adapted to the new expert. The paper's way has an origin of its own,
    /// so that its keys do not depend on these words.
    pub fn adapted(pretrained: Digest, branch: Branch, tuned: Tuned) -> Self {
        match (branch, tuned) {
            (Branch::Reset, Tuned::Everything) => Self::Pretrained(pretrained),
            (Branch::Reset | Branch::Inherit, Tuned::Everything | Tuned::ExpertLayers) => {
                Self::Adapted {
                    pretrained,
                    branch,
                    tuned,
                }
            }
        }
    }

    /// What the branches start from, as far as no imported file has values for them.
    pub fn branch(&self) -> Branch {
        match *self {
            Self::Adapted { branch, .. } => branch,
            Self::Random
            | Self::RandomForExperts(_)
            | Self::ImportedForExperts(..)
            | Self::Pretrained(_) => Branch::Reset,
        }
    }

    /// What is trained.
    pub fn tuned(&self) -> Tuned {
        match *self {
            Self::Adapted { tuned, .. } => tuned,
            Self::Random
            | Self::RandomForExperts(_)
            | Self::ImportedForExperts(..)
            | Self::Pretrained(_) => Tuned::Everything,
        }
    }

    /// Which branches a step passes through; without effect where there is one branch.
    pub fn batching(&self) -> ExpertBatching {
        match *self {
            Self::RandomForExperts(batching) | Self::ImportedForExperts(batching, _) => batching,
            Self::Random | Self::Pretrained(_) | Self::Adapted { .. } => ExpertBatching::All,
        }
    }
}

impl Train {
    /// The kind of stage, which follows from where the weights come from.
    pub fn kind(&self) -> Kind {
        match self.origin {
            Origin::RandomForExperts(_) | Origin::ImportedForExperts(..) => Kind::Pretrain,
            Origin::Random => Kind::Scratch,
            Origin::Pretrained(_) | Origin::Adapted { .. } => Kind::Finetune,
        }
    }

    /// What the only branch learns, where that is none of the experts' masks: `masks of experts 1,
    /// 2, 3 fused by majority`, `mean of the masks of experts 1, 2, 3`.
    pub fn target(&self) -> Option<String> {
        match (&self.support.fused, self.objective) {
            (Some(Fusion { rule, experts }), _) => Some(format!(
                "masks of experts {} fused by {}",
                experts.iter().join(", "),
                rule.word()
            )),
            (None, Objective::MeanMask) if self.support.experts.len() > 1 => {
                let experts = self.support.experts.iter().join(", ");
                Some(format!("mean of the masks of experts {experts}"))
            }
            (None, _) => None,
        }
    }

    /// The key of a manifest that sets its initial learning rate, as a section has it.
    pub fn rate_key(&self) -> String {
        format!("{}.lr", self.kind())
    }
}

/// A pretrained network as it is for a new expert: its stored predictions of the test images become
/// the expert's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Serve {
    /// The stage that pretrained it; the images that are predicted are those of that stage.
    pub pretrained: Digest,
    /// What is served.
    pub way: Way,
    /// The new expert's annotated images, by which is chosen; none where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<Arc<Memo<Support>>>,
    /// The images to predict, where the network's stored predictions do not serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Arc<Memo<TestImages>>>,
}

/// What a pretrained network serves a new expert with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The mean of all branches.
    Consensus,
    /// The branch that fits the annotated images best.
    Branch,
    /// The only branch, at the threshold that fits the annotated images best.
    Threshold,
    /// With the mean of the posterior's latent over the annotated images.
    Latent,
    /// With each image's prior, moved as far as the posterior is from it in the mean over the
    /// annotated images, in deviations of the prior.
    Relative,
    /// The mask, moved where the map says that experts disagree, by as much as fits the annotated
    /// images best.
    Map,
}

impl Way {
    /// The word in keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Branch => "branch",
            Self::Threshold => "threshold",
            Self::Latent => "latent",
            Self::Relative => "relative latent",
            Self::Map => "map",
        }
    }
}

/// Annotated images: which cases, and whose masks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Support {
    /// The experts, of whom each has a list of masks; none where masks are fused.
    pub experts: Vec<u8>,
    /// The images, in the order of sampling.
    pub images: Vec<Digest>,
    /// For each expert, the masks of those images; where these are dealt out or fused, one list.
    pub masks: Vec<Vec<Digest>>,
    /// Where each image has the mask of one expert only: for each image, the place of its expert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dealt: Option<Vec<usize>>,
    /// How the masks were made, where they are in no file. It is not in the key: masks that are
    /// alike make the same stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fused: Option<Fusion>,
}

/// The images that every training predicts when it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestImages {
    /// The cases' names, under which the predictions are kept.
    pub names: Vec<String>,
    /// Their images.
    pub images: Vec<Digest>,
}

/// Compares the masks of candidates for annotation with a new expert's and with each other's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Agree {
    /// The new expert's annotated images.
    pub support: Arc<Memo<Support>>,
    /// All training images with the masks of each candidate.
    pub candidates: Arc<Memo<Support>>,
    /// The combinations of candidates of whose masks the majority is compared, in ascending order.
    pub combinations: Arc<[Vec<u8>]>,
}

/// Scores predictions against one expert's masks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluate {
    /// The stage whose predictions are scored.
    pub training: Digest,
    /// What kind of stage that is.
    pub training_kind: Kind,
    /// The masks that count as correct.
    pub reference: Arc<Memo<Reference>>,
    /// What is measured.
    pub metrics: Arc<Memo<Metrics>>,
}

/// One expert's masks of the test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// The expert.
    pub expert: u8,
    /// The masks, in the order of the test cases.
    pub masks: Vec<Digest>,
    /// For each of them, the distance between rows and between columns.
    pub spacing: Vec<[f64; 2]>,
}

impl Spec {
    /// The kind of stage.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Train(train) => train.kind(),
            Self::Serve(_) => Kind::Serve,
            Self::Agree(_) => Kind::Agree,
            Self::Evaluate(_) => Kind::Evaluate,
        }
    }

    /// Raised whenever a change of code changes what such a stage computes.
    pub fn version(&self) -> u64 {
        match self {
            // What is adapted from such a network has its digest in the key.
            Self::Train(train) if train.network == NetworkForm::Latent => 3,
            Self::Train(_) => 2,
            Self::Serve(_) | Self::Agree(_) | Self::Evaluate(_) => 1,
        }
    }

    /// Whether a manifest wants its network, beside what is needed for the scores.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Train(train) if train.keep == Keep::All)
    }

    /// Whether the weights of its network belong to the artefact.
    pub fn keeps_weights(&self) -> bool {
        self.kind() == Kind::Pretrain || self.is_kept()
    }
}

impl Keyed for Spec {
    fn fields(&self, sink: &mut Sink) {
        sink.text("stage", self.kind().word());
        sink.u64("version", self.version());
        match self {
            Self::Train(train) => train.fields(sink),
            Self::Serve(serve) => serve.fields(sink),
            Self::Agree(agree) => agree.fields(sink),
            Self::Evaluate(evaluate) => evaluate.fields(sink),
        }
    }
}

impl Keyed for Train {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            recipe,
            budget,
            origin,
            network,
            objective,
            latent,
            support,
            test,
            seed,
            // It does not change the network.
            keep: _,
        } = self;
        sink.group("recipe", &**recipe);
        sink.group("budget", &**budget);
        match origin {
            Origin::Random => sink.text("origin", "random"),
            Origin::RandomForExperts(batching) => {
                sink.text("origin", "random for experts");
                sink.text("expert_batching", batching.word());
            }
            Origin::ImportedForExperts(batching, tensors) => {
                sink.text("origin", "imported for experts");
                sink.digest("imported", tensors);
                sink.text("expert_batching", batching.word());
            }
            Origin::Pretrained(digest) => sink.digest("pretrained", digest),
            Origin::Adapted {
                pretrained,
                branch,
                tuned,
            } => {
                sink.digest("pretrained", pretrained);
                sink.text("branch", branch.word());
                sink.text("tuned", tuned.word());
            }
        }
        if !network.is_usual() {
            sink.text("network", network.word());
        }
        if !objective.is_usual() {
            sink.text(Objective::FIELD, objective.word());
        }
        latent.key_if_unusual(sink);
        sink.group("support", &**support);
        sink.group("test", &**test);
        seed.fields(sink);
    }
}

impl Keyed for Serve {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            pretrained,
            way,
            support,
            test,
        } = self;
        sink.digest("pretrained", pretrained);
        sink.text("way", way.word());
        if let Some(support) = support {
            sink.group("support", &**support);
        }
        if let Some(test) = test {
            sink.group("test", &**test);
        }
    }
}

impl Keyed for Agree {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            support,
            candidates,
            combinations,
        } = self;
        sink.group("support", &**support);
        sink.group("candidates", &**candidates);
        for experts in combinations.iter() {
            let experts: Vec<u64> = experts.iter().map(|expert| u64::from(*expert)).collect();
            sink.numbers("combination", &experts);
        }
    }
}

impl Keyed for Evaluate {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            training,
            // Implied by its digest.
            training_kind: _,
            reference,
            metrics,
        } = self;
        sink.digest("training", training);
        sink.group("reference", &**reference);
        sink.group("metrics", &**metrics);
    }
}

impl Keyed for Support {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            experts,
            images,
            masks,
            dealt,
            fused: _,
        } = self;
        let experts: Vec<u64> = experts.iter().map(|expert| u64::from(*expert)).collect();
        sink.numbers("experts", &experts);
        sink.digests("images", images);
        sink.digests("masks", masks.iter().flatten());
        if let Some(dealt) = dealt {
            let dealt: Vec<u64> = dealt.iter().map(|place| *place as u64).collect();
            sink.numbers("dealt", &dealt);
        }
    }
}

impl Keyed for TestImages {
    fn fields(&self, sink: &mut Sink) {
        let Self { names, images } = self;
        for name in names {
            sink.text("name", name);
        }
        sink.digests("images", images);
    }
}

impl Keyed for Reference {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            expert,
            masks,
            spacing,
        } = self;
        sink.u64("expert", u64::from(*expert));
        sink.digests("masks", masks);
        for [row, column] in spacing {
            sink.f64("spacing.row", *row);
            sink.f64("spacing.column", *column);
        }
    }
}
