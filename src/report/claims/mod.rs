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
    table::Table,
};
use crate::{
    manifest::{Arm, Experiment, Rows},
    metric::Measure,
};

pub use check::{Check, Outcome};

/// The measures that the paper speaks of: Dice, ASSD and 95HD.
fn paper_measures() -> [Measure; 3] {
    Measure::standard()
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
    let arms = &spec.grid.arms;
    let both = arms.contains(&Arm::With) && arms.contains(&Arm::Without);
    match spec.rows {
        Rows::TrainExpert if arms.contains(&Arm::Single) => foreign::claims(table, spec),
        Rows::Samples if both => adaptation::claims(table, spec),
        Rows::Experts if arms.contains(&Arm::With) => annotators::claims(table, spec),
        Rows::TrainExpert | Rows::Samples | Rows::Experts => Vec::new(),
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
