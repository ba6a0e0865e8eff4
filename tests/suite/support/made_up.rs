//! Grids whose scores a test makes up: planned, published in a store, never trained.

use std::path::Path;

use expertgrid::{
    artefact::{CaseScores, SCORES, Scores},
    data::Provenance,
    key::Keyed,
    manifest,
    metric::{Measure, Score},
    plan::{self, Inventory, Plan, Run, Stage},
    report::{self, DataOrigin},
    results::Results,
    results_dir::{ResultsDir, VariantDir},
    store::{Files, MadeBy, Store, Unpublished},
};

pub const MANIFEST: &str = r#"
title = "a made-up grid"
[grid]
new_experts = [6]
arms = ["w/", "w/o"]
annotators = { from = [1, 2, 3], choose = 2 }
samples = [5, 10]
starts = [1, 4, 7, 10]
"#;

/// A plan of 3 combinations x 2 sample counts x 4 starts with, and 2 x 4 without pretraining, whose
/// scores a function makes up; `None` publishes nothing.
pub fn with_scores(folder: &Path, score: impl Fn(&Run) -> Option<Score>) -> (Plan, Store) {
    grid(folder, MANIFEST, |run| {
        let score = score(run)?;
        Some([Score::Value(score.value().unwrap_or(0.0)), score, score])
    })
}

/// The plan of a manifest, whose Dice (as a fraction), ASSD and 95HD a function makes up.
pub fn grid(
    folder: &Path,
    text: &str,
    scores: impl Fn(&Run) -> Option<[Score; 3]>,
) -> (Plan, Store) {
    let path = folder.join("made_up.toml");
    std::fs::write(&path, text).unwrap();
    let experiments = manifest::read(&[&path], "paper", &[]).unwrap();
    let inventory = Inventory::assumed(&experiments[0].cohort);
    let plan = plan::build(experiments, &inventory);
    let store = Store::within(folder);
    for run in &plan.runs {
        let Some([dice, assd, hd95]) = scores(run) else {
            continue;
        };
        let case = CaseScores {
            case: "case35".into(),
            scores: named([dice, assd, hd95]),
            diagonal: 100.0,
        };
        let stage = plan.stage(run.evaluation);
        let files = Files::from([(SCORES.to_owned(), Scores { cases: vec![case] }.to_bytes())]);
        publish(&store, stage, &files);
    }
    (plan, store)
}

/// Publishes a stage's artefact of files that are made up.
pub fn publish(store: &Store, stage: &Stage, files: &Files) {
    let about = Unpublished {
        kind: stage.spec.kind(),
        digest: stage.digest,
        inputs: stage.spec.explain(),
        spec: serde_json::value::to_raw_value(&stage.spec).unwrap(),
        dataset: "made up".into(),
        geometry: None,
        made_by: MadeBy {
            version: "0".into(),
            device: "cpu".into(),
            engine: "none".into(),
        },
    };
    let scratch = store.scratch().unwrap();
    store.publish(&scratch, about, files).unwrap();
}

/// Scores of the paper's measures under their words.
fn named(scores: [Score; 3]) -> Vec<(String, Score)> {
    let words = Measure::standard().map(|measure| measure.word().to_owned());
    words.into_iter().zip(scores).collect()
}

/// What made-up tables say of their data.
pub fn provenance() -> DataOrigin {
    DataOrigin {
        dataset: "made up".into(),
        origin: Provenance::Synthetic,
        preparation: None,
    }
}

/// The folder of the grid's own keys.
pub fn own_folder(results: &Path) -> VariantDir {
    ResultsDir::new(results).variant("made_up", "paper")
}

/// Writes a table's files; the Markdown.
pub fn write(results: &Results<'_>, folder: &Path) -> String {
    let written = report::table(results, 0, &provenance(), &own_folder(folder));
    written.write().unwrap();
    let path = written.folder.join("made_up.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text, report::markdown(&written.document));
    text
}
