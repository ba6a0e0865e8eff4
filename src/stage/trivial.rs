//! The artefacts of stages that compute nothing, for a program that times everything around stages.
//!
//! The rule: it writes the files of the true artefact, as small as they can be, and nothing that
//! could be taken for a result.

use crate::{
    artefact::{
        CHOICE, CURVE, CaseScores, PREDICTIONS, SCORES, Scores, WEIGHTS, curve, predictions,
    },
    method::Branch,
    metric::{Measure, Reason, Score},
    plan::Spec,
    store::Files,
};

/// The files of an artefact, without content.
pub(super) fn compute(spec: &Spec) -> Files {
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
