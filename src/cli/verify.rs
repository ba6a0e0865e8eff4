//! `expertgrid report --verify`: every score computed again from the stored predictions.

use std::sync::Arc;

use rayon::prelude::*;

use super::{Failure, output::print};
use crate::{
    artefact::{SCORES, Scores},
    data::Dataset,
    plan::{Evaluate, Kind, Plan, Spec},
    stage::{self, Library},
    store::{Found, Store},
};

/// The result of scoring an evaluation's predictions again.
enum Rescored {
    Same,
    NotThere,
    Differs(String),
}

/// Scores again what the plan's evaluations scored; returns how many differ.
pub(super) fn verify(plan: &Plan, store: &Store, dataset: Arc<Dataset>) -> Result<usize, Failure> {
    let evaluations: Vec<_> = plan
        .stages
        .iter()
        .filter_map(|stage| match &stage.spec {
            Spec::Evaluate(evaluate) => Some((stage.digest, evaluate)),
            Spec::Train(_) | Spec::Serve(_) | Spec::Agree(_) => None,
        })
        .collect();
    let compared: Vec<Rescored> = evaluations
        .par_iter()
        .map_init(
            || Library::new(dataset.clone(), Vec::new()),
            |library, (digest, evaluate)| {
                let stored = match store.read(Kind::Evaluate, digest, &[SCORES]) {
                    Found::Intact(artefact) => Scores::parse(&artefact.files[SCORES]),
                    Found::Missing => return Rescored::NotThere,
                    Found::Damaged(why) => Err(why),
                };
                match compare(evaluate, stored, library, store) {
                    Ok(()) => Rescored::Same,
                    Err(why) => Rescored::Differs(format!("evaluate {}: {why}", digest.short())),
                }
            },
        )
        .collect();
    let mut differing = 0;
    let mut absent = 0;
    for compared in &compared {
        match compared {
            Rescored::Same => {}
            Rescored::NotThere => absent += 1,
            Rescored::Differs(why) => {
                differing += 1;
                eprintln!("differs: {why}");
            }
        }
    }
    let there = compared.len() - absent;
    print(format_args!(
        "{} of {there} evaluations give the stored scores to the last bit, computed again from the \
         stored predictions{}",
        there - differing,
        match absent {
            0 => String::new(),
            _ => format!("; {absent} have not been run yet"),
        }
    ));
    Ok(differing)
}

fn compare(
    evaluate: &Evaluate,
    stored: Result<Scores, String>,
    library: &mut Library,
    store: &Store,
) -> Result<(), String> {
    let stored = stored?;
    let again = stage::evaluate(evaluate, library, store).map_err(|error| error.to_string())?;
    let differing = std::iter::zip(&stored.cases, &again.cases).find(|(a, b)| a != b);
    match differing {
        Some((a, b)) => Err(format!("{}: {a:?} is stored, {b:?} was computed", a.case)),
        None if stored.cases.len() != again.cases.len() => Err(format!(
            "{} cases are stored, {} were computed",
            stored.cases.len(),
            again.cases.len()
        )),
        None => Ok(()),
    }
}
