//! Readable names of stages.

use std::collections::HashMap;

use itertools::Itertools;

use super::{Origin, Plan, Run, Spec, Stage, StageId};
use crate::{
    grid::Address,
    method::{Annotation, NetworkForm, Objective, TrainedOn},
};

/// The names of a plan's stages, each after the first run that needs it.
#[derive(Debug)]
pub struct Names<'a> {
    plan: &'a Plan,
    users: HashMap<StageId, User>,
}

/// The runs that need a stage.
#[derive(Debug)]
struct User {
    /// The first of them.
    run: usize,
    /// Which of the first's swept values all of them have.
    shared: Vec<bool>,
}

impl<'a> Names<'a> {
    /// The names of all stages.
    pub fn of(plan: &'a Plan) -> Self {
        let mut users = HashMap::with_capacity(plan.stages.len());
        for (i, run) in plan.runs.iter().enumerate() {
            for stage in plan.needed(run) {
                let user = users.entry(stage).or_insert_with(|| User {
                    run: i,
                    shared: vec![true; run.at.swept.len()],
                });
                let first: &Run = &plan.runs[user.run];
                // A run of another manifest may sweep other keys.
                let mut others = run.at.swept.iter();
                for (shared, own) in user.shared.iter_mut().zip(first.at.swept.iter()) {
                    *shared &= others.next() == Some(own);
                }
            }
        }
        Self { plan, users }
    }

    /// For example `finetune 1+2+3 to 6, n = 10, start 4`.
    pub fn name(&self, id: StageId) -> String {
        let stage = self.plan.stage(id);
        let kind = stage.spec.kind();
        let Some(user) = self.users.get(&id) else {
            return kind.to_string();
        };
        let run = &self.plan.runs[user.run];
        let names = &run.at.names;
        let experts = names.joined(self.experts(id, run));
        let new = names.show(run.at.new_expert);
        let swept = run.at.swept.iter().zip(&user.shared);
        let swept = swept.filter(|(_, shared)| **shared);
        let swept = swept.map(|(setting, _)| format!(", {} = {}", setting.key(), setting.text()));
        let swept: String = swept.collect();
        let repeat = run
            .at
            .repeat
            .map_or_else(String::new, |repeat| format!(", repeat {repeat}"));
        let swept = format!("{repeat}{swept}");
        let way = format!("n = {}, start {}{swept}", run.at.samples, run.at.start);
        match &stage.spec {
            Spec::Train(train) => match train.origin {
                Origin::RandomForExperts(_) | Origin::ImportedForExperts(..) => {
                    let dealt = train.support.dealt.as_ref().map(|_| "an expert per image");
                    let fused = train.support.fused.is_some();
                    let form = match (train.network, train.objective) {
                        (NetworkForm::One, Objective::MeanMask) => Some("mean of masks"),
                        (NetworkForm::Map, _) => Some("mask and map"),
                        (NetworkForm::One, _) if fused => Some(&*run.method().name),
                        (NetworkForm::One, _) => Some("one branch"),
                        (NetworkForm::Heads, _) => Some("heads"),
                        (NetworkForm::Latent | NetworkForm::Comb, _) => Some("latent"),
                        (NetworkForm::Norms, _) => None,
                    };
                    let how = form.into_iter().chain(dealt).join(", ");
                    let how = match how.as_str() {
                        "" => String::new(),
                        how => format!(" ({how})"),
                    };
                    format!("{kind} on {experts}{how}{swept}")
                }
                Origin::Random => {
                    let trainer = names.joined(&train.support.experts);
                    format!("{kind} on {trainer}, {way}")
                }
                Origin::Pretrained(_) | Origin::Adapted { .. } => {
                    format!("{kind} {experts} to {new}{}, {way}", self.how(run))
                }
            },
            Spec::Serve(_) => format!("{kind} {experts} to {new}{}, {way}", self.how(run)),
            Spec::Agree(agree) => {
                let candidates = names.joined(&agree.candidates.experts);
                let Address { samples, start, .. } = &run.at;
                format!("{kind} {candidates} with {new}, n = {samples}, start {start}")
            }
            Spec::Evaluate(_) => match (run.method().is_pretrained(), run.method().trained_on) {
                (true, _) => format!("{kind} {experts} to {new}{}, {way}", self.how(run)),
                (false, TrainedOn::NewExpert) => format!("{kind} {new}, {way}"),
                (false, TrainedOn::AnotherExpert) => {
                    format!("{kind} {experts} against {new}, {way}")
                }
            },
        }
    }

    /// The annotation experts behind a stage that a run needs.
    fn experts(&self, id: StageId, run: &'a Run) -> &'a [u8] {
        let stage = self.plan.stage(id);
        let network = match stage.spec {
            Spec::Serve(_) => stage.upstream.unwrap_or(id),
            _ => id,
        };
        let own = self.plan.stage(run.network).upstream;
        match self.plan.stage(network) {
            // A rule may need a pretraining on others than the run's own.
            Stage {
                spec: Spec::Train(train),
                upstream: None,
                ..
            } if own != Some(network) => &train.support.experts,
            _ => &run.at.experts,
        }
    }

    /// The run's method, where its network is adapted in a way that has to be named.
    fn how(&self, run: &Run) -> String {
        match &self.plan.stage(run.network).spec {
            Spec::Train(train)
                if matches!(train.origin, Origin::Adapted { .. })
                    || train.network != NetworkForm::Norms
                    || run.method().annotation == Annotation::Cohort =>
            {
                format!(" ({})", run.method().name)
            }
            Spec::Serve(_) => format!(" ({})", run.method().name),
            Spec::Train(_) | Spec::Agree(_) | Spec::Evaluate(_) => String::new(),
        }
    }
}
