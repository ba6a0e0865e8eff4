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

/// The axis that tells the results of a cell apart; repeats do where there is one start only, and
/// are averaged over otherwise.
const START: &str = "start";
const REPEAT: &str = "repeat";
/// The axis that is averaged over within a result, where it names the annotators of a pretraining.
/// Without one it names the expert of the masks, and tells cells apart.
const ANNOTATORS: &str = "annotators";

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
    /// Runs without a value of some measure in one of them.
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
        let runs = shared.iter().map(|(at, rows)| {
            let [first, second] = [0, 1].map(|i| rows[i].values[places[i]]);
            let values = first.zip(second).map(<[f64; 2]>::from);
            if values.is_none() {
                undefined.insert((*at).clone());
            }
            SharedRun {
                at,
                is_pretrained: rows.iter().all(|row| row.is_pretrained),
                values,
            }
        });
        let runs: Vec<SharedRun<'_>> = runs.collect();
        cells.extend(compared(measure, axes, &runs));
    }
    let mut axes: Vec<String> = axes
        .iter()
        .filter(|axis| is_of_cells(axis))
        .cloned()
        .collect();
    // Whose combinations are all averaged over, needs no column.
    if let Some(place) = axes.iter().position(|axis| axis == ANNOTATORS)
        && cells.iter().all(|cell| cell.at[place].is_empty())
    {
        axes.remove(place);
        cells
            .iter_mut()
            .for_each(|cell| drop(cell.at.remove(place)));
    }
    Ok(SideBySide {
        folders: owned(),
        of,
        keys,
        axes,
        cells,
        alone,
        undefined: undefined.len(),
        distances: first_rows.distances,
    })
}

/// A run that both have.
struct SharedRun<'a> {
    at: &'a [String],
    is_pretrained: bool,
    /// In the first and in the second; none where one of them has no value.
    values: Option<[f64; 2]>,
}

fn is_of_cells(axis: &str) -> bool {
    ![START, REPEAT].contains(&axis)
}

/// The cells of a measure, in the order of their places.
fn compared(measure: Measure, axes: &[String], runs: &[SharedRun<'_>]) -> Vec<ComparedCell> {
    let mut by_cell: BTreeMap<Vec<String>, Vec<&SharedRun<'_>>> = BTreeMap::new();
    for run in runs {
        let places = axes
            .iter()
            .zip(run.at)
            .filter(|(axis, _)| is_of_cells(axis));
        let place = places.map(
            |(axis, value)| match axis == ANNOTATORS && run.is_pretrained {
                true => String::new(),
                false => value.clone(),
            },
        );
        by_cell.entry(place.collect()).or_default().push(run);
    }
    let mut cells: Vec<ComparedCell> = by_cell
        .into_iter()
        .map(|(at, runs)| cell(measure, axes, at, &runs))
        .collect();
    cells.sort_by_key(|cell| natural(&cell.at));
    let tested = cells.iter().filter_map(|cell| cell.test.ok());
    let adjusted = stats::holm(&tested.map(|test| test.p).collect::<Vec<_>>());
    let mut adjusted = adjusted.into_iter();
    for cell in cells.iter_mut().filter(|cell| cell.test.is_ok()) {
        cell.p_holm = adjusted.next();
    }
    cells
}

/// A cell of these runs. One with a run without a value has no test.
fn cell(
    measure: Measure,
    axes: &[String],
    at: Vec<String>,
    runs: &[&SharedRun<'_>],
) -> ComparedCell {
    let of = |run: &SharedRun<'_>, wanted: &str| {
        let place = axes.iter().position(|axis| axis == wanted);
        place.map(|place| run.at[place].clone())
    };
    let starts: BTreeSet<Option<String>> = runs.iter().map(|run| of(run, START)).collect();
    let by = if starts.len() > 1 { START } else { REPEAT };
    let mut results: BTreeMap<Option<String>, Vec<[f64; 2]>> = BTreeMap::new();
    for run in runs {
        if let Some(values) = run.values {
            results.entry(of(run, by)).or_default().push(values);
        }
    }
    let mean = |i: usize| -> Vec<(&Option<String>, f64)> {
        let results = results.iter();
        let means = results.map(|(result, values)| {
            let of_one: Vec<f64> = values.iter().map(|values| values[i]).collect();
            (result, stats::mean(&of_one).unwrap_or(f64::NAN))
        });
        means.collect()
    };
    let pairs = Pairs::join(&mean(1), &mean(0)).expect("both have the same results");
    let means = [pairs.second(), pairs.first()];
    ComparedCell {
        measure,
        at,
        means: means.map(|values| stats::mean(values).unwrap_or(f64::NAN)),
        pairs: pairs.first().len(),
        test: match runs.iter().all(|run| run.values.is_some()) {
            true => stats::paired(&pairs),
            false => Err(Undefined::UndefinedValue),
        },
        p_holm: None,
    }
}

/// Values in the order of their numbers, where they are numbers.
fn natural(values: &[String]) -> Vec<(bool, u64, String)> {
    let each = values.iter().map(|value| match value.parse::<u64>() {
        Ok(number) => (false, number, String::new()),
        Err(_) => (true, 0, value.clone()),
    });
    each.collect()
}
