//! What stages are called by people.

use std::collections::HashMap;

use itertools::Itertools;

use super::{Origin, Plan, Run, Spec, StageId};
use crate::method::TrainedOn;

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
        let new = run.new_expert;
        let way = format!("n = {}, start {}", run.samples, run.start);
        match &stage.spec {
            Spec::Train(train) => match train.origin {
                Origin::RandomForExperts(_) | Origin::ImportedForExperts(..) => {
                    format!("{kind} on {experts}")
                }
                Origin::Random => {
                    let trainer = train.support.experts.iter().join("+");
                    format!("{kind} on {trainer}, {way}")
                }
                Origin::Pretrained(_) | Origin::Adapted { .. } => {
                    format!("{kind} {experts} to {new}{}, {way}", self.how(run))
                }
            },
            Spec::Evaluate(_) => match (run.method.is_pretrained(), run.method.trained_on) {
                (true, _) => format!("{kind} {experts} to {new}{}, {way}", self.how(run)),
                (false, TrainedOn::NewExpert) => format!("{kind} {new}, {way}"),
                (false, TrainedOn::AnotherExpert) => {
                    format!("{kind} {experts} against {new}, {way}")
                }
            },
        }
    }

    /// The run's method, where its network is adapted in a way that has to be named.
    fn how(&self, run: &Run) -> String {
        match &self.plan.stage(run.training).spec {
            Spec::Train(train) if matches!(train.origin, Origin::Adapted { .. }) => {
                format!(" ({})", run.method.name)
            }
            Spec::Train(_) | Spec::Evaluate(_) => String::new(),
        }
    }
}
