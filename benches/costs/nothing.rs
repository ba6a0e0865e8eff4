//! Stages that compute nothing, so that all that is around them can be timed.
//!
//! The rule: they write the files of the true artefacts, as small as they can be, and nothing that
//! could be taken for a result. Their keys are those of the true stages: they belong in no store
//! that is kept.

use expertgrid::{
    artefact::{
        AGREEMENT, CHOICE, CURVE, CaseScores, PREDICTIONS, SCORES, Scores, WEIGHTS, curve,
        predictions,
    },
    method::Branch,
    metric::{Measure, Reason, Score},
    plan::Spec,
    stage::{Bench, StageError, StageWork},
    store::Files,
    train::Watch,
};

/// The work of a benchmark.
pub struct Nothing;

impl StageWork for Nothing {
    fn compute(&self, spec: &Spec, _: &mut Bench, _: &mut dyn Watch) -> Result<Files, StageError> {
        Ok(files_of(spec))
    }
}

/// The files of an artefact, without content.
fn files_of(spec: &Spec) -> Files {
    let mut files = Files::new();
    match spec {
        Spec::Train(train) => {
            files.insert(CURVE.into(), curve(&[]));
            files.insert(PREDICTIONS.into(), predictions(&[]));
            if train.origin.branch() == Branch::Inherit {
                files.insert(CHOICE.into(), Vec::new());
            }
            if spec.keeps_weights() {
                files.insert(WEIGHTS.into(), Vec::new());
            }
        }
        Spec::Serve(_) => {
            files.insert(PREDICTIONS.into(), predictions(&[]));
        }
        Spec::Agree(_) => {
            files.insert(AGREEMENT.into(), Vec::new());
        }
        Spec::Evaluate(evaluate) => {
            let nothing = Score::Undefined(Reason::EmptyPrediction);
            let case = |i: usize| CaseScores {
                case: format!("image {i}, not predicted"),
                scores: Measure::standard()
                    .map(|measure| (measure.word().to_owned(), nothing))
                    .into(),
                diagonal: 0.0,
            };
            let cases = (1..=evaluate.reference.masks.len()).map(case).collect();
            files.insert(SCORES.into(), Scores { cases }.to_bytes());
        }
    }
    files
}
