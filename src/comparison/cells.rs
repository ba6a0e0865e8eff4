//! The cells that two experiments share, each with its means and a paired test.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    error::ComparisonError,
    keys::{self, KeyDifference},
    rows::{ResultRow, ResultRows},
};
use crate::{
    metric::Measure,
    stats::{self, Pairs, TTest, Undefined},
};

/// Axes that tell results of one cell apart; the others tell cells apart.
const RESULTS: [&str; 2] = ["start", "repeat"];
/// The axis that is averaged over within a result.
const AVERAGED: &str = "combination";

/// Two experiments side by side. Differences are the second less the first.
#[derive(Clone, Debug)]
pub struct SideBySide {
    /// The folders that were compared.
    pub folders: [PathBuf; 2],
    /// What the results are of, in words: the data set and the profile.
    pub of: [String; 2],
    /// The keys in which they differ; none where a manifest cannot be read any more.
    pub keys: Option<Vec<KeyDifference>>,
    /// The names of the axes that tell cells apart.
    pub axes: Vec<String>,
    /// The cells that both have, measure by measure.
    pub cells: Vec<ComparedCell>,
    /// Runs that one of them has alone, in the first and in the second.
    pub alone: [usize; 2],
    /// Runs without a value in one of them.
    pub undefined: usize,
    /// The unit of distances.
    pub distances: String,
}

/// A cell of both experiments.
#[derive(Clone, Debug)]
pub struct ComparedCell {
    /// What is measured.
    pub measure: Measure,
    /// The values of the axes.
    pub at: Vec<String>,
    /// The means, in the unit of tables.
    pub means: [f64; 2],
    /// The results in each: pairs of the test.
    pub pairs: usize,
    /// The paired test of the second against the first, or why there is none.
    pub test: Result<TTest, Undefined>,
    /// Its p after Holm's correction over the cells of the measure.
    pub p_holm: Option<f64>,
}

impl ComparedCell {
    /// Whether the second is better.
    pub fn is_better(&self) -> bool {
        self.measure.gain(self.means[1], self.means[0]) > 0.0
    }
}

/// Compares two folders of results, such as `results/table2/phantom`.
///
/// # Errors
/// [`ComparisonError`].
pub fn compare(folders: [&Path; 2]) -> Result<SideBySide, ComparisonError> {
    let [first, second] = folders;
    let (first_rows, second_rows) = (ResultRows::read(first)?, ResultRows::read(second)?);
    let owned = || [first.to_owned(), second.to_owned()];
    if first_rows.axes != second_rows.axes {
        return Err(ComparisonError::OtherAxes {
            folders: owned(),
            axes: [first_rows.axes, second_rows.axes],
        });
    }
    if first_rows.distances != second_rows.distances {
        let units = [first_rows.distances, second_rows.distances];
        return Err(ComparisonError::OtherUnits(units));
    }
    let (keys, of) = keys::differing(folders);
    let axes = &first_rows.axes;
    let by_axes = |rows: &ResultRows| -> BTreeMap<Vec<String>, ResultRow> {
        let rows = rows.rows.iter();
        rows.map(|row| (row.at.clone(), row.clone())).collect()
    };
    let (of_first, of_second) = (by_axes(&first_rows), by_axes(&second_rows));
    let only = |one: &BTreeMap<Vec<String>, ResultRow>,
                other: &BTreeMap<Vec<String>, ResultRow>| {
        one.keys().filter(|at| !other.contains_key(*at)).count()
    };
    let alone = [only(&of_first, &of_second), only(&of_second, &of_first)];
    let shared = of_first.iter();
    let shared = shared.filter_map(|(at, row)| Some((at, [row, of_second.get(at)?])));
    let shared: Vec<(&Vec<String>, [&ResultRow; 2])> = shared.collect();
    if shared.is_empty() {
        return Err(ComparisonError::NothingShared {
            folders: owned(),
            axes: axes.join(", "),
        });
    }
    let measures = first_rows.measures.iter().copied();
    let measures = measures.filter(|measure| second_rows.measures.contains(measure));
    let mut undefined = BTreeSet::new();
    let mut cells = Vec::new();
    for measure in measures {
        let place = |rows: &ResultRows| {
            let mut measures = rows.measures.iter();
            measures.position(|known| *known == measure)
        };
        let places = [place(&first_rows), place(&second_rows)].map(Option::unwrap_or_default);
        let values = shared.iter().filter_map(|(at, rows)| {
            let value = |i: usize| rows[i].values[places[i]];
            match (value(0), value(1)) {
                (Some(first), Some(second)) => Some((*at, [first, second])),
                _ => {
                    undefined.insert((*at).clone());
                    None
                }
            }
        });
        cells.extend(compared(measure, axes, values.collect()));
    }
    Ok(SideBySide {
        folders: owned(),
        of,
        keys,
        axes: axes
            .iter()
            .filter(|axis| is_of_cells(axis))
            .cloned()
            .collect(),
        cells,
        alone,
        undefined: undefined.len(),
        distances: first_rows.distances,
    })
}

