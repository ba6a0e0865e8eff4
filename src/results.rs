//! The scores of all runs, collected from the store.
//!
//! The rule: a run has its scores, or a status that says why it has none; no run is left out.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    artefact::{
        AGREEMENT, CHOICE, Choice, LATENT_USE, LatentUse, SCORES, Scores, THRESHOLD,
        ThresholdChoice,
    },
    choosing::Agreement,
    method::Objective,
    metric::{Measure, Reason, Score},
    plan::{Kind, Plan, Run, Spec, Stage, StageId, Way},
    store::{Found, MadeBy, Store},
};

/// Whether a run has results.
#[derive(Clone, Debug, PartialEq)]
pub enum RunStatus {
    /// Every reported measure is defined for every test image.
    Ok,
    /// A measure of an image is undefined, and why.
    Undefined(String),
    /// A stage has no artefact, and why.
    Failed(String),
    /// It has not been run yet.
    Missing,
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Undefined(_) => "undefined",
            Self::Failed(_) => "failed",
            Self::Missing => "missing",
        })
    }
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it has results.
    pub status: RunStatus,
    /// For each reported measure, the mean over the test images in the unit of tables; empty where
    /// the run has no scores.
    pub means: Vec<(Measure, Score)>,
    /// For each of them that has a worst case, the mean with it in place of undefined values.
    pub worst: Vec<(Measure, f64)>,
    /// What computed the scores and the networks behind them.
    pub made_by: BTreeSet<MadeBy>,
}

impl Outcome {
    /// The mean of a measure.
    pub fn mean(&self, measure: Measure) -> Option<Score> {
        of(&self.means, measure)
    }

    /// The mean of a measure with the worst case in place of undefined values.
    pub fn worst(&self, measure: Measure) -> Option<f64> {
        of(&self.worst, measure)
    }
}

/// The value of a measure in a list.
fn of<T: Copy>(list: &[(Measure, T)], measure: Measure) -> Option<T> {
    let found = list.iter().find(|(this, _)| *this == measure);
    found.map(|(_, value)| *value)
}

/// The outcomes of a plan's runs.
#[derive(Debug)]
pub struct Results<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// One outcome per run, in the plan's order.
    pub outcomes: Vec<Outcome>,
    /// How much of its latent every pretrained probabilistic U-Net uses.
    pub latents: BTreeMap<StageId, LatentUse>,
    /// The thresholds that were chosen for new experts, as probabilities.
    pub thresholds: BTreeMap<StageId, f64>,
    /// How masks agree, by which annotation experts are chosen.
    pub agreements: BTreeMap<StageId, Agreement>,
    /// How branches fit new experts' cases, by which annotation experts are chosen.
    pub branches: BTreeMap<StageId, Choice>,
    /// Damaged entries that were found in the store.
    pub damaged: Vec<String>,
}

/// How many runs have which status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunTally {
    /// With all their scores.
    pub ok: usize,
    /// With an undefined score.
    pub undefined: usize,
    /// With a stage that failed.
    pub failed: usize,
    /// Not run yet.
    pub missing: usize,
}

impl RunTally {
    /// The number of all runs.
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
    pub fn tally(&self, experiment: usize) -> RunTally {
        let mut tally = RunTally::default();
        for (_, outcome) in self.of(experiment) {
            *match outcome.status {
                RunStatus::Ok => &mut tally.ok,
                RunStatus::Undefined(_) => &mut tally.undefined,
                RunStatus::Failed(_) => &mut tally.failed,
                RunStatus::Missing => &mut tally.missing,
            } += 1;
        }
        tally
    }

    /// What computed the results of one experiment, each once.
    pub fn made_by(&self, experiment: usize) -> BTreeSet<&MadeBy> {
        let each = self.of(experiment);
        each.flat_map(|(_, outcome)| &outcome.made_by).collect()
    }

    /// How much the probabilistic pretrainings of one experiment use of their latents.
    pub fn latents_of(&self, experiment: usize) -> Vec<&LatentUse> {
        let runs = self.of(experiment);
        let behind: BTreeSet<StageId> = runs.flat_map(|(run, _)| self.plan.needed(run)).collect();
        behind
            .iter()
            .filter_map(|id| self.latents.get(id))
            .collect()
    }

    /// The runs of one experiment with their outcomes.
    pub fn of(&self, experiment: usize) -> impl Iterator<Item = (&Run, &Outcome)> {
        let pairs = self.plan.runs.iter().zip(&self.outcomes);
        pairs.filter(move |(run, _)| run.experiment == experiment)
    }
}

