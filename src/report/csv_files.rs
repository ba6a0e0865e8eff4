//! The tidy CSV files: one row per run, per cell, per published value, per check of a claim.
//!
//! A column is a header and its field, together. Numbers are written in full: the shortest digits
//! that read back as the same number. Units stand in the last column, so that readers which go by
//! position or name find all others where they were.

use itertools::Itertools;

use super::{
    claim::{Claim, ClaimCheck},
    position::Position,
    selection::{RuleOutcome, RuleResult, SelectionAt},
    table::{Cell, Table, Test},
    versus::{PublishedPair, Standing, Versus},
};
use crate::{
    grid::{Axis, Value},
    manifest::Swept,
    metric::{Measure, Score},
    plan::Run,
    results::{Outcome, Results, RunStatus},
};

/// A column: its header, and its field of a row.
struct CsvColumn<'a, R: ?Sized> {
    header: String,
    field: Box<dyn Fn(&R) -> String + 'a>,
}

fn column<'a, R: ?Sized>(
    header: impl Into<String>,
    field: impl Fn(&R) -> String + 'a,
) -> CsvColumn<'a, R> {
    CsvColumn {
        header: header.into(),
        field: Box::new(field),
    }
}

/// One row per run of an experiment, by its index in the plan.
pub fn runs(results: &Results<'_>, experiment: usize) -> Vec<u8> {
    type RunRow<'r> = (&'r Run, &'r Outcome);
    let spec = &results.plan.experiments[experiment];
    let digest = |id| results.plan.stage(id).digest.to_string();
    let mut columns: Vec<CsvColumn<'_, RunRow<'_>>> = vec![column("table", |_| spec.name.clone())];
    let axes = [
        Axis::NEW_EXPERT,
        Axis::METHOD,
        Axis::EXPERTS,
        Axis::ANNOTATORS,
        Axis::SAMPLES,
        Axis::START,
    ];
    let repeats = spec.grid.is_repeated().then_some(Axis::REPEAT);
    let axes = axes.into_iter().chain(repeats);
    let axes = axes.chain(spec.sweep.iter().map(Swept::axis));
    columns.extend(axes.map(|axis| {
        let name = axis.column().to_owned();
        column(name, move |(run, _): &RunRow<'_>| {
            text(axis.of(&run.at).as_ref())
        })
    }));
    columns.extend(spec.metrics.report.iter().map(|metric| {
        column(metric.column(), |(_, outcome): &RunRow<'_>| {
            match outcome.mean(*metric) {
                Some(Score::Value(value)) => value.to_string(),
                Some(Score::Undefined(_)) | None => String::new(),
            }
        })
    }));
    columns.extend([
        column("status", |(_, outcome): &RunRow<'_>| {
            outcome.status.to_string()
        }),
        column("reason", |(_, outcome): &RunRow<'_>| {
            match &outcome.status {
                RunStatus::Ok | RunStatus::Missing => String::new(),
                RunStatus::Undefined(reason) | RunStatus::Failed(reason) => reason.clone(),
            }
        }),
        column("pretraining", |(run, _): &RunRow<'_>| {
            let pretraining = results.plan.stage(run.network).upstream;
            pretraining.map_or_else(String::new, digest)
        }),
        column("training", |(run, _): &RunRow<'_>| digest(run.network)),
        column("evaluation", |(run, _): &RunRow<'_>| digest(run.evaluation)),
        column("distance_unit", |_| spec.distances().to_owned()),
    ]);
    write(&columns, results.of(experiment))
}

/// How many runs have scores, by a file of [`runs`]; none where it is another file.
pub(super) fn scored(runs: &[u8]) -> usize {
    let mut reader = csv::Reader::from_reader(runs);
    let status = reader.headers().ok();
    let Some(status) = status.and_then(|names| names.iter().position(|name| name == "status"))
    else {
        return 0;
    };
    let rows = reader.records().flatten();
    let scored = [RunStatus::Ok, RunStatus::Undefined(String::new())].map(|s| s.to_string());
    rows.filter(|row| scored.iter().any(|word| row.get(status) == Some(word)))
        .count()
}

/// The columns of a cell's position: the axes of every table, then the further ones of these
/// tables.
fn place<'a, R: 'a>(
    tables: &[&Table],
    at: impl Fn(&R) -> &Position + Copy + 'a,
) -> Vec<CsvColumn<'a, R>> {
    let usual = [
        Axis::NEW_EXPERT,
        Axis::TRAIN_EXPERT,
        Axis::METHOD,
        Axis::EXPERTS,
        Axis::SAMPLES,
    ];
    let others = tables.iter().flat_map(|table| &table.axes);
    let others = others.filter(|axis| !usual.contains(axis)).unique();
    let axes = usual.iter().chain(others).cloned().collect_vec();
    let axes = axes.into_iter().map(|axis| {
        let name = axis.column().to_owned();
        column(name, move |row: &R| text(at(row).get(&axis)))
    });
    axes.collect()
}

