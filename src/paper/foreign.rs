//! Section IV-C: networks trained on another expert's masks.

use super::{
    check::{TestedAs, compare, lacking, p_value},
    names::{SINGLE, paper_measures, position},
};
use crate::{
    grid::Axis,
    manifest::Experiment,
    metric::Measure,
    report::{CheckOutcome, Claim, ClaimCheck, Position, Table},
    stats,
};

/// Where the paper itself finds no significance: tested on, trained on, metric.
const EXCEPTION: (u8, u8, &str) = (6, 5, "hd95");

/// The experts whose degradations the paper compares: the first degrades less.
const COMPARED: [u8; 2] = [6, 7];

pub(super) fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let mut claims: Vec<Claim> = spec
        .grid
        .new_experts
        .iter()
        .map(|expert| degrade(table, spec, *expert))
        .collect();
    claims.push(farther(table, spec));
    claims
}

/// The cell of an expert's networks, tested on another.
fn cell(table: &Table, spec: &Experiment, new_expert: u8, trainer: u8, samples: usize) -> Position {
    let values = [
        (Axis::NEW_EXPERT, new_expert.into()),
        (Axis::TRAIN_EXPERT, trainer.into()),
        (Axis::EXPERTS, 1),
        (Axis::SAMPLES, samples),
    ];
    position(table, spec, SINGLE, &values)
}

/// The training experts other than the one tested on.
fn foreign(spec: &Experiment, new_expert: u8) -> impl Iterator<Item = u8> {
    let trainers = spec.grid.train_experts.iter().copied();
    trainers.filter(move |trainer| *trainer != new_expert)
}

fn most_samples(spec: &Experiment) -> usize {
    spec.grid.samples.iter().copied().max().unwrap_or(0)
}

fn degrade(table: &Table, spec: &Experiment, new_expert: u8) -> Claim {
    let samples = most_samples(spec);
    let own = cell(table, spec, new_expert, new_expert, samples);
    let mut checks = Vec::new();
    for metric in paper_measures() {
        for trainer in foreign(spec, new_expert) {
            let this = cell(table, spec, new_expert, trainer, samples);
            let by = TestedAs::Groups;
            checks.push(compare(
                (table, spec),
                metric,
                [this, own.clone()],
                by,
                |tested| {
                    let (worse, p) = (tested.gain() < 0.0, tested.test.p);
                    match (new_expert, trainer, metric.word()) == EXCEPTION {
                        true => CheckOutcome::of_means(worse, p, spec.statistics.alpha),
                        false => (worse && p < spec.statistics.alpha).into(),
                    }
                },
            ));
        }
    }
    Claim {
        name: "foreign-experts-degrade",
        section: "IV-C",
        statement: format!(
            "Tested on expert {new_expert}, networks trained on any other expert are significantly \
             worse than the expert's own, in every metric. (Of the 95HD of expert 5 on expert 6 \
             the paper claims a worse mean alone.)"
        ),
        experts: vec![new_expert],
        checks,
    }
}

fn farther(table: &Table, spec: &Experiment) -> Claim {
    let [near, far] = COMPARED;
    let here = COMPARED.iter().all(|expert| {
        spec.grid.new_experts.contains(expert) && spec.grid.train_experts.contains(expert)
    });
    let checks = match here {
        true => paper_measures()
            .map(|metric| more(table, spec, metric))
            .into(),
        false => lacking("experts 6 and 7, both trained and tested on"),
    };
    Claim {
        name: "expert-7-degrades-more",
        section: "IV-C",
        statement: format!(
            "What foreign networks lose against the expert's own, on average over them, is larger \
             on expert {far} than on expert {near}, in every metric (p by Welch's t-test over the \
             repetitions)."
        ),
        experts: COMPARED.into(),
        checks,
    }
}

fn more(table: &Table, spec: &Experiment, metric: Measure) -> ClaimCheck {
    let losses = COMPARED.map(|expert| losses(table, spec, metric, expert));
    let unknown = |why: &str| ClaimCheck {
        outcome: CheckOutcome::Unknown,
        numbers: format!("{}: {why}", metric.name()),
    };
    let [Some(near), Some(far)] = losses else {
        return unknown("runs have no value");
    };
    let means = [&far, &near].map(|losses| stats::mean(losses).unwrap_or(f64::NAN));
    let test = match stats::welch(&far, &near) {
        Ok(test) => test,
        Err(why) => return unknown(&why.to_string()),
    };
    ClaimCheck {
        outcome: CheckOutcome::of_means(means[0] > means[1], test.p, spec.statistics.alpha),
        numbers: format!(
            "{}: loss of {:.2} on expert {}, of {:.2} on expert {}, {}",
            metric.name(),
            means[0],
            COMPARED[1],
            means[1],
            COMPARED[0],
            p_value(test.p),
        ),
    }
}

/// For each repetition, what foreign networks lose against the expert's own, on average over them.
fn losses(table: &Table, spec: &Experiment, metric: Measure, expert: u8) -> Option<Vec<f64>> {
    let samples = most_samples(spec);
    let complete = |trainer| {
        let cell = table.cell(&cell(table, spec, expert, trainer, samples), metric)?;
        cell.complete().then_some(cell)
    };
    let own = complete(expert)?;
    let foreign = foreign(spec, expert)
        .map(complete)
        .collect::<Option<Vec<_>>>()?;
    let results = own.results.iter();
    results
        .map(|(result, own)| {
            let losses = foreign
                .iter()
                .map(|cell| Some(metric.gain(*own, *cell.results.get(result)?)))
                .collect::<Option<Vec<f64>>>()?;
            stats::mean(&losses)
        })
        .collect()
}
