//! The engine and the instruction set that a command asks for, beside those of cached results.
//!
//! The rule: what computes is in no key, so results of another engine are used; where one was asked
//! for, that is told.

use std::collections::BTreeMap;

use itertools::Itertools;

use crate::{
    plan::Plan,
    schedule::{Schedule, State},
    store::{EngineUsed, Found, Store},
};

/// An engine and an instruction set that the user asked for; either may be any.
#[derive(Clone, Debug)]
pub struct AskedEngine {
    /// The engine's name.
    pub name: Option<String>,
    /// The instruction set.
    pub isa: Option<String>,
    /// The options, as they were typed.
    pub options: String,
}

impl AskedEngine {
    fn is(&self, used: &EngineUsed) -> bool {
        let same = |asked: &Option<String>, used: Option<&String>| {
            asked.is_none() || asked.as_ref() == used
        };
        same(&self.name, Some(&used.name)) && same(&self.isa, used.isa.as_ref())
    }

    /// What the user should know of cached results: how many are of another engine or instruction
    /// set, by these.
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
        let used: Vec<EngineUsed> = used.collect();
        let mut others: BTreeMap<&EngineUsed, usize> = BTreeMap::new();
        for other in used.iter().filter(|used| !self.is(used)) {
            *others.entry(other).or_default() += 1;
        }
        let count: usize = others.values().sum();
        let each = others
            .iter()
            .map(|(used, count)| format!("{count} with {used}"));
        (count > 0).then(|| {
            format!(
                "of {} cached results that are used, {count} were computed otherwise than `{}` \
                 says: {}; another folder of `--results` computes all of them anew",
                used.len(),
                self.options,
                each.format(", ")
            )
        })
    }
}
