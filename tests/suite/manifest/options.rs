//! What each key of a manifest does to the keys of stages, over one fixed data set.
//!
//! `tests/fixtures/options.txt` holds a line for each value of each key. The first gives the stages
//! of a base manifest, the others those that are not the base's. `UPDATE_SNAPSHOTS=1` writes the
//! file anew. A line that changes is a change of every result ever stored under that option: raise
//! the version of the kinds of stage whose results change, and no other.

use std::{collections::BTreeSet, fmt::Write, path::Path};

use expertgrid::{
    key::{Digest, Keyed},
    manifest::{self, Cohort, Experiment},
    plan::{self, Inventory, Kind, Plan},
};
use itertools::Itertools;

use crate::support::common::compare_with_fixture;

/// Two stages or less of each kind, so that a line can name them all.
pub const BASE: &str = r#"
title = "one of each"

[grid]
new_experts = [6]
methods = ["w/", "w/o", "single"]
annotators = { from = [1, 2, 3], choose = 3 }
train_experts = [1]
samples = [5]
starts = [4]
"#;

/// One or more values of each key, none of them the base's.
const OPTIONS: &[(&str, &[&str])] = &[
    ("title", &["\"another\""]),
    ("seed", &["1"]),
    ("keep", &["\"all\""]),
    ("table.panels", &["[\"expert\", \"samples\"]"]),
    ("table.rows", &["[\"train_expert\"]", "[\"experts\"]"]),
    ("table.columns", &["[\"method\", \"train_expert\"]"]),
    ("table.average", &["[\"annotators\", \"start\"]"]),
    ("table.results", &["[\"annotators\", \"start\"]"]),
    ("table.compare", &["\"none\"", "[\"method=w/\"]"]),
    ("grid.new_experts", &["[7]", "[6, 7]"]),
    ("grid.methods", &["[\"w/\"]", "[\"w/o\"]", "[\"single\"]"]),
    ("grid.annotators.from", &["[1, 2, 4]"]),
    ("grid.annotators.choose", &["1", "2", "[2, 3]"]),
    ("grid.train_experts", &["[2]"]),
    ("grid.samples", &["[10]", "[5, 10]"]),
    ("grid.starts", &["[1]", "[4, 7]"]),
    ("grid.pairing", &["\"matched\""]),
    ("grid.repeats", &["3"]),
    ("dataset.training", &["40"]),
    ("dataset.test", &["6"]),
    ("dataset.experts", &["8"]),
    ("dataset.path", &["\"scans\""]),
    ("dataset.images", &["\"{split}/{case}/mri.nii\""]),
    (
        "dataset.masks",
        &["\"{split}/{case}/task02_seg{expert}.nii*\""],
    ),
    ("dataset.split.training", &["[\"train\"]"]),
    ("dataset.split.test", &["[\"case2*\", \"case31\"]", "0.25"]),
    ("dataset.split.seed", &["1"]),
    ("dataset.label", &["[2]", "[1, 2]"]),
    ("dataset.channel", &["1", "\"mean\""]),
    ("dataset.channel_axis", &["\"x\""]),
    ("dataset.slice.axis", &["\"z\""]),
    ("dataset.slice.keep", &["\"all\""]),
    ("dataset.spacing_mm", &["[1.0, 0.8]"]),
    ("image.crop", &["224"]),
    ("image.reduce", &["2"]),
    ("image.crop_at", &["\"centre\""]),
    ("image.field_of_view", &["\"full\""]),
    ("image.cut_masks", &["\"allow\""]),
    ("network.width", &["32"]),
    ("network.norm_eps", &["1e-4"]),
    ("network.first_conv", &["\"kaiming\""]),
    ("training.batch", &["8"]),
    ("training.lr", &["3e-3"]),
    ("training.lr_power", &["1.0"]),
    ("training.lr_end", &["1e-5"]),
    ("training.reduction", &["\"batch\""]),
    ("training.smooth", &["1.0"]),
    ("training.beta1", &["0.8"]),
    ("training.beta2", &["0.99"]),
    ("training.eps", &["1e-6"]),
    ("pretrain.steps", &["4000"]),
    ("pretrain.lr", &["2e-3"]),
    ("pretrain.expert_lr_factor", &["0.5"]),
    ("pretrain.average", &["0.5"]),
    ("pretrain.expert_batching", &["\"one_per_image\""]),
    ("pretrain.images", &["10"]),
    ("pretrain.annotations", &["12"]),
    // The second file holds the tensors of the first, the third does not.
    (
        "pretrain.from",
        &[
            "\"weights.safetensors\"",
            "\"moved/weights.safetensors\"",
            "\"other.safetensors\"",
        ],
    ),
    ("fusion.region", &["\"box\""]),
    ("probabilistic.latent", &["3"]),
    ("probabilistic.beta", &["0.5"]),
    ("probabilistic.lr_factor", &["0.5"]),
    ("probabilistic.serve", &["\"relative\""]),
    ("finetune.steps", &["900"]),
    ("finetune.lr", &["2e-3"]),
    ("finetune.expert_lr_factor", &["10.0"]),
    ("finetune.average", &["0.5"]),
    ("scratch.steps", &["4000"]),
    ("scratch.lr", &["2e-3"]),
    ("scratch.expert_lr_factor", &["2.0"]),
    ("scratch.average", &["0.5"]),
    ("augment.rotation", &["0.3"]),
    ("augment.rotation_degrees", &["90.0"]),
    ("augment.zoom", &["0.3"]),
    ("augment.zoom_factors", &["[0.8, 1.4]", "[0.7, 1.2]"]),
    ("augment.noise", &["0.3"]),
    ("augment.noise_sd", &["[0.05, 0.1]", "[0.0, 0.2]"]),
    ("augment.blur", &["0.3"]),
    ("augment.blur_sigma", &["[0.4, 1.0]", "[0.5, 1.5]"]),
    ("augment.brightness", &["0.3"]),
    ("augment.brightness_factor", &["[0.8, 1.25]", "[0.75, 1.5]"]),
    ("augment.translation", &["\"none\""]),
    ("metrics.report", &["[\"dice\", \"rad\"]", "[\"nsd\"]"]),
    ("metrics.assd", &["\"macro\""]),
    ("metrics.hd95", &["\"max_directed\""]),
    ("metrics.nsd_tolerance", &["2.0"]),
    ("metrics.spacing", &["\"header\""]),
    ("statistics.alpha", &["0.01"]),
    ("statistics.block", &["\"row\"", "\"column\""]),
    ("statistics.spread", &["\"sd\""]),
    ("statistics.paired", &["\"nadeau_bengio\""]),
    ("statistics.unpaired", &["\"welch\""]),
    ("selection.rules", &["[\"agreement\", \"best\"]"]),
    ("reference.values", &["\"published.csv\""]),
    ("reference.source", &["\"somebody\""]),
    ("reference.dataset", &["\"some data\""]),
];

