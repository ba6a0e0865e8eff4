//! Claims on all methods side by side, on results that are made up so that the verdict is known.

use expertgrid::{
    metric::Score,
    paper,
    plan::Run,
    report::{self, Verdict},
    results,
};

use crate::support::made_up::grid;

const METHODS: &str = r#"
title = "made up"

[table]
panels = "expert"
rows = "method"
columns = "samples"

[grid]
new_experts = [6, 7]
methods = [
    "scratch",
    "pool",
    "uncertainty",
    "uncertainty-full",
    "probabilistic",
    "probabilistic-full",
    "heads",
    "original",
    "customised",
]
annotators = { from = [1, 2, 3, 4, 5], choose = 3 }
samples = [0, 5, 10]
starts = [1, 4, 7, 10]
pairing = "matched"

[statistics]
block = "column"
"#;

/// Dice in per cent, with deviations that cancel over the four ways of sampling.
fn dice(run: &Run, mean: f64) -> f64 {
    let name = run.method().name.len();
    let swing = [1.0, -1.0][(run.at.start - 1) / 3 % 2];
    mean + 0.01 * swing * name as f64
}

/// The verdicts by name, on results with these means in Dice, from which distances follow.
fn verdicts(mean: impl Fn(&Run) -> f64) -> Vec<(&'static str, Verdict)> {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), METHODS, |run| {
        let dice = dice(run, mean(run));
        Some([dice / 100.0, 12.0 - dice / 10.0, 40.0 - dice / 3.0].map(Score::Value))
    });
    let results = results::collect(&plan, &store, &|_| None);
    let claims = paper::claims(&report::tabulate(&results, 0), &plan.experiments[0]);
    claims
        .iter()
        .map(|claim| (claim.name, claim.verdict()))
        .collect()
}

const OF_EACH: [&str; 7] = [
    "every-pretraining-helps",
    "customised-is-among-the-best",
    "original-helps-with-few-samples",
    "customised-beats-original",
    "training-beats-choosing",
    "heads-adapt-as-well",
    "a-latent-adapts-as-one-branch-does",
];
const OF_THE_FAR: [&str; 2] = [
    "as-it-is-is-not-enough-for-the-far-expert",
    "choosing-helps-the-far-expert",
];

#[test]
fn claims_on_methods_follow_from_the_numbers() {
    let all = |verdict: Verdict| {
        let names = [&OF_EACH[..], &OF_EACH, &OF_THE_FAR].concat();
        let verdicts = names.into_iter().map(|name| (name, verdict));
        verdicts.collect::<Vec<_>>()
    };
    let found = verdicts(|run| {
        let name = &*run.method().name;
        match (run.at.samples, name) {
            (0, _) => 80.0,
            (_, "scratch") => 84.0,
            (_, "original") => 86.0,
            (_, "uncertainty" | "probabilistic") => 85.0,
            _ => 90.0,
        }
    });
    assert_eq!(found, all(Verdict::Holds));
    let found = verdicts(|run| {
        let name = &*run.method().name;
        match (run.at.samples, name) {
            (0, _) => 92.0,
            (_, "scratch") => 88.0,
            (_, "uncertainty" | "probabilistic") => 87.0,
            (_, "original") => 86.0,
            (_, "customised") => 80.0,
            (_, "pool") => 81.0,
            _ => 83.0,
        }
    });
    assert_eq!(found, all(Verdict::DoesNotHold));
}
