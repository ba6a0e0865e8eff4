//! Plans: the paper's counts, what is shared, and what a key depends on.

use std::{collections::BTreeSet, fs};

use expertgrid::{
    key::Keyed,
    manifest::{self, Experiment},
    plan::{self, Inventory, Kind, Names, Plan, Summary},
};

use crate::support::common::{phantom, repository, run, tiny};

fn experiments(tables: &[usize], overrides: &[&str]) -> Vec<Experiment> {
    let paths: Vec<_> = tables
        .iter()
        .map(|table| repository().join(format!("experiments/table{table}.toml")))
        .collect();
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    manifest::read(&paths, "paper", &overrides).unwrap()
}

pub fn plan(tables: &[usize], overrides: &[&str]) -> Plan {
    let experiments = experiments(tables, overrides);
    let inventory = Inventory::assumed(&experiments[0].cohort);
    plan::build(experiments, &inventory)
}

/// Runs, then distinct pretrainings, fine-tunings, trainings from scratch, evaluations.
fn counts(tables: &[usize]) -> [usize; 5] {
    let plan = plan(tables, &[]);
    let summary = Summary::of(&plan, |_| true, |_| false);
    let stages = summary.stages;
    assert_eq!(
        summary.trainings.distinct,
        stages.pretrain.distinct + stages.finetune.distinct + stages.scratch.distinct
    );
    assert_eq!(
        plan.experiments.iter().map(|e| e.grid.runs()).sum::<f64>(),
        summary.runs as f64
    );
    [
        summary.runs,
        stages.pretrain.distinct,
        stages.finetune.distinct,
        stages.scratch.distinct,
        stages.evaluate.distinct,
    ]
}

#[test]
fn each_table_has_the_papers_number_of_trainings() {
    // Seven training experts, ten repetitions, two test experts.
    assert_eq!(counts(&[1]), [140, 0, 0, 70, 140]);
    // C(5,3) pretrainings; 10 combinations, 7 sample counts, 10 starts, 2 new experts.
    assert_eq!(counts(&[2]), [1540, 10, 1400, 140, 1540]);
    // 31 non-empty subsets of five experts, 10 starts, 2 new experts.
    assert_eq!(counts(&[3]), [640, 31, 620, 20, 640]);
}

#[test]
fn repeats_multiply_pretrainings_and_what_comes_from_them() {
    let once = plan(&[3], &[]);
    let thrice = plan(&[3], &["grid.repeats=3"]);
    assert_eq!(thrice.experiments[0].grid.runs(), thrice.runs.len() as f64);
    let of = |plan: &Plan, kind| digests(plan, kind);
    let counted = Kind::ALL.map(|kind| of(&thrice, kind).len());
    assert_eq!(counted, [93, 1860, 20, 0, 0, 1880]);
    // The first is the one that there is without repeats.
    for kind in Kind::ALL {
        assert!(of(&once, kind).is_subset(&of(&thrice, kind)), "{kind}");
    }
    let first = thrice.runs.iter().filter(|run| run.at.repeat == Some(0));
    assert_eq!(first.count(), 620);
    let alone = thrice.runs.iter().filter(|run| run.at.repeat.is_none());
    assert!(alone.clone().all(|run| !run.method().is_pretrained()));
    assert_eq!(alone.count(), 20);
    // People can tell them apart, and pick them.
    let names = Names::of(&thrice);
    let named: BTreeSet<_> = thrice.ids().map(|(id, _)| names.name(id)).collect();
    assert_eq!(named.len(), thrice.stages.len());
    assert!(named.contains("pretrain on 1+4, repeat 2"));
    let only = "repeat >= 1 and k = 5".parse().unwrap();
    let picking = thrice.pick(&only).unwrap();
    let picked = thrice.runs.iter().filter(|run| picking.wants(run, &thrice));
    assert_eq!(picked.count(), 2 * 10 * 2);
}

