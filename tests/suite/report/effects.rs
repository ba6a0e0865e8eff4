//! Effects of methods' words, on results that are made up so that the effects are known.

use expertgrid::{
    grid::Axis,
    manifest,
    metric::{Measure, Score},
    plan::Run,
    report::{self, effects::Factors},
    results, stats,
};

use crate::support::made_up::{grid, provenance};

const FACTORS: &str = r#"
title = "made up"

[table]
panels = "expert"
rows = "method"
columns = "samples"

[grid]
new_experts = [6, 7]
methods = [
    "scratch",
    "customised",
    "customised-inherit",
    "customised-frozen",
    "customised-frozen-inherit",
    "cohort-full",
    "cohort-full-inherit",
    "cohort-frozen",
    "original",
]
annotators = { from = [1, 2, 3, 4, 5], choose = 3 }
samples = [5, 10]
starts = [1, 4, 7, 10]
pairing = "matched"

[statistics]
block = "column"
"#;

/// By how much the effect of the annotation differs from its mean, way by way of sampling.
const SWING: [f64; 4] = [0.3, -0.1, -0.4, 0.2];

/// Dice in per cent: 2 for every expert's masks, -1 for a reset branch, 0.5 for both or neither.
fn dice(run: &Run) -> f64 {
    let Some(words) = run.method().words() else {
        return 60.0;
    };
    let sign = |is: bool| if is { 0.5 } else { -0.5 };
    let every = sign(words.annotation == "every");
    let reset = sign(words.branch == "reset");
    let swing = SWING[(run.at.start - 1) / 3];
    let far = if run.at.new_expert == 7 { 3.0 } else { 0.0 };
    80.0 - far + (2.0 + swing) * every - reset + 2.0 * 0.5 * every * reset
}

#[test]
fn effects_are_the_differences_that_were_put_in_and_are_tested_as_one_family() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), FACTORS, |run| {
        let dice = dice(run);
        Some([dice / 100.0, 10.0 - dice / 20.0, 5.0].map(Score::Value))
    });
    let results = results::collect(&plan, &store, &|_| None);
    let spec = &plan.experiments[0];
    let table = report::tabulate(&results, 0);
    let factors = Factors::of(spec).unwrap();
    let dice_of = Measure::named("dice").unwrap();
    let position = table.cells.iter().map(|cell| &cell.position);
    let mut position = position.filter(|position| {
        position.new_expert() == Some(6)
            && position.samples() == Some(5)
            && position
                .chosen()
                .is_some_and(|chosen| &*chosen.word == "customised")
    });
    let position = position.next().unwrap();
    let effects = factors.effects(&table, position, dice_of);
    let found: Vec<(&str, f64)> = effects
        .iter()
        .map(|effect| {
            (
                effect.name.as_str(),
                effect.test.as_ref().unwrap().difference,
            )
        })
        .collect();
    let expected = [
        ("annotation: every − cohort", 2.0),
        ("branch: reset − inherit", -1.0),
        ("adapt: full − expert-layers", 0.0),
        ("annotation × branch", 0.5),
        ("annotation × adapt", 0.0),
        ("branch × adapt", 0.0),
        ("annotation × branch × adapt", 0.0),
    ];
    assert_eq!(found.len(), expected.len());
    for ((found, difference), (name, effect)) in std::iter::zip(&found, expected) {
        assert_eq!(*found, name);
        assert!((difference - effect).abs() < 1e-9, "{name}: {difference}");
    }
    // The test is the paired one of 2 and its swing against nothing.
    let swung = SWING.iter().enumerate().map(|(i, swing)| (i, 2.0 + swing));
    let nothing: Vec<(usize, f64)> = (0..4).map(|i| (i, 0.0)).collect();
    let pairs = stats::Pairs::join(&swung.collect::<Vec<_>>(), &nothing).unwrap();
    let by_hand = stats::paired(&pairs).unwrap();
    let annotation = effects[0].test.as_ref().unwrap();
    assert!(
        (annotation.p - by_hand.p).abs() < 1e-9,
        "{annotation:?} {by_hand:?}"
    );
    assert_eq!(annotation.df, 3.0);
    let p: Vec<f64> = effects.iter().map(|e| e.test.as_ref().unwrap().p).collect();
    let adjusted: Vec<f64> = effects.iter().map(|e| e.p_holm.unwrap()).collect();
    assert_eq!(adjusted, stats::holm(&p));

    // They stand under the table, expert by expert.
    let document = report::lay_out(&table, &results, 0, &provenance());
    let text = report::markdown(&document);
    for expert in [6, 7] {
        assert!(
            text.contains(&format!("## Effects, expert {expert}")),
            "{text}"
        );
    }
    assert!(text.contains("**+2.00 ("), "{text}");
    assert!(text.contains("**−1.00 ("), "{text}");
    assert!(text.contains("over the 7 effects of a column"), "{text}");
}

#[test]
fn a_grid_that_lacks_a_combination_has_no_effects() {
    let read = |methods: &str| {
        let path = std::path::Path::new("m.toml");
        let set = [format!("grid.methods={methods}")];
        manifest::parse(path, FACTORS, "paper", &set).unwrap()
    };
    let none = |methods: &str| Factors::of(&read(methods)).is_none();
    // One factor is what a table compares anyway; three values are none of two.
    assert!(none("[\"customised\", \"cohort-full\", \"scratch\"]"));
    assert!(none(
        "[\"customised\", \"customised-inherit\", \"original\", \"cohort-full\"]"
    ));
    assert!(none("[\"scratch\"]"));
    let two = "[\"customised\", \"customised-inherit\", \"cohort-full\", \"cohort-full-inherit\"]";
    let factors = Factors::of(&read(two)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = FACTORS.replace("    \"scratch\",\n", "");
    // An undefined value leaves no effect.
    let (plan, store) = grid(folder.path(), &text, |run| {
        let dice = Score::Value(dice(run) / 100.0);
        Some([dice, dice, dice]).filter(|_| run.at.start > 1)
    });
    let results = results::collect(&plan, &store, &|_| None);
    let table = report::tabulate(&results, 0);
    let dice_of = Measure::named("dice").unwrap();
    let position = &table.cells[0].position;
    assert!(position.get(&Axis::METHOD).is_some());
    assert!(factors.effects(&table, position, dice_of).is_empty());
    let document = report::lay_out(&table, &results, 0, &provenance());
    assert!(!report::markdown(&document).contains("Effects"));
}