/// The kinds of stage that the base has.
const OF_BASE: [Kind; 4] = [
    Kind::Pretrain,
    Kind::Finetune,
    Kind::Scratch,
    Kind::Evaluate,
];

/// The kinds whose stages a key changes, by what the documentation of the keys says.
fn shaped_by(key: &str) -> &'static [Kind] {
    use Kind::{Agree, Evaluate, Finetune, Pretrain, Scratch, Serve};
    match key.split_once('.').unwrap_or(("", key)) {
        ("", "seed") | ("network" | "training" | "augment", _) => &OF_BASE,
        ("image", "cut_masks") => &[],
        ("image", _) => &OF_BASE,
        ("pretrain", _) | ("grid", "annotators.from" | "annotators.choose" | "repeats") => {
            &[Pretrain, Finetune, Evaluate]
        }
        // Against a base that fuses no masks.
        ("fusion", _) => &[Pretrain, Finetune, Evaluate],
        ("probabilistic", _) => &[Pretrain, Serve, Evaluate],
        ("finetune", _) => &[Finetune, Evaluate],
        ("scratch", _) | ("grid", "train_experts") => &[Scratch, Evaluate],
        ("metrics", "report") => &[Evaluate],
        ("metrics", _) => &[Evaluate],
        ("grid", "new_experts" | "samples" | "starts") => &[Finetune, Scratch, Evaluate],
        // With one way of sampling and one combination the two pairings are the same.
        ("grid", "pairing") => &[],
        // Against a base in which all annotate, so that there is no choice.
        ("selection", _) => &[Pretrain, Finetune, Agree, Evaluate],
        // Which kinds there are at all.
        ("grid", "methods") => &OF_BASE,
        ("", "title" | "keep") => &[],
        ("dataset" | "statistics" | "reference" | "table", _) => &[],
        _ => panic!("say which kinds of stage `{key}` shapes"),
    }
}

