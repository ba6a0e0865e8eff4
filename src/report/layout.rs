//! The paper's layout: which cell stands in which row and column, and what is shown of it.
//!
//! The rule: nothing is computed here; a hole in the table is shown as one, with how many of its runs there are.

use std::collections::BTreeSet;

use itertools::Itertools;

use super::{
    Provenance,
    document::{Align, Block, Column, Document, Entry, Grid, Mark, Row, Text},
    notes,
    table::{Cell, Position, Table},
};
use crate::{
    manifest::{Arm, Experiment, Rows},
    metric::Measure,
    results::Results,
};

/// Lays a table out: title, caption, one grid per new expert, notes.
pub fn lay_out(
    table: &Table,
    results: &Results<'_>,
    experiment: usize,
    provenance: &Provenance,
) -> Document {
    let spec = &results.plan.experiments[experiment];
    let mut blocks = vec![Block::Paragraph(notes::caption(
        spec,
        &results.made_by(experiment),
        provenance,
    ))];
    for (letter, new_expert) in ('a'..).zip(&spec.grid.new_experts) {
        let heading = match spec.rows {
            Rows::TrainExpert => "Tested on",
            Rows::Samples | Rows::Experts => "Adapted to",
        };
        blocks.push(Block::Grid(Grid {
            heading: format!("({letter}) {heading} expert {new_expert}"),
            ..grid(table, spec, *new_expert)
        }));
    }
    let notes = notes::notes(table, results, experiment);
    blocks.extend(notes.into_iter().map(Block::Paragraph));
    let title = match spec.title.as_str() {
        "" => "results",
        title => title,
    };
    Document {
        title: format!("{}: {title}", table.name),
        blocks,
    }
}

/// What a row is called: the expert who trained, or a number of samples or experts.
pub(super) fn row_of(position: &Position, spec: &Experiment) -> usize {
    match spec.rows {
        Rows::TrainExpert => usize::from(position.train_expert.unwrap_or(0)),
        Rows::Samples => position.samples,
        Rows::Experts => position.experts,
    }
}

/// What tells two columns of one metric apart: all of a position that its row does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ColumnKey {
    arm: Option<Arm>,
    experts: Option<usize>,
    samples: Option<usize>,
    train_expert: Option<u8>,
}

impl ColumnKey {
    // With the number of experts as rows, 0 says that there was no pretraining.
    pub(super) fn of(position: &Position, spec: &Experiment) -> Self {
        Self {
            samples: (spec.rows != Rows::Samples).then_some(position.samples),
            experts: (spec.rows != Rows::Experts && position.arm == Arm::With)
                .then_some(position.experts),
            arm: (spec.rows != Rows::Experts).then_some(position.arm),
            train_expert: position
                .train_expert
                .filter(|_| spec.rows != Rows::TrainExpert),
        }
    }
}

/// The cells of one new expert, in rows and columns.
fn grid(table: &Table, spec: &Experiment, new_expert: u8) -> Grid {
    let cells: Vec<(usize, &Cell)> = table
        .cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| cell.position.new_expert == new_expert)
        .collect();
    let positions = || cells.iter().map(|(_, cell)| &cell.position);
    let rows: BTreeSet<usize> = positions().map(|at| row_of(at, spec)).collect();
    let keys: BTreeSet<ColumnKey> = positions().map(|at| ColumnKey::of(at, spec)).collect();
    let row = |this: usize| {
        let entries = spec
            .metrics
            .report
            .iter()
            .copied()
            .cartesian_product(&keys)
            .map(|(metric, key)| {
                let found = cells.iter().find(|(_, cell)| {
                    cell.metric == metric
                        && row_of(&cell.position, spec) == this
                        && ColumnKey::of(&cell.position, spec) == *key
                });
                found.map_or_else(Entry::default, |(index, cell)| Entry {
                    text: shown(cell),
                    cell: Some(*index),
                })
            });
        Row {
            head: match spec.rows {
                Rows::TrainExpert => format!("expert {this}"),
                Rows::Samples | Rows::Experts => this.to_string(),
            },
            entries: entries.collect(),
        }
    };
    Grid {
        heading: String::new(),
        new_expert: Some(new_expert),
        corner: match spec.rows {
            Rows::TrainExpert => "Train",
            Rows::Samples => "# Samples",
            Rows::Experts => "# Experts",
        }
        .to_owned(),
        columns: columns(&spec.metrics.report, &keys),
        rows: rows.into_iter().map(row).collect(),
    }
}

fn columns(report: &[Measure], keys: &BTreeSet<ColumnKey>) -> Vec<Column> {
    let varies =
        |of: &dyn Fn(&ColumnKey) -> Option<usize>| keys.iter().filter_map(of).unique().count() > 1;
    let (many_samples, many_experts) = (varies(&|p| p.samples), varies(&|p| p.experts));
    let many_arms = keys.iter().map(|p| p.arm).unique().count() > 1;
    // One trainer is told from networks that have none, too.
    let many_trainers = keys.iter().map(|p| p.train_expert).unique().count() > 1;
    let under = |key: &ColumnKey| {
        let arm = key.arm.filter(|_| many_arms).map(|arm| arm.to_string());
        let experts = key.experts.filter(|_| many_experts);
        let samples = key.samples.filter(|_| many_samples);
        let trainer = key.train_expert.filter(|_| many_trainers);
        let words = [
            arm,
            trainer.map(|expert| format!("trained on {expert}")),
            experts.map(|k| format!("k={k}")),
            samples.map(|n| format!("n={n}")),
        ];
        words.into_iter().flatten().join(" ")
    };
    report
        .iter()
        .copied()
        .cartesian_product(keys)
        .map(|(metric, key)| Column {
            over: metric.heading(),
            under: under(key),
            align: Align::Right,
        })
        .collect()
}

/// The mean with its marks, or a dash; and how many of its runs have a value, where some have not.
pub fn shown(cell: &Cell) -> Text {
    let mut text = match cell.mean {
        Some(mean) => {
            let mut text = Text::default();
            let mark = match (cell.bold, cell.underline) {
                (true, true) => Mark::Both,
                (true, false) => Mark::Bold,
                (false, true) => Mark::Underlined,
                (false, false) => Mark::Plain,
            };
            text.push(format!("{mean:.2}"), mark);
            text
        }
        None => "–".into(),
    };
    if !cell.complete() {
        text.push(format!("† {}/{}", cell.defined, cell.runs), Mark::Plain);
    }
    text
}
