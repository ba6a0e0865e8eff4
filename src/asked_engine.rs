//! The engine that a command asks for, beside those of cached results.
//!
//! The rule: what computes is in no key, so results of another engine are used; where one was asked
//! for, that is told.

use std::collections::BTreeMap;

use itertools::Itertools;

use crate::{
    plan::Plan,
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
    /// What the user should know of cached results: how many are of another engine, and which.
    pub fn told(&self, plan: &Plan, store: &Store, schedule: &Schedule<'_>) -> Option<String> {
        let cached = plan.ids().map(|(id, _)| id);
        let cached = cached.filter(|id| *schedule.state(*id) == State::Cached);
        let used = cached.filter_map(|id| {
            let stage = plan.stage(id);
            match store.read(stage.spec.kind(), &stage.digest, &[]) {
                Found::Intact(artefact) => Some(artefact.description.made_by.engine),
                Found::Missing | Found::Damaged(_) => None,
            }
        });
        let used: Vec<String> = used.collect();
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
                "of {} cached results that are used, {count} were computed otherwise than \
                 `--engine {}` says: {}; another folder of `--results` computes all of them anew",
                used.len(),
                self.0,
                each.format(", ")
            )
        })
    }
}
