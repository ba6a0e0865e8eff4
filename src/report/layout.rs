//! From cells to a document: panels, rows, columns, and the words around them.
//!
//! The rule: the table declares which axes make panels, rows and columns; an axis has its own
//! words. No particular axis is known here, except for the words of a heading.

use std::collections::BTreeSet;

use itertools::Itertools;

use super::{
    DataOrigin,
    document::{Align, Column, Document, Element, Mark, MarkedText, Row, RowEntry, Tabular},
    effects::Factors,
    notes,
    panel::{Panel, panels},
    selection_tables,
    table::{Cell, Table},
};
use crate::{
    grid::{Axis, Coordinates, Value},
    manifest::{Experiment, Spread, TableSpec},
    results::Results,
};

/// Lays a table out: title, caption, one grid per panel, notes.
pub fn lay_out(
    table: &Table,
    results: &Results<'_>,
    experiment: usize,
    provenance: &DataOrigin,
) -> Document {
    let spec = &results.plan.experiments[experiment];
    let mut elements = vec![Element::Paragraph(notes::caption(
        spec,
        &results.made_by(experiment),
        provenance,
    ))];
    let panels = panels(results, experiment);
    for panel in &panels {
        elements.push(Element::Tabular(grid(table, spec, panel)));
    }
    if let Some(factors) = Factors::of(spec) {
        elements.extend(factors.elements(table, spec, &panels));
    }
    elements.extend(selection_tables::elements(table, spec));
    let notes = notes::notes(table, results, experiment);
    elements.extend(notes.into_iter().map(Element::Paragraph));
    let title = match spec.title.as_str() {
        "" => "results",
        title => title,
    };
    Document {
        title: one_line(&format!("{}: {title}", table.name)),
        elements,
    }
}

/// A text in one line, without characters that a terminal would obey.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).join(" ")
}

/// The head of a row.
pub(super) fn row_head(axes: &[Axis], place: &Coordinates) -> String {
    let mut each = axes.iter().zip(place).map(|(axis, value)| match value {
        Some(value) => axis.row_head(value),
        None => "–".to_owned(),
    });
    each.join(", ")
}

/// The head over the row heads.
pub(super) fn corner(spec: &TableSpec) -> String {
    spec.rows.iter().map(Axis::corner).join(", ")
}

/// The cells of one panel, in rows and columns.
fn grid(table: &Table, spec: &Experiment, panel: &Panel) -> Tabular {
    let TableSpec { rows, columns, .. } = &spec.table;
    let cells: Vec<(usize, &Cell)> = table
        .cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| panel.holds(&cell.position, &spec.table))
        .collect();
    let places = |axes: &[Axis]| -> BTreeSet<Coordinates> {
        cells
            .iter()
            .map(|(_, cell)| cell.position.on(axes))
            .collect()
    };
    let keys = places(columns);
    let row = |this: Coordinates| {
        let report = spec.metrics.report.iter().copied();
        let entries = report.cartesian_product(&keys).map(|(metric, key)| {
            let found = cells.iter().find(|(_, cell)| {
                cell.metric == metric
                    && cell.position.on(rows) == this
                    && cell.position.on(columns) == *key
            });
            found.map_or_else(RowEntry::default, |(index, cell)| RowEntry {
                text: shown(cell, spec.statistics.spread),
                cell: Some(*index),
            })
        });
        Row {
            entries: entries.collect(),
            head: row_head(rows, &this),
        }
    };
    Tabular {
        heading: panel.heading(spec),
        new_expert: panel.new_expert(&spec.table),
        corner: corner(&spec.table),
        columns: heads(spec, &keys),
        rows: places(rows).into_iter().map(row).collect(),
    }
}

/// The axes that tell columns apart, by index. An axis whose value follows from those before it is
/// left out.
pub(super) fn told(axes: &[Axis], keys: &BTreeSet<Coordinates>) -> Vec<usize> {
    let mut told: Vec<usize> = Vec::new();
    for axis in 0..axes.len() {
        let before = |key: &Coordinates| told.iter().map(|i| key[*i].clone()).collect_vec();
        let values = |key: &Coordinates| (before(key), key[axis].clone());
        if keys.iter().map(values).unique().count() > keys.iter().map(before).unique().count() {
            told.push(axis);
        }
    }
    told
}

/// The head of a column, by the axes that tell columns apart.
pub(super) fn under(axes: &[Axis], told: &[usize], key: &Coordinates) -> String {
    let value = |i: &usize| -> Option<String> {
        let value: &Value = key[*i].as_ref()?;
        Some(axes[*i].head(value))
    };
    let mut words = told
        .iter()
        .filter_map(value)
        .filter(|words| !words.is_empty());
    words.join(" ")
}

/// The heads of the columns: a measure over the values that tell its columns apart.
fn heads(spec: &Experiment, keys: &BTreeSet<Coordinates>) -> Vec<Column> {
    let axes = &spec.table.columns;
    let told = told(axes, keys);
    let report = spec.metrics.report.iter().cartesian_product(keys);
    report
        .map(|(metric, key)| Column {
            over: metric.heading(spec.distances()),
            under: under(axes, &told, key),
            align: Align::Right,
        })
        .collect()
}

/// The mean with its marks, or a dash; what the manifest wants beside it; and how many of its runs
/// have a value, where some have not.
pub fn shown(cell: &Cell, spread: Spread) -> MarkedText {
    let mut text = match cell.mean {
        Some(mean) => {
            let mut text = MarkedText::default();
            let mark = match (cell.bold, cell.underline) {
                (true, true) => Mark::Both,
                (true, false) => Mark::Bold,
                (false, true) => Mark::Underlined,
                (false, false) => Mark::Plain,
            };
            text.push(format!("{mean:.2}"), mark);
            text
        }
        None if cell.missing() == cell.runs => MarkedText::default(),
        None => "–".into(),
    };
    if let (Spread::Sd, Some(sd)) = (spread, cell.sd) {
        text.push(format!(" ± {sd:.2}"), Mark::Plain);
    }
    if !cell.complete() {
        let sign = match (cell.defined + cell.missing() == cell.runs, cell.mean) {
            (true, Some(_)) => " …",
            (true, None) => "…",
            (false, _) => "†",
        };
        let text_of = format!("{sign} {}/{}", cell.defined, cell.runs);
        text.push(text_of, Mark::Plain);
    }
    text
}
