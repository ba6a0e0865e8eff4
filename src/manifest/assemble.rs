//! The manifest's keys: their names, defaults (the paper's protocol) and bounds.
//!
//! The rule: what a single value must satisfy is checked where it is read; what several values
//! must satisfy together is checked at the end, and blamed on the value the user would change.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use itertools::Itertools;

use super::{
    choices::*,
    document::{Node, Value},
    experiment::*,
    problem::Place,
    reader::{FromNode, Located, Range, Section},
    recipe::*,
};
use crate::key::Memo;

/// A grid beyond this is a mistake, and would not fit into memory.
const MOST_RUNS: f64 = 2e7;

/// Reads a whole manifest; problems go to the section.
pub(super) fn experiment(root: Section<'_>, name: &str, profile: &str) -> Experiment {
    let cohort = cohort(root.section("dataset"));
    let image = root.section("image");
    let cut_masks = image.choice("cut_masks", CutMasks::ALL, CutMasks::Refuse);
    let training = root.section("training");
    let lr = learning_rate(&training, Budget::FROM_RANDOM.lr);
    let paper = Recipe::default();
    let recipe = Recipe {
        image: image_spec(image, paper.image),
        network: network(root.section("network"), paper.network),
        training: training_spec(training, paper.training),
        augment: augment(root.section("augment"), paper.augment),
    };
    let pretrain = root.section("pretrain");
    let start = start(&pretrain);
    // Weights from a file may be adapted as they are.
    let least_steps = match start {
        Start::Random => 1,
        Start::File(_) => 0,
    };
    let pretrain_spec = Pretrain {
        budget: budget(&pretrain, least_steps, Budget::FROM_RANDOM.steps, lr),
        start,
        batching: pretrain.choice("expert_batching", ExpertBatching::ALL, ExpertBatching::All),
    };
    pretrain.finish();
    let simple_budget = |key, steps| {
        let section = root.section(key);
        let budget = budget(&section, 1, steps, lr);
        section.finish();
        budget
    };
    let experiment = Experiment {
        name: name.to_owned(),
        title: root.read("title", String::new()).value,
        profile: profile.to_owned(),
        overrides: Vec::new(),
        seed: root.read("seed", 0_u64).value,
        cohort,
        grid: grid(root.section("grid"), cohort),
        recipe: Memo::new(recipe),
        pretrain: pretrain_spec,
        scratch: simple_budget("scratch", Budget::FROM_RANDOM.steps),
        finetune: simple_budget("finetune", Budget::FINETUNE.steps),
        metrics: Memo::new(metrics(root.section("metrics"))),
        statistics: statistics(root.section("statistics")),
        rows: root.choice("rows", Rows::ALL, Rows::Samples),
        cut_masks,
        keep: root.choice("keep", Keep::ALL, Keep::Pretrained),
        reference: reference(root.section("reference")),
    };
    root.skip("profile");
    root.finish();
    experiment
}

fn cohort(section: Section<'_>) -> Cohort {
    let cohort = Cohort {
        training: section.within("training", 34, 1, 100_000),
        test: section.within("test", 5, 1, 100_000),
        experts: section.within("experts", 7_usize, 1, 200) as u8,
    };
    section.finish();
    cohort
}

/// `3` or `[1, 2, 3]`.
struct OneOrMany(Vec<Located<usize>>);

impl FromNode for OneOrMany {
    fn from_node(node: &Node) -> Result<Self, &'static str> {
        const EXPECTED: &str = "a whole number or a list of them that is not empty";
        match &node.value {
            Value::Array(items) if items.is_empty() => Err(EXPECTED),
            Value::Array(_) => Vec::from_node(node).map(Self),
            _ => usize::from_node(node).map(|value| {
                let place = node.place.clone();
                Self(vec![Located { value, place }])
            }),
        }
        .map_err(|_| EXPECTED)
    }
}