pub fn experiment(overrides: &[String]) -> Experiment {
    manifest::parse(Path::new("base.toml"), BASE, "paper", overrides)
        .unwrap_or_else(|problems| panic!("{overrides:?}: {problems}"))
}

fn plan_of(overrides: &[String]) -> Plan {
    let mut inventory = Inventory::assumed(&Cohort {
        training: 34,
        test: 5,
        experts: 7,
    });
    for (path, tensors) in [
        ("weights.safetensors", "tensors"),
        ("moved/weights.safetensors", "tensors"),
        ("other.safetensors", "other tensors"),
    ] {
        let digest = Digest::of_bytes(tensors.as_bytes());
        inventory.imports.insert(path.into(), digest);
    }
    plan::build(vec![experiment(overrides)], &inventory)
}

/// The override that gives a key a value, with what the key needs to be read at all.
fn set(key: &str, value: &str) -> Vec<String> {
    let patterns = [
        "dataset.images=\"{case}.png\"",
        "dataset.masks=\"{case}_{expert}.png\"",
    ];
    let needed: Vec<&str> = match (key, value) {
        ("reference.source" | "reference.dataset", _) => {
            vec!["reference.values=\"published.csv\""]
        }
        // It shapes what STAPLE makes of masks, where it is asked for.
        ("fusion.region", _) => vec!["grid.methods=[\"w/\", \"w/o\", \"single\", \"staple\"]"],
        // They shape a network with a latent, where there is one.
        (key, _) if key.starts_with("probabilistic.") => {
            vec!["grid.methods=[\"w/\", \"w/o\", \"single\", \"probabilistic\"]"]
        }
        // It shapes what NSD is measured, where it is.
        ("metrics.nsd_tolerance", _) => vec!["metrics.report=[\"nsd\"]"],
        ("dataset.split.test", _) => patterns.into(),
        ("dataset.split.training", _) => {
            [&patterns[..], &["dataset.split.test=[\"test\"]"]].concat()
        }
        ("dataset.split.seed", _) => [&patterns[..], &["dataset.split.test=0.5"]].concat(),
        // They need a choice.
        ("selection.rules", _) => vec!["grid.annotators.choose=[3, 2]"],
        ("dataset.slice.keep", _) => vec!["dataset.slice.axis=\"z\""],
        _ => Vec::new(),
    };
    needed
        .into_iter()
        .map(str::to_owned)
        .chain([format!("{key}={value}")])
        .collect()
}

/// The stages of a kind, in the plan's order.
fn stages(plan: &Plan, kind: Kind) -> Vec<Digest> {
    let of_kind = plan.stages.iter().filter(|stage| stage.spec.kind() == kind);
    of_kind.map(|stage| stage.digest).collect()
}

/// `finetune 0123456789ab, evaluate 0123456789ab 0123456789ab` of some kinds.
fn named(plan: &Plan, kinds: &[Kind]) -> String {
    let of_kind = |kind: &Kind| {
        let digests = stages(plan, *kind);
        match digests.is_empty() {
            true => format!("no {kind}"),
            false => format!("{kind} {}", digests.iter().map(Digest::short).format(" ")),
        }
    };
    kinds.iter().map(of_kind).join(", ")
}

#[test]
fn every_option_changes_the_keys_of_the_stages_that_it_shapes_and_of_no_other() {
    let base = plan_of(&[]);
    let mut lines = format!("the base: {}\n", named(&base, &OF_BASE));
    for (key, values) in OPTIONS {
        for value in *values {
            let plan = plan_of(&set(key, value));
            let changed: Vec<Kind> = Kind::ALL
                .into_iter()
                .filter(|kind| stages(&plan, *kind) != stages(&base, *kind))
                .collect();
            let expected = shaped_by(key);
            match *key {
                "grid.methods" => assert!(changed.iter().all(|kind| expected.contains(kind))),
                _ => assert_eq!(changed, expected, "{key} = {value}"),
            }
            let what = match changed.is_empty() {
                true => "unchanged".to_owned(),
                false => named(&plan, &changed),
            };
            writeln!(lines, "{key} = {value}: {what}").unwrap();
        }
    }
    compare_with_fixture("options.txt", lines.as_bytes()).unwrap();
}

