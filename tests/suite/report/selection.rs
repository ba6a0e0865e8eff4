//! Rules for choosing annotators and what annotators contribute, on results that are made up so
//! that both are known.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use expertgrid::{
    artefact::{AGREEMENT, BranchFit, CHOICE, Choice},
    choosing::{Agreement, CandidateFit, MajorityFit, MutualFit},
    key::Digest,
    manifest::SelectionRule,
    metric::{Measure, Score},
    plan::{Kind, Names, Plan, Run, Spec, StageId},
    report, results,
    store::{Files, Store},
};

use crate::support::made_up::{grid, own_folder, publish, write};

const SELECTION: &str = r#"
title = "made up"

[table]
rows = "annotators"
columns = []
average = "repeat"

[grid]
new_experts = [7]
methods = ["w/", "w/o"]
annotators = { from = [1, 2, 3], choose = [1, 2, 3] }
samples = [10]
starts = [1, 4, 7, 10]
repeats = 2

[selection]
rules = ["mean", "agreement", "unlike", "branch", "best-elsewhere", "best", "worst"]
"#;

/// A method that trains nothing for a new expert.
const SELECT: &str = r#"
[method.select]
annotation = "every"
multitask = "norms"
branch = "inherit"
adapt = "select"
"#;

/// What each expert adds to Dice, and by how much more in the first repeat and less in the second.
const ADDS: [(f64, f64); 3] = [(1.0, 1.5), (2.0, 0.0), (0.5, -1.8)];

/// Dice in per cent: experts add up, upon what the way of sampling gives.
fn dice(run: &Run) -> f64 {
    let sign = match run.at.repeat {
        Some(0) => 1.0,
        _ => -1.0,
    };
    let experts = run
        .at
        .experts
        .iter()
        .map(|expert| ADDS[usize::from(*expert) - 1]);
    let added: f64 = experts.map(|(usual, luck)| usual + sign * luck).sum();
    70.0 + 0.1 * run.at.start as f64 + added
}

/// Expert 2 agrees best with the new one; 1 and 3 agree least with each other.
fn agreement() -> Agreement {
    let fit = |(expert, dice): (u8, f64)| CandidateFit {
        expert,
        mean_dice: dice,
        dice: vec![dice; 10],
        areas: vec![100; 10],
    };
    let mutual = |(experts, mean_dice)| MutualFit { experts, mean_dice };
    Agreement {
        images: vec![Digest::of_bytes(b"image"); 10],
        candidates: [(1, 0.8), (2, 0.9), (3, 0.7)].map(fit).into(),
        areas: vec![110; 10],
        mutual: [([1, 2], 0.9), ([1, 3], 0.6), ([2, 3], 0.7)]
            .map(mutual)
            .into(),
        majorities: vec![MajorityFit {
            experts: vec![1],
            mean_dice: 0.8,
        }],
    }
}

fn made_up(folder: &Path, text: &str, is_run: impl Fn(&Run) -> bool) -> (Plan, Store) {
    grid(folder, text, |run| {
        let dice = dice(run);
        let scores = [dice / 100.0, 10.0 - dice / 20.0, 30.0 - dice / 5.0];
        is_run(run).then(|| scores.map(Score::Value))
    })
}

/// Of a network of all, expert 1's branch fits the new one's cases best; in the second repeat
/// expert 2's.
fn branches(repeat: usize) -> Choice {
    let second = [0.7, 0.95][repeat];
    let fit = |(expert, dice): (u8, f64)| BranchFit {
        expert,
        mean_dice: dice,
        dice: vec![dice; 10],
    };
    Choice {
        images: vec![Digest::of_bytes(b"image"); 10],
        branches: [(1, 0.9), (2, second), (3, 0.85)].map(fit).into(),
        chosen: 1,
    }
}

fn publish_evidence(plan: &Plan, store: &Store) {
    let by_branches: BTreeMap<StageId, usize> = plan
        .runs
        .iter()
        .filter_map(|run| Some((run.branches?, run.at.repeat?)))
        .collect();
    for (id, stage) in plan.ids() {
        let file = match (stage.spec.kind(), by_branches.get(&id)) {
            (Kind::Agree, _) => (AGREEMENT.to_owned(), agreement().to_bytes()),
            (_, Some(repeat)) => (CHOICE.to_owned(), branches(*repeat).to_bytes()),
            _ => continue,
        };
        publish(store, stage, &Files::from([file]));
    }
}

