//! What an experiment is, once its manifest has been read: typed, complete, validated.
//!
//! The rule: a spec that shapes a stage's result says field by field what enters the stage's key,
//! by a pattern without `..`; what only says how to run or how to print is bound to `_` there.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    choices::{
        AssdDefinition, Block, CropAt, CutMasks, ExpertBatching, FieldOfView, FirstConv,
        HdDefinition, Keep, Reduction, Rows, SpacingFrom, Translation, Unpaired,
    },
    reader::Range,
};
use crate::key::{Keyed, Memo, Sink};

/// One manifest with its profile and overrides resolved.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The file's name without `.toml`: names the table and its results folder, so that a copied
    /// manifest can never overwrite the results of the one it was copied from.
    pub name: String,
    /// The caption's first sentence.
    pub title: String,
    /// The profile chosen; `paper` where none was.
    pub profile: String,
    /// What was set on top of it, as `key=value`.
    pub overrides: Vec<String>,
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

/// The size of the data set that the protocol is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// Training cases.
    pub training: usize,
    /// Test cases.
    pub test: usize,
    /// Experts who annotated every case.
    pub experts: u8,
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

/// What every training of an experiment has in common.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// From file to network input.
    pub image: ImageSpec,
    /// The network.
    pub network: NetworkSpec,
    /// Loss, optimiser, batches.
    pub training: TrainingSpec,
    /// Random changes to training images.
    pub augment: AugmentSpec,
}

/// The paper's. Every manifest that says nothing else gets these values.
impl Default for Recipe {
    fn default() -> Self {
        Self {
            image: ImageSpec {
                crop: 192,
                reduce: 1,
                crop_at: CropAt::Foreground,
                field_of_view: FieldOfView::Crop,
            },
            network: NetworkSpec {
                width: 64,
                norm_eps: 1e-5,
                first_conv: FirstConv::Uniform,
            },
            training: TrainingSpec::default(),
            augment: AugmentSpec {
                rotation: 0.2,
                rotation_degrees: 180.0,
                zoom: 0.2,
                zoom_factors: Range {
                    low: 0.7,
                    high: 1.4,
                },
                noise: 0.1,
                noise_sd: Range {
                    low: 0.0,
                    high: 0.1,
                },
                blur: 0.1,
                blur_sigma: Range {
                    low: 0.5,
                    high: 1.0,
                },
                brightness: 0.15,
                brightness_factor: Range {
                    low: 0.75,
                    high: 1.25,
                },
                translation: Translation::Random,
            },
        }
    }
}

impl Keyed for Recipe {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            image,
            network,
            training,
            augment,
        } = self;
        sink.group("image", image);
        sink.group("network", network);
        sink.group("training", training);
        sink.group("augment", augment);
    }
}

/// How an image becomes the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// Side of the square crop, in pixels of the image.
    pub crop: usize,
    /// Side of the block of pixels that is averaged into one of the network's; 1 keeps the image.
    pub reduce: usize,
    /// Where the crop of a test image lies.
    pub crop_at: CropAt,
    /// What the network sees of a test image.
    pub field_of_view: FieldOfView,
}

impl ImageSpec {
    /// Side of the network's input, in its own pixels.
    pub fn input(&self) -> usize {
        self.crop / self.reduce
    }
}

impl Keyed for ImageSpec {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            crop,
            reduce,
            crop_at,
            field_of_view,
        } = self;
        sink.u64("crop", *crop as u64);
        sink.u64("reduce", *reduce as u64);
        sink.text("crop_at", crop_at.word());
        sink.text("field_of_view", field_of_view.word());
    }
}

/// The network: a U-Net with a ResNet-18 encoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Channels of the first layer; 64 in the paper, all others scale with it.
    pub width: usize,
    /// What is added to the variance in instance norm.
    pub norm_eps: f64,
    /// Initialisation of the first convolution.
    pub first_conv: FirstConv,
}

impl Keyed for NetworkSpec {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            width,
            norm_eps,
            first_conv,
        } = self;
        sink.u64("width", *width as u64);
        sink.f64("norm_eps", *norm_eps);
        sink.text("first_conv", first_conv.word());
    }
}

/// Loss, optimiser and batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingSpec {
    /// Images per step.
    pub batch: usize,
    /// What one Dice loss is taken over.
    pub reduction: Reduction,
    /// Added to numerator and denominator of the Dice loss.
    pub smooth: f64,
    /// Learning rate at the end of the schedule.
    pub lr_end: f64,
    /// Exponent of the polynomial schedule.
    pub lr_power: f64,
    /// RAdam's decay of the first moment.
    pub beta1: f64,
    /// RAdam's decay of the second moment.
    pub beta2: f64,
    /// RAdam's term against division by zero.
    pub eps: f64,
}

