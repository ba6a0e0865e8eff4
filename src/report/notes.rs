//! What a table says of itself in words: its caption and its notes.
//!
//! The rule: where data are synthetic, origins are mixed or runs are missing, it is said here and so in every format.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools;

use super::{Provenance, document::Text, table::Table};
use crate::{
    data::Provenance as Origin,
    manifest::{Arm, Block, Experiment, PAPER, Unpaired},
    results::{Results, Status, Tally},
    store::MadeBy,
};

/// What the table stands on: data, profile, recipe, machine.
pub(super) fn caption(
    spec: &Experiment,
    made_by: &BTreeSet<&MadeBy>,
    provenance: &Provenance,
) -> Text {
    let recipe = &spec.recipe;
    let size = format!(
        ": width {}, {1} x {1} pixels from a crop of {2}, batch {3}, {4} steps from random \
         initialisation, {5} of fine-tuning.",
        recipe.network.width,
        recipe.image.input(),
        recipe.image.crop,
        recipe.training.batch,
        spec.scratch.steps,
        spec.finetune.steps,
    );
    let text = data(provenance).plain(" ").then(profile(spec)).plain(size);
    let made_by = made_by.iter().map(|made| {
        format!(
            "{} ({}), expertgrid {}",
            made.device, made.engine, made.version
        )
    });
    match made_by.collect_vec().as_slice() {
        [] => text,
        [one] => text.plain(format!(" Computed on {one}.")),
        several => text
            .plain(" ")
            .bold("Mixed origin:")
            .plain(format!(" computed on {}.", several.join("; on "))),
    }
}

/// Which profile, and what was set on top of it.
pub(super) fn profile(spec: &Experiment) -> Text {
    let mut text = Text::from("Profile ")
        .code(&spec.profile)
        .plain(match spec.profile.as_str() {
            PAPER => ", the manifest's own keys",
            _ => ", reduced from the paper's size",
        });
    for (i, set) in spec.overrides.iter().enumerate() {
        text = text
            .plain(if i == 0 { ", with " } else { " and " })
            .code(set);
    }
    text
}

/// Which data, and that they are synthetic where they are.
pub(super) fn data(provenance: &Provenance) -> Text {
    let text = match provenance.origin {
        Origin::Synthetic => Text::default()
            .bold("Synthetic data:")
            .plain(" the images and the experts' masks were drawn by a program. "),
        Origin::SimulatedExperts => Text::default()
            .bold("Simulated experts:")
            .plain(" the images are real, the experts' masks were derived by a program. "),
        Origin::Acquired | Origin::Undeclared => Text::default(),
    };
    text.plain(format!("Data set: {}.", provenance.dataset))
}

/// How to read the table, and what it lacks.
pub(super) fn notes(table: &Table, results: &Results<'_>, experiment: usize) -> Vec<Text> {
    let spec = &results.plan.experiments[experiment];
    let notes = [
        reading(spec),
        holes(table),
        unsettled(table, results, experiment),
    ];
    notes.into_iter().filter(|note| !note.is_empty()).collect()
}

fn reading(spec: &Experiment) -> Text {
    let single = spec.grid.arms == [Arm::Single];
    let test = match (single, spec.statistics.unpaired) {
        (true, Unpaired::Student) => "unpaired t-test",
        (true, Unpaired::Welch) => "Welch's t-test",
        (false, _) => "paired t-test",
    };
    let averaged = match spec.grid.annotators.choose.is_empty() {
        true => "",
        false => ", each averaged over all combinations of annotation experts",
    };
    let mut text = Text::default()
        .plain(format!(
            "Each cell is the mean of {} results, one per way of sampling{averaged}. ",
            spec.grid.starts.len()
        ))
        .bold("Bold:")
        .plain(format!(
            " the best mean of {}, and those not significantly different from it ({test}, alpha = {}).",
            match spec.statistics.block {
                Block::Table => "its metric and expert",
                Block::Row => "its metric in its row",
                Block::Column => "its column",
            },
            spec.statistics.alpha
        ));
    if spec.grid.arms.contains(&Arm::With) && spec.grid.arms.contains(&Arm::Without) {
        text = text
            .plain(" ")
            .underlined("Underlined:")
            .plain(" significantly better than its counterpart without pretraining.");
    }
    text.plain(
        " The ways of sampling overlap and share their test images, so results are not independent and p-values \
         are optimistic.",
    )
}

fn holes(table: &Table) -> Text {
    if table.cells.iter().all(|cell| cell.complete()) {
        return Text::default();
    }
    let mut text = Text::from(
        "† k/n: only k of the cell's n runs have a defined value; the mean is theirs. Such a cell earns no mark and \
         is not tested.",
    );
    for cell in &table.cells {
        let Some(worst) = cell.worst else { continue };
        text = text.plain(format!(
            " {} of {}: {worst:.2} if every undefined value were the worst possible.",
            cell.metric.name(),
            cell.position,
        ));
    }
    text
}

/// How many reasons of failures a note names.
const REASONS: usize = 5;

fn unsettled(table: &Table, results: &Results<'_>, experiment: usize) -> Text {
    let spec = &results.plan.experiments[experiment];
    let tally = results.tally(experiment);
    let Tally {
        ok: _,
        undefined,
        failed,
        missing,
    } = tally;
    if undefined + failed + missing == 0 {
        return Text::default();
    }
    let mut text = Text::from(format!(
        "Of the {} runs, {undefined} have an undefined metric, {failed} failed, {missing} were not run yet; ",
        tally.runs(),
    ))
    .code("runs.csv")
    .plain(" names them.");
    if table.cells.iter().any(|cell| !cell.settled()) {
        let block = match spec.statistics.block {
            Block::Table => "a metric and expert",
            Block::Row => "a metric in a row",
            Block::Column => "a column",
        };
        text = text.plain(format!(
            " Where runs of {block} have no result, the best of them is not known and nothing is bold."
        ));
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, outcome) in results.of(experiment) {
        if let Status::Failed(reason) = &outcome.status {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
    }
    for (reason, count) in reasons.iter().take(REASONS) {
        text = text.plain(format!(
            " Failed ({count}): {}.",
            reason.trim_end_matches('.')
        ));
    }
    match reasons.len().saturating_sub(REASONS) {
        0 => text,
        more => text
            .plain(format!(" {more} more reasons are in "))
            .code("runs.csv")
            .plain("."),
    }
}
