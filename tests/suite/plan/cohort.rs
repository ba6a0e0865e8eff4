//! Images dealt out to experts: who annotates which, and what that does to a plan.

use std::{collections::BTreeSet, path::Path};

use expertgrid::{
    manifest::{self, Cohort, Experiment},
    method::Method,
    plan::{self, Inventory, Kind, Plan, Spec, Train, deal},
    seed::Seed,
};

use crate::{
    manifest::options::{BASE, experiment},
    support::common::chosen,
};

/// Seed, experts, repeat, and the expert of each case: computed with the package blake3 in Python
/// from the rule of [`deal`].
const DEALS: [(u64, &[u8], u64, &str); 7] = [
    (0, &[1, 2, 3], 0, "3232113212112332232323321113121231"),
    (0, &[1, 2, 3], 1, "1211122231122332211332322331333113"),
    (0, &[3, 4, 5], 0, "4554445443455353353343535543444353"),
    (0, &[1, 2, 3, 4, 5], 0, "4251533544431231551232532442431125"),
    (0, &[2, 4], 0, "24422"),
    (7, &[1, 2, 3], 0, "2323132221313211223133132111323112"),
    (0, &[1, 2, 3], 0, "132"),
];

fn dealt_to(seed: u64, experts: &[u8], repeat: u64, cases: usize) -> Vec<u8> {
    let joined: Vec<String> = experts.iter().map(u8::to_string).collect();
    let seed = Seed::new(seed).fork("cohort").fork(&joined.join("+"));
    let seed = match repeat {
        0 => seed,
        repeat => seed.at(repeat),
    };
    let places = deal(seed, experts, cases);
    places.into_iter().map(|place| experts[place]).collect()
}

#[test]
fn a_deal_is_balanced_and_depends_on_seed_experts_and_repeat() {
    for (seed, experts, repeat, expected) in DEALS {
        let found = dealt_to(seed, experts, repeat, expected.len());
        let text: String = found.iter().map(u8::to_string).collect();
        assert_eq!(text, expected, "{seed} {experts:?} {repeat}");
        let counts = experts
            .iter()
            .map(|expert| found.iter().filter(|e| *e == expert).count());
        let counts: BTreeSet<usize> = counts.collect();
        assert!(counts.last().unwrap() - counts.first().unwrap() <= 1);
    }
}

fn plan_of(methods: &[&str], overrides: &[&str]) -> Plan {
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    let mut experiment: Experiment = experiment(&overrides);
    let methods: Vec<Method> = methods
        .iter()
        .map(|name| Method::named(name).unwrap())
        .collect();
    experiment.grid.methods = chosen(&methods);
    let inventory = Inventory::assumed(&Cohort::default());
    plan::build(vec![experiment], &inventory)
}

fn pretraining(plan: &Plan) -> &Train {
    let mut stages = plan.stages.iter().filter_map(|stage| match &stage.spec {
        Spec::Train(train) if train.kind() == Kind::Pretrain => Some(train),
        _ => None,
    });
    stages.next().unwrap()
}

fn digests(plan: &Plan) -> BTreeSet<String> {
    plan.stages
        .iter()
        .map(|stage| stage.digest.to_string())
        .collect()
}

#[test]
fn each_image_of_a_cohort_has_the_mask_of_its_expert() {
    let plan = plan_of(&["original"], &[]);
    let support = &pretraining(&plan).support;
    assert_eq!(support.experts, [1, 2, 3]);
    let dealt = support.dealt.as_ref().unwrap();
    let to: String = dealt
        .iter()
        .map(|place| support.experts[*place].to_string())
        .collect();
    assert_eq!(to, DEALS[0].3);
    let [masks] = support.masks.as_slice() else {
        panic!("one list of masks");
    };
    let inventory = Inventory::assumed(&Cohort::default());
    for (i, case) in inventory.training.iter().enumerate() {
        assert_eq!(support.images[i], case.image);
        assert_eq!(
            masks[i], case.masks[&support.experts[dealt[i]]],
            "{}",
            case.name
        );
    }
    // One pass, whatever the number of experts.
    let stage = plan
        .stages
        .iter()
        .find(|stage| stage.spec.kind() == Kind::Pretrain);
    assert_eq!(stage.unwrap().spec.work().batches, 1);
}

#[test]
fn a_cohort_of_one_expert_is_every_annotator() {
    let one = "grid.annotators.choose=1";
    for (of_cohort, of_every) in [
        ("original", "customised-frozen-inherit"),
        ("cohort-frozen", "customised-frozen"),
        ("cohort-full", "customised"),
        ("cohort-full-inherit", "customised-inherit"),
    ] {
        let [cohort, every] = [of_cohort, of_every].map(|name| plan_of(&[name], &[one]));
        assert_eq!(digests(&cohort), digests(&every), "{of_cohort}");
        let [cohort, every] = [of_cohort, of_every].map(|name| plan_of(&[name], &[]));
        assert!(
            digests(&cohort).is_disjoint(&digests(&every)),
            "{of_cohort}"
        );
    }
}

#[test]
fn what_cannot_change_a_dealt_pretraining_is_not_in_its_key() {
    let key = |overrides: &[&str]| {
        let plan = plan_of(&["original"], overrides);
        let stage = plan
            .stages
            .iter()
            .find(|stage| stage.spec.kind() == Kind::Pretrain);
        stage.unwrap().digest
    };
    let base = key(&[]);
    assert_eq!(key(&["pretrain.expert_batching=one_per_image"]), base);
    assert_ne!(key(&["seed=1"]), base);
    let repeated = plan_of(&["original"], &["grid.repeats=2"]);
    let dealt: BTreeSet<_> = repeated
        .stages
        .iter()
        .filter_map(|stage| match &stage.spec {
            Spec::Train(train) => train.support.dealt.clone(),
            Spec::Serve(_) | Spec::Evaluate(_) => None,
        })
        .collect();
    assert_eq!(dealt.len(), 2, "another pretraining is another deal");
}

#[test]
fn more_experts_than_images_are_refused() {
    let said = |methods: &str| {
        let small = [
            "dataset.training=2",
            "grid.samples=[1]",
            "grid.starts=[1]",
            methods,
        ];
        let overrides = small.map(str::to_owned);
        match manifest::parse(Path::new("base.toml"), BASE, "paper", &overrides) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        }
    };
    let refused = said("grid.methods=[\"original\"]");
    assert!(
        refused.contains("3 experts, each with images of their own, need 3 training cases"),
        "{refused}"
    );
    assert_eq!(said("grid.methods=[\"customised\"]"), "");
}
