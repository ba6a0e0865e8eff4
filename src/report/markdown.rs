//! The table as Markdown, in the paper's layout, columns aligned so that it reads as plain text.

use std::{collections::BTreeSet, fmt::Write};

use itertools::Itertools;

use super::{
    Provenance, Synthetic,
    table::{Cell, Position, Table},
};
use crate::{
    manifest::{Arm, Experiment, PAPER, Rows},
    results::{Metric, Results, Tally},
    store::MadeBy,
};

/// The whole file: title, caption, one table per new expert, notes.
pub(super) fn render(
    table: &Table,
    results: &Results<'_>,
    experiment: usize,
    provenance: &Provenance,
) -> String {
    let spec = &results.plan.experiments[experiment];
    let mut text = format!("# {}: {}\n\n", table.name, title(spec));
    text.push_str(&caption(spec, &results.made_by(experiment), provenance));
    text.push('\n');
    for (letter, new_expert) in ('a'..).zip(&spec.grid.new_experts) {
        let heading = match spec.rows {
            Rows::TrainExpert => "Tested on",
            Rows::Samples | Rows::Experts => "Adapted to",
        };
        let _ = writeln!(text, "## ({letter}) {heading} expert {new_expert}\n");
        text.push_str(&one(table, spec, *new_expert));
        text.push('\n');
    }
    text.push_str(&notes(table, spec, results.tally(experiment)));
    text
}

fn title(spec: &Experiment) -> &str {
    match spec.title.as_str() {
        "" => "results",
        title => title,
    }
}

fn caption(spec: &Experiment, made_by: &BTreeSet<&MadeBy>, provenance: &Provenance) -> String {
    let recipe = &spec.recipe;
    let mut text = String::new();
    if provenance.synthetic == Synthetic::Yes {
        text.push_str(
            "**Synthetic data:** the images and the experts' masks were drawn by a program. ",
        );
    }
    let _ = write!(text, "Data set: {}. ", provenance.dataset);
    match spec.profile.as_str() {
        PAPER => text.push_str("Profile `paper`, the manifest's own keys"),
        profile => {
            let _ = write!(text, "Profile `{profile}`, reduced from the paper's size");
        }
    }
    let _ = write!(
        text,
        ": width {}, {1} x {1} pixels from a crop of {2}, batch {3}, {4} steps from random \
         initialisation, {5} of fine-tuning. ",
        recipe.network.width,
        recipe.image.input(),
        recipe.image.crop,
        recipe.training.batch,
        spec.scratch.steps,
        spec.finetune.steps,
    );
    let made_by: Vec<String> = made_by
        .iter()
        .map(|made| {
            format!(
                "{} ({}), expertgrid {}",
                made.device, made.engine, made.version
            )
        })
        .collect();
    match made_by.as_slice() {
        [] => {}
        [one] => {
            let _ = write!(text, "Computed on {one}. ");
        }
        several => {
            let _ = write!(
                text,
                "**Mixed origin:** computed on {}. ",
                several.join("; on ")
            );
        }
    }
    text.pop();
    text.push('\n');
    text
}

/// What tells two columns of one metric apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Column {
    arm: Option<Arm>,
    experts: Option<usize>,
    samples: Option<usize>,
}

fn one(table: &Table, spec: &Experiment, new_expert: u8) -> String {
    let cells: Vec<&Cell> = table
        .cells
        .iter()
        .filter(|cell| cell.position.new_expert == new_expert)
        .collect();
    let row = |position: &Position| match spec.rows {
        Rows::TrainExpert => usize::from(position.train_expert.unwrap_or(0)),
        Rows::Samples => position.samples,
        Rows::Experts => position.experts,
    };
    // With the number of experts as rows, 0 says that there was no pretraining.
    let column = |position: &Position| Column {
        samples: (spec.rows != Rows::Samples).then_some(position.samples),
        experts: (spec.rows == Rows::Samples && position.arm == Arm::With)
            .then_some(position.experts),
        arm: (spec.rows != Rows::Experts).then_some(position.arm),
    };
    let rows: BTreeSet<usize> = cells.iter().map(|cell| row(&cell.position)).collect();
    let columns: BTreeSet<Column> = cells.iter().map(|cell| column(&cell.position)).collect();
    let mut grid = vec![header(spec, &columns)];
    for this in rows {
        let mut line = vec![match spec.rows {
            Rows::TrainExpert => format!("expert {this}"),
            Rows::Samples | Rows::Experts => this.to_string(),
        }];
        for metric in Metric::ALL {
            for wanted in &columns {
                let found = cells.iter().find(|cell| {
                    cell.metric == metric
                        && row(&cell.position) == this
                        && column(&cell.position) == *wanted
                });
                line.push(found.map_or(String::new(), |cell| value(cell)));
            }
        }
        grid.push(line);
    }
    aligned(&grid)
}