fn grid(section: Section<'_>, cohort: Cohort) -> Grid {
    let experts = |section: &Section<'_>, key, list: &[Located<usize>]| {
        distinct(section, key, list, |expert| {
            (expert < 1 || expert > usize::from(cohort.experts)).then(|| {
                format!(
                    "there is no expert {expert}; the data set has experts 1 to {}",
                    cohort.experts
                )
            })
        })
        .into_iter()
        .map(|expert| expert as u8)
        .collect_vec()
    };
    let new_experts = section.list::<usize>("new_experts", "[6, 7]");
    let arms = arms(&section);
    let with = arms.contains(&Arm::With);
    let single = arms.contains(&Arm::Single);

    let annotators_section = section.section("annotators");
    let mut from = Vec::new();
    let mut choose = Vec::new();
    if with {
        from = annotators_section.list("from", "[1, 2, 3, 4, 5]");
        choose = annotators_section
            .require::<OneOrMany>("choose", "3")
            .value
            .map_or_else(Vec::new, |many| many.0);
    } else {
        // Without a pretrained arm nobody annotates; the keys may stay for when one comes back.
        annotators_section.skip("from");
        annotators_section.skip("choose");
    }
    for annotator in &from {
        if new_experts.iter().any(|new| new.value == annotator.value) {
            annotators_section.note(
                &annotator.place,
                format!(
                    "expert {0} is both an annotation expert and a new expert; take {0} out of \
                     `grid.annotators.from` or out of `grid.new_experts`",
                    annotator.value
                ),
            );
        }
    }
    let candidates = from.len();
    let annotators = Annotators {
        from: experts(&annotators_section, "grid.annotators.from", &from),
        choose: distinct(
            &annotators_section,
            "grid.annotators.choose",
            &choose,
            |k| {
                (k < 1 || k > candidates).then(|| {
                format!(
                    "cannot choose {k} of {candidates} annotation experts; choose 1 to {candidates}, \
                     or add experts to `grid.annotators.from`"
                )
            })
            },
        ),
    };
    annotators_section.finish();

    let train_experts = if single {
        section.list("train_experts", "[1, 2, 3]")
    } else {
        section.skip("train_experts");
        Vec::new()
    };
    let samples = section.list("samples", "[5, 10, 34]");
    let starts = section.list("starts", "[1, 4, 7]");
    let grid = Grid {
        new_experts: experts(&section, "grid.new_experts", &new_experts),
        arms,
        annotators,
        train_experts: experts(&section, "grid.train_experts", &train_experts),
        samples: distinct(&section, "grid.samples", &samples, |n| {
            (n < 1 || n > cohort.training).then(|| {
                format!(
                    "cannot take {n} samples of {0} training cases; take 1 to {0}",
                    cohort.training
                )
            })
        }),
        starts: distinct(&section, "grid.starts", &starts, |start| {
            (start < 1 || start > cohort.training).then(|| {
                format!(
                    "there is no training case {start} to start from; starts are 1 to {}",
                    cohort.training
                )
            })
        }),
    };
    let runs = grid.runs();
    if runs > MOST_RUNS {
        section.note(
            section.place(),
            format!("the grid has {runs:.3e} runs, more than {MOST_RUNS:e}; take fewer combinations, samples or starts"),
        );
    }
    section.finish();
    grid
}

fn arms(section: &Section<'_>) -> Vec<Arm> {
    let words = section.list::<String>("arms", "[\"w/\", \"w/o\"]");
    let mut arms = Vec::new();
    for word in &words {
        match Arm::ALL.iter().find(|(known, _)| *known == word.value) {
            Some((_, arm)) if arms.contains(arm) => {
                section.note(&word.place, format!("arm \"{arm}\" is named twice"));
            }
            Some((_, arm)) => arms.push(*arm),
            None => section.note(
                &word.place,
                format!(
                    "there is no arm \"{}\"; the arms are {}",
                    word.value,
                    Arm::ALL.iter().map(|(w, _)| format!("\"{w}\"")).join(", ")
                ),
            ),
        }
    }
    arms
}

/// Checks a list: nothing twice, every value fine. Keeps what is fine.
fn distinct<T>(
    section: &Section<'_>,
    key: &str,
    list: &[Located<T>],
    wrong: impl Fn(T) -> Option<String>,
) -> Vec<T>
where
    T: Copy + PartialEq + Display,
{
    let mut kept = Vec::new();
    for item in list {
        if kept.contains(&item.value) {
            section.note(&item.place, format!("`{key}` names {} twice", item.value));
        } else if let Some(why) = wrong(item.value) {
            section.note(&item.place, format!("`{key}`: {why}"));
        } else {
            kept.push(item.value);
        }
    }
    kept
}

fn image_spec(section: Section<'_>, paper: ImageSpec) -> ImageSpec {
    let reduce = section.within("reduce", paper.reduce, 1, 64);
    let crop = section.read("crop", paper.crop);
    let unit = 32 * reduce;
    let whole = crop.value > 0 && crop.value.is_multiple_of(unit);
    if !whole {
        let below = (crop.value / unit).max(1) * unit;
        let why = match reduce {
            1 => "the network halves its input five times".to_owned(),
            _ => {
                format!("the network halves its input five times, after `image.reduce = {reduce}`")
            }
        };
        section.note(
            &crop.place,
            format!(
                "`image.crop` is {}, not a multiple of {unit} ({why}); try {below} or {}",
                crop.value,
                below + unit
            ),
        );
    }
    let spec = ImageSpec {
        crop: if whole { crop.value } else { unit },
        reduce,
        crop_at: section.choice("crop_at", CropAt::ALL, paper.crop_at),
        field_of_view: section.choice("field_of_view", FieldOfView::ALL, paper.field_of_view),
    };
    section.finish();
    spec
}

fn network(section: Section<'_>, paper: NetworkSpec) -> NetworkSpec {
    let width = section.read("width", paper.width);
    if width.value < 4 || !width.value.is_multiple_of(4) || width.value > 1024 {
        section.note(
            &width.place,
            format!(
                "`network.width` is {}; it must be a multiple of 4 from 4 to 1024 (the decoder ends \
                 with a quarter of it)",
                width.value
            ),
        );
    }
    let spec = NetworkSpec {
        width: width.value,
        norm_eps: section.within("norm_eps", paper.norm_eps, 1e-12, 1.0),
        first_conv: section.choice("first_conv", FirstConv::ALL, paper.first_conv),
    };
    section.finish();
    spec
}

