//! Claims on all methods side by side, on results that are made up so that the verdict is known.

use expertgrid::{
    artefact::{LATENT_USE, LatentUse, THRESHOLD, ThresholdChoice},
    method::Objective,
    metric::Score,
    paper,
    plan::{Plan, Run, Spec, Way},
    report::{self, Verdict},
    results,
    store::{Files, Store},
};

use crate::support::made_up::{grid, publish};

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

/// What networks serve new experts with.
struct Served {
    /// The thresholds that are chosen for experts 6 and 7, in steps of 1/256.
    thresholds: [u8; 2],
    /// How many dimensions of each latent are used.
    used: usize,
}

impl Served {
    fn publish(&self, plan: &Plan, store: &Store) {
        for stage in &plan.stages {
            let file = match &stage.spec {
                Spec::Train(train) if train.objective == Objective::Elbo => {
                    let used = |dimension| if dimension < self.used { 0.5 } else { 0.0 };
                    let latent = LatentUse {
                        divergence: (0..6).map(used).collect(),
                        variance_between_masks: vec![0.0; 6],
                    };
                    (LATENT_USE, latent.to_bytes())
                }
                Spec::Serve(serve) if serve.way == Way::Threshold => {
                    let expert = serve.support.as_ref().unwrap().experts[0];
                    let choice = ThresholdChoice {
                        images: Vec::new(),
                        thresholds: Vec::new(),
                        chosen: self.thresholds[usize::from(expert) - 6],
                    };
                    (THRESHOLD, choice.to_bytes())
                }
                _ => continue,
            };
            publish(store, stage, &Files::from([(file.0.to_owned(), file.1)]));
        }
    }
}

/// The verdicts by name, on results with these means in Dice, from which distances follow.
fn verdicts(served: &Served, mean: impl Fn(&Run) -> f64) -> Vec<(&'static str, Verdict)> {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), METHODS, |run| {
        let dice = dice(run, mean(run));
        Some([dice / 100.0, 12.0 - dice / 10.0, 40.0 - dice / 3.0].map(Score::Value))
    });
    served.publish(&plan, &store);
    let results = results::collect(&plan, &store, &|_| None);
    let claims = paper::claims(&report::tabulate(&results, 0), &results, 0);
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
const OF_ALL: [&str; 5] = [
    "as-it-is-is-not-enough-for-the-far-expert",
    "choosing-helps-the-far-expert",
    "the-near-expert-keeps-the-threshold",
    "the-far-expert-lowers-the-threshold",
    "latents-are-used",
];

#[test]
fn claims_on_methods_follow_from_the_numbers() {
    let all = |verdict: Verdict| {
        let names = [&OF_EACH[..], &OF_EACH, &OF_ALL].concat();
        let verdicts = names.into_iter().map(|name| (name, verdict));
        verdicts.collect::<Vec<_>>()
    };
    // 0.5, and from there down to 0.375.
    let usual = Served {
        thresholds: [128, 96],
        used: 2,
    };
    let found = verdicts(&usual, |run| {
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
    let odd = Served {
        thresholds: [176, 128],
        used: 1,
    };
    let found = verdicts(&odd, |run| {
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
