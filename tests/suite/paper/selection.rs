//! Claims on which experts should annotate, on results that are made up so that the verdict is
//! known.

use expertgrid::{
    artefact::AGREEMENT,
    choosing::{Agreement, CandidateFit, MutualFit},
    metric::Score,
    paper,
    plan::{Kind, Run},
    report::{self, Verdict},
    results,
    store::Files,
};
use itertools::Itertools;

use crate::support::made_up::{grid, publish};

const SELECTION: &str = r#"
title = "made up"

[table]
rows = "annotators"
columns = []

[grid]
new_experts = [7]
methods = ["w/", "w/o"]
annotators = { from = [1, 2, 3, 4, 5], choose = [1, 2, 3, 4, 5] }
samples = [10]
starts = [1, 4, 7]

[selection]
rules = ["mean", "agreement", "alike", "unlike"]
"#;

/// Expert 5 agrees best with the new one and least with the others, expert 1 the other way round.
fn agreement() -> Agreement {
    let fit = |expert: u8| CandidateFit {
        expert,
        mean_dice: 0.7 + 0.02 * f64::from(expert),
        dice: Vec::new(),
        areas: Vec::new(),
    };
    let mutual = |experts: [u8; 2]| MutualFit {
        experts,
        mean_dice: 0.9 - 0.02 * f64::from(experts[0] + experts[1]),
    };
    Agreement {
        images: Vec::new(),
        candidates: (1..=5).map(fit).collect(),
        areas: Vec::new(),
        mutual: (1..=5).array_combinations().map(mutual).collect(),
        majorities: Vec::new(),
    }
}

/// The verdicts where each expert adds so much to Dice.
fn verdicts(adds: [f64; 5]) -> Vec<(&'static str, Verdict)> {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), SELECTION, |run: &Run| {
        let experts = run
            .at
            .experts
            .iter()
            .map(|expert| adds[usize::from(*expert) - 1]);
        let dice = 70.0 + experts.sum::<f64>() + 0.1 * run.at.start as f64;
        Some([dice / 100.0, 12.0 - dice / 10.0, 40.0 - dice / 3.0].map(Score::Value))
    });
    for (_, stage) in plan
        .ids()
        .filter(|(_, stage)| stage.spec.kind() == Kind::Agree)
    {
        let files = Files::from([(AGREEMENT.to_owned(), agreement().to_bytes())]);
        publish(&store, stage, &files);
    }
    let results = results::collect(&plan, &store, &|_| None);
    let claims = paper::claims(&report::tabulate(&results, 0), &results, 0);
    claims
        .iter()
        .map(|claim| (claim.name, claim.verdict()))
        .collect()
}

#[test]
fn claims_on_choosing_annotators_follow_from_what_they_add() {
    let names = [
        "agreement-helps-the-far-expert",
        "unlike-annotators-are-better",
        "contributions-follow-agreement",
    ];
    let all = |verdicts: [Verdict; 3]| names.into_iter().zip(verdicts).collect::<Vec<_>>();
    let found = verdicts([0.1, 0.2, 0.3, 0.4, 1.0]);
    assert_eq!(found, all([Verdict::Holds; 3]));
    // The other way round. One of five that is always chosen has p = 0.2 at the least: whether
    // agreement is worse stays open with one annotator, and fails with two.
    let found = verdicts([1.0, 0.4, 0.3, 0.2, 0.1]);
    assert_eq!(
        found,
        all([
            Verdict::Undecided,
            Verdict::DoesNotHold,
            Verdict::DoesNotHold
        ])
    );
}
