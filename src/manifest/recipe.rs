//! The settings that affect results (images, network, training, augmentation, metrics), and which
//! of them enter a stage's key.
//!
//! The rule: every key is declared once, by [`section!`]; one that affects a stage's result is
//! `keyed` there.

use std::{cell::RefCell, path::PathBuf};

use itertools::Itertools;
use serde::{Deserialize, Serialize};

use super::{
    choices::{
        CropAt, ExpertBatching, FieldOfView, FirstConv, Reduction, SpacingFrom, Translation,
    },
    document::{parse_override, quoted},
    kind::{CHANCE, Key, ValueKind, Word, multiples, number, range, whole},
    problem::Place,
    reader::{Located, Range, Section},
    sections::{ManifestValue, SectionSpec, section},
};
use crate::{
    key::{Keyed, Sink},
    metric::{Assd, Definition, Hd95, Measure},
};

/// What every training of an experiment has in common. The defaults are the paper's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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
        // Earlier versions laid these training crops around the foreground. The extra field
        // separates those results from this recipe's, and leaves all other keys as they were.
        if (augment.translation, image.crop_at) == (Translation::None, CropAt::Centre) {
            sink.text("training_crop", "centre");
        }
    }
}

section! {
    /// How an image becomes the network's input.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    ImageSpec {
        /// Side of the square crop, in pixels of the image; smaller images are padded.
        crop: usize = 192, ValueKind::Side, keyed;
        /// Side of the block of pixels that is averaged into one of the network's; 1 keeps the
        /// image.
        reduce: usize = 1, whole(1, 64), keyed;
        /// Where the crop of a test image lies.
        crop_at: CropAt = CropAt::Foreground, CropAt::KIND, keyed;
        /// The part of a test image that is the network's input.
        field_of_view: FieldOfView = FieldOfView::Crop, FieldOfView::KIND, keyed;
    }
    hashed []
}

impl ImageSpec {
    /// Side of the network's input, in its own pixels.
    pub fn input(&self) -> usize {
        self.crop / self.reduce
    }
}

/// Why a width is a multiple of 4.
const QUARTER: &str = "the decoder ends with a quarter of it";

section! {
    /// The network: a U-Net with a ResNet-18 encoder.
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    NetworkSpec {
        /// Channels of the first layer; 64 in the paper, all others scale with it.
        width: usize = 64, multiples(4, 4, 1024, QUARTER), keyed;
        /// What is added to the variance in instance norm.
        norm_eps: f64 = 1e-5, number(1e-12, 1.0), keyed;
        /// Initialisation of the first convolution.
        first_conv: FirstConv = FirstConv::Uniform, FirstConv::KIND, keyed;
    }
    hashed []
}

section! {
    /// Loss, optimiser and batches.
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    TrainingSpec {
        /// Images per step.
        batch: usize = 16, whole(1, 4096), keyed;
        /// What one Dice loss is taken over.
        reduction: Reduction = Reduction::Image, Reduction::KIND, keyed;
        /// Added to numerator and denominator of the Dice loss.
        smooth: f64 = 1e-7, number(0.0, 1e3), keyed;
        /// Learning rate at the end of the schedule.
        lr_end: f64 = 0.0, number(0.0, 1.0), keyed;
        /// Exponent of the polynomial schedule.
        lr_power: f64 = 0.9, number(0.0, 100.0), keyed;
        /// RAdam's decay of the first moment.
        beta1: f64 = 0.9, number(0.0, 0.999_999), keyed;
        /// RAdam's decay of the second moment.
        beta2: f64 = 0.999, number(0.0, 0.999_999_999), keyed;
        /// RAdam's term against division by zero.
        eps: f64 = 1e-8, number(0.0, 1.0), keyed;
    }
    hashed []
}

/// The latent of a probabilistic U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentSpec {
    /// Its dimensions.
    pub dimensions: usize,
    /// The weight of the divergence between posterior and prior against the cross-entropy summed
    /// over pixels.
    pub beta: f64,
}

impl LatentSpec {
    /// That of Kohl et al. (arXiv 1806.05034).
    pub const USUAL: Self = Self {
        dimensions: 6,
        beta: 1.0,
    };

    /// Whether it is that of Kohl et al.
    pub fn is_usual(&self) -> bool {
        *self == Self::USUAL
    }

    /// Adds what is unusual to a key.
    pub fn key_if_unusual(&self, sink: &mut Sink) {
        let Self { dimensions, beta } = *self;
        if dimensions != Self::USUAL.dimensions {
            sink.u64("latent", dimensions as u64);
        }
        if beta != Self::USUAL.beta {
            sink.f64("beta", beta);
        }
    }
}

impl Default for LatentSpec {
    fn default() -> Self {
        Self::USUAL
    }
}

