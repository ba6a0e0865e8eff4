//! How an experiment's cells make a table: what `[table]` declares.
//!
//! The rule: every axis of a grid lays out panels, rows or columns, or is averaged over, or
//! distinguishes the results of a cell. A layout that puts two cells in one place is refused.

use std::{collections::HashMap, sync::Arc};

use itertools::Itertools;

use super::{grid::Grid, swept::Swept};
use crate::grid::{Address, Axis, Coordinates, Setting, Value};

/// Which axes make a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// One grid of rows and columns for each of their values.
    pub panels: Vec<Axis>,
    /// The rows of a panel.
    pub rows: Vec<Axis>,
    /// The columns of a panel, for each measure.
    pub columns: Vec<Axis>,
    /// What is averaged over before anything else.
    pub average: Vec<Axis>,
    /// What distinguishes the results of a cell, which are its sample and the pairs of a paired
    /// test.
    pub results: Vec<Axis>,
    /// What a cell is compared with: the cell with these values, and its own on all other axes.
    pub compare: Vec<(Axis, Value)>,
}

/// What keeps cells from being laid out.
pub(super) struct Refusal {
    /// The axes that are not placed.
    pub(super) axes: Vec<Axis>,
    /// What is wrong, and what to do.
    pub(super) why: String,
}

impl TableSpec {
    /// The axes on which cells stand, in the order in which cells are compared.
    pub fn standing(&self, grid: &Grid, sweep: &[Swept]) -> Vec<Axis> {
        // Without repeats nothing has a place on their axis.
        let of_grid = Axis::of_grids().filter(|axis| *axis != Axis::REPEAT || grid.is_repeated());
        let axes = of_grid.chain(sweep.iter().map(Swept::axis));
        axes.filter(|axis| !self.average.contains(axis) && !self.results.contains(axis))
            .collect()
    }

    /// The table of one point of a sweep, in which no key is an axis.
    pub(super) fn without_swept(&self) -> Self {
        let grid = |axis: &&Axis| matches!(axis, Axis::Grid(_));
        let kept = |axes: &[Axis]| axes.iter().filter(grid).cloned().collect();
        Self {
            panels: kept(&self.panels),
            rows: kept(&self.rows),
            columns: kept(&self.columns),
            average: kept(&self.average),
            results: kept(&self.results),
            compare: self
                .compare
                .iter()
                .filter(|(axis, _)| grid(&axis))
                .cloned()
                .collect(),
        }
    }

    fn placing(&self) -> Vec<&Axis> {
        let placing = [&self.panels, &self.rows, &self.columns];
        placing.into_iter().flatten().collect()
    }

    /// A method without pretraining, where results are told apart by the repeat of theirs.
    fn has_no_repeat<'a>(&self, grid: &'a Grid) -> Option<&'a str> {
        let asked = grid.is_repeated() && self.results.contains(&Axis::REPEAT);
        let mut methods = grid.methods.iter().filter(|_| asked);
        let alone = methods.find(|chosen| !chosen.method.is_pretrained())?;
        Some(&alone.word)
    }

    /// What keeps the cells of a grid from being laid out, and what to do.
    pub(super) fn refusal(&self, grid: &Grid, sweep: &[Swept]) -> Option<Refusal> {
        if let Some(alone) = self.has_no_repeat(grid) {
            return Some(Refusal {
                axes: vec![Axis::REPEAT],
                why: format!(
                    "`table.results` has `repeat`, but {alone} has no pretraining to be repeated, \
                     so that its results have no pairs among the others; put `repeat` into \
                     `table.average`"
                ),
            });
        }
        let standing = self.standing(grid, sweep);
        let placing = self.placing();
        let mut cells: HashMap<Coordinates, Address> = HashMap::new();
        for at in sample(grid, sweep, standing.contains(&Axis::ANNOTATORS)) {
            let place = placing.iter().map(|axis| axis.of(&at)).collect();
            let other = cells.entry(place).or_insert_with(|| at.clone());
            let differ = standing
                .iter()
                .filter(|axis| axis.of(&at) != axis.of(other));
            let differ = differ.collect_vec();
            if !differ.is_empty() {
                let named = differ.iter().map(|axis| format!("`{axis}`")).join(" or ");
                return Some(Refusal {
                    axes: differ.into_iter().cloned().collect(),
                    why: format!(
                        "the table has one place for cells that differ in {named}; put it into \
                         `table.rows`, `table.columns` or `table.panels`, or into `table.average` \
                         or `table.results`"
                    ),
                });
            }
        }
        None
    }
}

/// Every swept key at the first of its values; then each of them alone at its second.
fn settings(sweep: &[Swept]) -> Vec<Arc<[Setting]>> {
    let keys = sweep.iter().filter_map(|swept| {
        let first = swept.settings().next()?;
        Some((first, swept.settings().nth(1)))
    });
    let keys = keys.collect_vec();
    let first = keys.iter().map(|(first, _)| first.clone()).collect_vec();
    let others = keys.iter().enumerate().filter_map(|(key, (_, second))| {
        let mut other = first.clone();
        other[key] = second.clone()?;
        Some(Arc::from(other))
    });
    let others = others.collect_vec();
    std::iter::once(Arc::from(first)).chain(others).collect()
}

/// Addresses that represent a grid: of an axis whose values are all treated alike, the first two.
fn sample(grid: &Grid, sweep: &[Swept], annotators: bool) -> Vec<Address> {
    let some = |values: &[usize]| values.iter().copied().take(2).collect_vec();
    let settings = settings(sweep);
    let mut found = Vec::new();
    for method in &grid.methods {
        let networks = grid.some_networks(&method.method, if annotators { 2 } else { 1 });
        for (network, new_expert) in networks.iter().cartesian_product(&grid.new_experts) {
            for (samples, start) in some(&grid.samples)
                .into_iter()
                .cartesian_product(some(&network.starts))
            {
                found.extend(settings.iter().map(|swept| Address {
                    new_expert: *new_expert,
                    method: method.clone(),
                    experts: network.experts.clone(),
                    names: grid.names.clone(),
                    samples,
                    start,
                    repeat: network.repeat,
                    swept: swept.clone(),
                }));
            }
        }
    }
    found
}