/// Collects every run's scores; `failure` says why a stage failed, where it was just tried.
pub fn collect<'a>(
    plan: &'a Plan,
    store: &Store,
    failure: &dyn Fn(StageId) -> Option<String>,
) -> Results<'a> {
    let trained_by = trained_by(plan, store);
    let read = |run: &Run| {
        let digest = &plan.stage(run.evaluation).digest;
        match store.read(Kind::Evaluate, digest, &[SCORES]) {
            Found::Intact(artefact) => {
                let report = &plan.experiments[run.experiment].metrics.report;
                let behind = plan.chain(run.evaluation).into_iter();
                let made_by = behind.filter_map(|id| trained_by.get(&id).cloned());
                let made_by = with_scoring(made_by.collect(), artefact.description.made_by);
                let found = Scores::parse(&artefact.files[SCORES])
                    .and_then(|scores| outcome(&scores, report, made_by));
                let outcome = found.unwrap_or_else(|why| without(RunStatus::Failed(why)));
                (outcome, None)
            }
            Found::Missing => (without(RunStatus::Missing), None),
            Found::Damaged(why) => (without(RunStatus::Missing), Some(why)),
        }
    };
    let (mut outcomes, damaged): (Vec<Outcome>, Vec<_>) = plan.runs.par_iter().map(read).unzip();
    for ((run, outcome), damaged) in plan.runs.iter().zip(&mut outcomes).zip(&damaged) {
        if outcome.status == RunStatus::Missing
            && damaged.is_none()
            && let Some(reason) = failure(run.evaluation)
        {
            outcome.status = RunStatus::Failed(reason);
        }
    }
    let damaged = damaged.into_iter().flatten().collect();
    let is_probabilistic =
        |_, spec: &Spec| matches!(spec, Spec::Train(train) if train.objective == Objective::Elbo);
    let has_threshold =
        |_, spec: &Spec| matches!(spec, Spec::Serve(serve) if serve.way == Way::Threshold);
    let by_branches: BTreeSet<StageId> = plan.runs.iter().filter_map(|run| run.branches).collect();
    let has_branches = |id, _: &Spec| by_branches.contains(&id);
    let compares = |_, spec: &Spec| spec.kind() == Kind::Agree;
    Results {
        plan,
        outcomes,
        latents: read_each(plan, store, LATENT_USE, is_probabilistic, LatentUse::parse),
        thresholds: read_each(plan, store, THRESHOLD, has_threshold, |bytes| {
            Ok(ThresholdChoice::parse(bytes)?.probability())
        }),
        agreements: read_each(plan, store, AGREEMENT, compares, Agreement::parse),
        branches: read_each(plan, store, CHOICE, has_branches, Choice::parse),
        damaged,
    }
}

/// What a file says of each stage that has it, as far as it is in the store.
fn read_each<T>(
    plan: &Plan,
    store: &Store,
    file: &str,
    has_it: impl Fn(StageId, &Spec) -> bool,
    parse: impl Fn(&[u8]) -> Result<T, String>,
) -> BTreeMap<StageId, T> {
    let stages = plan.ids().filter(|(id, stage)| has_it(*id, &stage.spec));
    let read = |(id, stage): (StageId, &Stage)| match store.read(
        stage.spec.kind(),
        &stage.digest,
        &[file],
    ) {
        Found::Intact(artefact) => {
            let found = parse(artefact.files.get(file)?);
            Some((id, found.ok()?))
        }
        Found::Missing | Found::Damaged(_) => None,
    };
    stages.filter_map(read).collect()
}

/// What computed the trainings of a plan that are in the store.
fn trained_by(plan: &Plan, store: &Store) -> HashMap<StageId, MadeBy> {
    let ids: Vec<StageId> = plan.ids().map(|(id, _)| id).collect();
    let read = |id: StageId| {
        let stage = plan.stage(id);
        let kind = stage.spec.kind();
        match (kind != Kind::Evaluate).then(|| store.read(kind, &stage.digest, &[]))? {
            Found::Intact(artefact) => Some((id, artefact.description.made_by)),
            Found::Missing | Found::Damaged(_) => None,
        }
    };
    ids.into_par_iter().filter_map(read).collect()
}

/// What computed trainings and their scores. Scores do not depend on the device and the engine, so
/// only another version of the program makes a difference.
fn with_scoring(mut trainings: BTreeSet<MadeBy>, scores: MadeBy) -> BTreeSet<MadeBy> {
    if trainings
        .iter()
        .all(|made_by| made_by.version != scores.version)
    {
        trainings.insert(scores);
    }
    trainings
}

fn without(status: RunStatus) -> Outcome {
    Outcome {
        status,
        means: Vec::new(),
        worst: Vec::new(),
        made_by: BTreeSet::new(),
    }
}

/// The outcome of scores; an error where they lack a measure or hold no case.
fn outcome(
    scores: &Scores,
    report: &[Measure],
    made_by: BTreeSet<MadeBy>,
) -> Result<Outcome, String> {
    let (mut means, mut worst) = (Vec::new(), Vec::new());
    for measure in report {
        let values = scores.cases.iter().map(|case| {
            let score = case.of(*measure);
            let score = score.map(|score| measure.in_table(score));
            score.ok_or_else(|| format!("{SCORES}: {} has no {}", case.case, measure.word()))
        });
        let values: Vec<Score> = values.collect::<Result<_, _>>()?;
        let worst_of = std::iter::zip(&values, &scores.cases)
            .map(|(value, case)| value.value().or_else(|| measure.worst(case.diagonal)));
        if let Some(sum) = worst_of.sum::<Option<f64>>() {
            worst.push((*measure, sum / values.len() as f64));
        }
        let mean = Score::mean(&values).ok_or_else(|| format!("{SCORES}: it holds no case"))?;
        means.push((*measure, mean));
    }
    let undefined: Vec<String> = scores
        .cases
        .iter()
        .flat_map(|case| {
            let reasons: BTreeSet<Reason> = report
                .iter()
                .filter_map(|measure| match case.of(*measure)? {
                    Score::Undefined(reason) => Some(reason),
                    Score::Value(_) => None,
                })
                .collect();
            reasons
                .into_iter()
                .map(|reason| format!("{}: {reason}", case.case))
        })
        .collect();
    Ok(Outcome {
        status: match undefined.is_empty() {
            true => RunStatus::Ok,
            false => RunStatus::Undefined(undefined.join("; ")),
        },
        means,
        worst,
        made_by,
    })
}
