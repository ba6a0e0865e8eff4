//! `[sweep]`: which keys can be swept, what the points are, and what is refused.

use std::{collections::BTreeSet, path::Path};

use expertgrid::{
    key::{Digest, Keyed},
    manifest::{self, Experiment, Point},
    plan::{self, Inventory, Kind, Plan, Run},
};
use proptest::prelude::*;

const GRID: &str = r#"
[grid]
new_experts = [6, 7]
arms = ["w/", "w/o"]
annotators = { from = [1, 2, 3, 4, 5], choose = 3 }
samples = [5, 10]
starts = [1, 4]
"#;

fn parse(text: &str, profile: &str, overrides: &[&str]) -> Result<Experiment, String> {
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    let text = format!("{text}{GRID}");
    let read = manifest::parse(Path::new("m.toml"), &text, profile, &overrides);
    read.map_err(|problems| problems.to_string())
}

fn swept(text: &str) -> Experiment {
    parse(text, "paper", &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

fn refused(text: &str) -> String {
    parse(text, "paper", &[]).unwrap_err()
}

/// Each key with its values.
fn axes(experiment: &Experiment) -> Vec<String> {
    let axes = experiment.sweep.iter().map(|swept| {
        let values: Vec<&str> = swept.values.iter().map(|v| v.text.as_str()).collect();
        format!("{}: {}", swept.key, values.join(", "))
    });
    axes.collect()
}

#[test]
fn every_combination_is_a_point_and_the_last_key_changes_fastest() {
    let experiment =
        swept("[sweep]\n\"network.width\" = [8, 16]\nfinetune.lr = [1e-3, 3e-3, 1]\nseed = [2]\n");
    assert_eq!(
        axes(&experiment),
        [
            "network.width: 8, 16",
            "finetune.lr: 0.001, 0.003, 1.0",
            "seed: 2"
        ]
    );
    // The experiment itself has the values that it would have without a sweep.
    assert_eq!((experiment.recipe.network.width, experiment.seed), (64, 0));
    let points = experiment.points();
    let seen: Vec<_> = points
        .iter()
        .map(|Point { experiment: e, .. }| (e.recipe.network.width, e.finetune.lr, e.seed))
        .collect();
    assert_eq!(
        seen,
        [
            (8, 1e-3, 2),
            (8, 3e-3, 2),
            (8, 1.0, 2),
            (16, 1e-3, 2),
            (16, 3e-3, 2),
            (16, 1.0, 2)
        ]
    );
    assert_eq!(points[4].setting, [(0, 1), (1, 1), (2, 0)]);
    for point in &points {
        assert!(point.experiment.sweep.is_empty());
        assert_eq!(point.experiment.scratch.lr, 1e-3);
        assert_eq!(point.experiment.grid, experiment.grid);
    }
    let digests: BTreeSet<_> = points
        .iter()
        .map(|p| p.experiment.recipe.digest())
        .collect();
    assert_eq!(digests.len(), 2);
}

#[test]
fn without_a_sweep_there_is_one_point_without_a_setting() {
    let points = swept("seed = 4\n").points();
    assert_eq!(points.len(), 1);
    assert!(points[0].setting.is_empty());
    assert_eq!(points[0].experiment.seed, 4);
}

#[test]
fn a_swept_default_of_other_keys_reaches_them() {
    let points = swept("sweep.\"training.lr\" = [0.5, 0.25]\nscratch.lr = 0.125\n").points();
    let rates = points
        .iter()
        .map(|p| (p.experiment.finetune.lr, p.experiment.scratch.lr));
    assert_eq!(rates.collect::<Vec<_>>(), [(0.5, 0.125), (0.25, 0.125)]);
}

#[test]
fn words_ranges_and_paths_can_be_swept_and_print_as_toml() {
    let experiment = swept(
        "[sweep]\nnetwork.first_conv = [\"kaiming\", \"uniform\"]\n\
         augment.zoom_factors = [[1, 1], [0.7, 1.4]]\npretrain.from = [\"a.safetensors\"]\n",
    );
    assert_eq!(
        axes(&experiment),
        [
            "network.first_conv: \"kaiming\", \"uniform\"",
            "augment.zoom_factors: [1.0, 1.0], [0.7, 1.4]",
            "pretrain.from: \"a.safetensors\"",
        ]
    );
    assert_eq!(experiment.points().len(), 4);
}

#[test]
fn a_swept_value_meets_the_checks_of_its_key() {
    assert_eq!(
        refused("[sweep]\nnetwork.width = [8, 10]\nfinetune.lr = [0, \"x\"]\n"),
        "m.toml:2:21: `network.width` is 10; it must be a multiple of 4 from 4 to 1024 (the \
         decoder ends with a quarter of it)\nm.toml:3:16: the learning rate is 0; it must be \
         greater than 0\nm.toml:3:19: `finetune.lr` is a number, not the text \"x\""
    );
    // Values that are good for themselves and not together.
    let found = refused("[sweep]\nimage.crop = [192, 160]\nimage.reduce = [1, 3]\n");
    assert!(
        found.starts_with("m.toml:2:20: `image.crop` is 160, not a multiple of 96"),
        "{found}"
    );
    assert_eq!(found.lines().count(), 1, "{found}");
    // And values that are good together, though not with what the manifest says without them.
    assert_eq!(
        swept("[sweep]\nimage.crop = [160]\nimage.reduce = [1, 5]\n")
            .points()
            .len(),
        2
    );
}

#[test]
fn what_cannot_be_swept_is_refused_with_the_reason() {
    for (line, why) in [
        (
            "grid.samples = [[5]]",
            "axis of the grid already; list its values under [grid]",
        ),
        ("title = [\"a\"]", "affects no training and no score"),
        ("rows = [\"samples\"]", "affects no training and no score"),
        (
            "statistics.alpha = [0.1]",
            "affects no training and no score",
        ),
        (
            "image.cut_masks = [\"allow\"]",
            "affects no training and no score",
        ),
        ("extends = [\"a\"]", "says how manifests are put together"),
        ("profile.x = [1]", "says how manifests are put together"),
        ("reference.values = [\"a\"]", "results are compared with it"),
        ("dataset.training = [10]", "run on one data set"),
        (
            "network = [1]",
            "it is a section; name one of its keys, like `network.width`",
        ),
        ("network.widht = [8]", "did you mean `network.width`?"),
        ("xyzzy = [8]", "named from the top of the manifest"),
        (
            "seed = []",
            "`sweep` has no values for `seed`; add some, or take it out",
        ),
        (
            "seed = 3",
            "`sweep` holds a list of values for `seed`, not the whole number 3",
        ),
        (
            "finetune.lr = [1, 2, 1.0]",
            "`sweep` names 1.0 twice for `finetune.lr`",
        ),
        (
            "finetune.lr = [1]\n\"finetune.lr\" = [2]",
            "names `finetune.lr` twice",
        ),
    ] {
        let found = refused(&format!("[sweep]\n{line}\n"));
        assert_eq!(found.lines().count(), 1, "{found}");
        assert!(
            found.starts_with("m.toml:2:") || found.starts_with("m.toml:3:"),
            "{found}"
        );
        assert!(found.contains(why), "{line}: {found}");
    }
    let found = refused("sweep = 3\n");
    assert!(
        found.contains("`sweep` holds keys with lists of values, not"),
        "{found}"
    );
}

#[test]
fn a_sweep_beyond_all_bounds_is_refused_before_it_is_expanded() {
    let list = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    let text = |n: usize, m: usize| {
        format!(
            "[sweep]\nseed = [{}]\nscratch.steps = [1{}]\n",
            list(n),
            ", 2".repeat(m)
        )
    };
    assert_eq!(swept(&text(5000, 1)).points().len(), 10_000);
    let found = refused(&text(5001, 1));
    assert_eq!(
        found,
        "m.toml:1:2: the sweep has 10002 points, more than 10000; take out keys or values"
    );
}

#[test]
fn the_command_line_and_an_extending_file_replace_a_sweep() {
    let text = "[sweep]\nnetwork.width = [8, 16]\nseed = [1, 2]\n[profile.p]\nnetwork.width = 4\n";
    // A sweep counts over its own file's profile, which is said.
    let profile = parse(text, "p", &[]).unwrap();
    assert_eq!(profile.points().len(), 4);
    assert_eq!(
        profile.warnings,
        [
            "m.toml:5:17: network.width = 4 of profile p has no effect, as m.toml:2:17 sweeps the \
          key; take one of them out"
        ]
    );
    assert!(profile.changes.is_empty());
    let set = parse(text, "p", &["network.width=32"]).unwrap();
    assert_eq!(axes(&set), ["seed: 1, 2"]);
    assert!(
        set.points()
            .iter()
            .all(|p| p.experiment.recipe.network.width == 32)
    );
    let change = set.changes[0].to_string();
    assert_eq!(change, "--set: network.width = 32 (was swept over [8, 16])");
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
    // Overrides sweep, too, in the order in which they are given.
    let set = ["sweep.seed=[7]", "sweep.\"finetune.lr\"=[1e-2, 1e-1]"];
    let set = parse("", "paper", &set).unwrap();
    assert_eq!(axes(&set), ["seed: 7", "finetune.lr: 0.01, 0.1"]);
}

#[test]
fn a_sweep_survives_its_resolved_manifest() {
    let experiment = swept("[sweep]\nfinetune.lr = [1e-3, 3e-3]\nseed = [0, 1]\n");
    let text = manifest::resolved(&experiment);
    let again = manifest::parse(Path::new("m.toml"), &text, "paper", &[]).unwrap();
    assert_eq!(axes(&again), axes(&experiment));
    assert_eq!(manifest::resolved(&again), text);
    // A point's own manifest has its values and sweeps nothing.
    let point = &experiment.points()[3].experiment;
    let text = manifest::resolved(point);
    assert!(!text.contains("[sweep]"));
    let again = manifest::parse(Path::new("m.toml"), &text, "paper", &[]).unwrap();
    assert_eq!((again.finetune, again.seed), (point.finetune, 1));
}

proptest! {
    /// A point is the experiment that the same values, set one by one, would make.
    #[test]
    fn a_point_is_what_its_values_set_by_hand_make(
        seeds in prop::collection::btree_set(0_u64..50, 1..4),
        rates in prop::collection::btree_set(1_u32..50, 1..4),
        noise in prop::collection::btree_set(0_u32..100, 1..3),
    ) {
        let rates: Vec<f64> = rates.iter().map(|n| f64::from(*n) / 1e3).collect();
        let noise: Vec<f64> = noise.iter().map(|n| f64::from(*n) / 1e2).collect();
        let seeds: Vec<u64> = seeds.into_iter().collect();
        let experiment = swept(&format!(
            "[sweep]\npretrain.lr = {rates:?}\naugment.noise = {noise:?}\nseed = {seeds:?}\n"
        ));
        let points = experiment.points();
        prop_assert_eq!(points.len(), rates.len() * noise.len() * seeds.len());
        for point in points {
            let set: Vec<String> = point.setting.iter().map(|(key, value)| {
                let swept = &experiment.sweep[*key];
                format!("{}={}", swept.key, swept.values[*value].text)
            }).collect();
            let set: Vec<&str> = set.iter().map(String::as_str).collect();
            let by_hand = parse("", "paper", &set).unwrap();
            prop_assert_eq!(
                manifest::resolved(&by_hand),
                manifest::resolved(&point.experiment)
            );
        }
    }
}

#[test]
fn a_plan_has_a_run_for_every_point_and_shares_what_a_key_does_not_reach() {
    let experiment = swept("[sweep]\nfinetune.lr = [1e-3, 3e-3, 1e-2]\n");
    let inventory = Inventory::assumed(&experiment.cohort);
    let plain = plan::build(vec![swept("")], &inventory);
    let plan = plan::build(vec![experiment], &inventory);
    assert_eq!(plan.runs.len(), 3 * plain.runs.len());
    let count = |plan: &Plan, kind: Kind| {
        let of_kind = plan.stages.iter().filter(|stage| stage.spec.kind() == kind);
        of_kind.count()
    };
    for (kind, times) in [(Kind::Pretrain, 1), (Kind::Finetune, 3), (Kind::Scratch, 1)] {
        assert_eq!(count(&plan, kind), times * count(&plain, kind), "{kind}");
    }
    // The point at the default is the manifest without a sweep.
    let at = |plan: &Plan, text: &str| -> Vec<Digest> {
        let here = |run: &&Run| run.at.swept.iter().all(|setting| setting.text() == text);
        let runs = plan.runs.iter().filter(here);
        runs.map(|run| plan.stage(run.evaluation).digest).collect()
    };
    assert_eq!(at(&plan, "0.001"), at(&plain, "0.001"));
    assert_ne!(at(&plan, "0.003"), at(&plan, "0.001"));
}