#[test]
fn rules_get_what_they_choose_and_contributions_are_what_experts_add() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = made_up(folder.path(), SELECTION, |_| true);
    publish_evidence(&plan, &store);
    let results = results::collect(&plan, &store, &|_| None);
    let table = report::tabulate(&results, 0);
    let [at] = table.selections.as_slice() else {
        panic!("one new expert and one number of samples are one place");
    };
    // All three at a time are no choice.
    let sizes: Vec<usize> = at.sizes.iter().map(|size| size.experts).collect();
    assert_eq!(sizes, [1, 2]);
    let dice = Measure::named("dice").unwrap();
    let assd = Measure::named("assd").unwrap();
    let close = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
    // Of one expert: 2.5, 2 and -1.3 in the first repeat, -0.5, 2 and 2.3 in the second.
    let mean = 7.0 / 6.0;
    for (rule, got) in [
        (SelectionRule::Mean, mean),
        (SelectionRule::Agreement, 2.0),
        // The one who agrees least with the two others: 3.
        (SelectionRule::Unlike, 0.5),
        // The one whose branch fits best: 1 in the first repeat, 2 in the second.
        (SelectionRule::Branch, (2.5 + 2.0) / 2.0),
        // The best of the other repeat: 3 for the first, 1 for the second.
        (SelectionRule::BestElsewhere, (-1.3 - 0.5) / 2.0),
        (SelectionRule::Best, (2.5 + 2.3) / 2.0),
        (SelectionRule::Worst, (-1.3 - 0.5) / 2.0),
    ] {
        let outcome = at.sizes[0].rule(rule).unwrap();
        let found = outcome.got[&dice];
        assert!(close(found.mean, 70.55 + got), "{rule:?}: {found:?}");
        assert!(close(found.difference, got - mean), "{rule:?}: {found:?}");
        // Less is better here.
        let found = outcome.got[&assd];
        assert!(
            close(found.difference, (mean - got) / 20.0),
            "{rule:?}: {found:?}"
        );
    }
    let agreement = at.sizes[0].rule(SelectionRule::Agreement).unwrap();
    assert_eq!(agreement.chosen, [("2".to_owned(), 4)]);
    // Only one of three places gains as much.
    assert!(close(agreement.got[&dice].p.unwrap(), 1.0 / 3.0));
    // Scores 1, 2, 0 against results 2, 1, 0 in the first repeat and 0, 1, 2 in the second.
    let correlation = agreement.got[&dice].correlation.unwrap();
    assert!(close(correlation, (0.5 - 0.5) / 2.0), "{correlation}");
    assert!(close(
        agreement.got[&assd].correlation.unwrap(),
        correlation
    ));
    let unlike = at.sizes[1].rule(SelectionRule::Unlike).unwrap();
    assert_eq!(unlike.chosen, [("1+3".to_owned(), 4)]);
    let branch = at.sizes[1].rule(SelectionRule::Branch).unwrap();
    let chosen = [("1+2".to_owned(), 4), ("1+3".to_owned(), 4)];
    assert_eq!(branch.chosen, chosen);
    let best = at.sizes[1].rule(SelectionRule::Best).unwrap();
    assert_eq!((best.chosen.len(), best.got[&dice].p), (0, None));
    // The rules against each other: 2 against 3.
    let against = at.sizes[0].against(SelectionRule::Agreement, SelectionRule::Unlike, dice);
    let against = against.unwrap();
    assert!(close(against.gain, 1.5), "{against:?}");
    assert!(close(against.p, 2.0 / 6.0), "{against:?}");

    for (contribution, (adds, luck)) in at.contributions.iter().zip(ADDS) {
        let (mean, sd) = contribution.values[&dice];
        assert!(close(mean, adds), "{contribution:?}");
        // Of one value that is higher by the luck and one that is lower.
        assert!(
            close(sd.unwrap(), luck.abs() * 2f64.sqrt()),
            "{contribution:?}"
        );
    }
    assert_eq!(at.contributions[1].agreement, Some(0.9));

    let text = write(&results, folder.path());
    for line in [
        "|           mean |          71.72 |",
        "|      agreement |   +0.83 (.333) |",
        "| best-elsewhere |          −2.07 |",
        "| agreement | 2 ×4       |",
        "it is chosen, by \"branch\" with how many pretrainings too.",
        "|     expert 1 | +1.00 ± 2.12 |",
        "| all together |        +3.50 |",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let csv = std::fs::read_to_string(own_folder(folder.path()).rules()).unwrap();
    assert_eq!(csv.lines().count(), 1 + 2 * 7 * 3);
    let row = "made_up,7,10,1,agreement,2 x4,dice_percent,";
    assert!(csv.lines().any(|line| line.starts_with(row)), "{csv}");
}

