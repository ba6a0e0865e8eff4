//! Claims on label fusion, on results that are made up so that the verdict is known.

use expertgrid::{
    metric::Score,
    paper,
    plan::Run,
    report::{self, Verdict},
    results,
};

use crate::support::made_up::{grid, provenance};

const FUSION: &str = r#"
title = "made up"

[table]
panels = "expert"
rows = ["experts", "method"]
columns = "samples"

[grid]
new_experts = [6, 7]
methods = ["scratch", "majority", "staple", "pool", "customised"]
annotators = { from = [1, 2, 3, 4, 5], choose = [4, 5] }
samples = [0, 10]
starts = [1, 4, 7, 10]
pairing = "matched"

[statistics]
block = "column"
"#;

/// Dice in per cent, with deviations that cancel over the four ways of sampling.
fn dice(run: &Run, mean: f64) -> f64 {
    let patterns = [
        [1.0, 1.0, -1.0, -1.0],
        [1.0, -1.0, 1.0, -1.0],
        [1.0, -1.0, -1.0, 1.0],
    ];
    let name = run.method().name.len();
    let pattern = (name + usize::from(run.at.new_expert)) % 3;
    let swing = patterns[pattern][(run.at.start - 1) / 3];
    mean + 0.1 * swing + 0.01 * swing * name as f64
}

/// A claim's name, the experts it is about, and its verdict.
type NamedVerdict = (&'static str, Vec<u8>, Verdict);

/// The verdicts on results with these means in Dice, from which distances follow.
fn verdicts(mean: impl Fn(&Run) -> f64) -> (Vec<NamedVerdict>, String) {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), FUSION, |run| {
        let dice = dice(run, mean(run));
        Some([dice / 100.0, 12.0 - dice / 10.0, 40.0 - dice / 3.0].map(Score::Value))
    });
    let results = results::collect(&plan, &store, &|_| None);
    let claims = paper::claims(&report::tabulate(&results, 0), &results, 0);
    let document = report::claims_document(&claims, "made_up", &plan.experiments[0], &provenance());
    let verdicts = claims.iter().map(|claim| {
        let experts = claim.experts.clone();
        (claim.name, experts, claim.verdict())
    });
    (verdicts.collect(), document.title)
}

#[test]
fn claims_on_fusion_follow_from_the_numbers() {
    let is = |run: &Run, method: &str| run.method().name == method;
    let expected = |verdict: Verdict| {
        vec![
            ("fusion-suits-the-near-expert", vec![6, 7], verdict),
            ("fusion-adapts-as-well", vec![6], verdict),
            ("fusion-adapts-as-well", vec![7], verdict),
            ("staple-suits-the-far-expert", vec![7], verdict),
            ("pool-is-a-majority", vec![6], verdict),
            ("pool-is-a-majority", vec![7], verdict),
        ]
    };
    // As it is, worse for expert 7, but with STAPLE's masks of all less so; adapted all alike.
    let (found, title) = verdicts(|run| match (run.at.samples, run.at.new_expert) {
        (0, 6) => 88.0,
        (0, _) if is(run, "staple") && run.at.experts.len() == 5 => 86.0,
        (0, _) => 82.0,
        _ => 90.0,
    });
    assert_eq!(found, expected(Verdict::Holds));
    assert_eq!(title, "made_up: claims of our own on these results");
    // The other way round.
    let (found, _) = verdicts(|run| match (run.at.samples, run.at.new_expert) {
        (0, _) if is(run, "pool") => 70.0,
        (0, 6) => 82.0,
        (0, _) if is(run, "staple") => 84.0,
        (0, _) => 88.0,
        _ if is(run, "customised") => 90.0,
        _ => 85.0,
    });
    assert_eq!(found, expected(Verdict::DoesNotHold));
    // Means that agree are enough where the claim is about means; those that disagree by chance
    // leave it open.
    let (found, _) = verdicts(|run| match (run.at.samples, run.at.new_expert) {
        (0, 6) => 82.0,
        (0, _) => 82.01,
        _ => 90.0,
    });
    assert_eq!(found[0].2, Verdict::Undecided);
}