section! {
    /// How long and how fast a network is trained.
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    Budget {
        /// Optimiser steps; nothing stops earlier.
        steps: usize = Budget::FROM_RANDOM.steps, whole(1, Budget::MOST_STEPS), keyed;
        /// Initial learning rate.
        lr: f64 = Budget::FROM_RANDOM.lr, ValueKind::Rate, keyed;
        /// Factor of the learning rate for what an expert has of its own: norms, or a head.
        #[serde(default = "equal_rates", skip_serializing_if = "are_equal_rates")]
        expert_lr_factor: f64 = equal_rates(), number(0.0, 1e3), keyed_if_set;
        /// Share of the last steps over which the parameters are averaged; 0 keeps those of the
        /// last step.
        #[serde(default, skip_serializing_if = "is_last_alone")]
        average: f64 = 0.0, number(0.0, 1.0), keyed_if_set;
    }
    hashed []
}

fn equal_rates() -> f64 {
    1.0
}

fn are_equal_rates(factor: &f64) -> bool {
    *factor == equal_rates()
}

fn is_last_alone(average: &f64) -> bool {
    *average == 0.0
}

impl Budget {
    /// More steps are a mistake.
    pub(super) const MOST_STEPS: u64 = 100_000_000;
    /// The first value that a manifest could not have: its key, and what the value must be.
    pub fn refused(&self) -> Option<(&'static str, String)> {
        let Self {
            steps,
            lr,
            expert_lr_factor,
            average,
        } = *self;
        let positive = lr > 0.0 && lr.is_finite();
        let why = [
            Self::KEYS[0].kind.refuses_whole(steps as u64),
            (!positive).then(|| "it must be a number greater than 0".to_owned()),
            Self::KEYS[2].kind.refuses_number(expert_lr_factor),
            Self::KEYS[3].kind.refuses_number(average),
        ];
        let mut all = Self::KEYS.iter().zip(why);
        all.find_map(|(key, why)| Some((key.name, why?)))
    }

    /// The paper's, wherever a network starts from random values.
    pub const FROM_RANDOM: Self = Self {
        steps: 5000,
        lr: 1e-3,
        expert_lr_factor: 1.0,
        average: 0.0,
    };
    /// The paper's for fine-tuning.
    pub const FINETUNE: Self = Self {
        steps: 1000,
        lr: 1e-3,
        expert_lr_factor: 1.0,
        average: 0.0,
    };
}

/// Pretraining on the annotation experts.
#[derive(Clone, Debug, PartialEq)]
pub struct Pretrain {
    /// How long and how fast.
    pub budget: Budget,
    /// Which branches a step passes through.
    pub batching: ExpertBatching,
    /// The images and masks that it has.
    pub limit: AnnotationLimit,
    /// What it starts from.
    pub start: Start,
}

/// How many images and masks a pretraining has, where it does not have all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnnotationLimit {
    /// Images to be had; 0 for all.
    pub images: usize,
    /// Masks in all; 0 for those of all images.
    pub annotations: usize,
}

impl AnnotationLimit {
    /// How many of a data set's training images so many experts annotate, each of them every image
    /// or, with `shared`, each image one of them.
    pub fn images(&self, training: usize, experts: usize, shared: bool) -> usize {
        let there = match self.images {
            0 => training,
            images => images.min(training),
        };
        let of_each = self.annotations / experts.max(1);
        match (self.annotations, shared) {
            (0, _) => there,
            (_, false) => of_each.min(there),
            (_, true) => (experts * of_each).min(there),
        }
    }
}

/// What a pretraining starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Random initialisation.
    Random,
    /// The tensors of a safetensors file, as far as they fit.
    File(PathBuf),
}

section! {
    /// Random changes to training images, each with its probability.
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    AugmentSpec {
        /// Probability of a rotation by U(-degrees, degrees).
        rotation: Chance = 0.2, CHANCE, keyed;
        /// Largest rotation either way, in degrees.
        rotation_degrees: f64 = 180.0, number(0.0, 180.0), keyed;
        /// Probability of a zoom: shrinking or enlarging, evenly.
        zoom: Chance = 0.2, CHANCE, keyed;
        /// Factors on the sampling grid; below 1 enlarges objects.
        zoom_factors: Range = Range { low: 0.7, high: 1.4 }, range(0.1, 10.0), keyed;
        /// Probability of Gaussian noise.
        noise: Chance = 0.1, CHANCE, keyed;
        /// Standard deviation of the noise, on z-scored images.
        noise_sd: Range = Range { low: 0.0, high: 0.1 }, range(0.0, 100.0), keyed;
        /// Probability of Gaussian blur.
        blur: Chance = 0.1, CHANCE, keyed;
        /// Sigma of the blur, in the network's pixels.
        blur_sigma: Range = Range { low: 0.5, high: 1.0 }, range(0.0, 100.0), keyed;
        /// Probability of a change of brightness.
        brightness: Chance = 0.15, CHANCE, keyed;
        /// Factor of the brightness, on z-scored images.
        brightness_factor: Range = Range { low: 0.75, high: 1.25 }, range(0.0, 100.0), keyed;
        /// Whether training crops lie anywhere or where test crops lie.
        translation: Translation = Translation::Random, Translation::KIND, keyed;
    }
    hashed [zoom_factors, noise_sd, blur_sigma, brightness_factor]
}

