//! Methods as data: their names, their words, the plans they make, and the keys of their stages.

use std::collections::BTreeSet;

use expertgrid::{
    key::{Digest, Keyed},
    method::{
        Annotation, BUILT_IN, Branch, BudgetFrom, Masks, Method, NetworkForm, TrainedOn, Tuned,
        Words,
    },
    plan::{self, Inventory, Kind, Names, Origin, Plan, Spec, Summary, Train},
};
use itertools::Itertools;

use crate::{
    manifest::options::experiment,
    support::common::{chosen, compare_with_fixture},
};

fn named(name: &str) -> Method {
    Method::named(name).unwrap()
}

const PRETRAINED: [&str; 18] = [
    "customised",
    "customised-inherit",
    "customised-frozen",
    "customised-frozen-inherit",
    "original",
    "cohort-frozen",
    "cohort-full",
    "cohort-full-inherit",
    "heads",
    "pool",
    "majority",
    "staple",
    "uncertainty",
    "uncertainty-full",
    "uncertainty-map",
    "uncertainty-map-full",
    "probabilistic",
    "probabilistic-full",
];

#[test]
fn a_method_is_found_by_its_name_and_by_what_the_paper_calls_it() {
    let names: Vec<&str> = BUILT_IN.iter().map(|method| &*method.name).collect();
    let expected = ["scratch", "single"].into_iter().chain(PRETRAINED);
    assert_eq!(names, expected.collect::<Vec<_>>());
    for name in names {
        assert_eq!(named(name).name, name);
    }
    for (alias, name) in [("w/", "customised"), ("w/o", "scratch")] {
        assert_eq!(named(alias), named(name));
        assert_eq!(named(name).alias(), Some(alias));
    }
    assert_eq!(named("customised-frozen").alias(), None);
    for (unknown, expected) in [
        (
            "customized",
            "there is no method \"customized\"; did you mean \"customised\"?",
        ),
        (
            "custom-frozen",
            "there is no method \"custom-frozen\"; did you mean \"customised-frozen\"?",
        ),
        (
            "x",
            "there is no method \"x\"; known here: \"scratch\", \"single\", \"customised\", \
             \"customised-inherit\", \"customised-frozen\", \"customised-frozen-inherit\", \
             \"original\", \"cohort-frozen\", \"cohort-full\", \"cohort-full-inherit\", \
             \"heads\", \"pool\", \"majority\", \"staple\", \"uncertainty\", \
             \"uncertainty-full\", \"uncertainty-map\", \"uncertainty-map-full\", \
             \"probabilistic\", \"probabilistic-full\", \"w/\", \
             \"w/o\"",
        ),
    ] {
        assert_eq!(Method::named(unknown), Err(expected.to_owned()));
    }
}

#[test]
fn built_in_methods_differ_in_what_their_names_say() {
    let customised = named("customised");
    let expected = Method {
        name: "customised".into(),
        annotation: Annotation::Every,
        network: NetworkForm::Norms,
        masks: Masks::Each,
        branch: Branch::Reset,
        tuned: Some(Tuned::Everything),
        trained_on: TrainedOn::NewExpert,
        budget: BudgetFrom::Finetune,
    };
    assert_eq!(customised, expected);
    let inherit = Method {
        name: "customised-inherit".into(),
        branch: Branch::Inherit,
        ..customised.clone()
    };
    assert_eq!(named("customised-inherit"), inherit);
    let frozen = Method {
        name: "customised-frozen".into(),
        tuned: Some(Tuned::ExpertLayers),
        ..customised
    };
    assert_eq!(named("customised-frozen"), frozen);
    let both = Method {
        name: "customised-frozen-inherit".into(),
        branch: Branch::Inherit,
        ..frozen
    };
    assert_eq!(named("customised-frozen-inherit"), both);
    // Those of a cohort differ from these in the annotation.
    for (name, of_every) in [
        ("original", "customised-frozen-inherit"),
        ("cohort-frozen", "customised-frozen"),
        ("cohort-full", "customised"),
        ("cohort-full-inherit", "customised-inherit"),
    ] {
        let cohort = Method {
            name: name.into(),
            annotation: Annotation::Cohort,
            ..named(of_every)
        };
        assert_eq!(named(name), cohort);
    }
    let scratch = Method {
        name: "scratch".into(),
        annotation: Annotation::None,
        network: NetworkForm::One,
        masks: Masks::Each,
        branch: Branch::Reset,
        tuned: Some(Tuned::Everything),
        trained_on: TrainedOn::NewExpert,
        budget: BudgetFrom::Scratch,
    };
    assert_eq!(named("scratch"), scratch);
    let single = Method {
        name: "single".into(),
        trained_on: TrainedOn::AnotherExpert,
        ..scratch
    };
    assert_eq!(named("single"), single);
}

