//! The paper's claims as tests on results: Hu & Qin (arXiv 2402.07330), sections IV-C, IV-D and IV-E.
//!
//! The rule: a claim is taken at its word. Where it says "significantly", the test decides; where it speaks of means, they
//! do, and a mean on the wrong side by no more than the test can tell leaves the check open. A claim holds where every check
//! does, does not hold where one fails, and is undecided otherwise: also where runs have no value, or the grid lacks a cell.

mod adaptation;
mod annotators;
mod check;
mod foreign;

use itertools::Itertools;

use super::{
    Provenance,
    document::{Align, Block, Column, Document, Entry, Grid, Row, Text},
    notes,
    position::Position,
    table::Table,
};
use crate::{
    grid::{Axis, Value},
    manifest::Experiment,
    metric::Measure,
};

pub use check::{Check, Outcome};

/// The measures that the paper speaks of: Dice, ASSD and 95HD.
fn paper_measures() -> [Measure; 3] {
    Measure::standard()
}

/// The methods that the paper's tables hold, by their names.
const CUSTOMISED: &str = "customised";
const SCRATCH: &str = "scratch";
const SINGLE: &str = "single";

/// A position of a table like one of the paper's: a method, and numbers on other axes.
fn position(table: &Table, spec: &Experiment, method: &str, values: &[(Axis, usize)]) -> Position {
    let chosen = spec.grid.methods.iter();
    let chosen = chosen.filter(|chosen| chosen.method.name == method);
    let method = chosen.map(|chosen| Value::Method(chosen.clone())).next();
    let value = |axis: &Axis| match *axis == Axis::METHOD {
        true => method.clone(),
        false => {
            let found = values.iter().find(|(known, _)| known == axis);
            found.map(|(_, number)| Value::Whole(*number))
        }
    };
    table
        .axes
        .iter()
        .map(|axis| (axis.clone(), value(axis)))
        .collect()
}

/// A claim, and what the results say of it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its name: `pretraining-helps-below-20`.
    pub name: &'static str,
    /// The section of the paper that makes it.
    pub section: &'static str,
    /// What is claimed, as it is tested.
    pub statement: String,
    /// The new experts that it is about.
    pub experts: Vec<u8>,
    /// What it was broken down to, each with its numbers.
    pub checks: Vec<Check>,
}

/// What results say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every check of it holds.
    Holds,
    /// A check of it does not.
    DoesNotHold,
    /// No check fails, but some are open.
    Undecided,
}

impl Verdict {
    /// As it is printed.
    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::DoesNotHold => "does not hold",
            Self::Undecided => "undecided",
        }
    }
}

impl Claim {
    /// The verdict over all checks. A claim of which nothing could be checked is undecided.
    pub fn verdict(&self) -> Verdict {
        let any = |outcome| self.checks.iter().any(|check| check.outcome == outcome);
        match (any(Outcome::No), any(Outcome::Unknown)) {
            (true, _) => Verdict::DoesNotHold,
            (false, true) => Verdict::Undecided,
            (false, false) if self.checks.is_empty() => Verdict::Undecided,
            (false, false) => Verdict::Holds,
        }
    }
}

/// Tests the claims that are about a grid like this one; none where there is no such claim.
pub fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let has = |name: &str| {
        spec.grid
            .methods
            .iter()
            .any(|chosen| chosen.method.name == name)
    };
    // Of other tables the paper says nothing.
    let usual = table.axes.iter().all(|axis| matches!(axis, Axis::Grid(_)));
    let rows = match spec.table.rows.as_slice() {
        [axis] if usual => axis,
        _ => return Vec::new(),
    };
    if *rows == Axis::TRAIN_EXPERT && has(SINGLE) {
        foreign::claims(table, spec)
    } else if *rows == Axis::SAMPLES && has(CUSTOMISED) && has(SCRATCH) {
        adaptation::claims(table, spec)
    } else if *rows == Axis::EXPERTS && has(CUSTOMISED) {
        annotators::claims(table, spec)
    } else {
        Vec::new()
    }
}

/// How many checks of one outcome a document names.
const NAMED: usize = 4;

/// Lays the claims of one experiment out: the verdicts, then each with its numbers.
pub fn document(
    claims: &[Claim],
    name: &str,
    spec: &Experiment,
    provenance: &Provenance,
) -> Document {
    let column = |over: &str| Column {
        over: over.to_owned(),
        under: String::new(),
        align: Align::Left,
    };
    let rows = claims.iter().map(|claim| {
        let count = |outcome| {
            let found = claim.checks.iter().filter(|check| check.outcome == outcome);
            Entry::words(found.count().to_string())
        };
        Row {
            head: claim.section.to_owned(),
            entries: vec![
                Entry::words(format!(
                    "{}, expert {}",
                    claim.name,
                    claim.experts.iter().join(", ")
                )),
                Entry::words(Text::default().bold(claim.verdict().words())),
                count(Outcome::Yes),
                count(Outcome::No),
                count(Outcome::Unknown),
            ],
        }
    });
    let mut blocks = vec![Block::Paragraph(
        notes::data(provenance)
            .plain(" ")
            .then(notes::profile(spec))
            .plain("."),
    )];
    if claims.is_empty() {
        blocks.push(Block::Paragraph(
            "No claim of the paper is about a grid like this one.".into(),
        ));
    } else {
        blocks.push(Block::Grid(Grid {
            heading: "Verdicts".to_owned(),
            new_expert: None,
            corner: "Section".to_owned(),
            columns: ["Claim", "Verdict", "Yes", "No", "Open"].map(column).into(),
            rows: rows.collect(),
        }));
    }
    for claim in claims {
        blocks.push(Block::Heading(format!(
            "{}, expert {}: {}",
            claim.name,
            claim.experts.iter().join(", "),
            claim.verdict().words()
        )));
        blocks.push(Block::Paragraph(claim.statement.as_str().into()));
        blocks.push(Block::List(evidence(claim)));
    }
    Document {
        title: format!("{name}: the paper's claims on these results"),
        blocks,
    }
}

/// The checks, those that fail first; of many alike, the first few.
fn evidence(claim: &Claim) -> Vec<Text> {
    let mut items = Vec::new();
    for outcome in [Outcome::No, Outcome::Unknown, Outcome::Yes] {
        let checks: Vec<&Check> = claim
            .checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .collect();
        for check in checks.iter().take(NAMED) {
            items.push(
                Text::default()
                    .bold(format!("{}:", outcome.word()))
                    .plain(format!(" {}", check.numbers)),
            );
        }
        if checks.len() > NAMED {
            let more = checks.len() - NAMED;
            items.push(format!("{}: {more} more.", outcome.word()).into());
        }
    }
    items
}
