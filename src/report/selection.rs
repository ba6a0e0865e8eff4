//! What rules for choosing annotation experts would have got from the combinations of a grid, and
//! what each expert contributed to these.
//!
//! The rule: everything follows from the results of the runs, the agreement of masks and how
//! branches fit them. A rule is tested against the mean over all combinations by permuting these,
//! not over ways of sampling: a rule that always chooses the same combination inherits the luck of
//! its pretraining.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools;

use super::position::Position;
use crate::{
    choosing::{Agreement, contributions, pick, score, score_by_branches},
    data::Expert,
    grid::{Axis, ExpertNames},
    manifest::{Experiment, SelectionRule, Swept},
    metric::Measure,
    plan::Run,
    results::{Outcome, Results},
    stats::{self, ChoiceTest},
};

/// The combinations of a grid at one place: for one new expert, number of samples, and value of
/// every swept key.
#[derive(Clone, Debug)]
pub struct SelectionAt {
    /// Its values on those axes.
    pub place: Position,
    /// By the number of experts that annotate, where that leaves a choice.
    pub sizes: Vec<SizeChoice>,
    /// What each candidate contributes; empty where the grid lacks a combination, or training
    /// without any of them.
    pub contributions: Vec<Contribution>,
}

/// The choices among the combinations of one size.
#[derive(Clone, Debug)]
pub struct SizeChoice {
    /// How many experts annotate.
    pub experts: usize,
    /// What each rule got, in the manifest's order.
    pub rules: Vec<RuleOutcome>,
    /// The values of all combinations, measure by measure; none where a run has no value.
    values: BTreeMap<Measure, Vec<Vec<f64>>>,
}

/// What a rule chose, and what it got.
#[derive(Clone, Debug)]
pub struct RuleOutcome {
    /// The rule.
    pub rule: SelectionRule,
    /// What it chose, with how many ways of sampling, the most frequent first; a rule by branches
    /// chooses with each repeat of the pretraining. Of rules that choose without knowing results.
    pub chosen: Vec<(String, usize)>,
    /// What it got in each measure; a measure is missing where a run has no value.
    pub got: BTreeMap<Measure, RuleResult>,
    /// The place of the choice in each result.
    choices: Option<Vec<usize>>,
}

/// What a rule got in one measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RuleResult {
    /// The mean over the results of what it chose, in the measure's unit.
    pub mean: f64,
    /// That less the mean over all combinations.
    pub difference: f64,
    /// Two-sided p of the permutation test; of rules that choose without knowing results.
    pub p: Option<f64>,
    /// Spearman's correlation of the rule's scores with how good the results are, over the
    /// combinations; the mean over the results where it is defined.
    pub correlation: Option<f64>,
}

/// What an expert contributes to the results of all combinations.
#[derive(Clone, Debug)]
pub struct Contribution {
    /// Who.
    pub expert: Expert,
    /// The mean Dice coefficient, from 0 to 1, of the expert's masks and the new expert's on the
    /// support cases, where it is known.
    pub agreement: Option<f64>,
    /// In each measure the mean over the pretrainings, and their standard deviation.
    pub values: BTreeMap<Measure, (f64, Option<f64>)>,
}

/// The runs of one place: pretrained on a combination, or on none.
type PlaceRuns<'a> = Vec<(&'a Run, &'a Outcome)>;

/// What rules know of the new expert's cases.
struct Evidence<'a> {
    /// By the way of sampling.
    agreements: BTreeMap<usize, &'a Agreement>,
    /// How the branch of each candidate fits.
    branches: BTreeMap<ResultKey, Vec<(Expert, f64)>>,
}

/// A result of every combination: the way of sampling and the repeat of the pretraining.
type ResultKey = (usize, usize);

