//! The manifests of experiments beside the paper's tables: how many runs and stages they have, and
//! what they share with the tables.

use std::collections::{BTreeMap, BTreeSet};

use expertgrid::{
    data, fused_masks,
    fusion::Rule,
    manifest,
    plan::{self, FusedDigests, Fusion, Inventory, Kind, Plan},
};
use itertools::Itertools;

use super::plans::{digests, plan};
use crate::support::common::{phantom, repository};

/// The plan of a manifest of the repository, at the paper's size.
fn shipped(name: &str) -> Plan {
    planned(&[name], &[])
}

/// The plan of manifests of the repository with some keys set, where no two fused masks are alike.
fn planned(names: &[&str], set: &[&str]) -> Plan {
    let read = read(names, set);
    let inventory = Inventory::assumed(&read[0].cohort);
    plan::build(read, &inventory)
}

fn read(names: &[&str], set: &[&str]) -> Vec<manifest::Experiment> {
    let folder = repository().join("experiments");
    let paths: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
    let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
    manifest::read(&paths, "paper", &set).unwrap()
}

/// The stages of each kind that none of some other plans has.
fn beyond(plan: &Plan, others: &[Plan]) -> [usize; Kind::ALL.len()] {
    Kind::ALL.map(|kind| {
        let known: BTreeSet<_> = others
            .iter()
            .flat_map(|other| digests(other, kind))
            .collect();
        digests(plan, kind).difference(&known).count()
    })
}

#[test]
fn the_scenarios_have_the_numbers_of_runs_and_stages_that_they_are_designed_for() {
    let tables = [2, 3].map(|table| plan(&[table], &[]));
    for (name, runs, stages, new) in [
        // Two new experts, four numbers of samples, ten ways; nine methods, eight of which pretrain
        // on every image's masks or on one of them: ten pretrainings each.
        (
            "scenarios-factors.toml",
            2 * 4 * 10 * 9,
            [20, 640, 80, 0, 0, 720],
            [10, 560, 0, 0, 0, 560],
        ),
        // Four methods at five numbers of experts. With one expert two methods are the same as the
        // two others, and a cohort of one is every expert.
        (
            "scenarios-experts.toml",
            2 * 10 * (4 * 5 + 1),
            [50 + 40, 400 - 40, 20, 0, 0, 420 - 40],
            [59, 298, 0, 0, 0, 298],
        ),
        // The same with thirty masks in all: with one expert thirty images.
        (
            "scenarios-budget.toml",
            2 * 10 * (4 * 5 + 1),
            [50 + 40, 400 - 40, 20, 0, 0, 420 - 40],
            [90, 360, 0, 0, 0, 360],
        ),
        // Ten methods with five numbers of samples and one with four; eight kinds of pretraining.
        // As they are, eight networks of each combination serve both new experts; two methods
        // choose a threshold or a latent for each, and eight train.
        (
            "methods.toml",
            2 * 10 * (10 * 5 + 4),
            [80, 640, 80, 80 + 160, 0, 1040],
            [70, 560, 0, 240, 0, 1040 - 80 - 80],
        ),
        // Two pretrainings of each combination, of which four methods train a part.
        (
            "parts.toml",
            2 * 4 * 10 * 5,
            [20, 320, 80, 0, 0, 400],
            [10, 320, 0, 0, 0, 320],
        ),
        // Two pretrainings of each combination, each as it is for both new experts and trained
        // further from three numbers of samples, the one with branches in two ways.
        (
            "cohort.toml",
            2 * 10 * (3 * 4 + 3),
            [20, 180, 60, 20, 0, 280],
            [20, 180, 0, 20, 0, 220],
        ),
        // All 31 combinations of five, three pretrainings of each; one repeat is Table III's. Masks
        // are compared for each new expert and way of sampling.
        (
            "selection.toml",
            2 * 10 * (31 * 3 + 1),
            [93, 1860, 20, 0, 20, 1880],
            [62, 1240, 0, 0, 20, 1240],
        ),
    ] {
        let plan = shipped(name);
        assert_eq!(plan.runs.len(), runs, "{name}");
        let count = |kind| digests(&plan, kind).len();
        assert_eq!(Kind::ALL.map(count), stages, "{name}");
        assert_eq!(beyond(&plan, &tables), new, "{name}");
    }
}