fn is_of_cells(axis: &str) -> bool {
    !RESULTS.contains(&axis) && axis != AVERAGED
}

/// The cells of a measure, in the order in which files have them.
fn compared(
    measure: Measure,
    axes: &[String],
    values: Vec<(&Vec<String>, [f64; 2])>,
) -> Vec<ComparedCell> {
    let part = |at: &[String], wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        let places = axes.iter().zip(at).filter(|(axis, _)| wanted(axis));
        places.map(|(_, value)| value.clone()).collect()
    };
    // By cell, then by result: the sums over combinations.
    type Sums = BTreeMap<Vec<String>, (usize, [f64; 2])>;
    let mut by_cell: BTreeMap<Vec<String>, Sums> = BTreeMap::new();
    let mut order: Vec<Vec<String>> = Vec::new();
    for (at, [first, second]) in values {
        let cell = part(at, &is_of_cells);
        if !by_cell.contains_key(&cell) {
            order.push(cell.clone());
        }
        let results = by_cell.entry(cell).or_default();
        let result = part(at, &|axis| RESULTS.contains(&axis));
        let (count, sums) = results.entry(result).or_default();
        *count += 1;
        sums[0] += first;
        sums[1] += second;
    }
    order.sort_by_key(|at| natural(at));
    let mut cells: Vec<ComparedCell> = Vec::new();
    for at in order {
        let results = &by_cell[&at];
        let mean = |i: usize| -> Vec<(&Vec<String>, f64)> {
            let results = results.iter();
            results
                .map(|(result, (count, sums))| (result, sums[i] / *count as f64))
                .collect()
        };
        let (first, second) = (mean(0), mean(1));
        let pairs = Pairs::join(&second, &first).expect("both have the same results");
        let means = [pairs.second(), pairs.first()];
        let means = means.map(|values| stats::mean(values).unwrap_or(f64::NAN));
        cells.push(ComparedCell {
            measure,
            at,
            means,
            pairs: pairs.first().len(),
            test: stats::paired(&pairs),
            p_holm: None,
        });
    }
    let tested = cells.iter().filter_map(|cell| cell.test.ok());
    let adjusted = stats::holm(&tested.map(|test| test.p).collect::<Vec<_>>());
    let mut adjusted = adjusted.into_iter();
    for cell in cells.iter_mut().filter(|cell| cell.test.is_ok()) {
        cell.p_holm = adjusted.next();
    }
    cells
}

/// Values in the order of their numbers, where they are numbers.
fn natural(values: &[String]) -> Vec<(bool, u64, String)> {
    let each = values.iter().map(|value| match value.parse::<u64>() {
        Ok(number) => (false, number, String::new()),
        Err(_) => (true, 0, value.clone()),
    });
    each.collect()
}