/// Start, combination and repeat of the pretrained runs with one number of annotation experts.
fn matched(choose: usize, overrides: &[&str]) -> Vec<(usize, String, usize)> {
    let choose = format!("grid.annotators.choose={choose}");
    let only = ["grid.pairing=matched", "grid.new_experts=[6]", &choose];
    let plan = plan(&[3], &[&only, overrides].concat());
    assert_eq!(plan.experiments[0].grid.runs(), plan.runs.len() as f64);
    let pretrained = plan.runs.iter().filter(|run| run.method().is_pretrained());
    let mut found: Vec<_> = pretrained
        .map(|run| {
            let experts: Vec<_> = run.at.experts.iter().map(u8::to_string).collect();
            (run.at.start, experts.join("+"), run.at.repeat.unwrap_or(0))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn matched_ways_of_sampling_have_a_pretraining_each() {
    const STARTS: [usize; 10] = [1, 4, 7, 10, 13, 16, 19, 22, 25, 28];
    let twice =
        |all: [&'static str; 5]| [all.map(|one| (one, 0)), all.map(|one| (one, 1))].concat();
    let once = |all: [&'static str; 10]| all.map(|one| (one, 0)).to_vec();
    let expected = [
        twice(["1", "2", "3", "4", "5"]),
        once([
            "1+2", "1+3", "1+4", "1+5", "2+3", "2+4", "2+5", "3+4", "3+5", "4+5",
        ]),
        once([
            "1+2+3", "1+2+4", "1+2+5", "1+3+4", "1+3+5", "1+4+5", "2+3+4", "2+3+5", "2+4+5",
            "3+4+5",
        ]),
        twice(["1+2+3+4", "1+2+3+5", "1+2+4+5", "1+3+4+5", "2+3+4+5"]),
        (0..10).map(|repeat| ("1+2+3+4+5", repeat)).collect(),
    ];
    for (k, expected) in (1..).zip(expected) {
        let expected = STARTS.into_iter().zip(expected);
        let expected: Vec<_> = expected
            .map(|(start, (experts, repeat))| (start, experts.to_owned(), repeat))
            .collect();
        assert_eq!(matched(k, &[]), expected, "k = {k}");
    }
}

#[test]
fn a_further_round_of_matched_ways_has_pretrainings_of_its_own() {
    let of = |start: usize, overrides: &[&str], k| {
        let all = matched(k, overrides).into_iter();
        let here = all.filter(|(found, ..)| *found == start);
        here.map(|(_, experts, repeat)| (experts, repeat))
            .collect::<Vec<_>>()
    };
    let two = ["grid.repeats=2"];
    let named = |experts: &str, repeat| (experts.to_owned(), repeat);
    assert_eq!(of(7, &two, 3), [named("1+2+5", 0), named("1+2+5", 1)]);
    assert_eq!(of(16, &two, 1), [named("1", 1), named("1", 3)]);
    assert_eq!(
        of(4, &two, 5),
        [named("1+2+3+4+5", 1), named("1+2+3+4+5", 11)]
    );
}

#[test]
fn a_matched_grid_shares_the_pretrainings_of_a_crossed_one() {
    let crossed = plan(&[2], &[]);
    let matched = plan(&[2], &["grid.pairing=matched"]);
    // Two new experts, seven numbers of samples, ten ways of sampling, two methods.
    assert_eq!(matched.runs.len(), 2 * 7 * 10 * 2);
    for kind in Kind::ALL {
        let (of_crossed, of_matched) = (digests(&crossed, kind), digests(&matched, kind));
        assert!(of_matched.is_subset(&of_crossed), "{kind}");
    }
    assert_eq!(digests(&matched, Kind::Pretrain).len(), 10);
    assert_eq!(digests(&matched, Kind::Finetune).len(), 140);
}

#[test]
fn without_samples_something_must_be_pretrained() {
    let said = |methods: &[&str]| {
        let path = repository().join("experiments/table2.toml");
        let overrides = [
            "grid.samples=[0, 5]".to_owned(),
            format!("grid.methods={methods:?}"),
        ];
        match manifest::read(&[path], "paper", &overrides) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        }
    };
    assert_eq!(said(&["customised"]), "");
    assert_eq!(
        said(&["scratch"]),
        "--set grid.samples=[0, 5]: `grid.samples`: without samples only a pretrained network can \
         be tested, and no method pretrains; take out 0, or add a method like \"customised\""
    );
    // A method that is not known may pretrain.
    for methods in [&["pools"][..], &["scratch", "pools"]] {
        let unknown = said(methods);
        assert!(unknown.contains("did you mean \"pool\"?"), "{unknown}");
        assert_eq!(unknown.lines().count(), 1, "{unknown}");
    }
}

#[test]
fn a_method_whose_section_is_wrong_is_one_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let text = format!(
        "extends = {:?}\n[method.mine]\nannotation = \"cohort\"\nmultitask = \"staple\"\n\
         branch = \"inherit\"\nadapt = \"full\"\n[grid]\nmethods = [\"mine\"]\nsamples = [0, 5]\n",
        repository().join("experiments/table2.toml")
    );
    fs::write(&path, text).unwrap();
    let problems = manifest::read(&[path], "paper", &[])
        .unwrap_err()
        .to_string();
    assert_eq!(problems.lines().count(), 1, "{problems}");
    assert!(problems.contains(":3:14: with annotation"), "{problems}");
}

#[test]
fn without_samples_all_ways_of_sampling_are_one() {
    let more = ["grid.samples=[0, 5]", "grid.methods=[\"w/\", \"w/o\"]"];
    let crossed = plan(&[2], &more);
    assert_eq!(
        crossed.experiments[0].grid.runs(),
        crossed.runs.len() as f64
    );
    let as_it_is = |plan: &Plan| -> Vec<(usize, String)> {
        let runs = plan.runs.iter().filter(|run| run.at.samples == 0);
        runs.map(|run| (run.at.start, run.method().name.to_string()))
            .collect()
    };
    // One for each pretraining and new expert.
    assert_eq!(as_it_is(&crossed), vec![(0, "customised".to_owned()); 20]);
    // The new experts share what they are served with.
    assert_eq!(digests(&crossed, Kind::Serve).len(), 10);
    let matched = plan(&[2], &[&more[..], &["grid.pairing=matched"]].concat());
    let starts: Vec<usize> = as_it_is(&matched).iter().map(|(start, _)| *start).collect();
    assert_eq!(starts.iter().sum::<usize>(), 2 * (1 + 28) * 10 / 2);
    assert_eq!(digests(&matched, Kind::Serve).len(), 10);
}

#[test]
fn the_three_tables_share_what_they_have_in_common() {
    let [_, pretrain, finetune, scratch, _] = counts(&[1, 2, 3]);
    assert_eq!([pretrain, finetune, scratch], [31, 1820, 190]);
    assert_eq!(pretrain + finetune + scratch, 2041);
    // Whatever the order of the manifests.
    assert_eq!(counts(&[3, 1, 2])[1..], counts(&[1, 2, 3])[1..]);
}

pub fn digests(plan: &Plan, kind: Kind) -> BTreeSet<String> {
    let of_kind = plan.stages.iter().filter(|stage| stage.spec.kind() == kind);
    of_kind.map(|stage| stage.digest.to_string()).collect()
}

/// The kinds of stage that the paper's tables have.
const OF_TABLES: [Kind; 4] = [
    Kind::Pretrain,
    Kind::Finetune,
    Kind::Scratch,
    Kind::Evaluate,
];

/// For each of them, whether its keys stayed the same.
fn unchanged(overrides: &[&str]) -> [bool; 4] {
    let (before, after) = (plan(&[2], &[]), plan(&[2], overrides));
    OF_TABLES.map(|kind| digests(&before, kind) == digests(&after, kind))
}

#[test]
fn a_key_follows_what_shapes_the_result_and_nothing_else() {
    // Pretrain, finetune, scratch, evaluate.
    assert_eq!(
        unchanged(&["finetune.steps=999"]),
        [true, false, true, false]
    );
    assert_eq!(
        unchanged(&["pretrain.steps=999"]),
        [false, false, true, false]
    );
    assert_eq!(unchanged(&["scratch.lr=0.5"]), [true, true, false, false]);
    assert_eq!(
        unchanged(&["metrics.assd=macro"]),
        [true, true, true, false]
    );
    assert_eq!(unchanged(&["augment.noise=0.2"]), [false; 4]);
    assert_eq!(unchanged(&["network.norm_eps=1e-3"]), [false; 4]);
    assert_eq!(unchanged(&["seed=1"]), [false; 4]);
    for cosmetic in [
        "title=other",
        "statistics.alpha=0.01",
        "table.rows=[\"samples\", \"experts\"]",
        "image.cut_masks=allow",
        "training.lr=0.001",
    ] {
        assert_eq!(unchanged(&[cosmetic]), [true; 4], "{cosmetic}");
    }
}

#[test]
fn adding_a_sample_count_adds_its_stages_only() {
    let before = plan(&[2], &["grid.samples=[5, 10]"]);
    let after = plan(&[2], &["grid.samples=[10, 7, 5]"]);
    for kind in Kind::ALL {
        assert!(
            digests(&before, kind).is_subset(&digests(&after, kind)),
            "{kind}"
        );
    }
    assert_eq!(
        digests(&after, Kind::Pretrain),
        digests(&before, Kind::Pretrain)
    );
}

#[test]
fn with_all_cases_the_seed_tells_the_ways_of_sampling_apart() {
    let plan = plan(&[2], &["grid.samples=[34]", "grid.new_experts=[6]"]);
    assert_eq!(digests(&plan, Kind::Scratch).len(), 10);
}

/// A change of these is a change of every result ever stored: raise the stage's version with it.
#[test]
fn keys_are_pinned() {
    let tables = plan(&[2], &["grid.samples=[0, 5, 10, 15, 20, 25, 30, 34]"]);
    let rules = plan(
        &[2],
        &["grid.samples=[5]", "selection.rules=[\"agreement\"]"],
    );
    let first = |kind: Kind| {
        let stages = tables.stages.iter().chain(&rules.stages);
        let mut stages = stages.filter(|stage| stage.spec.kind() == kind);
        let stage = stages.next().unwrap();
        assert_eq!(stage.spec.digest(), stage.digest);
        format!("{kind} v{} {}", stage.spec.version(), stage.digest.short())
    };
    let found = Kind::ALL.map(first).join("\n");
    let path = repository().join("tests/fixtures/keys.txt");
    assert_eq!(found, fs::read_to_string(path).unwrap().trim_end());
}

#[test]
fn a_key_can_be_explained_down_to_every_field() {
    let plan = plan(&[2], &[]);
    let finetune = plan
        .stages
        .iter()
        .find(|stage| stage.spec.kind() == Kind::Finetune)
        .unwrap();
    let inputs = finetune.spec.explain();
    let value = |field: &str| {
        let input = inputs.iter().find(|input| input.field == field);
        input
            .unwrap_or_else(|| panic!("no {field} in {inputs:#?}"))
            .value
            .clone()
    };
    assert_eq!(value("stage"), "finetune");
    assert_eq!(value("budget.steps"), "1000");
    assert_eq!(value("budget.lr"), "0.001");
    assert_eq!(value("recipe.network.width"), "64");
    assert_eq!(value("support.experts"), "[6]");
    let pretrain = plan
        .stages
        .iter()
        .find(|stage| stage.spec.kind() == Kind::Pretrain)
        .unwrap();
    assert_eq!(value("pretrained"), pretrain.digest.to_string());
}

#[test]
fn plan_prints_the_counts_without_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = repository().join("experiments/table2.toml");
    let manifest = manifest.to_str().unwrap();
    let said = run(folder.path(), &["plan", manifest], 0);
    assert!(said.out.starts_with("1,540 runs\n"), "{}", said.out);
    let said = run(folder.path(), &["plan", manifest, "--json"], 0);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["runs"], 1540);
    for (kind, distinct) in [
        ("pretrain", 10),
        ("finetune", 1400),
        ("scratch", 140),
        ("evaluate", 1540),
    ] {
        assert_eq!(json["stages"][kind]["distinct"], distinct);
        assert_eq!(json["stages"][kind]["cached"], 0);
    }
    assert!(
        !folder.path().join("results").exists(),
        "planning writes nothing"
    );
}

#[test]
fn plans_of_different_data_sets_are_counted_for_one_that_holds_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let grid = |new: usize, start: usize| {
        format!(
            "[grid]\nnew_experts = [{new}]\narms = [\"w/o\"]\nsamples = [5]\nstarts = \
             [{start}]\n[dataset]\n"
        )
    };
    let (many_cases, many_experts) = (grid(7, 90), grid(12, 1));
    fs::write(folder.path().join("a.toml"), many_cases + "training = 90\n").unwrap();
    fs::write(
        folder.path().join("b.toml"),
        many_experts + "experts = 12\n",
    )
    .unwrap();
    let said = run(folder.path(), &["plan", "a.toml", "b.toml"], 0);
    assert!(said.out.starts_with("2 runs\n"), "{}", said.out);
}

#[test]
fn plan_counts_what_is_cached() {
    let folder = tiny();
    let dataset = phantom().to_str().unwrap();
    run(
        folder.path(),
        &["run", "tiny.toml", "--dataset", dataset],
        0,
    );
    let json = |more: &[&str]| -> serde_json::Value {
        let mut arguments = vec!["plan", "tiny.toml", "--json", "--dataset", dataset];
        arguments.extend(more);
        serde_json::from_str(&run(folder.path(), &arguments, 0).out).unwrap()
    };
    let done = json(&[]);
    for (kind, count) in [
        ("pretrain", 1),
        ("finetune", 2),
        ("scratch", 2),
        ("evaluate", 4),
    ] {
        assert_eq!(done["stages"][kind]["cached"], count, "{kind}");
        assert_eq!(done["stages"][kind]["left"], 0, "{kind}");
    }
    let edited = json(&["--set", "finetune.steps=9"]);
    assert_eq!(edited["stages"]["pretrain"]["cached"], 1);
    assert_eq!(edited["stages"]["finetune"]["cached"], 0);
    assert_eq!(edited["stages"]["evaluate"]["cached"], 2);
}
