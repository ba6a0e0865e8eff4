//! Published values, read from the CSV file that a manifest names.
//!
//! The rule: a file is read whole or refused, with the line that is wrong. A value is found by the
//! position of a cell, whatever the table's name.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

use super::position::Position;
use crate::{grid::Axis, manifest, method::Method, metric::Measure};

/// Published means.
#[derive(Clone, Debug)]
pub struct PublishedMeans {
    /// Who published them.
    pub source: String,
    /// The label of the data set that they are of; empty where the manifest does not say.
    pub dataset: String,
    values: HashMap<CellKey, PublishedRow>,
}

/// The cell of published values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CellKey {
    new_expert: u8,
    train_expert: Option<u8>,
    /// The method's own name.
    method: String,
    experts: usize,
    samples: usize,
}

impl CellKey {
    /// That of a position; none where it has further axes, or lacks one of these.
    fn of(position: &Position) -> Option<Self> {
        let further = |axis: &Axis| matches!(axis, Axis::Swept(_)) || *axis == Axis::ANNOTATORS;
        if position.values().any(|(axis, _)| further(axis)) {
            return None;
        }
        Some(Self {
            new_expert: position.new_expert()?,
            train_expert: position.train_expert(),
            method: position.method()?.name.to_string(),
            experts: position.experts()?,
            samples: position.samples()?,
        })
    }
}

/// The published values of a position.
#[derive(Clone, Debug)]
struct PublishedRow {
    values: Vec<(Measure, Option<f64>)>,
    note: String,
}

/// The columns of a line other than those of measures.
#[derive(Debug, Deserialize)]
struct Line {
    new_expert: u8,
    train_expert: Option<u8>,
    arm: String,
    experts: usize,
    samples: usize,
    #[serde(default)]
    note: String,
}

/// Why a file of published values cannot be used.
#[derive(Debug, Error)]
#[error(
    "{}: {fault}; the columns are new_expert, train_expert, arm, experts, samples, dice_percent, \
     assd, hd95 and note, see experiments/reference",
    path.display()
)]
pub struct PublishedError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: PublishedFault,
}

/// What is wrong with a file of published values.
#[derive(Debug, Error)]
pub enum PublishedFault {
    /// It cannot be opened.
    #[error("cannot be read: {0}")]
    Unreadable(csv::Error),
    /// A line cannot be parsed.
    #[error("{0}")]
    Csv(#[from] csv::Error),
    /// A column is neither a measure nor one of the columns that every file has.
    #[error("unknown column `{0}`")]
    UnknownColumn(String),
    /// A value in a line is wrong, or an earlier line has the same cell.
    #[error("line {line}: {what}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl PublishedMeans {
    /// Reads the file that a manifest names.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is wrong.
    pub fn read(published: &manifest::Published) -> Result<Self, PublishedError> {
        let path = &published.values;
        let values = read(path).map_err(|fault| PublishedError {
            path: path.clone(),
            fault,
        })?;
        Ok(Self {
            source: published.source.clone(),
            dataset: published.dataset.clone(),
            values,
        })
    }

    /// The published mean at a position.
    pub fn value(&self, position: &Position, metric: Measure) -> Option<f64> {
        let row = self.values.get(&CellKey::of(position)?)?;
        let found = row.values.iter().find(|(measure, _)| *measure == metric);
        found.and_then(|(_, value)| *value)
    }

    /// The note on the values at a position; empty for none.
    pub fn note(&self, position: &Position) -> &str {
        let row = CellKey::of(position).and_then(|cell| self.values.get(&cell));
        row.map_or("", |row| &row.note)
    }
}

fn read(path: &Path) -> Result<HashMap<CellKey, PublishedRow>, PublishedFault> {
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(PublishedFault::Unreadable)?;
    let headers = reader.headers()?.clone();
    let measures = measures(&headers)?;
    let mut values = HashMap::new();
    for record in reader.records() {
        let record = record?;
        let line: Line = record.deserialize(Some(&headers))?;
        let number = record.position().map_or(0, csv::Position::line);
        let wrong = |what: String| PublishedFault::Line { line: number, what };
        let method = Method::named(&line.arm).map_err(|why| wrong(why.to_string()))?;
        let cell = CellKey {
            new_expert: line.new_expert,
            train_expert: line.train_expert,
            method: method.name.to_string(),
            samples: line.samples,
            experts: line.experts,
        };
        let numbers = measures.iter().map(|(column, measure)| {
            let text = record.get(*column).unwrap_or_default();
            if text.is_empty() {
                return Ok((*measure, None));
            }
            let value = text.parse().ok().filter(|value: &f64| value.is_finite());
            let value = value.ok_or_else(|| wrong(format!("`{text}` is not a finite number")))?;
            Ok((*measure, Some(value)))
        });
        let row = PublishedRow {
            values: numbers.collect::<Result<_, PublishedFault>>()?,
            note: line.note,
        };
        if values.insert(cell, row).is_some() {
            return Err(wrong("an earlier line has the same cell".to_owned()));
        }
    }
    Ok(values)
}

/// The columns that hold the values of measures; an unknown column is an error.
fn measures(headers: &csv::StringRecord) -> Result<Vec<(usize, Measure)>, PublishedFault> {
    const OTHERS: [&str; 6] = [
        "new_expert",
        "train_expert",
        "arm",
        "experts",
        "samples",
        "note",
    ];
    let mut measures = Vec::new();
    for (column, name) in headers.iter().enumerate() {
        match Measure::all().find(|measure| measure.column() == name) {
            Some(measure) => measures.push((column, measure)),
            None if OTHERS.contains(&name) => {}
            None => return Err(PublishedFault::UnknownColumn(name.to_owned())),
        }
    }
    Ok(measures)
}
