//! What stages are called by people.

use std::collections::HashMap;

use itertools::Itertools;

use super::{Plan, Spec, StageId};
use crate::manifest::Arm;

/// The names of a plan's stages, each after the first run that needs it.
#[derive(Debug)]
pub struct Names<'a> {
    plan: &'a Plan,
    users: HashMap<StageId, usize>,
}

impl<'a> Names<'a> {
    /// Of all stages.
    pub fn of(plan: &'a Plan) -> Self {
        let mut users = HashMap::with_capacity(plan.stages.len());
        for (i, run) in plan.runs.iter().enumerate() {
            for stage in plan.needed(run) {
                users.entry(stage).or_insert(i);
            }
        }
        Self { plan, users }
    }

    /// For example `finetune 1+2+3 to 6, n = 10, start 4`.
    pub fn name(&self, id: StageId) -> String {
        let stage = self.plan.stage(id);
        let kind = stage.spec.kind();
        let Some(run) = self.users.get(&id).map(|i| &self.plan.runs[*i]) else {
            return kind.to_string();
        };
        let experts = run.experts.iter().join("+");
        let way = format!("n = {}, start {}", run.samples, run.start);
        match (&stage.spec, stage.upstream, run.arm) {
            (Spec::Evaluate(_), _, Arm::With) => {
                format!("{kind} {experts} to {}, {way}", run.new_expert)
            }
            (Spec::Evaluate(_), _, Arm::Without) => format!("{kind} {}, {way}", run.new_expert),
            (Spec::Evaluate(_), _, Arm::Single) => {
                format!("{kind} {experts} against {}, {way}", run.new_expert)
            }
            (Spec::Train(_), None, Arm::With) => format!("{kind} on {experts}"),
            (Spec::Train(_), Some(_), Arm::With) => {
                format!("{kind} {experts} to {}, {way}", run.new_expert)
            }
            (Spec::Train(train), _, Arm::Without | Arm::Single) => {
                format!(
                    "{kind} on {}, {way}",
                    train.support.experts.iter().join("+")
                )
            }
        }
    }
}
