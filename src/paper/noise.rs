//! The claim on how much pretrainings of the same masks differ. It is this program's own.

use super::names::{CUSTOMISED, paper_measures};
use crate::{
    manifest::Experiment,
    report::{CheckOutcome, Claim, ClaimCheck, OURS, Table},
};

/// The standard deviation, in Dice points, below which what differs by chance is little.
const LITTLE: f64 = 0.2;

pub(super) fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let experts = spec.grid.new_experts.iter();
    experts
        .map(|expert| pretrainings_are_alike(table, *expert))
        .collect()
}

fn pretrainings_are_alike(table: &Table, expert: u8) -> Claim {
    let dice = paper_measures()[0];
    let cells = table.cells.iter().filter(|cell| {
        let of = cell
            .position
            .method()
            .is_none_or(|method| method.name == CUSTOMISED);
        of && cell.position.new_expert() == Some(expert) && cell.metric == dice
    });
    let check = cells.map(|cell| match cell.sd.filter(|_| cell.complete()) {
        Some(sd) => ClaimCheck {
            outcome: (sd < LITTLE).into(),
            numbers: format!(
                "{} {}: standard deviation {sd:.2} over {} pretrainings",
                cell.metric.name(),
                cell.position,
                cell.results.len()
            ),
        },
        None => ClaimCheck {
            outcome: CheckOutcome::Unknown,
            numbers: format!("{}: runs of the cell have no value", cell.position),
        },
    });
    Claim {
        name: "pretrainings-are-alike",
        section: OURS,
        statement: format!(
            "Adapted to expert {expert} from the same cases, networks that differ by the chance of \
             their pretraining alone have a standard deviation below {LITTLE} Dice points."
        ),
        experts: vec![expert],
        checks: check.collect(),
    }
}