/// What the rules of an experiment would have got; nothing where it has none.
pub(super) fn selections(results: &Results<'_>, experiment: usize) -> Vec<SelectionAt> {
    let spec = &results.plan.experiments[experiment];
    if spec.selection.rules.is_empty() {
        return Vec::new();
    }
    let axes = [Axis::NEW_EXPERT, Axis::SAMPLES].into_iter();
    let axes = axes.chain(spec.sweep.iter().map(Swept::axis)).collect_vec();
    let mut places: BTreeMap<Position, PlaceRuns<'_>> = BTreeMap::new();
    for (run, outcome) in results.of(experiment) {
        let place = Position::of(&run.at, &axes);
        places.entry(place).or_default().push((run, outcome));
    }
    let places = places.into_iter();
    places
        .map(|(place, runs)| selection(place, &runs, results, spec))
        .collect()
}

fn selection(
    place: Position,
    runs: &PlaceRuns<'_>,
    results: &Results<'_>,
    spec: &Experiment,
) -> SelectionAt {
    let pretrained = runs.iter().filter(|(run, _)| run.method().is_pretrained());
    let pretrained = pretrained.copied().collect_vec();
    let agreements = pretrained
        .iter()
        .filter_map(|(run, _)| Some((run.at.start, results.agreements.get(&run.agreement?)?)));
    let branches = pretrained.iter().filter_map(|(run, _)| {
        let fits = &results.branches.get(&run.branches?)?.branches;
        let fits = fits.iter().map(|fit| (fit.expert, fit.mean_dice));
        Some((result(run), fits.collect()))
    });
    let evidence = Evidence {
        agreements: agreements.collect(),
        branches: branches.collect(),
    };
    let sizes = spec
        .grid
        .annotators
        .choose
        .iter()
        .copied()
        .sorted_unstable();
    let sizes = sizes.filter_map(|size| {
        let runs = pretrained
            .iter()
            .filter(|(run, _)| run.at.experts.len() == size);
        SizeChoice::of(size, &runs.copied().collect_vec(), &evidence, spec)
    });
    SelectionAt {
        sizes: sizes.collect(),
        contributions: contributed(runs, &evidence.agreements, spec),
        place,
    }
}

impl Evidence<'_> {
    /// The score of a combination by a rule; none where what it needs is not there.
    fn score(&self, rule: SelectionRule, key: ResultKey, experts: &[Expert]) -> Option<f64> {
        match rule {
            SelectionRule::Branch => score_by_branches(self.branches.get(&key)?, experts),
            _ => score(rule, self.agreements.get(&key.0)?, experts),
        }
    }
}

impl SizeChoice {
    /// None where there is one combination only.
    fn of(
        size: usize,
        runs: &PlaceRuns<'_>,
        evidence: &Evidence<'_>,
        spec: &Experiment,
    ) -> Option<Self> {
        let combinations: BTreeSet<&[Expert]> =
            runs.iter().map(|(run, _)| &*run.at.experts).collect();
        let combinations = combinations.into_iter().collect_vec();
        if combinations.len() < 2 {
            return None;
        }
        let keys: BTreeSet<ResultKey> = runs.iter().map(|(run, _)| result(run)).collect();
        let keys = keys.into_iter().collect_vec();
        let report = spec.metrics.report.iter();
        let values = report.filter_map(|measure| {
            let of = |key: &ResultKey, experts: &[Expert]| value(runs, *measure, *key, experts);
            let rows = keys.iter().map(|key| {
                let row = combinations.iter().map(|experts| of(key, experts));
                row.collect::<Option<Vec<f64>>>()
            });
            Some((*measure, rows.collect::<Option<Vec<_>>>()?))
        });
        let values: BTreeMap<Measure, Vec<Vec<f64>>> = values.collect();
        let rules = spec.selection.rules.iter().map(|rule| {
            let scores = keys.iter().map(|key| {
                let each = combinations.iter();
                let each = each.map(|experts| evidence.score(*rule, *key, experts));
                each.collect::<Option<Vec<_>>>()
            });
            let scores = scores.collect::<Option<Vec<_>>>();
            RuleAtSize {
                rule: *rule,
                keys: &keys,
                combinations: &combinations,
                scores: scores.filter(|_| rule.is_applicable()),
            }
            .outcome(&values, &spec.grid.names)
        });
        Some(Self {
            experts: size,
            rules: rules.collect(),
            values,
        })
    }

