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

/// `expert 6, w/ (customised), 3 experts, 10 samples`.
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
        let named = Method::named(method).ok();
        match named.as_ref().and_then(Method::alias) {
            Some(alias) => write!(f, "{alias} ({method})")?,
            None => f.write_str(method)?,
        }
        write!(f, ", {experts} experts, {samples} samples")
    }
}

/// The published values of a position.
#[derive(Clone, Debug)]
struct PublishedRow {
    line: u64,
    values: Vec<(Measure, Option<f64>)>,
    note: String,
}

/// How to write such a file.
const COLUMNS: &str = "the columns are new_expert, train_expert, method, experts, samples, \
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
    /// It is a workbook of a spreadsheet program.
    #[error("is a workbook (.xlsx or .ods), not CSV; save the sheet as CSV in UTF-8")]
    Workbook,
    /// It has no head.
    #[error("it is empty; {}", COLUMNS)]
    Empty,
    /// The head lacks a column.
    #[error("it has no column `{0}`; {columns}", columns = COLUMNS)]
    MissingColumn(&'static str),
    /// A line has more or fewer fields than the head.
    #[error(
        "line {line} has {found} fields and the head has {head}; a comma within a field stands \
             in quotes"
    )]
    Fields {
        /// Its number, from 1.
        line: u64,
        /// How many fields it has.
        found: u64,
        /// How many the head has.
        head: u64,
    },
    /// It cannot be taken apart.
    #[error("{0}; {columns}", columns = COLUMNS)]
    Csv(csv::Error),
    /// A column is neither a measure nor one of the columns that every file has.
    #[error("unknown column `{0}`; {columns}", columns = COLUMNS)]
    UnknownColumn(String),
    /// Values in lines are wrong, or two lines have the same cell.
    #[error("{}", listed(.0))]
    Lines(Vec<WrongLine>),
}

/// A line that cannot be used.
#[derive(Debug)]
pub struct WrongLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// The first wrong lines, and how many there are more.
fn listed(wrong: &[WrongLine]) -> String {
    let shown = wrong.iter().take(NAMED);
    let shown = shown.map(|WrongLine { line, what }| format!("line {line}: {what}"));
    match wrong.len().saturating_sub(NAMED) {
        0 => shown.format("; ").to_string(),
        more => format!("{}; and {more} more", shown.format("; ")),
    }
}

impl From<csv::Error> for PublishedFault {
    fn from(error: csv::Error) -> Self {
        match error.kind() {
            csv::ErrorKind::UnequalLengths {
                pos,
                expected_len,
                len,
            } => Self::Fields {
                line: pos.as_ref().map_or(0, csv::Position::line),
                found: *len,
                head: *expected_len,
            },
            _ => Self::Csv(error),
        }
    }
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
        let fractions = self.fractions().into_iter();
        let mut doubts: Vec<String> = fractions.map(|doubt| format!("{file}: {doubt}")).collect();
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
    pub(super) fn fractions(&self) -> Vec<String> {
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
                "{} is in per cent, but these look like fractions ({}{more}); multiply them by 100",
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
    let bytes = fs::read(path).map_err(PublishedFault::Unreadable)?;
    // A workbook is a zip archive.
    if bytes.starts_with(b"PK\x03\x04") {
        return Err(PublishedFault::Workbook);
    }
    let text = String::from_utf8(bytes).map_err(|_| PublishedFault::NotText)?;
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
    let needed = ["new_expert", "method", "experts", "samples"].into_iter();
    let mut missing = needed.filter(|name| !headers.iter().contains(name));
    if let Some(name) = missing.next() {
        return Err(PublishedFault::MissingColumn(name));
    }
    let mut values: HashMap<CellKey, PublishedRow> = HashMap::new();
    let mut wrong = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let read = LineFields {
            headers: &headers,
            record: &record,
            separator,
        };
        let (cell, row) = match (read.cell(), read.values(&measures)) {
            (Ok(cell), Ok(values)) => {
                let note = read.text("note").to_owned();
                (cell, PublishedRow { line, values, note })
            }
            (cell, values) => {
                let whats = [cell.err(), values.err()].into_iter().flatten().flatten();
                wrong.extend(whats.map(|what| WrongLine { line, what }));
                continue;
            }
        };
        if let Some(earlier) = values.get(&cell) {
            let what = format!(
                "line {} has the same cell; keep one of the two",
                earlier.line
            );
            wrong.push(WrongLine { line, what });
            continue;
        }
        values.insert(cell, row);
    }
    match wrong.is_empty() {
        true => Ok(values),
        false => Err(PublishedFault::Lines(wrong)),
    }
}

