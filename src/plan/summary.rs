//! The plan in numbers: how many runs, how many stages, how much is shared and done.

use std::fmt;

use serde::Serialize;

use super::{Kind, Plan, Run, Stage};

/// Counts over a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Runs over all manifests.
    pub runs: usize,
    /// Stages by kind.
    pub stages: StageCounts,
    /// Distinct trainings: pretrainings, fine-tunings and trainings from scratch.
    pub trainings: Count,
}

/// Counts by kind of stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageCounts {
    /// Trainings on the annotation experts' masks.
    pub pretrain: Count,
    /// Adaptations to the new expert.
    pub finetune: Count,
    /// Trainings from random initialisation.
    pub scratch: Count,
    /// Pretrained networks as they are.
    pub serve: Count,
    /// Comparisons of masks, by which annotators are chosen.
    pub agree: Count,
    /// Scorings.
    pub evaluate: Count,
}

/// Counts over one kind of stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Different pieces of work.
    pub distinct: usize,
    /// Of those, in the store already.
    pub cached: usize,
    /// Of those, still to be done.
    pub left: usize,
    /// How often a run asked for work that another run had asked for as well.
    pub shared: usize,
}

impl Summary {
    /// Counts over the runs that are `wanted`; `cached` says what the store holds.
    pub fn of(plan: &Plan, wanted: impl Fn(&Run) -> bool, cached: impl Fn(&Stage) -> bool) -> Self {
        let runs = plan.runs.iter().filter(|run| wanted(run)).count();
        let asked = plan.demand(wanted);
        let mut counts = [Count::default(); Kind::ALL.len()];
        for (stage, asked) in plan.stages.iter().zip(asked) {
            if asked == 0 {
                continue;
            }
            let count = &mut counts[stage.spec.kind() as usize];
            count.distinct += 1;
            count.shared += asked - 1;
            match cached(stage) {
                true => count.cached += 1,
                false => count.left += 1,
            }
        }
        let [pretrain, finetune, scratch, serve, agree, evaluate] = counts;
        let trainings =
            [pretrain, finetune, scratch]
                .into_iter()
                .fold(Count::default(), |sum, count| Count {
                    distinct: sum.distinct + count.distinct,
                    cached: sum.cached + count.cached,
                    left: sum.left + count.left,
                    shared: sum.shared + count.shared,
                });
        Self {
            runs,
            stages: StageCounts {
                pretrain,
                finetune,
                scratch,
                serve,
                agree,
                evaluate,
            },
            trainings,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            stages,
            trainings,
        } = self;
        writeln!(f, "{} runs", grouped(*runs))?;
        writeln!(
            f,
            "{:<10} {:>10} {:>10} {:>10} {:>10}",
            "stage", "distinct", "cached", "left", "shared"
        )?;
        for (name, count) in [
            ("pretrain", &stages.pretrain),
            ("finetune", &stages.finetune),
            ("scratch", &stages.scratch),
            ("serve", &stages.serve),
            ("agree", &stages.agree),
            ("evaluate", &stages.evaluate),
            ("trainings", trainings),
        ] {
            if ["serve", "agree"].contains(&name) && count.distinct == 0 {
                continue;
            }
            let cells = [count.distinct, count.cached, count.left, count.shared].map(grouped);
            let [distinct, cached, left, shared] = cells;
            writeln!(
                f,
                "{name:<10} {distinct:>10} {cached:>10} {left:>10} {shared:>10}"
            )?;
        }
        write!(
            f,
            "shared: asked for by more than one run, computed once; trainings are the first three \
             kinds"
        )
    }
}

/// `1540` as `1,540`.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
