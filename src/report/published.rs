//! Published values, read from the CSV file that a manifest names.
//!
//! The rule: a file is read whole or refused, with the line that is wrong. A value is found by the
//! position of a cell, whatever the table's name.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, fs, io,
    path::{Path, PathBuf},
};

use itertools::Itertools;
use serde::Deserialize;
use thiserror::Error;

use super::{
    position::Position,
    separator::{BYTE_ORDER_MARK, Separator},
};
use crate::{
    grid::Axis,
    manifest,
    method::Method,
    metric::{Measure, Unit},
};

/// Published means.
#[derive(Clone, Debug)]
pub struct PublishedMeans {
    /// Who published them.
    pub source: String,
    /// The label of the data set that they are of; empty where the manifest does not say.
    pub dataset: String,
    path: PathBuf,
    values: HashMap<CellKey, PublishedRow>,
}

/// The cell of published values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        let own = [
            Axis::NEW_EXPERT,
            Axis::TRAIN_EXPERT,
            Axis::METHOD,
            Axis::EXPERTS,
            Axis::SAMPLES,
        ];
        if position.values().any(|(axis, _)| !own.contains(axis)) {
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

/// `expert 6, w/, 3 experts, 10 samples`.
impl fmt::Display for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            new_expert,
            train_expert,
            method,
            experts,
            samples,
        } = self;
        write!(f, "expert {new_expert}, ")?;
        if let Some(expert) = train_expert {
            write!(f, "trained on expert {expert}, ")?;
        }
        write!(f, "{method}, {experts} experts, {samples} samples")
    }
}

/// The published values of a position.
#[derive(Clone, Debug)]
struct PublishedRow {
    line: u64,
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

/// How to write such a file.
const COLUMNS: &str = "the columns are new_expert, train_expert, arm, experts, samples, \
                       dice_percent, assd, hd95 and note, see experiments/reference";

/// Why a file of published values cannot be used.
#[derive(Debug, Error)]
#[error("{}: {fault}", path.display())]
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
    Unreadable(io::Error),
    /// Its bytes are no text.
    #[error("is not text in UTF-8; save it as CSV in UTF-8")]
    NotText,
    /// It has no head.
    #[error("it is empty; {}", COLUMNS)]
    Empty,
    /// The head lacks a column.
    #[error("it has no column `{0}`; {columns}", columns = COLUMNS)]
    MissingColumn(&'static str),
    /// A line cannot be parsed.
    #[error("{0}; {columns}", columns = COLUMNS)]
    Csv(#[from] csv::Error),
    /// A column is neither a measure nor one of the columns that every file has.
    #[error("unknown column `{0}`; {columns}", columns = COLUMNS)]
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
            path: path.clone(),
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

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the user might not expect of the file, beside all tables that it was read for.
    pub fn doubts<'a>(&self, positions: impl IntoIterator<Item = &'a Position>) -> Vec<String> {
        let file = self.path.display();
        if self.values.is_empty() {
            return vec![format!("{file} has no line of values, only a head")];
        }
        let mut doubts = self.fractions();
        let cells: BTreeSet<CellKey> = positions.into_iter().filter_map(CellKey::of).collect();
        let others = self
            .values
            .iter()
            .filter(|(cell, _)| !cells.contains(*cell));
        let others = others.sorted_by_key(|(_, row)| row.line).collect_vec();
        let all = self.values.len();
        match (others.first(), cells.first()) {
            (Some((cell, row)), Some(own)) if others.len() == all => doubts.push(format!(
                "{file}: no value is beside a result, as none of its {all} lines is of a cell of \
                 these tables: line {} is of {cell}, the first cell is {own}",
                row.line
            )),
            (Some((cell, row)), _) => doubts.push(format!(
                "{file}: {} of its {all} lines are of no cell of these tables; the first is line \
                 {}, of {cell}",
                others.len(),
                row.line
            )),
            (None, _) => {}
        }
        doubts
    }

    /// The measures in per cent that have values like fractions.
    fn fractions(&self) -> Vec<String> {
        let mut small: BTreeMap<Measure, BTreeMap<u64, f64>> = BTreeMap::new();
        for row in self.values.values() {
            for (measure, value) in &row.values {
                // Only these have an upper bound, which no value is near to by chance.
                let bounded = measure.bounds() == [0.0, 100.0];
                if let Some(value) = value.filter(|value| bounded && *value > 0.0 && *value <= 1.0)
                {
                    small.entry(*measure).or_default().insert(row.line, value);
                }
            }
        }
        let told = small.into_iter().map(|(measure, lines)| {
            let shown = lines.iter().take(NAMED);
            let shown = shown.map(|(line, value)| format!("line {line}: {value}"));
            let more = match lines.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            format!(
                "{}: {} is in per cent, but these look like fractions ({}{more}); multiply them \
                 by 100",
                self.path.display(),
                measure.column(),
                shown.format(", "),
            )
        });
        told.collect()
    }
}

/// How many lines a doubt names.
const NAMED: usize = 3;

fn read(path: &Path) -> Result<HashMap<CellKey, PublishedRow>, PublishedFault> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => PublishedFault::NotText,
        _ => PublishedFault::Unreadable(error),
    })?;
    let text = text.trim_start_matches(BYTE_ORDER_MARK);
    let separator = Separator::of(text);
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .delimiter(separator.byte())
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let headers = reader.headers()?.clone();
    if headers.is_empty() {
        return Err(PublishedFault::Empty);
    }
    let measures = measures(&headers)?;
    let needed = ["new_expert", "arm", "experts", "samples"].into_iter();
    let mut missing = needed.filter(|name| !headers.iter().contains(name));
    if let Some(name) = missing.next() {
        return Err(PublishedFault::MissingColumn(name));
    }
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
            let value = separator.number(text).parse().ok();
            let value = value.filter(|value: &f64| value.is_finite());
            let value = value.ok_or_else(|| wrong(format!("`{text}` is not a finite number")))?;
            match out_of_range(*measure, value) {
                Some(why) => Err(wrong(format!("{} is {text}; {why}", measure.column()))),
                None => Ok((*measure, Some(value))),
            }
        });
        let row = PublishedRow {
            line: number,
            values: numbers.collect::<Result<_, PublishedFault>>()?,
            note: line.note,
        };
        if values.insert(cell, row).is_some() {
            return Err(wrong("an earlier line has the same cell".to_owned()));
        }
    }
    Ok(values)
}

/// What values a measure can have, where this is none.
fn out_of_range(measure: Measure, value: f64) -> Option<String> {
    let [low, high] = measure.bounds();
    if (low..=high).contains(&value) {
        return None;
    }
    Some(match (measure.unit(), high.is_finite()) {
        (Unit::Percent, true) => format!("it is a value in per cent, {low} to {high}"),
        (Unit::Percent, false) => format!("it is a value in per cent, {low} or more"),
        (Unit::Distance, _) => "it is a distance, 0 or more".to_owned(),
    })
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