/// One row per cell of each table.
pub fn cells<'a>(tables: impl IntoIterator<Item = &'a Table>) -> Vec<u8> {
    type CellRow<'r> = (&'r Table, &'r Cell);
    let tables = tables.into_iter().collect_vec();
    let mut columns: Vec<CsvColumn<'_, CellRow<'_>>> =
        vec![column("table", |(table, _): &CellRow<'_>| {
            table.name.clone()
        })];
    columns.extend(place(&tables, |row: &CellRow<'_>| &row.1.position));
    fn of<'a>(
        header: &str,
        field: impl Fn(&Cell) -> String + 'a,
    ) -> CsvColumn<'a, (&'a Table, &'a Cell)> {
        column(header, move |(_, cell): &(&Table, &Cell)| field(cell))
    }
    let gain = |cell: &Cell| cell.against_counterpart.comparison().cloned();
    columns.extend([
        of("metric", |cell| cell.metric.column().to_owned()),
        of("mean", |cell| number(cell.mean)),
        of("sd", |cell| number(cell.sd)),
        of("n", |cell| cell.results.len().to_string()),
        of("p_best", |cell| number(cell.against_best.p())),
        of("p_counterpart", |cell| number(cell.against_counterpart.p())),
        of("bold", |cell| cell.bold.to_string()),
        of("underline", |cell| cell.underline.to_string()),
        of("runs", |cell| cell.runs.to_string()),
        of("runs_defined", |cell| cell.defined.to_string()),
        of("worst_case_mean", |cell| number(cell.worst)),
        of("runs_undefined", |cell| cell.undefined().to_string()),
        of("runs_failed", |cell| cell.failed.to_string()),
        of("runs_missing", |cell| cell.missing().to_string()),
        of("ci95_low", |cell| number(cell.ci95.map(|ci| ci.0))),
        of("ci95_high", |cell| number(cell.ci95.map(|ci| ci.1))),
        of("best", |cell| cell.best.to_string()),
        of("p_best_holm", |cell| number(cell.against_best.p_holm())),
        of("p_counterpart_holm", |cell| {
            number(cell.against_counterpart.p_holm())
        }),
        of("p_counterpart_sign_flip", move |cell| {
            number(gain(cell).and_then(|gain| gain.sign_flip))
        }),
        of("gain", move |cell| {
            number(gain(cell).map(|gain| gain.difference))
        }),
        of("gain_ci95_low", move |cell| {
            number(gain(cell).map(|gain| gain.ci95.0))
        }),
        of("gain_ci95_high", move |cell| {
            number(gain(cell).map(|gain| gain.ci95.1))
        }),
        of("untested", untested),
    ]);
    let both = tables.iter().flat_map(|table| &table.cells).any(|cell| {
        let tests = [&cell.against_best, &cell.against_counterpart];
        let mut made = tests.into_iter().filter_map(Test::comparison);
        made.any(|test| test.p_annotators.is_some())
    });
    let over = |test: &Test| number(test.comparison().and_then(|made| made.p_annotators));
    if both {
        columns.extend([
            of("p_best_annotators", move |cell| over(&cell.against_best)),
            of("p_counterpart_annotators", move |cell| {
                over(&cell.against_counterpart)
            }),
        ]);
    }
    columns.extend([column("unit", |(table, cell): &CellRow<'_>| {
        cell.metric.in_unit(table.distances).to_owned()
    })]);
    let cells = tables
        .iter()
        .flat_map(|table| table.cells.iter().map(move |cell| (*table, cell)));
    write(&columns, cells)
}

/// One row per cell, beside published values.
pub fn versus<'a>(all: impl IntoIterator<Item = (&'a str, &'a Table, &'a Versus)>) -> Vec<u8> {
    type PairRow<'r> = (&'r str, (&'r Table, &'r Versus), &'r PublishedPair);
    let all = all.into_iter().collect_vec();
    let tables = all.iter().map(|(_, table, _)| *table).collect_vec();
    let mut columns: Vec<CsvColumn<'_, PairRow<'_>>> =
        vec![column("table", |(name, ..): &PairRow<'_>| {
            (*name).to_owned()
        })];
    columns.extend(place(&tables, |row: &PairRow<'_>| &row.2.position));
    columns.extend([
        column("metric", |(.., pair): &PairRow<'_>| {
            pair.metric.column().to_owned()
        }),
        column("mean", |(.., pair): &PairRow<'_>| number(pair.ours)),
        column("published", |(.., pair): &PairRow<'_>| {
            number(pair.published)
        }),
        column("difference", |(.., pair): &PairRow<'_>| {
            number(pair.difference)
        }),
        column("gain", |(.., pair): &PairRow<'_>| number(pair.our_gain)),
        column("published_gain", |(.., pair): &PairRow<'_>| {
            number(pair.published_gain)
        }),
        column(
            "standing",
            |(_, (_, versus), _): &PairRow<'_>| match &versus.standing {
                Standing::Comparison => "comparison".to_owned(),
                Standing::NoComparison(why) => format!("no comparison: {}", why.join(", ")),
            },
        ),
        column("note", |(.., pair): &PairRow<'_>| pair.note.clone()),
        column("unit", |(_, (table, _), pair): &PairRow<'_>| {
            pair.metric.in_unit(table.distances).to_owned()
        }),
    ]);
    let pairs = all.iter().flat_map(|(name, table, versus)| {
        let pairs = versus.pairs.iter();
        pairs.map(move |pair| (*name, (*table, *versus), pair))
    });
    write(&columns, pairs)
}