/// A probability.
pub type Chance = f64;

section! {
    /// What is measured, and by which definitions.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    Metrics {
        /// The measures of tables, in their order.
        #[serde(default = "standard_measures", skip_serializing_if = "are_standard")]
        report: Vec<Measure> = standard_measures(), ValueKind::List(&MEASURE), unkeyed;
        /// How the two directions of surface distance become one average.
        assd: Assd = Assd::Pooled, Assd::KIND, keyed;
        /// How the two directions of surface distance become one 95th percentile.
        hd95: Hd95 = Hd95::Pooled, Hd95::KIND, keyed;
        /// Largest distance between two borders that NSD accepts, in the unit of distances.
        #[serde(default = "nsd_tolerance", skip_serializing_if = "is_nsd_tolerance")]
        nsd_tolerance: f64 = nsd_tolerance(), number(0.0, 1000.0), keyed;
        /// Unit of distances.
        spacing: SpacingFrom = SpacingFrom::Unit, SpacingFrom::KIND, keyed;
    }
}

/// The words of the measures.
const MEASURE: ValueKind = ValueKind::Words(&{
    let mut words = [Word { word: "", doc: "" }; Measure::COUNT];
    let mut i = 0;
    while i < words.len() {
        let (word, doc) = Measure::WORDS[i];
        words[i] = Word { word, doc };
        i += 1;
    }
    words
});

fn standard_measures() -> Vec<Measure> {
    Measure::standard().into()
}

fn are_standard(report: &[Measure]) -> bool {
    report == Measure::standard()
}

fn nsd_tolerance() -> f64 {
    Definition::default().nsd_tolerance
}

fn is_nsd_tolerance(tolerance: &f64) -> bool {
    *tolerance == nsd_tolerance()
}

impl Metrics {
    /// What an evaluation measures, in the order of all measures: what is reported, and the
    /// standard ones in any case, so that manifests which differ in what they report of these
    /// share it.
    pub fn measured(&self) -> Vec<Measure> {
        let wanted = |measure: &Measure| {
            Measure::standard().contains(measure) || self.report.contains(measure)
        };
        Measure::all().filter(wanted).collect()
    }

    /// The definitions that the measures follow.
    pub fn definition(&self) -> Definition {
        Definition {
            assd: self.assd,
            hd95: self.hd95,
            nsd_tolerance: self.nsd_tolerance,
        }
    }

    /// The keys that define measures: all but what is reported and the unit of distances.
    pub fn definitions() -> impl Iterator<Item = &'static Key> {
        let others = ["report", "spacing"];
        Self::KEYS
            .iter()
            .filter(move |key| !others.contains(&key.name))
    }

    /// Adopts a definition from a text like `assd=macro`; false where the text is none.
    pub fn define(&mut self, text: &str) -> bool {
        let Ok(table) = parse_override(text) else {
            return false;
        };
        let known = |name: &String| Self::definitions().any(|key| key.name == name);
        if !table.keys().all(known) {
            return false;
        }
        let problems = RefCell::default();
        let place = Place::Override(text.into());
        let read = Self::read_whole(Section::root(&table, place, &problems), self);
        let good = problems.into_inner().is_empty();
        if good {
            *self = read;
        }
        good
    }
}

impl Keyed for Metrics {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            report: _,
            assd,
            hd95,
            nsd_tolerance,
            spacing,
        } = self;
        sink.text("assd", assd.word());
        sink.text("hd95", hd95.word());
        sink.text("spacing", spacing.word());
        for measure in self.measured() {
            if !Measure::standard().contains(&measure) {
                sink.text("measure", measure.word());
            }
            if measure.word() == "nsd" {
                sink.f64("nsd_tolerance", *nsd_tolerance);
            }
        }
    }
}

impl ManifestValue for Vec<Measure> {
    fn read(section: &Section<'_>, key: &Key, default: &Self) -> Self {
        let name = section.name(key.last());
        let found = section.read::<Vec<Located<String>>>(key.last(), Vec::new());
        let mut report = Vec::new();
        for word in &found.value {
            match Measure::named(&word.value) {
                Some(measure) if report.contains(&measure) => {
                    section.note(&word.place, format!("`{name}` names {} twice", word.value));
                }
                Some(measure) => report.push(measure),
                None => section.note(
                    &word.place,
                    format!(
                        "there is no measure \"{}\"; the measures are {}",
                        word.value,
                        Measure::all().map(Measure::word).format(", ")
                    ),
                ),
            }
        }
        match report.is_empty() {
            true => default.clone(),
            false => report,
        }
    }

    fn toml(&self) -> String {
        let words = self.iter().map(|measure| quoted(measure.word()));
        format!("[{}]", words.format(", "))
    }

    fn enter(&self, name: &str, sink: &mut Sink) {
        self.iter()
            .for_each(|measure| sink.text(name, measure.word()));
    }
}
