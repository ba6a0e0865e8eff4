//! The tidy CSV files: one row per run, per cell, per published value, per check of a claim.
//!
//! Numbers are written in full: the shortest digits that read back as the same number.

use itertools::Itertools;

use super::{
    claims::Claim,
    table::{Cell, Table, Test},
    versus::{Standing, Versus},
};
use crate::{
    metric::Score,
    results::{Results, Status},
};

/// One row per run.
pub(super) fn runs(results: &Results<'_>, experiment: usize) -> Vec<u8> {
    let name = &results.plan.experiments[experiment].name;
    let report = &results.plan.experiments[experiment].metrics.report;
    let place = [
        "table",
        "new_expert",
        "arm",
        "experts",
        "combination",
        "samples",
        "start",
    ];
    let rest = ["status", "reason", "pretraining", "training", "evaluation"];
    let measures: Vec<&str> = report.iter().map(|measure| measure.column()).collect();
    let header = [&place[..], &measures, &rest].concat();
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
        let place = [
            name.clone(),
            run.new_expert.to_string(),
            run.arm.to_string(),
            run.experts.len().to_string(),
            run.experts.iter().join("+"),
            run.samples.to_string(),
            run.start.to_string(),
        ];
        let rest = [
            outcome.status.to_string(),
            reason.to_owned(),
            pretraining.map_or_else(String::new, digest),
            digest(run.training),
            digest(run.evaluation),
        ];
        let scores = report.iter().map(|measure| score(*measure));
        place.into_iter().chain(scores).chain(rest).collect()
    });
    write(&header, rows)
}

/// One row per cell of each table.
pub fn cells<'a>(tables: impl IntoIterator<Item = &'a Table>) -> Vec<u8> {
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
        "runs_undefined",
        "runs_failed",
        "runs_missing",
        "ci95_low",
        "ci95_high",
        "best",
        "p_best_holm",
        "p_counterpart_holm",
        "p_counterpart_sign_flip",
        "gain",
        "gain_ci95_low",
        "gain_ci95_high",
        "untested",
    ];
    let cells = tables
        .into_iter()
        .flat_map(|table| table.cells.iter().map(move |cell| (table, cell)));
    let rows = cells.map(|(table, cell)| {
        let position = &cell.position;
        let single = position.train_expert.map(|expert| expert.to_string());
        let gain = cell.against_counterpart.comparison();
        vec![
            table.name.clone(),
            position.new_expert.to_string(),
            single.unwrap_or_default(),
            position.arm.to_string(),
            position.experts.to_string(),
            position.samples.to_string(),
            cell.metric.column().to_owned(),
            number(cell.mean),
            number(cell.sd),
            cell.by_start.len().to_string(),
            number(cell.against_best.p()),
            number(cell.against_counterpart.p()),
            cell.bold.to_string(),
            cell.underline.to_string(),
            cell.runs.to_string(),
            cell.defined.to_string(),
            number(cell.worst),
            cell.undefined().to_string(),
            cell.failed.to_string(),
            cell.missing().to_string(),
            number(cell.ci95.map(|ci| ci.0)),
            number(cell.ci95.map(|ci| ci.1)),
            cell.best.to_string(),
            number(cell.against_best.p_holm()),
            number(cell.against_counterpart.p_holm()),
            number(gain.and_then(|gain| gain.sign_flip)),
            number(gain.map(|gain| gain.difference)),
            number(gain.map(|gain| gain.ci95.0)),
            number(gain.map(|gain| gain.ci95.1)),
            untested(cell),
        ]
    });
    write(&header, rows)
}

/// One row per cell, beside published values.
pub fn versus<'a>(all: impl IntoIterator<Item = (&'a str, &'a Versus)>) -> Vec<u8> {
    let header = [
        "table",
        "new_expert",
        "train_expert",
        "arm",
        "experts",
        "samples",
        "metric",
        "mean",
        "published",
        "difference",
        "gain",
        "published_gain",
        "standing",
        "note",
    ];
    let pairs = all
        .into_iter()
        .flat_map(|(name, versus)| versus.pairs.iter().map(move |pair| (name, versus, pair)));
    let rows = pairs.map(|(name, versus, pair)| {
        let position = &pair.position;
        let single = position.train_expert.map(|expert| expert.to_string());
        vec![
            name.to_owned(),
            position.new_expert.to_string(),
            single.unwrap_or_default(),
            position.arm.to_string(),
            position.experts.to_string(),
            position.samples.to_string(),
            pair.metric.column().to_owned(),
            number(pair.ours),
            number(pair.published),
            number(pair.difference),
            number(pair.our_gain),
            number(pair.published_gain),
            match &versus.standing {
                Standing::Comparison => "comparison".to_owned(),
                Standing::NoComparison(why) => format!("no comparison: {}", why.join(", ")),
            },
            pair.note.clone(),
        ]
    });
    write(&header, rows)
}

/// One row per check of a claim.
pub fn claims<'a>(all: impl IntoIterator<Item = (&'a str, &'a Claim)>) -> Vec<u8> {
    let header = [
        "table", "section", "claim", "experts", "verdict", "check", "numbers",
    ];
    let checks = all
        .into_iter()
        .flat_map(|(name, claim)| claim.checks.iter().map(move |check| (name, claim, check)));
    let rows = checks.map(|(name, claim, check)| {
        vec![
            name.to_owned(),
            claim.section.to_owned(),
            claim.name.to_owned(),
            claim.experts.iter().join("+"),
            claim.verdict().words().to_owned(),
            check.outcome.word().to_owned(),
            check.numbers.clone(),
        ]
    });
    write(&header, rows)
}

/// In full; nothing where there is no number.
fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Why a cell was not tested, where it was not.
fn untested(cell: &Cell) -> String {
    let tests = [
        ("best", &cell.against_best),
        ("counterpart", &cell.against_counterpart),
    ];
    let reasons = tests.into_iter().filter_map(|(against, test)| match test {
        Test::Undefined(why) => Some(format!("against the {against}: {why}")),
        Test::NoPartner | Test::Itself | Test::Made(_) => None,
    });
    reasons.collect_vec().join("; ")
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