const CUSTOMISED: Words<'_> = Words {
    annotation: "every",
    multitask: "norms",
    branch: "reset",
    adapt: "full",
};

#[test]
fn four_words_make_a_method_and_a_method_has_its_words() {
    for name in PRETRAINED {
        let words = named(name).words().unwrap();
        assert_eq!(Method::from_words(name, &words), Ok(named(name)));
        let own = Method::from_words("own", &words).unwrap();
        let expected = Method {
            name: "own".into(),
            ..named(name)
        };
        assert_eq!(own, expected);
    }
    assert_eq!(named("customised").words(), Some(CUSTOMISED));
    for name in ["scratch", "single"] {
        assert_eq!(named(name).words(), None);
    }
    let words = Words {
        branch: "inherit",
        adapt: "expert-layers",
        ..CUSTOMISED
    };
    let both = Method::from_words("customised-frozen-inherit", &words).unwrap();
    assert_eq!(both, named("customised-frozen-inherit"));
}

#[test]
fn every_wrong_word_of_a_section_is_named_with_its_remedy() {
    let said = |name: &str, words: &Words<'_>| -> Vec<(Option<&str>, String)> {
        let errors = Method::from_words(name, words).unwrap_err();
        errors.into_iter().map(|e| (e.key, e.text)).collect()
    };
    let words = Words {
        annotation: "evry",
        multitask: "pol",
        branch: "Inherit",
        adapt: "expert_layers",
    };
    let expected = [
        (
            "annotation",
            "`annotation` cannot be \"evry\"; did you mean \"every\"?",
        ),
        (
            "multitask",
            "`multitask` cannot be \"pol\"; did you mean \"pool\"?",
        ),
        (
            "branch",
            "`branch` cannot be \"Inherit\"; did you mean \"inherit\"?",
        ),
        (
            "adapt",
            "`adapt` cannot be \"expert_layers\"; did you mean \"expert-layers\"?",
        ),
    ];
    let expected: Vec<_> = expected.map(|(k, text)| (Some(k), text.to_owned())).into();
    assert_eq!(said("own", &words), expected);

    // Words of which one leaves the other nothing to do.
    for (annotation, multitask, branch, adapt, expected) in [
        (
            "cohort",
            "staple",
            "inherit",
            "full",
            (
                "annotation",
                "with annotation = \"cohort\" every image has one mask, of which multitask = \
                 \"staple\" makes no other; take annotation = \"every\", or multitask = \"pool\"",
            ),
        ),
        (
            "cohort",
            "uncertainty",
            "inherit",
            "select",
            (
                "annotation",
                "with annotation = \"cohort\" every image has one mask, of which multitask = \
                 \"uncertainty\" makes no other; take annotation = \"every\", or multitask = \
                 \"pool\"",
            ),
        ),
        (
            "every",
            "heads",
            "reset",
            "select",
            (
                "branch",
                "adapt = \"select\" trains nothing, so that a branch with initial values stays \
                 without use; take branch = \"inherit\"",
            ),
        ),
    ] {
        let words = Words {
            annotation,
            multitask,
            branch,
            adapt,
        };
        let (key, text) = expected;
        assert_eq!(said("own", &words), [(Some(key), text.to_owned())]);
    }

    // A name means one thing.
    let inherit = Words {
        branch: "inherit",
        ..CUSTOMISED
    };
    for (name, words, expected) in [
        (
            "customised",
            inherit,
            "the method \"customised\" is built in, with annotation = \"every\", \
             multitask = \"norms\", branch = \"reset\", adapt = \"full\"; choose another name for \
             other words",
        ),
        (
            "single",
            CUSTOMISED,
            "the method \"single\" is built in and pretrains nothing; choose another name",
        ),
        (
            "w/",
            CUSTOMISED,
            "\"w/\" is another name of the built-in method \"customised\"; choose one of your own",
        ),
        (
            "my 'own'",
            CUSTOMISED,
            "a method cannot be called \"my 'own'\"; a name is made of letters, digits and _-./+",
        ),
    ] {
        assert_eq!(said(name, &words), [(None, expected.to_owned())]);
    }
}

/// The plan of one fixed grid by some methods: new expert 6, annotators 1, 2 and 3 together,
/// trainer 1, five samples from the fourth; changed by overrides.
fn plan_of(methods: &[Method], overrides: &[&str]) -> Plan {
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    let mut experiment = experiment(&overrides);
    experiment.grid.methods = chosen(methods);
    let inventory = Inventory::assumed(&experiment.cohort);
    plan::build(vec![experiment], &inventory)
}

