//! The scores of all runs, collected from the store.
//!
//! The rule: a run has its scores, or a status that says why it has none; no run is left out.

use std::{collections::BTreeSet, fmt};

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    artefact::{CaseScores, SCORES, Scores},
    metric::Score,
    plan::{Kind, Plan, Run, StageId},
    store::{Found, MadeBy, Store},
};

/// The metrics of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Dice coefficient in per cent.
    Dice,
    /// Average symmetric surface distance.
    Assd,
    /// 95th percentile of surface distances.
    Hd95,
}

impl Metric {
    /// In the paper's order.
    pub const ALL: [Metric; 3] = [Self::Dice, Self::Assd, Self::Hd95];

    /// The word in CSV files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dice => "dice_percent",
            Self::Assd => "assd",
            Self::Hd95 => "hd95",
        }
    }

    /// As the field calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dice => "Dice",
            Self::Assd => "ASSD",
            Self::Hd95 => "95HD",
        }
    }

    /// Whether a larger value is better.
    pub fn larger_is_better(self) -> bool {
        self == Self::Dice
    }

    /// Its value for one test image, in the table's unit.
    pub fn of(self, case: &CaseScores) -> Score {
        match self {
            Self::Dice => match case.dice {
                Score::Value(value) => Score::Value(100.0 * value),
                undefined => undefined,
            },
            Self::Assd => case.assd,
            Self::Hd95 => case.hd95,
        }
    }

    /// The worst that an undefined value could have been.
    fn worst(self, case: &CaseScores) -> f64 {
        match self {
            Self::Dice => 0.0,
            Self::Assd | Self::Hd95 => case.diagonal,
        }
    }
}

/// Whether a run has results.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// All three metrics of all test images.
    Ok,
    /// A metric of an image is undefined, and why.
    Undefined(String),
    /// A stage has no artefact, and why.
    Failed(String),
    /// It has not been run yet.
    Missing,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Undefined(_) => "undefined",
            Self::Failed(_) => "failed",
            Self::Missing => "missing",
        })
    }
}

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it has results.
    pub status: Status,
    /// For each metric, the mean over the test images; nothing where the run has no scores.
    pub means: Option<[Score; 3]>,
    /// For each metric, that mean with the worst case for what is undefined.
    pub worst: Option<[f64; 3]>,
    /// What computed the scores.
    pub made_by: Option<MadeBy>,
}

impl Outcome {
    /// The mean of a metric.
    pub fn mean(&self, metric: Metric) -> Option<Score> {
        self.means.map(|means| means[metric as usize])
    }
}

/// The outcomes of a plan's runs, and what made them.
#[derive(Debug)]
pub struct Results<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// One outcome per run, in the plan's order.
    pub outcomes: Vec<Outcome>,
    /// Damaged entries that were found on the way.
    pub damaged: Vec<String>,
}

/// Counts of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// With all their scores.
    pub ok: usize,
    /// With an undefined score.
    pub undefined: usize,
    /// Without artefact.
    pub failed: usize,
    /// Not run yet.
    pub missing: usize,
}

impl Tally {
    /// All of them.
    pub fn runs(self) -> usize {
        let Self {
            ok,
            undefined,
            failed,
            missing,
        } = self;
        ok + undefined + failed + missing
    }
}

impl Results<'_> {
    /// Counts the outcomes of one experiment.
    pub fn tally(&self, experiment: usize) -> Tally {
        let mut tally = Tally::default();
        for (_, outcome) in self.of(experiment) {
            *match outcome.status {
                Status::Ok => &mut tally.ok,
                Status::Undefined(_) => &mut tally.undefined,
                Status::Failed(_) => &mut tally.failed,
                Status::Missing => &mut tally.missing,
            } += 1;
        }
        tally
    }

    /// What computed the scores of one experiment, each once.
    pub fn made_by(&self, experiment: usize) -> BTreeSet<&MadeBy> {
        self.of(experiment)
            .filter_map(|(_, outcome)| outcome.made_by.as_ref())
            .collect()
    }

    /// The runs of one experiment with their outcomes.
    pub fn of(&self, experiment: usize) -> impl Iterator<Item = (&Run, &Outcome)> {
        let pairs = self.plan.runs.iter().zip(&self.outcomes);
        pairs.filter(move |(run, _)| run.experiment == experiment)
    }
}

/// Collects every run's scores; `failure` knows why a stage failed, where it was tried just now.
pub fn collect<'a>(
    plan: &'a Plan,
    store: &Store,
    failure: &dyn Fn(StageId) -> Option<String>,
) -> Results<'a> {
    let read = |run: &Run| {
        let digest = &plan.stage(run.evaluation).digest;
        match store.read(Kind::Evaluate, digest, &[SCORES]) {
            Found::Intact(artefact) => match Scores::parse(&artefact.files[SCORES]) {
                Ok(scores) => (outcome(&scores, artefact.description.made_by), None),
                Err(why) => (without(Status::Failed(why)), None),
            },
            Found::Missing => (without(Status::Missing), None),
            Found::Damaged(why) => (without(Status::Missing), Some(why)),
        }
    };
    let (mut outcomes, damaged): (Vec<Outcome>, Vec<_>) = plan.runs.par_iter().map(read).unzip();
    for ((run, outcome), damaged) in plan.runs.iter().zip(&mut outcomes).zip(&damaged) {
        if outcome.status == Status::Missing
            && damaged.is_none()
            && let Some(reason) = failure(run.evaluation)
        {
            outcome.status = Status::Failed(reason);
        }
    }
    let damaged = damaged.into_iter().flatten().collect();
    Results {
        plan,
        outcomes,
        damaged,
    }
}

fn without(status: Status) -> Outcome {
    Outcome {
        status,
        means: None,
        worst: None,
        made_by: None,
    }
}

fn outcome(scores: &Scores, made_by: MadeBy) -> Outcome {
    let of = |metric: Metric| {
        let values: Vec<Score> = scores.cases.iter().map(|case| metric.of(case)).collect();
        Score::mean(&values).unwrap_or(Score::Value(f64::NAN))
    };
    let worst = |metric: Metric| {
        let values = scores
            .cases
            .iter()
            .map(|case| metric.of(case).value().unwrap_or(metric.worst(case)));
        values.sum::<f64>() / scores.cases.len() as f64
    };
    let undefined: Vec<String> = scores
        .cases
        .iter()
        .filter_map(|case| match case.assd {
            Score::Undefined(reason) => Some(format!("{}: {reason}", case.case)),
            Score::Value(_) => None,
        })
        .collect();
    Outcome {
        status: match undefined.is_empty() {
            true => Status::Ok,
            false => Status::Undefined(undefined.join("; ")),
        },
        means: Some(Metric::ALL.map(of)),
        worst: Some(Metric::ALL.map(worst)),
        made_by: Some(made_by),
    }
}