#[test]
fn no_two_options_give_a_stage_the_same_key() {
    // One line of the file for each, so that one key taken for another is seen there.
    let mut seen = BTreeSet::new();
    let base = plan_of(&[]);
    for (key, values) in OPTIONS {
        // The tensors of a moved file are the same, and lists may have stages in common.
        let of_lists = key.starts_with("grid.") || key.starts_with("selection.");
        if *key == "pretrain.from" || of_lists {
            continue;
        }
        for value in *values {
            let plan = plan_of(&set(key, value));
            for kind in Kind::ALL {
                let these = stages(&plan, kind);
                if these != stages(&base, kind) {
                    assert!(seen.insert((kind, these)), "{key} = {value}, {kind}");
                }
            }
        }
    }
    assert!(seen.len() > 100);
}

/// The problems of the base with something set on top of it.
pub fn problems(set: &str) -> String {
    let overrides = [set.to_owned()];
    match manifest::parse(Path::new("base.toml"), BASE, "paper", &overrides) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    }
}

/// Every key that a manifest may have, as those who read it list them for a key they do not know.
pub fn known_keys() -> BTreeSet<String> {
    // Too long to be taken for a slip of the pen.
    let unknown = "x".repeat(65);
    let listed = |path: &str| -> Option<Vec<String>> {
        let said = problems(&format!("{path}{unknown}=1"));
        let (_, known) = said
            .lines()
            .find(|line| line.contains("unknown key"))?
            .split_once("known here: ")?;
        Some(
            known
                .split(", ")
                .map(|key| format!("{path}{key}"))
                .collect(),
        )
    };
    let mut keys = BTreeSet::new();
    let mut paths = listed("").unwrap();
    while let Some(path) = paths.pop() {
        match listed(&format!("{path}.")) {
            Some(more) => paths.extend(more),
            None => {
                keys.insert(path);
            }
        }
    }
    keys
}

#[test]
fn no_key_of_a_manifest_is_left_out() {
    let covered: BTreeSet<String> = OPTIONS.iter().map(|(key, _)| (*key).to_owned()).collect();
    assert_eq!(covered.len(), OPTIONS.len(), "a key is listed twice");
    let mut known = known_keys();
    // They say how manifests are put together, or hold names of the user's.
    for key in ["extends", "profile", "sweep", "method"] {
        assert!(known.remove(key), "{key}");
    }
    assert_eq!(covered, known);
}

#[test]
fn every_value_of_the_list_is_read_and_written_as_itself() {
    let parsed = |text: &str| -> toml::Value { toml::from_str(text).unwrap() };
    let at = |table: &toml::Value, key: &str| -> Option<toml::Value> {
        let mut value = table;
        for part in key.split('.') {
            value = value.get(part)?;
        }
        Some(value.clone())
    };
    for (key, values) in OPTIONS {
        for value in *values {
            let written = manifest::resolved(&experiment(&set(key, value)));
            let found = at(&parsed(&written), key);
            let expected = at(&parsed(&format!("v = {value}")), "v").unwrap();
            match *key {
                // The rate of all trainings is in the values of other keys.
                "training.lr" => {
                    for budget in ["pretrain.lr", "finetune.lr", "scratch.lr"] {
                        assert_eq!(at(&parsed(&written), budget), Some(expected.clone()));
                    }
                }
                // A number stands for a list of one.
                "grid.annotators.choose" => {
                    let list = match expected {
                        list @ toml::Value::Array(_) => list,
                        one => toml::Value::Array(vec![one]),
                    };
                    assert_eq!(found, Some(list));
                }
                _ => assert_eq!(found, Some(expected), "{key}"),
            }
            // And again.
            let again = manifest::parse(Path::new("base.toml"), &written, "paper", &[]).unwrap();
            assert_eq!(manifest::resolved(&again), written, "{key} = {value}");
        }
    }
}

#[test]
fn training_crops_in_the_middle_of_the_image_have_keys_of_their_own() {
    // The key of no other pair of words tells of it.
    let has = |overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
        let plan = plan_of(&overrides);
        let trainings = plan
            .stages
            .iter()
            .filter(|s| s.spec.kind() != Kind::Evaluate);
        let told = trainings.map(|stage| {
            let inputs = stage.spec.explain();
            inputs
                .iter()
                .any(|input| input.field == "recipe.training_crop")
        });
        told.dedup().collect::<Vec<_>>()
    };
    let (centre, none) = ("image.crop_at=\"centre\"", "augment.translation=\"none\"");
    assert_eq!(has(&[centre, none]), [true]);
    for other in [&[][..], &[centre], &[none]] {
        assert_eq!(has(other), [false], "{other:?}");
    }
}
