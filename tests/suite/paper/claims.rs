//! The paper's claims on results that are made up so that the verdict is known.

use std::fs;

use expertgrid::{
    manifest,
    metric::Score,
    paper,
    plan::Run,
    report::{self, Claim, PublishedMeans, Verdict},
    results,
};

use crate::support::{
    common::{Metric, Said, expertgrid, phantom, position, repository, run, tiny, tiny_run},
    made_up::{MANIFEST, grid, provenance},
};

/// One of the paper's manifests, with fewer ways of sampling.
fn paper(name: &str) -> String {
    let text = fs::read_to_string(repository().join(format!("experiments/{name}.toml"))).unwrap();
    let starts = text
        .lines()
        .find(|line| line.starts_with("starts"))
        .unwrap();
    text.replace(starts, "starts = [1, 4, 7, 10]").replace(
        "from = [1, 2, 3, 4, 5], choose = 3",
        "from = [1, 2, 3], choose = 3",
    )
}

fn published() -> PublishedMeans {
    let path = repository().join("experiments/reference/hu_qin_2024.csv");
    PublishedMeans::read(&manifest::Published {
        values: path,
        source: String::new(),
        dataset: String::new(),
    })
    .unwrap()
}

/// The paper's own means, with deviations around them that cancel over the four ways of sampling.
/// The size is in per cent of Dice; distances get a fifth of it.
fn as_published(run: &Run, size: f64) -> [f64; 3] {
    let reference = published();
    let position = position(run);
    let patterns = [
        [1.0, 1.0, -1.0, -1.0],
        [1.0, -1.0, 1.0, -1.0],
        [1.0, -1.0, -1.0, 1.0],
    ];
    let trainer = position.train_expert().unwrap_or(0);
    let row = position.experts().unwrap() + usize::from(trainer);
    let swing = patterns[row % 3][(run.at.start - 1) / 3] * size * (1.0 + row as f64 / 2.0);
    Metric::ALL.map(|metric| {
        let mean = reference.value(&position, metric.measure()).unwrap();
        match metric {
            Metric::Dice => (mean + swing) / 100.0,
            Metric::Assd | Metric::Hd95 => mean + swing / 5.0,
        }
    })
}

/// The paper's own means of a table by numbers of annotation experts. What further experts add is
/// five times as much with one way of sampling as with the three others: significant for none, and
/// never a loss.
fn with_uneven_gains(run: &Run) -> [f64; 3] {
    let reference = published();
    let share = if run.at.start == 1 { 2.5 } else { 0.5 };
    let mut single = run.clone();
    single.at.experts = vec![1].into();
    let [here, single] = [position(run), position(&single)];
    Metric::ALL.map(|metric| {
        let mean = |at| reference.value(at, metric.measure()).unwrap();
        let value = match run.at.experts.is_empty() {
            true => mean(&here),
            false => mean(&single) + share * (mean(&here) - mean(&single)),
        };
        match metric {
            Metric::Dice => value / 100.0,
            Metric::Assd | Metric::Hd95 => value,
        }
    })
}

fn claims_on(text: &str, scores: impl Fn(&Run) -> Option<[f64; 3]>) -> Vec<Claim> {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), text, |run| {
        Some(scores(run)?.map(Score::Value))
    });
    let results = results::collect(&plan, &store, &|_| None);
    paper::claims(&report::tabulate(&results, 0), &results, 0)
}

fn verdicts(claims: &[Claim]) -> Vec<(&str, Vec<u8>, Verdict)> {
    let verdict = |claim: &Claim| (claim.name, claim.experts.clone(), claim.verdict());
    claims.iter().map(verdict).collect()
}

#[test]
fn the_papers_claims_hold_on_the_papers_own_numbers() {
    let small: fn(&Run) -> [f64; 3] = |run| as_published(run, 0.01);
    for (name, scores, expected) in [
        (
            "table1",
            small,
            vec![
                ("foreign-experts-degrade", vec![6]),
                ("foreign-experts-degrade", vec![7]),
                ("expert-7-degrades-more", vec![6, 7]),
            ],
        ),
        (
            "table2",
            small,
            vec![
                ("pretraining-helps-below-20", vec![6]),
                ("pretraining-helps-below-20", vec![7]),
                ("20-samples-match-all", vec![6]),
                ("gain-marginal-above-20", vec![6]),
                ("gain-marginal-above-20", vec![7]),
            ],
        ),
        (
            "table3",
            with_uneven_gains,
            vec![
                ("many-experts-beat-one", vec![6]),
                ("many-experts-beat-one", vec![7]),
                ("improves-with-experts", vec![6]),
                ("improves-with-experts", vec![7]),
                ("significance-caps-early", vec![6]),
                ("significance-caps-early", vec![7]),
            ],
        ),
    ] {
        let claims = claims_on(&paper(name), |run| Some(scores(run)));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(claim, experts)| (claim, experts, Verdict::Holds))
            .collect();
        assert_eq!(verdicts(&claims), expected, "{name}: {claims:#?}");
    }
}