fn header(spec: &Experiment, columns: &BTreeSet<Column>) -> Vec<String> {
    let varies =
        |of: &dyn Fn(&Column) -> Option<usize>| columns.iter().filter_map(of).unique().count() > 1;
    let (many_samples, many_experts) = (varies(&|c| c.samples), varies(&|c| c.experts));
    let many_arms = columns.iter().map(|c| c.arm).unique().count() > 1;
    let mut line = vec![
        match spec.rows {
            Rows::TrainExpert => "Train",
            Rows::Samples => "# Samples",
            Rows::Experts => "# Experts",
        }
        .to_owned(),
    ];
    for metric in ["Dice (%) ↑", "ASSD ↓", "95HD ↓"] {
        for column in columns {
            let mut words = vec![metric.to_owned()];
            if let (true, Some(arm)) = (many_arms, column.arm) {
                words.push(arm.to_string());
            }
            if let (true, Some(experts)) = (many_experts, column.experts) {
                words.push(format!("k={experts}"));
            }
            if let (true, Some(samples)) = (many_samples, column.samples) {
                words.push(format!("n={samples}"));
            }
            line.push(words.join(" "));
        }
    }
    line
}

fn value(cell: &Cell) -> String {
    let Some(mean) = cell.mean else {
        return "–".to_owned();
    };
    let mut text = format!("{mean:.2}");
    if cell.underline {
        text = format!("<u>{text}</u>");
    }
    if cell.bold {
        text = format!("**{text}**");
    }
    if !cell.complete() {
        let _ = write!(text, "† {}/{}", cell.defined, cell.runs);
    }
    text
}

/// A Markdown table with padded columns.
fn aligned(grid: &[Vec<String>]) -> String {
    let width = |column: usize| grid.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..grid[0].len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (i, line) in grid.iter().enumerate() {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:>width$}"));
        let _ = writeln!(text, "| {} |", cells.format(" | "));
        if i == 0 {
            let rules = widths
                .iter()
                .map(|width| format!("{:->width$}:", "", width = width.max(&3) - 1));
            let _ = writeln!(text, "| {} |", rules.format(" | "));
        }
    }
    text
}

fn notes(table: &Table, spec: &Experiment, tally: Tally) -> String {
    let single = spec.grid.arms == [Arm::Single];
    let test = match (single, spec.statistics.unpaired) {
        (true, crate::manifest::Unpaired::Student) => "unpaired t-test",
        (true, crate::manifest::Unpaired::Welch) => "Welch's t-test",
        (false, _) => "paired t-test",
    };
    let alpha = spec.statistics.alpha;
    let mut text = format!(
        "Each cell is the mean of {} results, one per way of sampling",
        spec.grid.starts.len()
    );
    if !spec.grid.annotators.choose.is_empty() {
        text.push_str(", each averaged over all combinations of annotation experts");
    }
    let _ = write!(
        text,
        ". **Bold:** the best mean of its metric and expert, and those not significantly different \
         from it ({test}, alpha = {alpha})."
    );
    if spec.grid.arms.contains(&Arm::With) && spec.grid.arms.contains(&Arm::Without) {
        text.push_str(
            " <u>Underlined:</u> significantly better than its counterpart without pretraining.",
        );
    }
    text.push_str(
        " The ways of sampling overlap and share their test images, so results are not independent \
         and p-values are optimistic.\n",
    );
    if table.cells.iter().any(|cell| !cell.complete()) {
        text.push_str(
            "\n† k/n: only k of the cell's n runs have a defined value; the mean is theirs. Such a cell \
             earns no mark and is not tested.",
        );
        for cell in table.cells.iter().filter(|cell| cell.worst.is_some()) {
            let _ = write!(
                text,
                " {} of expert {} ({}, k = {}, n = {}): {:.2} if every undefined value were the worst possible.",
                cell.metric.word(),
                cell.position.new_expert,
                cell.position.arm,
                cell.position.experts,
                cell.position.samples,
                cell.worst.unwrap_or_default(),
            );
        }
        text.push('\n');
    }
    let Tally {
        ok: _,
        undefined,
        failed,
        missing,
    } = tally;
    if undefined + failed + missing > 0 {
        let _ = writeln!(
            text,
            "\nOf the runs, {undefined} have an undefined metric, {failed} failed, {missing} were not run \
             yet; `runs.csv` names them."
        );
    }
    text
}