#[test]
fn variants_of_these_manifests_have_the_numbers_that_they_are_designed_for() {
    let count = |plan: &Plan| Kind::ALL.map(|kind| digests(plan, kind).len());
    let tables = [2, 3].map(|table| plan(&[table], &[]));
    // Every combination with every way of sampling; what trains nothing is there once.
    let crossed = planned(&["methods.toml"], &["grid.pairing=crossed"]);
    assert_eq!(
        crossed.runs.len(),
        2 * 10 * (10 * (4 * 10 + 1)) + 2 * 4 * 10
    );
    assert_eq!(count(&crossed), [80, 6400, 80, 1680, 0, 8240]);
    assert_eq!(beyond(&crossed, &tables)[..2], [70, 5600]);
    // One pretraining of each combination: Table III.
    let once = planned(
        &["selection.toml"],
        &["grid.repeats=1", "selection.rules=[\"agreement\"]"],
    );
    assert_eq!(once.runs.len(), 640);
    assert_eq!(count(&once), [31, 620, 20, 0, 20, 640]);
    assert_eq!(beyond(&once, &tables), [0, 0, 0, 0, 20, 0]);
    // All in one plan, one pretraining and what follows it for equal fused masks.
    let all = [
        "methods.toml",
        "scenarios-factors.toml",
        "scenarios-experts.toml",
        "scenarios-budget.toml",
        "selection.toml",
    ];
    let read = read(&all, &[]);
    let dataset = data::open(phantom()).unwrap();
    let FusedDigests::Known(fused) = fused_masks::fused(&read, &dataset).unwrap().digests else {
        panic!("masks of a data set are known")
    };
    let alike = fused.keys().map(|fusion| {
        let majority = Fusion {
            rule: Rule::Majority,
            ..fusion.clone()
        };
        (fusion.clone(), fused[&majority].clone())
    });
    let inventory = Inventory {
        fused: FusedDigests::Known(alike.collect()),
        ..Inventory::of(&dataset)
    };
    let methods = plan::build(vec![read[0].clone()], &inventory);
    assert_eq!(count(&methods), [70, 560, 80, 230, 0, 940]);
    let together = plan::build(read, &inventory);
    let [pretrain, finetune, scratch, serve, ..] = count(&together);
    // 290, 3,534 and 240 where no two fused masks are alike.
    assert_eq!([pretrain, finetune, scratch, serve], [280, 3454, 80, 230]);
}

#[test]
fn a_fused_mask_that_holds_nothing_is_told_of() {
    let path = repository().join("experiments/fusion.toml");
    let read = |methods: &str, choose: &str| {
        let set = [
            format!("grid.methods={methods}"),
            format!("grid.annotators.choose={choose}"),
        ];
        manifest::read(&[&path], "paper", &set).unwrap()
    };
    let mut dataset = data::open(phantom()).unwrap();
    let of = |dataset: &data::Dataset, methods, choose| {
        fused_masks::fused(&read(methods, choose), dataset)
            .unwrap()
            .warnings
    };
    let both = "[\"majority\", \"staple\"]";
    assert!(of(&dataset, both, "[3, 4, 5]").is_empty());
    // Every expert of a case marks another row.
    let case = &mut dataset.training[6];
    for (row, (_, annotation)) in case.annotations.iter_mut().enumerate() {
        let width = annotation.mask.width;
        let inside = |(place, _): (usize, &bool)| place / width == 10 + row;
        let pixels = annotation.mask.pixels.iter().enumerate().map(inside);
        annotation.mask.pixels = pixels.collect();
    }
    let found = of(&dataset, "[\"majority\"]", "[3]");
    assert_eq!(
        found,
        [
            "fusion: the experts of a case marked something, and their fused mask is empty: case07 \
             of experts 1+2+3 by majority, case07 of experts 1+2+4 by majority, case07 of experts \
             1+2+5 by majority, case07 of experts 1+3+4 by majority and 6 more; a network learns \
             from it that nothing is inside, so check these masks, or take other experts"
        ]
    );
    // Where nobody marked anything, nothing is lost.
    for annotation in dataset.training[6].annotations.values_mut() {
        annotation.mask.pixels.fill(false);
    }
    assert!(of(&dataset, both, "[3, 4, 5]").is_empty());
}