fn digests(plan: &Plan) -> Vec<Digest> {
    plan.stages.iter().map(|stage| stage.digest).collect()
}

fn training<'a>(plan: &'a Plan, method: &str) -> (&'a Train, Digest) {
    let mut runs = plan.runs.iter();
    let run = runs.find(|run| run.method().name == method).unwrap();
    let stage = plan.stage(run.network);
    match &stage.spec {
        Spec::Train(train) => (train, stage.digest),
        Spec::Serve(_) | Spec::Agree(_) | Spec::Evaluate(_) => {
            panic!("a run's training is a training")
        }
    }
}

#[test]
fn arms_are_methods() {
    let methods = ["customised", "scratch", "single"].map(named);
    let more = ["grid.samples=[5, 10]", "grid.annotators.choose=[2, 3]"];
    let by_methods = plan_of(&methods, &more);
    let experiment = experiment(&more.map(str::to_owned));
    let inventory = Inventory::assumed(&experiment.cohort);
    let by_arms = plan::build(vec![experiment], &inventory);
    assert_eq!(by_methods.runs.len(), by_arms.runs.len());
    assert_eq!(digests(&by_methods), digests(&by_arms));
    let of_arms = by_arms
        .runs
        .iter()
        .map(|run| run.at.method.word.to_string());
    let of_arms: Vec<_> = of_arms.collect();
    // Four combinations and two samples; one network of its own; one trainer.
    let expected = [("w/", 8), ("w/o", 2), ("single", 2)];
    let expected = expected.map(|(method, count)| vec![method; count]);
    assert_eq!(of_arms, expected.concat());
}

#[test]
fn methods_that_pretrain_alike_share_their_pretrainings_and_nothing_else() {
    let more = [
        "grid.new_experts=[6, 7]",
        "grid.samples=[5, 10, 34]",
        "grid.starts=[1, 4]",
        "grid.annotators.choose=2",
    ];
    let plan = plan_of(&BUILT_IN, &more);
    let stages = Summary::of(&plan, |_| true, |_| false).stages;
    let found = [
        stages.pretrain,
        stages.finetune,
        stages.scratch,
        stages.evaluate,
    ];
    // Three pairs of annotators, in six ways; each with two new experts, three samples and two
    // starts for each of fifteen methods that train and three that do not; from scratch on experts
    // 6, 7 and, once for both new experts, on 1.
    let [pairs, ways, methods] = [3, 3 * 2, 8 + 7];
    let finetunings = pairs * 2 * ways * methods;
    let served = 3 * pairs * 2 * ways;
    // By norms on every image and on one each, by heads, by one branch, by two fused masks, by the
    // mean of masks, by a mask and a map, by a latent.
    let tested = finetunings + served + 4 * ways;
    let expected = [9 * pairs, finetunings, 3 * ways, tested];
    assert_eq!(found.map(|count| count.distinct), expected);
    // People can tell them apart.
    let names = Names::of(&plan);
    let named: BTreeSet<_> = plan.ids().map(|(id, _)| names.name(id)).collect();
    assert_eq!(named.len(), plan.stages.len(), "{named:#?}");
}

#[test]
fn a_method_shapes_the_origin_of_its_trainings_and_no_other_field() {
    let plan = plan_of(&BUILT_IN, &[]);
    let pretrained = plan.stages.iter().find(|s| s.spec.kind() == Kind::Pretrain);
    let pretrained = pretrained.unwrap().digest;
    let adapted = |branch, tuned| Origin::Adapted {
        pretrained,
        branch,
        tuned,
    };
    let frozen = adapted(Branch::Reset, Tuned::ExpertLayers);
    let inherit = adapted(Branch::Inherit, Tuned::Everything);
    for (method, origin, kind, experts) in [
        ("scratch", Origin::Random, Kind::Scratch, 6),
        ("single", Origin::Random, Kind::Scratch, 1),
        (
            "customised",
            Origin::Pretrained(pretrained),
            Kind::Finetune,
            6,
        ),
        ("customised-inherit", inherit, Kind::Finetune, 6),
        ("customised-frozen", frozen, Kind::Finetune, 6),
    ] {
        let (train, _) = training(&plan, method);
        assert_eq!(train.origin, origin, "{method}");
        assert_eq!(train.kind(), kind, "{method}");
        assert_eq!(train.support.experts, [experts], "{method}");
        assert_eq!(train.rate_key(), format!("{kind}.lr"));
    }
    // The same images, batches, budget and seed: only these fields of the key differ.
    let fields = |method: &str| -> BTreeSet<(String, String)> {
        let (train, _) = training(&plan, method);
        let inputs = Spec::Train(train.clone()).explain();
        inputs.into_iter().map(|i| (i.field, i.value)).collect()
    };
    let more = |method: &str| -> Vec<(String, String)> {
        assert!(fields("customised").is_subset(&fields(method)), "{method}");
        let own = fields(method);
        own.difference(&fields("customised")).cloned().collect()
    };
    let pair = |field: &str, value: &str| (field.to_owned(), value.to_owned());
    assert_eq!(
        more("customised-frozen"),
        [pair("branch", "reset"), pair("tuned", "expert-layers")]
    );
    assert_eq!(
        more("customised-inherit"),
        [pair("branch", "inherit"), pair("tuned", "everything")]
    );
}