/// The paper's.
impl Default for TrainingSpec {
    fn default() -> Self {
        Self {
            batch: 16,
            reduction: Reduction::Image,
            smooth: 1e-7,
            lr_end: 0.0,
            lr_power: 0.9,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }
}

impl Keyed for TrainingSpec {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            batch,
            reduction,
            smooth,
            lr_end,
            lr_power,
            beta1,
            beta2,
            eps,
        } = self;
        sink.u64("batch", *batch as u64);
        sink.text("reduction", reduction.word());
        sink.f64("smooth", *smooth);
        sink.f64("lr_end", *lr_end);
        sink.f64("lr_power", *lr_power);
        sink.f64("beta1", *beta1);
        sink.f64("beta2", *beta2);
        sink.f64("eps", *eps);
    }
}

/// How long and how fast a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Optimiser steps; nothing stops earlier.
    pub steps: usize,
    /// Initial learning rate.
    pub lr: f64,
}

impl Keyed for Budget {
    fn fields(&self, sink: &mut Sink) {
        let Self { steps, lr } = self;
        sink.u64("steps", *steps as u64);
        sink.f64("lr", *lr);
    }
}

impl Budget {
    /// The paper's, wherever a network starts from random values.
    pub const FROM_RANDOM: Self = Self {
        steps: 5000,
        lr: 1e-3,
    };
    /// The paper's for fine-tuning.
    pub const FINETUNE: Self = Self {
        steps: 1000,
        lr: 1e-3,
    };
}

/// Pretraining on the annotation experts.
#[derive(Clone, Debug, PartialEq)]
pub struct Pretrain {
    /// How long and how fast.
    pub budget: Budget,
    /// Which branches a step passes through.
    pub batching: ExpertBatching,
    /// What it starts from.
    pub start: Start,
}

/// What a pretraining starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Random initialisation.
    Random,
    /// The tensors of a safetensors file, as far as they fit.
    File(PathBuf),
}

/// Random changes to training images, each with its probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AugmentSpec {
    /// Rotation by U(-degrees, degrees).
    pub rotation: Chance,
    /// Largest rotation either way.
    pub rotation_degrees: f64,
    /// Zoom: shrinking or enlarging, evenly.
    pub zoom: Chance,
    /// Factors on the sampling grid; below 1 enlarges what is seen.
    pub zoom_factors: Range,
    /// Gaussian noise.
    pub noise: Chance,
    /// Its standard deviation, on z-scored images.
    pub noise_sd: Range,
    /// Gaussian blur.
    pub blur: Chance,
    /// Its sigma, in the network's pixels.
    pub blur_sigma: Range,
    /// Brightness.
    pub brightness: Chance,
    /// Its factor, on z-scored images.
    pub brightness_factor: Range,
    /// Whether training crops lie anywhere or where test crops lie.
    pub translation: Translation,
}

/// A probability.
pub type Chance = f64;

impl Keyed for AugmentSpec {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            rotation,
            rotation_degrees,
            zoom,
            zoom_factors,
            noise,
            noise_sd,
            blur,
            blur_sigma,
            brightness,
            brightness_factor,
            translation,
        } = self;
        let mut range = |name: &str, range: &Range| {
            sink.f64(&format!("{name}.low"), range.low);
            sink.f64(&format!("{name}.high"), range.high);
        };
        range("zoom_factors", zoom_factors);
        range("noise_sd", noise_sd);
        range("blur_sigma", blur_sigma);
        range("brightness_factor", brightness_factor);
        sink.f64("rotation", *rotation);
        sink.f64("rotation_degrees", *rotation_degrees);
        sink.f64("zoom", *zoom);
        sink.f64("noise", *noise);
        sink.f64("blur", *blur);
        sink.f64("brightness", *brightness);
        sink.text("translation", translation.word());
    }
}

/// Definitions of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Average symmetric surface distance.
    pub assd: AssdDefinition,
    /// 95th percentile of surface distances.
    pub hd95: HdDefinition,
    /// Unit of both.
    pub spacing: SpacingFrom,
}

impl Keyed for Metrics {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            assd,
            hd95,
            spacing,
        } = self;
        sink.text("assd", assd.word());
        sink.text("hd95", hd95.word());
        sink.text("spacing", spacing.word());
    }
}

/// How tests are made and marked. It shapes the table, never a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Two-sided level of significance.
    pub alpha: f64,
    /// The test where results are not paired.
    pub unpaired: Unpaired,
    /// The cells among which the best is sought.
    pub block: Block,
}
