//! Published values, read from the CSV file that a manifest names.
//!
//! The rule: a file is understood whole or refused with its line. A value is found by the position of a cell, whatever
//! the table is called.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::table::Position;
use crate::{
    manifest::{self, Arm},
    results::Metric,
};

/// Published means.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Who published them.
    pub source: String,
    /// The label of the data set that they are of; empty where the manifest does not say.
    pub dataset: String,
    values: BTreeMap<Position, Row>,
}

/// A line of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    new_expert: u8,
    train_expert: Option<u8>,
    arm: Arm,
    experts: usize,
    samples: usize,
    dice_percent: Option<f64>,
    assd: Option<f64>,
    hd95: Option<f64>,
    #[serde(default)]
    note: String,
}

impl Reference {
    /// Reads the file that a manifest names.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn read(published: &manifest::Published) -> Result<Self, String> {
        let path = &published.values;
        let values = read(path).map_err(|why| {
            format!(
                "{}: {why}; the columns are new_expert, train_expert, arm, experts, samples, dice_percent, assd, hd95 \
                 and note, see experiments/reference",
                path.display()
            )
        })?;
        Ok(Self {
            source: published.source.clone(),
            dataset: published.dataset.clone(),
            values,
        })
    }

    /// The published mean at a position.
    pub fn value(&self, position: &Position, metric: Metric) -> Option<f64> {
        let row = self.values.get(position)?;
        match metric {
            Metric::Dice => row.dice_percent,
            Metric::Assd => row.assd,
            Metric::Hd95 => row.hd95,
        }
    }

    /// What is to be said of the values at a position, or nothing.
    pub fn note(&self, position: &Position) -> &str {
        self.values.get(position).map_or("", |row| &row.note)
    }
}

fn read(path: &Path) -> Result<BTreeMap<Position, Row>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| format!("cannot be read: {error}"))?;
    let mut values = BTreeMap::new();
    for row in reader.deserialize() {
        let row: Row = row.map_err(|error| error.to_string())?;
        let position = Position {
            new_expert: row.new_expert,
            train_expert: row.train_expert,
            samples: row.samples,
            experts: row.experts,
            arm: row.arm,
        };
        let numbers = [row.dice_percent, row.assd, row.hd95];
        if numbers
            .into_iter()
            .flatten()
            .any(|value| !value.is_finite())
        {
            return Err(format!("{position}: a value is not a finite number"));
        }
        if values.insert(position, row).is_some() {
            return Err(format!("{position} stands in two lines"));
        }
    }
    Ok(values)
}