    /// The permutation test of what a rule chose against what another did, in one measure; none
    /// where one of them chooses nothing, or a run has no value.
    pub fn against(
        &self,
        rule: SelectionRule,
        other: SelectionRule,
        measure: Measure,
    ) -> Option<ChoiceTest> {
        let of = |wanted| {
            let mut rules = self.rules.iter();
            rules
                .find(|outcome| outcome.rule == wanted)?
                .choices
                .as_deref()
        };
        stats::choices(self.values.get(&measure)?, of(rule)?, Some(of(other)?)).ok()
    }

    /// What a rule got.
    pub fn rule(&self, rule: SelectionRule) -> Option<&RuleOutcome> {
        self.rules.iter().find(|outcome| outcome.rule == rule)
    }
}

/// A rule among the combinations of one size.
struct RuleAtSize<'a> {
    rule: SelectionRule,
    keys: &'a [ResultKey],
    combinations: &'a [&'a [Expert]],
    /// Of each result and combination; of rules that choose without knowing results.
    scores: Option<Vec<Vec<f64>>>,
}

impl RuleAtSize<'_> {
    fn outcome(
        &self,
        values: &BTreeMap<Measure, Vec<Vec<f64>>>,
        names: &ExpertNames,
    ) -> RuleOutcome {
        let scores = self.scores.as_ref();
        let choices = scores.and_then(|scores| scores.iter().map(|row| pick(row)).collect());
        let choices: Option<Vec<usize>> = choices;
        let got = values.iter().filter_map(|(measure, values)| {
            Some((*measure, self.got(*measure, values, choices.as_deref())?))
        });
        let got = got.collect();
        let chosen = choices.iter().flatten().zip(self.keys);
        // By masks a rule chooses alike in every repeat; each network has branches of its own.
        let chosen = chosen.unique_by(|(_, (start, repeat))| match self.rule {
            SelectionRule::Branch => (*start, *repeat),
            _ => (*start, 0),
        });
        let counts = chosen.map(|(choice, _)| *choice).counts().into_iter();
        let counts = counts.sorted_by_key(|(choice, count)| (usize::MAX - count, *choice));
        RuleOutcome {
            rule: self.rule,
            chosen: counts
                .map(|(choice, count)| (names.joined(self.combinations[choice]), count))
                .collect(),
            got,
            choices,
        }
    }

    fn got(
        &self,
        measure: Measure,
        values: &[Vec<f64>],
        choices: Option<&[usize]>,
    ) -> Option<RuleResult> {
        let mean_of = |row: &Vec<f64>| stats::mean(row);
        let all = values.iter().map(mean_of).collect::<Option<Vec<_>>>()?;
        let all = stats::mean(&all)?;
        let best = |row: &[f64]| first(row, |a, b| measure.is_better(a, b));
        let chosen: Option<Vec<usize>> = match (self.rule, choices) {
            (SelectionRule::Mean, _) => None,
            (SelectionRule::Best, _) => Some(values.iter().map(|row| best(row)).collect()),
            (SelectionRule::Worst, _) => {
                let worst = |row: &Vec<f64>| first(row, |a, b| measure.is_better(b, a));
                Some(values.iter().map(worst).collect())
            }
            (SelectionRule::BestElsewhere, _) => {
                let elsewhere = |(_, repeat): &ResultKey| {
                    let others = self.keys.iter().zip(values);
                    let others = others.filter(|((_, other), _)| other != repeat);
                    let others = others.map(|(_, row)| row).collect_vec();
                    let means = (0..self.combinations.len()).map(|place| {
                        stats::mean(&others.iter().map(|row| row[place]).collect_vec())
                    });
                    Some(best(&means.collect::<Option<Vec<_>>>()?))
                };
                let chosen = self.keys.iter().map(elsewhere);
                Some(chosen.collect::<Option<_>>()?)
            }
            (_, Some(choices)) => Some(choices.to_vec()),
            (_, None) => return None,
        };
        let Some(chosen) = chosen else {
            return Some(RuleResult {
                mean: all,
                difference: 0.0,
                p: None,
                correlation: None,
            });
        };
        let each = values.iter().zip(&chosen).map(|(row, place)| row[*place]);
        let mean = stats::mean(&each.collect_vec())?;
        let test = choices.and_then(|choices| stats::choices(values, choices, None).ok());
        Some(RuleResult {
            mean,
            difference: mean - all,
            p: test.map(|test| test.p),
            correlation: self.correlation(measure, values),
        })
    }

    fn correlation(&self, measure: Measure, values: &[Vec<f64>]) -> Option<f64> {
        let rows = self.scores.as_ref()?.iter().zip(values);
        let each = rows.filter_map(|(scores, row)| {
            let good = row
                .iter()
                .map(|value| measure.gain(*value, 0.0))
                .collect_vec();
            stats::spearman(scores, &good).ok()
        });
        stats::mean(&each.collect_vec())
    }
}