fn training_spec(section: Section<'_>, paper: TrainingSpec) -> TrainingSpec {
    let spec = TrainingSpec {
        batch: section.within("batch", paper.batch, 1, 4096),
        reduction: section.choice("reduction", Reduction::ALL, paper.reduction),
        smooth: section.within("smooth", paper.smooth, 0.0, 1e3),
        lr_end: section.within("lr_end", paper.lr_end, 0.0, 1.0),
        lr_power: section.within("lr_power", paper.lr_power, 0.0, 100.0),
        beta1: section.within("beta1", paper.beta1, 0.0, 0.999_999),
        beta2: section.within("beta2", paper.beta2, 0.0, 0.999_999_999),
        eps: section.within("eps", paper.eps, 0.0, 1.0),
    };
    section.finish();
    spec
}

fn start(section: &Section<'_>) -> Start {
    match path(section, "from") {
        Some(path) => Start::File(path),
        None => Start::Random,
    }
}

/// A path is relative to the manifest that names it; on the command line, to where it is typed.
fn path(section: &Section<'_>, key: &'static str) -> Option<PathBuf> {
    let named = section.read(key, String::new());
    let folder = match &named.place {
        Place::File { path, .. } => Path::new(&**path).parent(),
        Place::Override(_) | Place::Whole(_) => None,
    };
    (!named.value.is_empty()).then(|| folder.unwrap_or(Path::new("")).join(named.value))
}

fn reference(section: Section<'_>) -> Option<Published> {
    let published = path(&section, "values").map(|values| Published {
        source: section.read("source", values.display().to_string()).value,
        dataset: section.read("dataset", String::new()).value,
        values,
    });
    if published.is_none() {
        section.skip("source");
        section.skip("dataset");
    }
    section.finish();
    published
}

fn budget(section: &Section<'_>, least: usize, steps: usize, lr: f64) -> Budget {
    Budget {
        steps: section.within("steps", steps, least, 100_000_000),
        lr: learning_rate(section, lr),
    }
}

/// A learning rate is not second-guessed: one that makes a training diverge is reported by it.
fn learning_rate(section: &Section<'_>, default: f64) -> f64 {
    let lr = section.read("lr", default);
    if lr.value > 0.0 {
        return lr.value;
    }
    section.note(
        &lr.place,
        format!(
            "the learning rate is {}; it must be greater than 0",
            lr.value
        ),
    );
    default
}

fn augment(section: Section<'_>, paper: AugmentSpec) -> AugmentSpec {
    let chance = |key, default| section.within(key, default, 0.0, 1.0);
    let range = |key, default: Range, least: f64, most: f64| {
        let found = section.read(key, default);
        if found.value.low < least {
            let message = format!(
                "`augment.{key}` begins at {}; it must be {least} or more",
                found.value.low
            );
            section.note(&found.place, message);
        }
        if found.value.high > most {
            let message = format!(
                "`augment.{key}` ends at {}; it must be {most} or less",
                found.value.high
            );
            section.note(&found.place, message);
        }
        found.value
    };
    let spec = AugmentSpec {
        rotation: chance("rotation", paper.rotation),
        rotation_degrees: section.within("rotation_degrees", paper.rotation_degrees, 0.0, 180.0),
        zoom: chance("zoom", paper.zoom),
        zoom_factors: range("zoom_factors", paper.zoom_factors, 0.1, 10.0),
        noise: chance("noise", paper.noise),
        noise_sd: range("noise_sd", paper.noise_sd, 0.0, 100.0),
        blur: chance("blur", paper.blur),
        blur_sigma: range("blur_sigma", paper.blur_sigma, 0.0, 100.0),
        brightness: chance("brightness", paper.brightness),
        brightness_factor: range("brightness_factor", paper.brightness_factor, 0.0, 100.0),
        translation: section.choice("translation", Translation::ALL, paper.translation),
    };
    section.finish();
    spec
}

fn metrics(section: Section<'_>) -> Metrics {
    let metrics = Metrics {
        assd: section.choice("assd", AssdDefinition::ALL, AssdDefinition::Pooled),
        hd95: section.choice("hd95", HdDefinition::ALL, HdDefinition::Pooled),
        spacing: section.choice("spacing", SpacingFrom::ALL, SpacingFrom::Unit),
    };
    section.finish();
    metrics
}

fn statistics(section: Section<'_>) -> Statistics {
    let statistics = Statistics {
        alpha: section.within("alpha", 0.05, 1e-9, 0.5),
        unpaired: section.choice("unpaired", Unpaired::ALL, Unpaired::Student),
        block: section.choice("block", Block::ALL, Block::Table),
    };
    section.finish();
    statistics
}
