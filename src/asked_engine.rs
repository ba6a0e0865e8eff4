//! The engine and the instruction set that a command asks for, beside those of cached results.
//!
//! The rule: what computes is in no key, so results of another engine are used; where one was asked
//! for, that is told.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools;
use rayon::prelude::*;

use crate::{
    plan::{Kind, Plan, StageId},
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

    /// What the user should know of these results, which are used and not computed now: how many
    /// are of another engine or instruction set, by these. `what` they are is said.
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
        let used: Vec<EngineUsed> = used.par_iter().filter_map(read).collect();
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
                "of {} {what}, {count} were computed otherwise than `{}` says: {}; another folder \
                 of `--results` computes all of them anew",
                used.len(),
                self.options,
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