#[test]
fn where_runs_or_masks_are_missing_a_dash_stands_and_nothing_is_made_up() {
    let folder = tempfile::tempdir().unwrap();
    // A run of two experts is missing, and so are all agreements.
    let missing = |run: &Run| *run.at.experts != [1, 3] || run.at.start != 4;
    let (plan, store) = made_up(folder.path(), SELECTION, missing);
    let results = results::collect(&plan, &store, &|_| None);
    let table = report::tabulate(&results, 0);
    let at = &table.selections[0];
    let got = |size: usize, rule| at.sizes[size].rule(rule).unwrap().got.len();
    assert_eq!(got(0, SelectionRule::Mean), 3);
    assert_eq!(got(0, SelectionRule::Agreement), 0);
    assert_eq!(got(0, SelectionRule::Branch), 0);
    assert_eq!(got(1, SelectionRule::Mean), 0);
    assert_eq!(got(1, SelectionRule::Best), 0);
    assert!(at.contributions.is_empty());
    let text = write(&results, folder.path());
    assert!(text.contains("| agreement | –          |"), "{text}");
    assert!(!text.contains("NaN"), "{text}");
    // A manifest without rules has no such tables, and no such stages.
    let folder = tempfile::tempdir().unwrap();
    let plain = SELECTION.split("[selection]").next().unwrap();
    let (plan, store) = made_up(folder.path(), plain, |_| true);
    let agree = plan
        .stages
        .iter()
        .filter(|stage| matches!(stage.spec, Spec::Agree(_)));
    assert_eq!(agree.count(), 0);
    let results = results::collect(&plan, &store, &|_| None);
    assert!(report::tabulate(&results, 0).selections.is_empty());
    write(&results, folder.path());
    assert!(!own_folder(folder.path()).rules().exists());
}

#[test]
fn a_rule_by_branches_needs_one_network_of_all_candidates() {
    let folder = tempfile::tempdir().unwrap();
    let names = |plan: &Plan, kind: Kind| {
        let names = Names::of(plan);
        let of_kind = plan.ids().filter(|(_, stage)| stage.spec.kind() == kind);
        let shown = of_kind.map(|(id, _)| names.name(id));
        shown.collect::<BTreeSet<String>>()
    };
    // All three at a time are in the grid, and no other network is trained.
    let plain = SELECTION.replace("\"branch\", ", "");
    let (without, _) = made_up(folder.path(), &plain, |_| true);
    let (with, _) = made_up(folder.path(), SELECTION, |_| true);
    assert_eq!(
        names(&with, Kind::Pretrain),
        names(&without, Kind::Pretrain)
    );
    assert_eq!(names(&without, Kind::Serve).len(), 0);
    // For each way of sampling and each repeat.
    let serves = names(&with, Kind::Serve);
    assert_eq!(serves.len(), 4 * 2);
    let name = "serve 1+2+3 to 7, n = 10, start 4, repeat 1";
    assert!(serves.contains(name), "{serves:?}");
    // Without them there is one more for each repeat.
    let pairs = SELECTION.replace("choose = [1, 2, 3]", "choose = [2]");
    let (plan, _) = made_up(folder.path(), &pairs, |_| true);
    let found = names(&plan, Kind::Pretrain);
    assert_eq!(found.len(), (3 + 1) * 2);
    assert!(found.contains("pretrain on 1+2+3, repeat 0"), "{found:?}");
    check(&plan);
    // A method that chooses a branch itself serves with the same stage where all annotate.
    let select = SELECTION.replace("\"w/\"", "\"select\"");
    let select = format!("{select}{SELECT}");
    let (plan, _) = made_up(folder.path(), &select, |_| true);
    check(&plan);
    let of_all = plan.runs.iter().filter(|run| run.at.experts.len() == 3);
    assert!(of_all.clone().count() > 0);
    assert!(
        of_all
            .into_iter()
            .all(|run| run.branches == Some(run.network))
    );
    let serves = names(&plan, Kind::Serve);
    assert_eq!(serves.len(), 4 * 2 * 7, "{serves:?}");
}

/// What a run needs is there once, and the network of all candidates before what is read from it.
fn check(plan: &Plan) {
    for run in plan.runs.iter().filter(|run| run.method().is_pretrained()) {
        let needed: Vec<StageId> = plan.needed(run).collect();
        let branches = run.branches.unwrap();
        let of_all = plan.stage(branches).upstream.unwrap();
        let place = |id| needed.iter().position(|needed| *needed == id);
        assert!(place(of_all) < place(branches) && place(of_all).is_some());
        assert_eq!(BTreeSet::from_iter(&needed).len(), needed.len());
    }
}
