//! Reads `[table]`, with defaults that depend on the grid.

use itertools::Itertools;

use super::{
    document::TomlNode,
    grid::{Grid, MOST_RUNS},
    kind::Key,
    reader::{FromNode, Located, Misfit, Section},
    swept::Swept,
    table,
    table_spec::TableSpec,
};
use crate::grid::{Axis, Value};

/// `"samples"` or `["samples", "method"]`; a list may be empty.
struct WordList(Vec<Located<String>>);

impl FromNode for WordList {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        let words = Vec::from_node(node).map(Self);
        words.map_err(|_| "a text in quotes, or a list of them".into())
    }
}

/// Reads the section; what cannot be laid out is a problem.
pub(super) fn table_spec(section: Section<'_>, grid: &Grid, sweep: &[Swept]) -> TableSpec {
    let mut taken = Vec::new();
    let mut axes = |key: &Key| axes(&section, key, sweep, &mut taken);
    let panels = axes(&table::PANELS);
    let rows = axes(&table::ROWS);
    let columns = axes(&table::COLUMNS);
    let average = axes(&table::AVERAGE);
    let results = axes(&table::RESULTS);
    let free = |axis: &Axis, given: &[&Option<Vec<Axis>>]| {
        !given
            .iter()
            .copied()
            .flatten()
            .flatten()
            .any(|taken| taken == axis)
    };
    let given = [&panels, &rows, &columns, &average, &results];
    let default = |axes: &[Axis]| -> Vec<Axis> {
        let axes = axes.iter().filter(|axis| free(axis, &given));
        axes.cloned().collect()
    };
    let rows_or_samples = rows.clone().unwrap_or_else(|| default(&[Axis::SAMPLES]));
    let usual = [
        Axis::METHOD,
        Axis::EXPERTS,
        Axis::SAMPLES,
        Axis::TRAIN_EXPERT,
    ];
    let all = usual.into_iter().chain(sweep.iter().map(Swept::axis));
    let mut left = default(&all.collect_vec());
    left.retain(|axis| !rows_or_samples.contains(axis));
    let mut spec = TableSpec {
        panels: panels
            .clone()
            .unwrap_or_else(|| default(&[Axis::NEW_EXPERT])),
        rows: rows_or_samples,
        columns: columns.clone().unwrap_or_default(),
        average: average.clone().unwrap_or_else(|| match grid.is_repeated() {
            true => default(&[Axis::ANNOTATORS, Axis::REPEAT]),
            false => default(&[Axis::ANNOTATORS]),
        }),
        results: results.clone().unwrap_or_else(|| default(&[Axis::START])),
        compare: Vec::new(),
    };
    if columns.is_none() {
        spec.columns = left;
        // Zero experts in a row say that nothing was pretrained: with one pretrained method, the
        // row tells the methods apart.
        if spec.rows.contains(&Axis::EXPERTS) && grid.runs() <= MOST_RUNS {
            let without = TableSpec {
                columns: spec
                    .columns
                    .iter()
                    .filter(|a| **a != Axis::METHOD)
                    .cloned()
                    .collect(),
                ..spec.clone()
            };
            if without.refusal(grid, sweep).is_none() {
                spec = without;
            }
        }
    }
    if grid.runs() > MOST_RUNS {
        // The grid is refused already, and too large to be expanded.
        section.skip(table::COMPARE.last());
        section.finish();
        return spec;
    }
    if let Some(refusal) = spec.refusal(grid, sweep) {
        let free = sweep
            .iter()
            .find(|swept| refusal.axes.contains(&swept.axis()));
        let place = match free.and_then(|swept| swept.values.first()) {
            Some(value) => &value.place,
            None => section.place(),
        };
        section.note(place, refusal.why);
    }
    spec.compare = compare(&section, &spec, grid, sweep);
    section.finish();
    spec
}

/// The axes of a key; none where it is absent. An axis that another key has taken is a problem.
fn axes(
    section: &Section<'_>,
    key: &Key,
    sweep: &[Swept],
    taken: &mut Vec<(Axis, &'static str)>,
) -> Option<Vec<Axis>> {
    let words = section.optional::<WordList>(key.last())?;
    let mut axes = Vec::new();
    for word in words.0 {
        let axis = match named(&word.value, sweep) {
            Ok(axis) => axis,
            Err(why) => {
                section.note(&word.place, why);
                continue;
            }
        };
        match taken.iter().find(|(known, _)| *known == axis) {
            Some((_, by)) => section.note(
                &word.place,
                format!("`{axis}` stands in `table.{by}` already"),
            ),
            None => {
                taken.push((axis.clone(), key.last()));
                axes.push(axis);
            }
        }
    }
    Some(axes)
}

/// The axis of a word.
fn named(word: &str, sweep: &[Swept]) -> Result<Axis, String> {
    if let Some(axis) = Axis::named(word) {
        return Ok(axis);
    }
    if let Some(swept) = sweep.iter().find(|swept| swept.key == word) {
        return Ok(swept.axis());
    }
    if table::key(word).is_some() {
        return Err(format!(
            "`{word}` has one value; list several under [sweep] to make it an axis"
        ));
    }
    let known = Axis::of_grids().map(|axis| axis.word().to_owned());
    let known = known.chain(sweep.iter().map(|swept| swept.key.clone()));
    Err(format!(
        "there is no axis `{word}`; the axes are {}",
        known.collect_vec().join(", ")
    ))
}

/// What cells are compared with.
fn compare(
    section: &Section<'_>,
    spec: &TableSpec,
    grid: &Grid,
    sweep: &[Swept],
) -> Vec<(Axis, Value)> {
    let Some(words) = section.optional::<WordList>(table::COMPARE.last()) else {
        return baseline(spec, grid);
    };
    let mut found = Vec::new();
    for word in words.0 {
        if word.value == "none" {
            continue;
        }
        match compared(&word.value, spec, grid, sweep) {
            Ok(with) => found.push(with),
            Err(why) => section.note(&word.place, why),
        }
    }
    found
}

/// The one method that trains on the new expert's samples alone, where others pretrain.
fn baseline(spec: &TableSpec, grid: &Grid) -> Vec<(Axis, Value)> {
    let alone = grid
        .methods
        .iter()
        .filter(|method| method.method.is_alone());
    match (alone.exactly_one(), grid.pretrains()) {
        (Ok(method), true) if !spec.average.contains(&Axis::METHOD) => {
            vec![(Axis::METHOD, Value::Method(method.clone()))]
        }
        _ => Vec::new(),
    }
}

fn compared(
    text: &str,
    spec: &TableSpec,
    grid: &Grid,
    sweep: &[Swept],
) -> Result<(Axis, Value), String> {
    let Some((axis, word)) = text.split_once('=') else {
        return Err(format!(
            "`{text}` is no comparison; write for example `compare = \"method=w/o\"`, or \"none\""
        ));
    };
    let (axis, word) = (named(axis.trim(), sweep)?, word.trim());
    if !spec.standing(grid, sweep).contains(&axis) {
        return Err(format!(
            "cells do not differ in `{axis}`, so none is compared by it"
        ));
    }
    let values = grid.values(&axis, sweep);
    let found = values.iter().find(|value| value.is(word)).cloned();
    match found {
        Some(value) => Ok((axis, value)),
        None => Err(format!(
            "no cell has `{axis}` = {word}; its values are {}",
            values.iter().format(", ")
        )),
    }
}