#[test]
fn fused_masks_that_are_alike_share_their_stages() {
    let paths = |names: &[&str]| -> Vec<_> {
        let names = names.iter();
        names
            .map(|name| repository().join("experiments").join(name))
            .collect()
    };
    let read = |names: &[&str]| manifest::read(&paths(names), "paper", &[]).unwrap();
    let dataset = data::open(phantom()).unwrap();
    let FusedDigests::Known(fused) = fused_masks::fused(&read(&["fusion.toml"]), &dataset)
        .unwrap()
        .digests
    else {
        panic!("masks of a data set are known")
    };
    // Sixteen combinations of three, four and all, by two rules.
    assert_eq!(fused.len(), 2 * (10 + 5 + 1));
    // With three experts STAPLE on the whole image is the majority, but for a pixel here and there.
    let of_three = fused.iter().filter(|(fusion, _)| fusion.experts.len() == 3);
    let by_experts = of_three.into_group_map_by(|(fusion, _)| fusion.experts.clone());
    let differ = by_experts
        .values()
        .filter(|rules| !rules.iter().map(|(_, d)| d).all_equal());
    let differ = differ.count();
    assert!(differ < 4, "{differ}");
    let plan_with = |fused: FusedDigests, names: &[&str]| {
        let inventory = Inventory {
            fused,
            ..Inventory::of(&dataset)
        };
        plan::build(read(names), &inventory)
    };
    let count = |plan: &Plan| Kind::ALL.map(|kind| digests(plan, kind).len());
    let plan = plan_with(FusedDigests::Known(fused.clone()), &["fusion.toml"]);
    // Five methods at three numbers of experts; two new experts, ten results, none, 10 and 34
    // samples; from scratch none without samples, and none for each number of experts.
    assert_eq!(plan.runs.len(), 4 * 3 * 2 * 10 * 3 + 2 * 10 * 2);
    assert_eq!(plan.runs.len() as f64, plan.experiments[0].grid.runs());
    let more = [1, 4, 0, 1, 0, 6].map(|per| per * differ);
    let alike = [110, 440, 40, 110, 0, 700];
    let expected: Vec<usize> = std::iter::zip(alike, more).map(|(a, b)| a + b).collect();
    assert_eq!(count(&plan).to_vec(), expected);
    // Were they the same to the pixel, ten pretrainings of 120 were shared, and what follows them.
    let majority = |fusion: &Fusion| Fusion {
        rule: Rule::Majority,
        ..fusion.clone()
    };
    let same = fused.keys().map(|fusion| {
        let of = match fusion.experts.len() {
            3 => majority(fusion),
            _ => fusion.clone(),
        };
        (fusion.clone(), fused[&of].clone())
    });
    let same = FusedDigests::Known(same.collect());
    let plan = plan_with(same, &["fusion.toml"]);
    assert_eq!(count(&plan), alike);
    // What Tables II and III have is there.
    let none = FusedDigests::Known(BTreeMap::new());
    let tables = plan_with(none, &["table2.toml", "table3.toml"]);
    assert_eq!(beyond(&plan, &[tables]), [94, 388, 0, 110, 0, 608]);
    // Where no mask is known, no two are alike.
    assert_eq!(count(&shipped("fusion.toml")), [120, 480, 40, 120, 0, 760]);
}

#[test]
fn the_noise_of_pretrainings_is_measured_on_one_combination_and_one_way_of_sampling() {
    let noise = shipped("noise.toml");
    let count = |kind| digests(&noise, kind).len();
    assert_eq!(noise.runs.len(), 20);
    assert_eq!(Kind::ALL.map(count), [10, 20, 0, 0, 0, 20]);
    let starts: BTreeSet<_> = noise.runs.iter().map(|run| run.at.start).collect();
    assert_eq!(starts, BTreeSet::from([1]));
    // The first pretraining and what comes from it are Table III's.
    let table3 = plan(&[3], &[]);
    let new = |kind| {
        digests(&noise, kind)
            .difference(&digests(&table3, kind))
            .count()
    };
    assert_eq!(Kind::ALL.map(new), [9, 18, 0, 0, 0, 18]);
}
