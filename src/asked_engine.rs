//! The engine that a command asks for, beside those of cached results.
//!
//! The rule: what computes is in no key, so results of another engine are used; where one was asked
//! for, that is told.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools;
use rayon::prelude::*;

use crate::{
    plan::{Kind, Plan, StageId},
    schedule::{Schedule, State},
    store::{Found, Store},
};

/// An engine that the user asked for by name.
#[derive(Clone, Debug)]
pub struct AskedEngine(
    /// The name.
    pub String,
);

impl AskedEngine {
    /// What the user should know of these results, which are used and not computed now: how many
    /// are of another engine, by engine. `what` they are is said.
    pub fn told(
        &self,
        what: &str,
        plan: &Plan,
        store: &Store,
        used: &BTreeSet<StageId>,
    ) -> Option<String> {
        let read = |id: &StageId| {
            let stage = plan.stage(*id);
            match store.read(stage.spec.kind(), &stage.digest, &[]) {
                Found::Intact(artefact) => Some(artefact.description.made_by.engine),
                Found::Missing | Found::Damaged(_) => None,
            }
        };
        let used: Vec<String> = used.par_iter().filter_map(read).collect();
        let mut others: BTreeMap<&str, usize> = BTreeMap::new();
        for other in used.iter().filter(|used| **used != self.0) {
            *others.entry(other).or_default() += 1;
        }
        let count: usize = others.values().sum();
        let each = others
            .iter()
            .map(|(engine, count)| format!("{count} with {engine}"));
        (count > 0).then(|| {
            format!(
                "of {} {what}, {count} were computed otherwise than `--engine {}` says: {}; \
                 another folder of `--results` computes all of them anew",
                used.len(),
                self.0,
                each.format(", ")
            )
        })
    }
}

/// The trainings in the store behind the stages that are not to be computed now, with those of
/// other processes. Scores do not depend on what computes them, the networks do; the schedule does
/// not look at what comes before stored scores.
pub fn used(plan: &Plan, schedule: &Schedule<'_>) -> BTreeSet<StageId> {
    let cached = plan.ids().map(|(id, _)| id);
    let cached = cached.filter(|id| *schedule.state(*id) == State::Cached);
    let behind = cached.flat_map(|id| plan.chain(id));
    let trainings = behind.filter(|id| plan.stage(*id).spec.kind() != Kind::Evaluate);
    trainings.collect()
}
