//! Claims that are tested on results: the statement, its checks, the verdict.
//!
//! The rule: a claim holds where every check does, does not hold where one fails, and is undecided
//! otherwise, for example where runs have no value or the grid lacks a cell. The paper's claims
//! themselves are not known here.

use itertools::Itertools;

use super::{
    DataOrigin,
    document::{Align, Column, Document, Element, MarkedText, Row, RowEntry, Tabular},
    notes,
    table::Table,
};
use crate::{manifest::Experiment, results::Results};

/// In place of the paper's section, of a claim that the paper does not make.
pub const OURS: &str = "ours";

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
    /// Its checks, each with its numbers.
    pub checks: Vec<ClaimCheck>,
}

/// Tests the claims that are about the table of an experiment, by its index in the plan; none where
/// there is no such claim.
pub type Claims = fn(&Table, &Results<'_>, usize) -> Vec<Claim>;

/// What results say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every check of it holds.
    Holds,
    /// A check of it fails.
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
        match (any(CheckOutcome::No), any(CheckOutcome::Unknown)) {
            (true, _) => Verdict::DoesNotHold,
            (false, true) => Verdict::Undecided,
            (false, false) if self.checks.is_empty() => Verdict::Undecided,
            (false, false) => Verdict::Holds,
        }
    }
}

/// One part of a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimCheck {
    /// Its outcome.
    pub outcome: CheckOutcome,
    /// What was compared, in numbers; or why nothing could be.
    pub numbers: String,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// It holds.
    Yes,
    /// It fails.
    No,
    /// Runs have no value, the grid lacks the cell, or the numbers are compatible with both.
    Unknown,
}

impl CheckOutcome {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "open",
        }
    }

    /// Of a claim about means: yes where they agree with it (`so`), no where they disagree
    /// significantly, open otherwise.
    pub fn of_means(so: bool, p: f64, alpha: f64) -> Self {
        match (so, p < alpha) {
            (true, _) => Self::Yes,
            (false, true) => Self::No,
            (false, false) => Self::Unknown,
        }
    }
}

impl From<bool> for CheckOutcome {
    fn from(so: bool) -> Self {
        match so {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

/// Whether the paper makes none of some claims.
pub fn are_ours(claims: &[Claim]) -> bool {
    !claims.is_empty() && claims.iter().all(|claim| claim.section == OURS)
}

/// Lays the claims of one experiment out: the verdicts, then each with its numbers.
pub fn document(
    claims: &[Claim],
    name: &str,
    spec: &Experiment,
    provenance: &DataOrigin,
) -> Document {
    let column = |over: &str| Column {
        over: over.to_owned(),
        under: String::new(),
        align: Align::Left,
    };
    let rows = claims.iter().map(|claim| {
        let count = |outcome| {
            let found = claim.checks.iter().filter(|check| check.outcome == outcome);
            RowEntry::words(found.count().to_string())
        };
        Row {
            head: claim.section.to_owned(),
            entries: vec![
                RowEntry::words(format!(
                    "{}, expert {}",
                    claim.name,
                    claim.experts.iter().join(", ")
                )),
                RowEntry::words(MarkedText::default().bold(claim.verdict().words())),
                count(CheckOutcome::Yes),
                count(CheckOutcome::No),
                count(CheckOutcome::Unknown),
            ],
        }
    });
    let mut elements = vec![Element::Paragraph(
        notes::data(provenance)
            .plain(" ")
            .then(notes::profile(spec))
            .plain("."),
    )];
    if claims.is_empty() {
        elements.push(Element::Paragraph(
            "No claim of the paper is about a grid like this one.".into(),
        ));
    } else {
        elements.push(Element::Tabular(Tabular {
            heading: "Verdicts".to_owned(),
            new_expert: None,
            corner: "Section".to_owned(),
            columns: ["Claim", "Verdict", "Yes", "No", "Open"].map(column).into(),
            rows: rows.collect(),
        }));
    }
    for claim in claims {
        elements.push(Element::Heading(format!(
            "{}, expert {}: {}",
            claim.name,
            claim.experts.iter().join(", "),
            claim.verdict().words()
        )));
        elements.push(Element::Paragraph(claim.statement.as_str().into()));
        elements.push(Element::List(evidence(claim)));
    }
    let whose = match are_ours(claims) {
        true => "claims of our own",
        false => "the paper's claims",
    };
    Document {
        title: format!("{name}: {whose} on these results"),
        elements,
    }
}

/// The checks, those that fail first.
fn evidence(claim: &Claim) -> Vec<MarkedText> {
    let outcomes = [CheckOutcome::No, CheckOutcome::Unknown, CheckOutcome::Yes];
    let checks = outcomes.iter().flat_map(|outcome| {
        let checks = claim.checks.iter();
        checks.filter(move |check| check.outcome == *outcome)
    });
    let told = checks.map(|check| {
        MarkedText::default()
            .bold(format!("{}:", check.outcome.word()))
            .plain(format!(" {}", check.numbers))
    });
    told.collect()
}
