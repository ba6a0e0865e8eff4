//! What shapes a result: how images, network and training are made and metrics defined, and what of it enters a stage's key.
//!
//! The rule: a spec that shapes a stage's result says field by field what enters the stage's key,
//! by a pattern without `..`; what only says how to run or how to print is bound to `_` there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    choices::{
        AssdDefinition, CropAt, ExpertBatching, FieldOfView, FirstConv, HdDefinition, Reduction,
        SpacingFrom, Translation,
    },
    reader::Range,
};
use crate::{
    key::{Keyed, Sink},
    metric::Measure,
};

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
        // These training crops once lay around the foreground: what was trained on them is no
        // result of this recipe, while all other keys stay what they are.
        if (augment.translation, image.crop_at) == (Translation::None, CropAt::Centre) {
            sink.text("training_crop", "centre");
        }
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

/// What is measured, and by which definitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// The measures of tables, in their order.
    #[serde(default = "standard_measures", skip_serializing_if = "are_standard")]
    pub report: Vec<Measure>,
    /// Average symmetric surface distance.
    pub assd: AssdDefinition,
    /// 95th percentile of surface distances.
    pub hd95: HdDefinition,
    /// Unit of both.
    pub spacing: SpacingFrom,
}

fn standard_measures() -> Vec<Measure> {
    Measure::standard().into()
}

fn are_standard(report: &[Measure]) -> bool {
    report == Measure::standard()
}

impl Metrics {
    /// What an evaluation measures, in the order of all measures: what is reported, and the standard
    /// ones in any case, so that manifests which differ in what they report of these share it.
    pub fn measured(&self) -> Vec<Measure> {
        let wanted = |measure: &Measure| {
            Measure::standard().contains(measure) || self.report.contains(measure)
        };
        Measure::all().filter(wanted).collect()
    }
}

impl Keyed for Metrics {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            report: _,
            assd,
            hd95,
            spacing,
        } = self;
        sink.text("assd", assd.word());
        sink.text("hd95", hd95.word());
        sink.text("spacing", spacing.word());
        for measure in self.measured() {
            if !Measure::standard().contains(&measure) {
                sink.text("measure", measure.word());
            }
        }
    }
}