/// The fields of one line.
struct LineFields<'a> {
    headers: &'a csv::StringRecord,
    record: &'a csv::StringRecord,
    separator: Separator,
}

impl LineFields<'_> {
    fn text(&self, column: &str) -> &str {
        let at = self.headers.iter().position(|name| name == column);
        at.and_then(|at| self.record.get(at)).unwrap_or_default()
    }

    /// The cell; or everything that is wrong.
    fn cell(&self) -> Result<CellKey, Vec<String>> {
        fn whole<T: std::str::FromStr>(column: &str, text: &str) -> Result<T, String> {
            let wrong = |_| format!("{column} is `{text}`; write a whole number, such as 5");
            text.parse().map_err(wrong)
        }
        let method = Method::named(self.text("method"));
        let number = |column| whole(column, self.text(column));
        let train_expert = match self.text("train_expert") {
            "" => Ok(None),
            text => whole("train_expert", text).map(Some),
        };
        let new_expert = whole("new_expert", self.text("new_expert"));
        match (
            new_expert,
            train_expert,
            method,
            number("experts"),
            number("samples"),
        ) {
            (Ok(new_expert), Ok(train_expert), Ok(method), Ok(experts), Ok(samples)) => {
                Ok(CellKey {
                    new_expert,
                    train_expert,
                    method: method.name.to_string(),
                    experts,
                    samples,
                })
            }
            (new_expert, train_expert, method, experts, samples) => {
                let all = [
                    new_expert.err(),
                    train_expert.err(),
                    method.err(),
                    experts.err(),
                    samples.err(),
                ];
                Err(all.into_iter().flatten().collect())
            }
        }
    }

    /// The values of the measures; or everything that is wrong.
    fn values(
        &self,
        measures: &[(usize, Measure)],
    ) -> Result<Vec<(Measure, Option<f64>)>, Vec<String>> {
        let read = measures.iter().map(|(column, measure)| {
            let text = self.record.get(*column).unwrap_or_default();
            if text.is_empty() {
                return Ok((*measure, None));
            }
            let value = self.separator.number(text).parse().ok();
            let value = value.filter(|value: &f64| value.is_finite());
            let name = measure.column();
            let value = value.ok_or_else(|| match number_in(text) {
                "" => format!(
                    "{name} is `{text}`, not a finite number; leave the field empty where no value \
                     was published"
                ),
                number => {
                    format!("{name} is `{text}`, not a finite number; write `{number}` alone")
                }
            })?;
            match out_of_range(*measure, value) {
                Some(why) => Err(format!("{name} is {text}; {why}")),
                None => Ok((*measure, Some(value))),
            }
        });
        let (values, wrong): (Vec<_>, Vec<String>) = read.partition_result();
        match wrong.is_empty() {
            true => Ok(values),
            false => Err(wrong),
        }
    }
}

/// The number that a text begins with, where more follows that is no part of it: `80.5` of
/// `80.5 %`, `80.5 (2.1)`, `80.5 ± 2.1`. Nothing where it is not certain.
fn number_in(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'));
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    let rest = rest.trim_start();
    let certain = rest.starts_with(['%', '(', '\u{b1}', '[']) || rest.starts_with("+-");
    match certain && number.parse::<f64>().is_ok() {
        true => number,
        false => "",
    }
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
        "method",
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