#[test]
fn claims_do_not_hold_where_the_results_say_otherwise() {
    // Arms swapped: training from random initialisation is better.
    let claims = claims_on(&paper("table2"), |run| {
        let [dice, assd, hd95] = as_published(run, 0.01);
        let worse = if run.at.experts.is_empty() { 0.0 } else { 9.0 };
        Some([dice - worse / 100.0, assd + worse, hd95 + worse])
    });
    let verdict = |name: &str| {
        let found = claims
            .iter()
            .find(|claim| claim.name == name && claim.experts == [6]);
        found.unwrap().verdict()
    };
    assert_eq!(verdict("pretraining-helps-below-20"), Verdict::DoesNotHold);
    // Without a gain at the fewest samples there is nothing to measure these by.
    assert_eq!(verdict("20-samples-match-all"), Verdict::Undecided);
    assert_eq!(verdict("gain-marginal-above-20"), Verdict::Undecided);

    // A gain that stays as it is, beyond doubt.
    let claims = claims_on(&paper("table2"), |run| {
        let gain = if run.at.experts.is_empty() { 0.0 } else { 3.0 };
        let swing = if run.at.experts.is_empty() {
            0.01 * run.at.start as f64
        } else {
            0.0
        };
        Some([
            (80.0 + gain + swing) / 100.0,
            9.0 - gain + swing,
            9.0 - gain + swing,
        ])
    });
    for claim in claims
        .iter()
        .filter(|claim| claim.name == "gain-marginal-above-20")
    {
        assert_eq!(claim.verdict(), Verdict::DoesNotHold, "{claim:#?}");
    }

    // The more experts, the worse; every step beyond doubt.
    let claims = claims_on(&paper("table3"), |run| {
        let worse = run.at.experts.len() as f64;
        Some([0.9 - worse / 100.0, 1.0 + worse, 5.0 + worse])
    });
    let found: Vec<_> = verdicts(&claims)
        .iter()
        .map(|(.., verdict)| *verdict)
        .collect();
    let (no, yes) = (Verdict::DoesNotHold, Verdict::Holds);
    assert_eq!(found, [no, no, no, no, yes, yes]);

    // Foreign networks as good as the expert's own.
    let claims = claims_on(&paper("table1"), |run| {
        let swing = run.at.start as f64 / 1000.0;
        Some([0.9 + swing, 1.0 + swing, 5.0 + swing])
    });
    assert_eq!(claims[0].verdict(), Verdict::DoesNotHold);
    assert_eq!(claims[1].verdict(), Verdict::DoesNotHold);
    // No loss is larger, none is smaller.
    assert_eq!(claims[2].verdict(), Verdict::Undecided);
}

#[test]
fn a_claim_is_undecided_while_runs_or_cells_are_lacking() {
    // One run of n = 10 is missing.
    let claims = claims_on(&paper("table2"), |run| {
        let there = run.at.samples != 10 || run.at.start != 4 || run.at.new_expert != 6;
        there.then(|| as_published(run, 0.01))
    });
    for claim in &claims {
        let expected = match (claim.name, &claim.experts[..]) {
            ("pretraining-helps-below-20", [6]) => Verdict::Undecided,
            _ => Verdict::Holds,
        };
        assert_eq!(claim.verdict(), expected, "{claim:#?}");
    }
    // A grid of 5 and 10 samples says nothing of 20.
    let claims = claims_on(MANIFEST, |run| {
        let worse = if run.at.experts.is_empty() {
            0.1 + 0.01 * run.at.start as f64
        } else {
            0.0
        };
        Some([0.9 - worse, 1.0 + worse, 5.0 + worse])
    });
    let found: Vec<_> = verdicts(&claims)
        .into_iter()
        .map(|(name, _, verdict)| (name, verdict))
        .collect();
    assert_eq!(
        found,
        [
            ("pretraining-helps-below-20", Verdict::Holds),
            ("20-samples-match-all", Verdict::Undecided),
            ("gain-marginal-above-20", Verdict::Undecided),
        ]
    );
    // A grid that the paper says nothing of.
    let text = MANIFEST.replace("arms = [\"w/\", \"w/o\"]", "arms = [\"w/o\"]");
    assert!(claims_on(&text, |run| Some([0.5 + run.at.start as f64 / 100.0; 3])).is_empty());
}

#[test]
fn the_document_names_every_claim_with_its_verdict_and_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let text = paper("table1");
    let (plan, store) = grid(folder.path(), &text, |run| {
        Some(as_published(run, 0.01).map(Score::Value))
    });
    let results = results::collect(&plan, &store, &|_| None);
    let spec = &plan.experiments[0];
    let claims = paper::claims(&report::tabulate(&results, 0), &results, 0);
    let document = report::claims_document(&claims, &spec.name, spec, &provenance());
    let text = report::markdown(&document);
    assert!(text.contains("**Synthetic data:**"), "{text}");
    assert!(text.contains("| **holds** | 18  | 0   | 0    |"), "{text}");
    // 89.37 and 86.61 are Table I's.
    assert!(
        text.contains("86.61 against 89.37 of expert 6, trained on expert 6"),
        "{text}"
    );
}

#[test]
fn strict_makes_the_verdicts_the_exit_code() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let dataset = phantom().to_str().unwrap();
    let report = ["report", "tiny.toml", "--dataset", dataset];
    let said = run(folder.path(), &[&report[..], &["--claims"]].concat(), 0);
    assert!(
        said.out.contains("pretraining-helps-below-20"),
        "{}",
        said.out
    );
    let broken = said.out.contains(": does not hold");
    let output = expertgrid(
        folder.path(),
        &[&report[..], &["--claims", "--strict"]].concat(),
    )
    .output()
    .unwrap();
    let strict = Said::of(&output);
    assert_eq!(output.status.code(), Some(i32::from(broken)), "{strict:#?}");
    assert_eq!(strict.out, said.out);
    // Results are networks of four steps: they cannot show it.
    assert!(broken, "{}", said.out);
    // Without claims there is nothing to be strict about.
    run(folder.path(), &[&report[..], &["--strict"]].concat(), 2);
    let written = folder.path().join("results/tiny/paper/tiny-claims.md");
    assert_eq!(
        fs::read_to_string(written).unwrap().trim_end(),
        said.out.trim_end()
    );
}
