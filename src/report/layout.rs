//! From cells to a document: panels, rows, columns, and the words around them.
//!
//! The rule: the table declares which axes make panels, rows and columns; an axis has its own
//! words. No particular axis is known here, except for the words of a heading.

use std::collections::BTreeSet;

use itertools::Itertools;

use super::{
    DataOrigin,
    document::{Align, Column, Document, Element, Mark, MarkedText, Row, RowEntry, Tabular},
    notes,
    position::Position,
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
    for panel in panels(results, experiment) {
        elements.push(Element::Tabular(grid(table, spec, &panel)));
    }
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

/// A panel of a table.
pub(super) struct Panel {
    /// Its values on the axes of panels.
    pub(super) place: Coordinates,
    /// `(a)`, where there are several.
    pub(super) letter: String,
    /// Those values in words: `expert 6`.
    pub(super) words: String,
}

/// The panels of an experiment, in the order of their first runs.
pub(super) fn panels(results: &Results<'_>, experiment: usize) -> Vec<Panel> {
    let axes = &results.plan.experiments[experiment].table.panels;
    let runs = results.of(experiment).map(|(run, _)| &run.at);
    let places = runs.map(|at| axes.iter().map(|axis| axis.of(at)).collect::<Coordinates>());
    let places = places.unique().collect_vec();
    let letters = 'a'..='z';
    let letters = letters.map(Some).chain(std::iter::repeat(None));
    let panels = places.into_iter().enumerate().zip(letters);
    panels
        .map(|((i, place), letter)| Panel {
            letter: match (axes.is_empty(), letter) {
                (true, _) => String::new(),
                (false, Some(letter)) => format!("({letter})"),
                (false, None) => format!("({})", i + 1),
            },
            words: words(axes, &place),
            place,
        })
        .collect()
}

impl Panel {
    /// `(a) Adapted to expert 6`.
    fn heading(&self, spec: &Experiment) -> String {
        let mut methods = spec.grid.methods.iter();
        let to = match &spec.table {
            table if table.panels.first() != Some(&Axis::NEW_EXPERT) => "",
            table if table.rows.contains(&Axis::TRAIN_EXPERT) => "Tested on ",
            // Nothing is adapted where every network is trained on the expert's masks alone.
            _ if methods.all(|chosen| chosen.method.is_alone()) => "Trained on ",
            _ => "Adapted to ",
        };
        format!("{} {to}{}", self.letter, self.words)
            .trim()
            .to_owned()
    }

    /// The expert tested against, where the panel is of one expert.
    pub(super) fn new_expert(&self, spec: &TableSpec) -> Option<u8> {
        let index = spec
            .panels
            .iter()
            .position(|axis| *axis == Axis::NEW_EXPERT)?;
        self.place[index].as_ref()?.whole()?.try_into().ok()
    }

    /// Whether a cell is in it.
    pub(super) fn holds(&self, position: &Position, spec: &TableSpec) -> bool {
        position.on(&spec.panels) == self.place
    }
}

/// The values of a place in words.
fn words(axes: &[Axis], place: &Coordinates) -> String {
    let values = axes.iter().zip(place);
    let values = values.filter_map(|(axis, value)| Some(axis.head(value.as_ref()?)));
    values.filter(|words| !words.is_empty()).join(", ")
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
        None => "–".into(),
    };
    if let (Spread::Sd, Some(sd)) = (spread, cell.sd) {
        text.push(format!(" ± {sd:.2}"), Mark::Plain);
    }
    if !cell.complete() {
        text.push(format!("† {}/{}", cell.defined, cell.runs), Mark::Plain);
    }
    text
}
