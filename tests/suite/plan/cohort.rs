//! Images dealt out to experts: who annotates which, and what that does to a plan.

use std::{collections::BTreeSet, path::Path};

use expertgrid::{
    key::Digest,
    manifest::{self, AnnotationLimit, Cohort, Experiment},
    method::Method,
    plan::{self, Inventory, Kind, Plan, Spec, Train, deal},
    seed::Seed,
};
use serde::Deserialize;

use crate::{
    manifest::options::{BASE, experiment},
    support::common::{chosen, repository},
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

#[derive(Deserialize)]
struct Deals {
    cases: Vec<ReferenceDeal>,
}

#[derive(Deserialize)]
struct ReferenceDeal {
    seed: u64,
    experts: Vec<u8>,
    cases: usize,
    repeat: u64,
    order: Vec<usize>,
    turn: Vec<u8>,
    expert_of_case: Vec<u8>,
    cases_of_each: Vec<usize>,
    first_image_key: String,
}

#[test]
fn a_deal_goes_by_the_order_of_keys() {
    let text = include_str!("../../fixtures/cohort.json");
    let deals: Deals = serde_json::from_str(text).unwrap();
    assert_eq!(deals.cases.len(), 7);
    for deal in deals.cases {
        let found = dealt_to(deal.seed, &deal.experts, deal.repeat, deal.cases);
        assert_eq!(found, deal.expert_of_case);
        for (place, case) in deal.order.iter().enumerate() {
            assert_eq!(found[*case], deal.turn[place % deal.turn.len()]);
        }
        let of = |expert: &u8| found.iter().filter(|of| *of == expert).count();
        assert_eq!(
            deal.experts.iter().map(of).collect::<Vec<_>>(),
            deal.cases_of_each
        );
        let joined: Vec<String> = deal.experts.iter().map(u8::to_string).collect();
        let seed = Seed::new(deal.seed).fork("cohort").fork(&joined.join("+"));
        let seed = match deal.repeat {
            0 => seed,
            repeat => seed.at(repeat),
        };
        let mut order: Vec<usize> = (0..deal.cases).collect();
        order.sort_by_key(|case| seed.fork("images").at(*case as u64));
        assert_eq!(order, deal.order);
        let mut turn = deal.experts.clone();
        turn.sort_by_key(|expert| seed.fork("experts").at(u64::from(*expert)));
        assert_eq!(turn, deal.turn);
        let first = serde_json::to_value(seed.fork("images").at(0)).unwrap();
        let bytes: Vec<u8> = serde_json::from_value(first).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, deal.first_image_key);
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
            Spec::Serve(_) | Spec::Agree(_) | Spec::Evaluate(_) => None,
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

#[test]
fn annotations_in_all_are_shared_out_among_the_experts() {
    let limit = |annotations: usize| AnnotationLimit {
        annotations,
        ..AnnotationLimit::default()
    };
    // Of 34 images, for one to five experts: annotated by every expert, and by one each.
    for (annotations, every, shared) in [
        (30, [30, 15, 10, 7, 6], [30, 30, 30, 28, 30]),
        (34, [34, 17, 11, 8, 6], [34, 34, 33, 32, 30]),
        (12, [12, 6, 4, 3, 2], [12, 12, 12, 12, 10]),
        (60, [34, 30, 20, 15, 12], [34, 34, 34, 34, 34]),
        (0, [34; 5], [34; 5]),
    ] {
        for experts in 1..=5 {
            let images = |shared| limit(annotations).images(34, experts, shared);
            let expected = (every[experts - 1], shared[experts - 1]);
            assert_eq!(
                (images(false), images(true)),
                expected,
                "{annotations} {experts}"
            );
        }
    }
    let few = AnnotationLimit {
        images: 10,
        annotations: 30,
    };
    assert_eq!(
        (few.images(34, 2, false), few.images(34, 2, true)),
        (10, 10)
    );
    assert_eq!(few.images(8, 2, false), 8);
}

#[test]
fn who_has_fewer_images_has_some_of_those_who_have_more() {
    let images = |method: &str, set: &str| {
        let path = repository().join("experiments/scenarios-experts.toml");
        let overrides = [
            "grid.annotators.choose=3".to_owned(),
            format!("grid.methods=[\"{method}\"]"),
            set.to_owned(),
        ];
        let read = manifest::read(&[path], "paper", &overrides).unwrap();
        let inventory = Inventory::assumed(&read[0].cohort);
        let plan = plan::build(read, &inventory);
        let mut specs = plan.stages.iter().map(|stage| &stage.spec);
        let found = specs.find_map(|spec| match spec {
            Spec::Train(train) if train.kind() == Kind::Pretrain => Some(train.support.clone()),
            _ => None,
        });
        let support = found.unwrap();
        for masks in &support.masks {
            assert_eq!(masks.len(), support.images.len());
        }
        let in_order = inventory.training.iter().map(|case| case.image);
        let kept: Vec<Digest> = in_order.filter(|i| support.images.contains(i)).collect();
        assert_eq!(kept, support.images, "in the order of the data set");
        if let Some(dealt) = &support.dealt {
            let of = |place: usize| dealt.iter().filter(|other| **other == place).count();
            assert!(
                (0..3).all(|place| of(place).abs_diff(of(0)) <= 1),
                "{dealt:?}"
            );
        }
        support.images.clone()
    };
    let every = images("customised", "pretrain.annotations=30");
    let shared = images("original", "pretrain.annotations=30");
    assert_eq!((every.len(), shared.len()), (10, 30));
    assert!(every.iter().all(|image| shared.contains(image)));
    let ten = images("original", "pretrain.images=10");
    assert_eq!(ten, every);
    assert_eq!(images("customised", "pretrain.images=0").len(), 34);
}

#[test]
fn too_few_images_or_annotations_for_the_experts_are_refused_with_their_place() {
    let refused = |method: &str, set: &str| {
        let overrides = [format!("grid.methods=[\"{method}\"]"), set.to_owned()];
        let path = repository().join("experiments/scenarios-experts.toml");
        manifest::read(&[path], "paper", &overrides)
            .unwrap_err()
            .to_string()
    };
    for (method, set, expected) in [
        (
            "customised",
            "pretrain.annotations=4",
            "`pretrain.annotations` is 4, so that not each of 5 annotators has a mask; it must be \
             5 or more, or take fewer annotators",
        ),
        (
            "original",
            "pretrain.images=4",
            "`pretrain.images` is 4, too few for 5 annotators who share the images; it must be 5 \
             or more, or take fewer annotators",
        ),
        (
            "customised",
            "pretrain.images=35",
            "`pretrain.images` is 35, more than the 34 training cases of the data set",
        ),
    ] {
        let said = refused(method, set);
        assert!(said.contains(expected), "{said}");
        assert!(said.contains(set), "its place: {said}");
    }
}