/// One row per check of a claim.
pub fn claims<'a>(all: impl IntoIterator<Item = (&'a str, &'a Claim)>) -> Vec<u8> {
    type CheckRow<'r> = (&'r str, &'r Claim, &'r ClaimCheck);
    let columns: [CsvColumn<'_, CheckRow<'_>>; 7] = [
        column("table", |(name, ..): &CheckRow<'_>| (*name).to_owned()),
        column("section", |(_, claim, _): &CheckRow<'_>| {
            claim.section.to_owned()
        }),
        column("claim", |(_, claim, _): &CheckRow<'_>| {
            claim.name.to_owned()
        }),
        column("experts", |(_, claim, _): &CheckRow<'_>| {
            claim.experts.iter().join("+")
        }),
        column("verdict", |(_, claim, _): &CheckRow<'_>| {
            claim.verdict().words().to_owned()
        }),
        column("check", |(.., check): &CheckRow<'_>| {
            check.outcome.word().to_owned()
        }),
        column("numbers", |(.., check): &CheckRow<'_>| {
            check.numbers.clone()
        }),
    ];
    let checks = all
        .into_iter()
        .flat_map(|(name, claim)| claim.checks.iter().map(move |check| (name, claim, check)));
    write(&columns, checks)
}

/// One row per rule for choosing annotators, place, number of annotators and measure.
pub(super) fn rules(table: &Table) -> Vec<u8> {
    type RuleRow<'r> = (
        &'r SelectionAt,
        usize,
        &'r RuleOutcome,
        Measure,
        &'r RuleResult,
    );
    let mut columns: Vec<CsvColumn<'_, RuleRow<'_>>> =
        vec![column("table", |_| table.name.clone())];
    let axes = table.selections.first().map(|at| at.place.values());
    let axes = axes.into_iter().flatten().map(|(axis, _)| axis.clone());
    columns.extend(axes.map(|axis| {
        let name = axis.column().to_owned();
        column(name, move |(at, ..): &RuleRow<'_>| {
            text(at.place.get(&axis))
        })
    }));
    columns.extend([
        column("experts", |(_, experts, ..): &RuleRow<'_>| {
            experts.to_string()
        }),
        column("rule", |(_, _, outcome, ..): &RuleRow<'_>| {
            outcome.rule.word().to_owned()
        }),
        column("chosen", |(_, _, outcome, ..): &RuleRow<'_>| {
            let chosen = outcome.chosen.iter();
            chosen
                .map(|(experts, count)| format!("{experts} x{count}"))
                .join("; ")
        }),
        column("metric", |(_, _, _, measure, _): &RuleRow<'_>| {
            measure.column().to_owned()
        }),
        column("mean", |(.., got): &RuleRow<'_>| got.mean.to_string()),
        column("difference", |(.., got): &RuleRow<'_>| {
            got.difference.to_string()
        }),
        column("p_permutation", |(.., got): &RuleRow<'_>| number(got.p)),
        column("rank_correlation", |(.., got): &RuleRow<'_>| {
            number(got.correlation)
        }),
        column("unit", |(.., measure, _): &RuleRow<'_>| {
            measure.in_unit(table.distances).to_owned()
        }),
    ]);
    let rows = table.selections.iter().flat_map(|at| {
        let sizes = at.sizes.iter();
        let rules = sizes.flat_map(|size| size.rules.iter().map(|rule| (size.experts, rule)));
        rules.flat_map(move |(experts, outcome)| {
            let got = outcome.got.iter();
            got.map(move |(measure, got)| (at, experts, outcome, *measure, got))
        })
    });
    write(&columns, rows)
}

/// A value; nothing where there is none.
fn text(value: Option<&Value>) -> String {
    value.map_or_else(String::new, Value::to_string)
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

fn write<R>(columns: &[CsvColumn<'_, R>], rows: impl IntoIterator<Item = R>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = columns.iter().map(|column| column.header.as_str());
    let mut rows = rows.into_iter();
    let written = writer.write_record(header).and_then(|()| {
        rows.try_for_each(|row| {
            writer.write_record(columns.iter().map(|column| (column.field)(&row)))
        })
    });
    written.expect("a buffer in memory can be written, and all rows are of one length");
    writer
        .into_inner()
        .expect("a buffer in memory can be flushed")
}