#[test]
fn one_expert_makes_one_network_but_where_the_loss_is_another() {
    let methods = [
        "customised",
        "pool",
        "staple",
        "uncertainty",
        "uncertainty-full",
        "uncertainty-map",
        "probabilistic",
        "probabilistic-full",
    ];
    let alone = ["grid.annotators.choose=1"];
    let plan = plan_of(&methods.map(named), &alone);
    let pretrained = |method: &str| {
        let run = plan.runs.iter().find(|run| run.method().name == method);
        plan.stage(run.unwrap().network).upstream.unwrap()
    };
    assert_eq!(pretrained("pool"), pretrained("customised"));
    assert_eq!(pretrained("staple"), pretrained("customised"));
    assert_eq!(pretrained("uncertainty"), pretrained("uncertainty-full"));
    assert_eq!(
        pretrained("probabilistic"),
        pretrained("probabilistic-full")
    );
    let [dice, soft, map, latent] = [
        "customised",
        "uncertainty",
        "uncertainty-map",
        "probabilistic",
    ]
    .map(|m| plan.stage(pretrained(m)));
    assert_ne!(soft.digest, map.digest);
    assert_ne!(dice.digest, map.digest);
    assert_ne!(dice.digest, soft.digest);
    assert_ne!(dice.digest, latent.digest);
    assert_ne!(soft.digest, latent.digest);
    let fields = soft.spec.explain().into_iter();
    let fields: Vec<_> = fields.filter(|i| i.field == "objective").collect();
    assert_eq!(fields[0].value, "mean mask");
    // What the masks of an image become leaves nothing to take in turn.
    let each = [alone[0], "pretrain.expert_batching=one_per_image"];
    let in_turn = plan_of(&[named("uncertainty")], &each);
    assert!(
        in_turn
            .stages
            .iter()
            .any(|stage| stage.digest == soft.digest)
    );
}

#[test]
fn a_name_shapes_no_key() {
    let methods = PRETRAINED.map(|name| Method {
        name: format!("my-{name}").into(),
        ..named(name)
    });
    let own = plan_of(&methods, &[]);
    assert_eq!(
        digests(&own),
        digests(&plan_of(&PRETRAINED.map(named), &[]))
    );
    assert_eq!(own.runs[0].method().name, "my-customised");
}

#[test]
fn a_specification_of_every_method_survives_its_json() {
    let plan = plan_of(&BUILT_IN, &[]);
    for stage in &plan.stages {
        let json = serde_json::to_string(&stage.spec).unwrap();
        let read: Spec = serde_json::from_str(&json).unwrap();
        assert_eq!(read.digest(), stage.digest);
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }
}

/// A change of these is a change of results that may be stored: raise the stage's version with it.
#[test]
fn the_keys_of_every_way_of_adapting_are_pinned() {
    let ways = ["reset", "inherit"]
        .into_iter()
        .cartesian_product(["full", "expert-layers"]);
    let methods = ways.map(|(branch, adapt)| {
        let words = Words {
            branch,
            adapt,
            ..CUSTOMISED
        };
        Method::from_words(&format!("{branch}+{adapt}"), &words).unwrap()
    });
    let methods: Vec<Method> = methods.collect();
    let plan = plan_of(&methods, &[]);
    let lines = plan.runs.iter().map(|run| {
        let [training, evaluation] = [run.network, run.evaluation].map(|id| plan.stage(id));
        format!(
            "{}: {} v{} {}, {} {}\n",
            run.method().name,
            training.spec.kind(),
            training.spec.version(),
            training.digest.short(),
            evaluation.spec.kind(),
            evaluation.digest.short()
        )
    });
    compare_with_fixture("adaptation_keys.txt", lines.collect::<String>().as_bytes()).unwrap();
}
