//! A comparison as a document: keys first, then a table for each measure.

use itertools::Itertools;

use super::{
    cells::{ComparedCell, SideBySide},
    keys::KeyDifference,
};
use crate::{
    grid::Axis,
    report::{
        Document,
        document::{Align, Column, Element, MarkedText, Row, RowEntry, Tabular},
        p_value, signed,
    },
};

/// Longer titles than this are no titles; the folders are listed below.
const LONGEST: usize = 110;
/// The level below which a difference is marked.
pub(super) const ALPHA: f64 = 0.05;

impl SideBySide {
    /// Keys, the cells of each measure, and how to read them.
    pub fn document(&self) -> Document {
        let [a, b] = self.folders.each_ref().map(|folder| folder.display());
        let names = format!("{b} against {a}");
        let sides = [("A", 0), ("B", 1)].map(|(letter, i)| {
            let folder = self.folders[i].display();
            MarkedText::default()
                .bold(letter)
                .plain(format!(": {folder} ({})", self.of[i]))
        });
        let mut elements = vec![Element::List(sides.into()), self.keys()];
        elements.extend(self.by_measure().map(|(_, cells)| self.tabular(&cells)));
        elements.extend(self.notes());
        Document {
            title: match names.len() > LONGEST {
                true => "B against A".to_owned(),
                false => names,
            },
            elements,
        }
    }

    /// The cells of each measure, with the heading of their table.
    pub(super) fn by_measure(&self) -> impl Iterator<Item = (String, Vec<&ComparedCell>)> {
        let chunks = self.cells.chunk_by(|a, b| a.measure == b.measure);
        chunks.map(|cells| (self.heading(&cells[0]), cells.iter().collect()))
    }

    /// The axes of cells by their names in tables.
    pub(super) fn axis_names(&self) -> Vec<String> {
        let name = |column: &String| {
            let axis = Axis::of_grids().find(|axis| axis.column() == column);
            axis.map_or_else(|| column.clone(), |axis| axis.corner().to_owned())
        };
        self.axes.iter().map(name).collect()
    }

    fn heading(&self, cell: &ComparedCell) -> String {
        cell.measure.heading(&self.distances)
    }

    fn keys(&self) -> Element {
        let keys = match self.keys.as_deref() {
            None => {
                let text = "Keys are not compared: a folder has no variant.toml that says what \
                            it is of, or the manifest that it names cannot be read any more.";
                return Element::Paragraph(text.into());
            }
            Some([]) => return Element::Paragraph("No key differs.".into()),
            Some(keys) => keys,
        };
        let rows = keys.iter().map(|KeyDifference { key, values }| Row {
            head: key.clone(),
            entries: values
                .iter()
                .map(|value| match value {
                    Some(value) => RowEntry::words(MarkedText::default().code(value)),
                    None => RowEntry::words("–"),
                })
                .collect(),
        });
        Element::Tabular(Tabular {
            heading: "Keys that differ".to_owned(),
            new_expert: None,
            corner: "Key".to_owned(),
            columns: ["A", "B"].map(|side| column(side, Align::Left)).into(),
            rows: rows.collect(),
        })
    }

    fn tabular(&self, cells: &[&ComparedCell]) -> Element {
        let mut axes = self.axis_names().into_iter();
        let corner = axes.next().unwrap_or_default();
        let axes = axes.map(|axis| column(&axis, Align::Left));
        let numbers = ["A", "B", "B − A", "95 % interval", "p", "p (Holm)", "Pairs"];
        let numbers = numbers.map(|name| column(name, Align::Right));
        let verdict = column("B is", Align::Left);
        Element::Tabular(Tabular {
            heading: self.heading(cells[0]),
            new_expert: None,
            corner,
            columns: axes.chain(numbers).chain([verdict]).collect(),
            rows: cells.iter().map(|cell| row(cell)).collect(),
        })
    }

    fn notes(&self) -> Vec<Element> {
        let mut notes = vec![
            "Differences are means over ways of sampling; combinations of annotators and repeats \
             are averaged first. Paired t-tests; p (Holm) is corrected over the cells of a \
             measure. Bold, and “better” or “worse”: p (Holm) below .05. Keys are those of the \
             manifests as they are now."
                .to_owned(),
        ];
        let [a, b] = self.alone;
        if a + b > 0 {
            notes.push(format!(
                "Runs that only one of them has are left out: {a} of A, {b} of B."
            ));
        }
        let untested = self
            .cells
            .iter()
            .filter_map(|cell| cell.test.as_ref().err());
        for (why, count) in untested.counts_by(ToString::to_string).into_iter().sorted() {
            let cells = if count == 1 { "cell has" } else { "cells have" };
            notes.push(format!("{count} {cells} no test: {why}."));
        }
        if self.undefined > 0 {
            notes.push(format!(
                "Runs without a value of some measure in A or in B: {}.",
                self.undefined
            ));
        }
        let notes = notes.into_iter();
        notes.map(|note| Element::Paragraph(note.into())).collect()
    }
}

fn column(name: &str, align: Align) -> Column {
    Column {
        over: name.to_owned(),
        under: String::new(),
        align,
    }
}

fn row(cell: &ComparedCell) -> Row {
    let shown = |value: f64, how: &dyn Fn(f64) -> String| match value.is_nan() {
        true => "–".to_owned(),
        false => how(value),
    };
    let means = cell.means;
    let means = means.map(|mean| shown(mean, &|mean| format!("{mean:.2}")));
    let difference = shown(cell.difference(), &signed);
    let (difference, verdict) = match (cell.is_significant(), cell.is_better()) {
        (false, _) => (MarkedText::from(difference), ""),
        (true, true) => (MarkedText::default().bold(difference), "better"),
        (true, false) => (MarkedText::default().bold(difference), "worse"),
    };
    let (interval, p) = match &cell.test {
        Ok(test) => (
            format!("{} to {}", signed(test.ci95.0), signed(test.ci95.1)),
            p_value(test.p),
        ),
        // Why is told below the tables, once.
        Err(_) => ("–".to_owned(), "–".to_owned()),
    };
    let holm = cell.p_holm.map_or_else(|| "–".to_owned(), p_value);
    let mut places = cell.places();
    let head = places.next().unwrap_or_default();
    let numbers = [
        interval,
        p,
        holm,
        cell.pairs.to_string(),
        verdict.to_owned(),
    ];
    let entries = places.chain(means).map(RowEntry::words);
    Row {
        head,
        entries: entries
            .chain([RowEntry::words(difference)])
            .chain(numbers.map(RowEntry::words))
            .collect(),
    }
}

impl ComparedCell {
    /// Its values on the axes; a dash for none.
    pub(super) fn places(&self) -> impl Iterator<Item = String> {
        self.at.iter().map(|value| match value.as_str() {
            "" => "–".to_owned(),
            value => value.to_owned(),
        })
    }

    /// The second's mean less the first's.
    pub(super) fn difference(&self) -> f64 {
        self.means[1] - self.means[0]
    }

    /// Whether the difference is marked.
    pub(super) fn is_significant(&self) -> bool {
        self.p_holm.is_some_and(|p| p < ALPHA)
    }

    /// Its place in a line.
    pub(super) fn line(&self) -> String {
        self.places().join(" · ")
    }
}
