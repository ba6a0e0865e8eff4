//! The runs of an experiment, as its `runs.csv` has them.

use std::path::{Path, PathBuf};

use super::error::ComparisonError;
use crate::metric::Measure;

/// The runs of an experiment.
pub(super) struct ResultRows {
    /// The names of the axes, in the file's order.
    pub axes: Vec<String>,
    /// What is measured.
    pub measures: Vec<Measure>,
    pub rows: Vec<ResultRow>,
    /// The unit of distances.
    pub distances: String,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct ResultRow {
    /// The values of the axes.
    pub at: Vec<String>,
    /// The values of the measures; none where there is no value.
    pub values: Vec<Option<f64>>,
    /// Whether its network was pretrained on the masks of a combination of annotators.
    pub is_pretrained: bool,
}

/// The first column, and the one with the unit of distances.
const TABLE: &str = "table";
const UNIT: &str = "distance_unit";
/// The column with the digest of the pretraining.
const PRETRAINING: &str = "pretraining";

/// The name of an axis; what files of version 0.1 call otherwise has its name of now.
fn named(column: &str) -> String {
    match column {
        "arm" => "method",
        "combination" => "annotators",
        named => named,
    }
    .to_owned()
}

/// The folders with runs in a folder.
fn variants(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let variants = entries.map(|entry| entry.path());
    let variants = variants.filter(|path| path.join("runs.csv").is_file());
    let mut names: Vec<String> = variants.map(|path| path.display().to_string()).collect();
    names.sort();
    names
}

impl ResultRows {
    /// Reads those of a folder, or of a `runs.csv`.
    pub fn read(folder: &Path) -> Result<Self, ComparisonError> {
        let path: PathBuf = match folder.is_dir() {
            true => folder.join("runs.csv"),
            false => folder.to_owned(),
        };
        let wrong = |why: String| ComparisonError::Unreadable {
            path: path.clone(),
            why,
        };
        let of_csv = |error: csv::Error| {
            let why = match error.kind() {
                csv::ErrorKind::Io(error) => {
                    let variants = variants(folder);
                    let names = match variants.is_empty() {
                        true => "such as results/table2/phantom".to_owned(),
                        false => format!("here {}", variants.join(", ")),
                    };
                    format!("{error}; name the folder of a variant, {names}")
                }
                csv::ErrorKind::UnequalLengths {
                    pos,
                    expected_len,
                    len,
                } => format!(
                    "line {} has {len} columns, the first line {expected_len}",
                    pos.as_ref().map_or(0, csv::Position::line)
                ),
                _ => error.to_string(),
            };
            wrong(why)
        };
        let mut reader = csv::Reader::from_path(&path).map_err(of_csv)?;
        let header = reader.headers().map_err(of_csv)?.clone();
        let of_column = |name: &str| Measure::all().find(|measure| measure.column() == name);
        let first = header.iter().position(|name| of_column(name).is_some());
        let Some(first) = first.filter(|_| header.get(0) == Some(TABLE)) else {
            return Err(wrong(
                "it is no file of runs that `report` writes; name the folder of a variant, such as \
                 results/table2/phantom"
                    .to_owned(),
            ));
        };
        let columns = header.iter().enumerate();
        let columns = columns.filter_map(|(column, name)| Some((column, of_column(name)?)));
        let columns: Vec<(usize, Measure)> = columns.collect();
        let place = |wanted: &str| header.iter().position(|name| name == wanted);
        let (unit, pretraining) = (place(UNIT), place(PRETRAINING));
        let mut distances = String::new();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(of_csv)?;
            let value = |(column, _): &(usize, Measure)| {
                let value: f64 = record.get(*column)?.parse().ok()?;
                value.is_finite().then_some(value)
            };
            distances = unit
                .and_then(|unit| record.get(unit))
                .unwrap_or("")
                .to_owned();
            rows.push(ResultRow {
                at: record
                    .iter()
                    .take(first)
                    .skip(1)
                    .map(str::to_owned)
                    .collect(),
                values: columns.iter().map(value).collect(),
                is_pretrained: pretraining
                    .and_then(|column| record.get(column))
                    .is_some_and(|digest| !digest.is_empty()),
            });
        }
        Ok(Self {
            axes: header.iter().take(first).skip(1).map(named).collect(),
            measures: columns.into_iter().map(|(_, measure)| measure).collect(),
            rows,
            distances,
        })
    }
}
