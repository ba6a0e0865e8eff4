//! `expertgrid export`: every run with its scores, for notebooks.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use itertools::Itertools;
use serde_json::Value;

use super::{Done, Failure, Picked, Selection, output::print};
use crate::{
    grid::Axis,
    plan::{StageId, grouped},
    report::runs_csv,
    results,
    store::{Store, replace_file},
};

#[derive(Debug, Args)]
#[command(
    after_help = "One row per run of all tables: its place in the grid with every swept key, \
its scores, its status
with the reason, the digests of its stages. What is undefined is empty in CSV and null in JSON.

Examples:
  expertgrid export experiments/table*.toml --profile phantom -o runs.csv
  expertgrid export experiments/rate.toml --profile phantom --format json --only 'n=10'"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    only: Picked,
    /// What to write [default: by the ending of FILE, or csv].
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<RowFormat>,
    /// File to write [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RowFormat {
    /// A header and a line per run.
    Csv,
    /// A list of objects; numbers are numbers.
    Json,
}

/// Rows of several tables under the columns of all.
#[derive(Default)]
struct RowTable {
    header: Vec<String>,
    rows: Vec<BTreeMap<String, String>>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let format = match (arguments.format, &arguments.out) {
        (Some(format), _) => format,
        (None, Some(path)) => RowFormat::of_file(path)?,
        (None, None) => RowFormat::Csv,
    };
    let selection = &arguments.selection;
    let mut plan = selection.plan()?;
    arguments.only.narrow(&mut plan)?;
    let results = results::collect(&plan, &Store::within(&selection.results), &|_: StageId| {
        None
    });
    let mut table = RowTable::default();
    for experiment in 0..plan.experiments.len() {
        table.add(&runs_csv(&results, experiment));
    }
    let text = match format {
        RowFormat::Csv => table.csv(),
        RowFormat::Json => table.json(),
    };
    match &arguments.out {
        None => print(text.trim_end()),
        Some(path) => {
            replace_file(path, text.as_bytes()).map_err(Failure::work)?;
            let rows = match table.rows.len() {
                1 => "1 run".to_owned(),
                rows => format!("{} runs", grouped(rows)),
            };
            print(format_args!("{rows} written to {}", path.display()));
        }
    }
    let tallies = (0..plan.experiments.len()).map(|i| results.tally(i).missing);
    let missing: usize = tallies.sum();
    if missing > 0 {
        eprintln!("note: {} of them have not been run yet", grouped(missing));
    }
    Ok(Done::Whole)
}

impl RowFormat {
    /// That of a file, by its name.
    fn of_file(path: &Path) -> Result<Self, Failure> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("json") => Ok(Self::Json),
            _ => Err(Failure::refused(format!(
                "{} does not say what to write; name a file that ends with .csv or .json, or give \
                 `--format`",
                path.display()
            ))),
        }
    }
}

impl RowTable {
    /// Adds the rows of a CSV file; its further columns stand before the first that is last there.
    fn add(&mut self, csv: &[u8]) {
        let mut reader = csv::Reader::from_reader(csv);
        let header = reader.headers().expect("it was written here").clone();
        let mut after = 0;
        for name in &header {
            match self.header.iter().position(|known| known == name) {
                Some(place) => after = place + 1,
                None => {
                    self.header.insert(after, name.to_owned());
                    after += 1;
                }
            }
        }
        let rows = reader.records().map(|row| {
            let row = row.expect("it was written here");
            let named = header.iter().zip(row.iter());
            named
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        });
        self.rows.extend(rows);
    }

    fn value<'a>(&self, row: &'a BTreeMap<String, String>, name: &str) -> &'a str {
        row.get(name).map_or("", String::as_str)
    }

    fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |row: Vec<&str>| writer.write_record(row).expect("memory takes it");
        write(self.header.iter().map(String::as_str).collect());
        for row in &self.rows {
            write(
                self.header
                    .iter()
                    .map(|name| self.value(row, name))
                    .collect(),
            );
        }
        let bytes = writer.into_inner().expect("memory takes it");
        String::from_utf8(bytes).expect("all of it is text")
    }

    /// Keys in the order of the columns.
    fn json(&self) -> String {
        let text = |value: &Value| serde_json::to_string(value).expect("values are plain data");
        let rows = self.rows.iter().map(|row| {
            let entries = self.header.iter().map(|name| {
                let value = typed(name, self.value(row, name));
                format!("{}: {}", text(&Value::from(name.as_str())), text(&value))
            });
            format!("  {{{}}}", entries.format(", "))
        });
        format!("[\n{}\n]\n", rows.format(",\n"))
    }
}

/// The columns of texts beside those of the grid.
const TEXTS: [&str; 7] = [
    "table",
    "status",
    "reason",
    "pretraining",
    "training",
    "evaluation",
    "distance_unit",
];

/// A value as JSON: a number or a truth value where its column holds such, null where it is empty.
fn typed(column: &str, value: &str) -> Value {
    let axis = Axis::of_grids().find(|axis| axis.column() == column);
    let is_text = match axis {
        Some(axis) => axis.is_numeric() == Some(false),
        // The others are scores and swept keys.
        None => TEXTS.contains(&column),
    };
    let number = || value.parse::<serde_json::Number>().ok();
    match (value, is_text) {
        ("", _) => Value::Null,
        (value, true) => Value::from(value),
        ("true" | "false", false) => Value::Bool(value == "true"),
        (value, false) => number().map_or_else(|| Value::from(value), Value::Number),
    }
}
