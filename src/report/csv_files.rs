//! The tidy CSV files: one row per run, one row per cell.
//!
//! Numbers are written in full: the shortest digits that read back as the same number.

use itertools::Itertools;

use super::table::{Cell, Position, Table};
use crate::{
    manifest::Arm,
    metric::Score,
    results::{Metric, Results, Status},
};

/// One row per run.
pub(super) fn runs(results: &Results<'_>, experiment: usize) -> Vec<u8> {
    let name = &results.plan.experiments[experiment].name;
    let header = [
        "table",
        "new_expert",
        "arm",
        "experts",
        "combination",
        "samples",
        "start",
        "dice_percent",
        "assd",
        "hd95",
        "status",
        "reason",
        "pretraining",
        "training",
        "evaluation",
    ];
    let rows = results.of(experiment).map(|(run, outcome)| {
        let score = |metric| match outcome.mean(metric) {
            Some(Score::Value(value)) => value.to_string(),
            Some(Score::Undefined(_)) | None => String::new(),
        };
        let reason = match &outcome.status {
            Status::Ok | Status::Missing => "",
            Status::Undefined(reason) | Status::Failed(reason) => reason,
        };
        let digest = |id| results.plan.stage(id).digest.to_string();
        let pretraining = results.plan.stage(run.training).upstream;
        vec![
            name.clone(),
            run.new_expert.to_string(),
            run.arm.to_string(),
            run.experts.len().to_string(),
            run.experts.iter().join("+"),
            run.samples.to_string(),
            run.start.to_string(),
            score(Metric::Dice),
            score(Metric::Assd),
            score(Metric::Hd95),
            outcome.status.to_string(),
            reason.to_owned(),
            pretraining.map_or_else(String::new, digest),
            digest(run.training),
            digest(run.evaluation),
        ]
    });
    write(&header, rows)
}

/// One row per cell.
pub(super) fn cells(table: &Table) -> Vec<u8> {
    let header = [
        "table",
        "new_expert",
        "train_expert",
        "arm",
        "experts",
        "samples",
        "metric",
        "mean",
        "sd",
        "n",
        "p_best",
        "p_counterpart",
        "bold",
        "underline",
        "runs",
        "runs_defined",
        "worst_case_mean",
    ];
    let rows = table.cells.iter().map(|cell| {
        let Cell {
            position,
            metric,
            by_start,
            runs,
            defined,
            present: _,
            mean,
            sd,
            worst,
            p_best,
            p_counterpart,
            bold,
            underline,
        } = cell;
        let Position {
            new_expert,
            train_expert,
            samples,
            experts,
            arm,
        } = position;
        let number = |value: &Option<f64>| value.map_or(String::new(), |value| value.to_string());
        vec![
            table.name.clone(),
            new_expert.to_string(),
            match arm {
                Arm::Single => train_expert.map_or(String::new(), |expert| expert.to_string()),
                Arm::With | Arm::Without => String::new(),
            },
            arm.to_string(),
            experts.to_string(),
            samples.to_string(),
            metric.word().to_owned(),
            number(mean),
            number(sd),
            by_start.len().to_string(),
            number(p_best),
            number(p_counterpart),
            bold.to_string(),
            underline.to_string(),
            runs.to_string(),
            defined.to_string(),
            number(worst),
        ]
    });
    write(&header, rows)
}

fn write(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(header).and_then(|()| {
        rows.into_iter()
            .try_for_each(|row| writer.write_record(row))
    });
    written.expect("memory takes every row, and all are of one length");
    writer.into_inner().expect("memory needs no flushing")
}
