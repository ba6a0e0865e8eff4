//! The runs of a plan, each with its state: `plan --list`.

use std::collections::HashSet;

use itertools::Itertools;
use serde::Serialize;

use crate::{
    key::Digest,
    plan::{Fields, Picking, Plan, Run},
};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum RunState {
    /// It has its scores.
    Done,
    /// It has its network, or predictions, and no scores.
    Network,
    /// It has none of them.
    Left,
}

/// A run, as it is listed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ListedRun {
    state: RunState,
    /// The stage of its network, or of the predictions that serve.
    stage: Digest,
    /// The names of fields with the run's values, those that it has.
    fields: Vec<(String, String)>,
}

/// The runs that are picked, in the plan's order; `there` are the stages in the store.
pub(super) fn listed(plan: &Plan, picking: &Picking, there: &HashSet<Digest>) -> Vec<ListedRun> {
    let fields = Fields::of(plan);
    let runs = plan.runs.iter().filter(|run| picking.wants(run, plan));
    let listed = |run: &Run| {
        let digest = |id| plan.stage(id).digest;
        let values = fields.list().iter().enumerate();
        let values = values.filter_map(|(index, field)| {
            let value = fields.value(index, run, plan)?.to_string();
            (!value.is_empty()).then(|| (field.name.clone(), value))
        });
        let stage = digest(run.network);
        ListedRun {
            state: match (
                there.contains(&digest(run.evaluation)),
                there.contains(&stage),
            ) {
                (true, _) => RunState::Done,
                (false, true) => RunState::Network,
                (false, false) => RunState::Left,
            },
            stage,
            fields: values.collect(),
        }
    };
    runs.map(listed).collect()
}

/// A line for each run under a line of headings, in columns.
pub(super) fn lines(runs: &[ListedRun]) -> Vec<String> {
    let names = runs.iter().flat_map(|run| run.fields.iter());
    let names: Vec<&String> = names.map(|(name, _)| name).unique().collect();
    let of = |run: &ListedRun| {
        let state = match run.state {
            RunState::Done => "done",
            RunState::Network => "network",
            RunState::Left => "left",
        };
        let value = |name: &&String| {
            let mut fields = run.fields.iter();
            let found = fields.find(|(field, _)| field == *name);
            found.map_or_else(|| "-".to_owned(), |(_, value)| value.clone())
        };
        let first = [state.to_owned(), run.stage.short()].into_iter();
        first.chain(names.iter().map(value)).collect_vec()
    };
    let headings = ["state", "stage"].into_iter();
    let headings = headings.chain(names.iter().map(|name| name.as_str()));
    let mut rows = vec![headings.map(str::to_owned).collect_vec()];
    rows.extend(runs.iter().map(of));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect_vec().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