/// The place of the first value that wins against all before it and is not beaten after it.
fn first(row: &[f64], wins: impl Fn(f64, f64) -> bool) -> usize {
    let better = |best: usize, place: usize| match wins(row[place], row[best]) {
        true => place,
        false => best,
    };
    (1..row.len()).fold(0, better)
}

fn result(run: &Run) -> ResultKey {
    (run.at.start, run.at.repeat.unwrap_or(0))
}

fn value(
    runs: &PlaceRuns<'_>,
    measure: Measure,
    key: ResultKey,
    experts: &[Expert],
) -> Option<f64> {
    let mut runs = runs.iter();
    let of = runs.find(|(run, _)| result(run) == key && *run.at.experts == *experts);
    of?.1.mean(measure)?.value()
}

fn contributed(
    runs: &PlaceRuns<'_>,
    agreements: &BTreeMap<usize, &Agreement>,
    spec: &Experiment,
) -> Vec<Contribution> {
    let candidates = spec.grid.annotators.from.iter().copied().sorted_unstable();
    let candidates: Vec<Expert> = candidates.collect();
    let pretrained = runs.iter().filter(|(run, _)| run.method().is_pretrained());
    let keys: BTreeSet<ResultKey> = pretrained.map(|(run, _)| result(run)).collect();
    let report = spec.metrics.report.iter();
    let values = report.filter_map(|measure| {
        let of = |key: &ResultKey| {
            let shares = contributions(&candidates, |experts| match experts {
                // Without a pretraining there are no repeats of it.
                [] => value(runs, *measure, (key.0, 0), experts),
                experts => value(runs, *measure, *key, experts),
            })?;
            Some((key.1, shares))
        };
        let each = keys.iter().map(of).collect::<Option<Vec<_>>>()?;
        Some((*measure, each))
    });
    let values: BTreeMap<Measure, Vec<(usize, Vec<f64>)>> = values.collect();
    if values.is_empty() {
        return Vec::new();
    }
    let of_expert = |(place, expert): (usize, &Expert)| {
        let values = values.iter().filter_map(|(measure, each)| {
            let by_repeat = each.iter().map(|(repeat, shares)| (*repeat, shares[place]));
            let by_repeat = by_repeat.into_group_map();
            let repeats = by_repeat.into_iter().sorted_by_key(|(repeat, _)| *repeat);
            let repeats = repeats
                .filter_map(|(_, shares)| stats::mean(&shares))
                .collect_vec();
            Some((*measure, (stats::mean(&repeats)?, stats::sd(&repeats))))
        });
        let fits = agreements.values().filter_map(|agreement| {
            let mut fits = agreement.candidates.iter();
            Some(fits.find(|fit| fit.expert == *expert)?.mean_dice)
        });
        Contribution {
            expert: *expert,
            agreement: stats::mean(&fits.collect_vec()),
            values: values.collect(),
        }
    };
    candidates.iter().enumerate().map(of_expert).collect()
}
