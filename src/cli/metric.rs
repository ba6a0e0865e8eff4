//! `expertgrid metric`: scores of masks against reference masks.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use itertools::Itertools;
use serde::{Serialize, Serializer};

use super::{Done, Failure, MaskOptions, output::print};
use crate::{
    data::{
        DataProblem, DataProblems, Expert, Mask,
        alignment::{Aligned, align},
        folder::{self, FoundMasks},
        grouped,
        nifti::{Fault, ReadMask},
        raster,
    },
    manifest::{Fallback, FileReading, Key, Metrics, SpacingFrom},
    metric::{Compared, Measure, Score, Spacing, Unit},
};

#[derive(Debug, Args)]
#[command(
    after_help = "Files of two folders are paired by their names. Where REF holds a folder for \
                  each case, a file is paired with the folder of its name, and `--expert` says \
                  whose mask is the reference.

Examples:
  expertgrid metric mask.nii.gz reference.nii.gz --spacing header
  expertgrid metric masks data/phantom/Validation --expert 6 --json
  expertgrid metric masks references --definition assd=macro,hd95=max_directed"
)]
pub(super) struct Arguments {
    /// A mask, or a folder of masks.
    #[arg(value_name = "PRED")]
    prediction: PathBuf,
    /// The reference mask, or a folder of them.
    #[arg(value_name = "REF")]
    reference: PathBuf,
    /// Whose masks are the reference, in a folder of cases.
    #[arg(long, value_name = "N")]
    expert: Option<Expert>,
    #[command(flatten)]
    masks: MaskOptions,
    /// Measures to report [default: dice, assd, hd95].
    #[arg(long, value_name = "MEASURE", value_delimiter = ',', value_parser = measure)]
    report: Vec<Measure>,
    /// Distances in pixels, or in the millimetres of the reference's header.
    #[arg(long, value_enum, default_value = "unit")]
    spacing: SpacingChoice,
    // The help is made from the keys of `[metrics]`.
    #[arg(
        long,
        value_name = "METRIC=WHICH",
        value_delimiter = ',',
        help = definition_help()
    )]
    definition: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SpacingChoice {
    /// Pixels.
    Unit,
    /// Millimetres.
    Header,
}

/// The measures of one case. In JSON they stand beside `case` and `status`.
#[derive(Serialize)]
struct ScoredCase {
    case: String,
    #[serde(flatten)]
    scores: CaseMeasures,
    /// `ok`, or why a measure has no value.
    status: String,
}

/// Values in the order of the columns; per cent as a fraction.
struct CaseMeasures(Vec<(Measure, Option<f64>)>);

impl Serialize for CaseMeasures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|(measure, value)| (measure.word(), value)),
        )
    }
}

/// The files of a case's two masks.
struct MaskPair {
    case: String,
    prediction: PathBuf,
    reference: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let report = match arguments.report.is_empty() {
        true => Measure::standard().into(),
        false => arguments.report.clone(),
    };
    let metrics = Metrics {
        report,
        spacing: match arguments.spacing {
            SpacingChoice::Unit => SpacingFrom::Unit,
            SpacingChoice::Header => SpacingFrom::Header,
        },
        ..definitions(&arguments.definition)?
    };
    let pairs = pairs(arguments)?;
    let (rows, problems): (Vec<ScoredCase>, Vec<Vec<DataProblem>>) = pairs
        .iter()
        .map(|pair| score(pair, &metrics, &arguments.masks.label))
        .partition_result();
    if !problems.is_empty() {
        return Err(Failure::input(DataProblems(problems.concat())));
    }
    match arguments.json {
        true => print(serde_json::to_string_pretty(&rows).expect("rows are plain data")),
        false => print(table(&rows, &metrics)),
    }
    Ok(Done::Whole)
}

fn measure(word: &str) -> Result<Measure, String> {
    let known = || Measure::all().map(Measure::word).format(", ");
    Measure::named(word).ok_or_else(|| format!("the measures are {}", known()))
}

fn definitions(words: &[String]) -> Result<Metrics, Failure> {
    let mut metrics = Metrics::default();
    for word in words {
        if !metrics.define(word) {
            let known: Vec<String> = Metrics::definitions().flat_map(written).collect();
            return Err(Failure::Input(anyhow!(
                "--definition {word}: write {}",
                listed(&known)
            )));
        }
    }
    Ok(metrics)
}

/// A definition with each of its values, as `--definition` takes them.
fn written(key: &Key) -> Vec<String> {
    match key.kind.words() {
        [] => vec![format!("{}={}", key.name, key.kind.describe())],
        words => {
            let values = words.iter();
            values
                .map(|value| format!("{}={}", key.name, value.word))
                .collect()
        }
    }
}

/// `a, b or c`.
fn listed(items: &[String]) -> String {
    match items {
        [first @ .., before, last] => {
            let first = first.iter().map(|item| format!("{item}, "));
            format!("{}{before} or {last}", first.format(""))
        }
        items => items.concat(),
    }
}

/// The help of `--definition`.
fn definition_help() -> String {
    let defaults = Metrics::definitions().filter_map(|key| match key.default {
        Fallback::Value(value) => Some(format!("{}={}", key.name, value().trim_matches('"'))),
        _ => None,
    });
    format!(
        "{} [default: {}]",
        listed(&Metrics::definitions().flat_map(written).collect::<Vec<_>>()),
        defaults.format(",")
    )
}

fn pairs(arguments: &Arguments) -> Result<Vec<MaskPair>, Failure> {
    let (prediction, reference) = (&arguments.prediction, &arguments.reference);
    match (prediction.is_dir(), reference.is_dir()) {
        (false, false) => Ok(vec![MaskPair {
            case: folder::name(prediction),
            prediction: prediction.clone(),
            reference: reference.clone(),
        }]),
        (true, true) => pairs_of_folders(prediction, reference, arguments.expert),
        (folder, _) => {
            let (folder, file) = match folder {
                true => (prediction, reference),
                false => (reference, prediction),
            };
            Err(Failure::Input(anyhow!(
                "{} is a folder, {} is not; name two files or two folders",
                folder.display(),
                file.display()
            )))
        }
    }
}

fn pairs_of_folders(
    predictions: &Path,
    references: &Path,
    expert: Option<Expert>,
) -> Result<Vec<MaskPair>, Failure> {
    let found = masks(predictions, expert)?;
    let mut expected = masks(references, expert)?;
    let mut problems = Vec::new();
    let mut pairs = Vec::new();
    for (case, prediction) in found {
        match expected.iter().position(|(name, _)| *name == case) {
            Some(i) => pairs.push(MaskPair {
                case,
                prediction,
                reference: expected.remove(i).1,
            }),
            None => problems.push(DataProblem::error(
                prediction,
                format!("has no reference of its name in {}", references.display()),
                "give its reference the same name",
            )),
        }
    }
    problems.extend(expected.into_iter().map(|(_, reference)| {
        DataProblem::error(
            reference,
            format!("has no prediction of its name in {}", predictions.display()),
            "give its prediction the same name",
        )
    }));
    match problems.is_empty() {
        true => Ok(pairs),
        false => Err(Failure::input(DataProblems(problems))),
    }
}

/// The masks of a folder with their names; tells of what is left out.
fn masks(dir: &Path, expert: Option<Expert>) -> Result<Vec<(String, PathBuf)>, Failure> {
    let FoundMasks {
        masks,
        beside,
        warnings,
    } = folder::masks(dir, expert).map_err(Failure::input)?;
    for line in grouped(&warnings) {
        eprintln!("{line}");
    }
    if beside > 0 {
        eprintln!(
            "note: {}: probabilities and logits beside masks are left out ({beside})",
            dir.display()
        );
    }
    Ok(masks)
}

/// Scores a pair, or lists what is wrong with it.
fn score(
    pair: &MaskPair,
    metrics: &Metrics,
    labels: &[u32],
) -> Result<ScoredCase, Vec<DataProblem>> {
    let prediction = read_prediction(&pair.prediction, labels);
    let reference = read_reference(&pair.reference, labels);
    let (prediction, reference) = match (prediction, reference) {
        (Ok(prediction), Ok(reference)) => (prediction, reference),
        (prediction, reference) => {
            let faults = [prediction, reference].into_iter();
            return Err(faults.filter_map(Result::err).collect());
        }
    };
    let both = |fault: Fault| {
        let [prediction, reference] =
            [&pair.prediction, &pair.reference].map(|path| path.display());
        let both = format!("{prediction} against {reference}");
        vec![DataProblem::error(both, fault.what, fault.remedy)]
    };
    let spacing = match metrics.spacing {
        SpacingFrom::Unit => Spacing::default(),
        SpacingFrom::Header => {
            let spacing = reference.header.spacing().map_err(|fault| {
                vec![DataProblem::error(
                    &pair.reference,
                    fault.what,
                    format!(
                        "{}, or measure in pixels with `--spacing unit`",
                        fault.remedy
                    ),
                )]
            })?;
            Spacing {
                row: spacing.y_mm,
                column: spacing.x_mm,
            }
        }
    };
    let Aligned { mask, turned } = align(
        prediction.mask,
        &prediction.header,
        &reference.header,
        "reference",
    )
    .map_err(both)?;
    if let Some(turned) = turned {
        eprintln!("note: {}: {turned}", pair.prediction.display());
    }
    let [found, expected] = [&mask, &reference.mask].map(Mask::view);
    let compared = Compared::new(found, expected, spacing, metrics.definition())
        .map_err(|error| both(Fault::new(error.to_string(), "check both files")))?;
    let measured = metrics.report.iter();
    let scores: Vec<(Measure, Score)> = measured
        .map(|measure| (*measure, measure.of(&compared)))
        .collect();
    let undefined = scores.iter().find_map(|(_, score)| match score {
        Score::Value(_) => None,
        Score::Undefined(reason) => Some(reason),
    });
    let values = scores
        .iter()
        .map(|(measure, score)| (*measure, score.value()));
    Ok(ScoredCase {
        case: pair.case.clone(),
        scores: CaseMeasures(values.collect()),
        status: undefined.map_or_else(|| "ok".to_owned(), |reason| reason.to_string()),
    })
}

/// Reads a prediction: where it holds 0 and 1 and none of the labels, 1 is inside, as in this
/// program's predictions.
fn read_prediction(path: &Path, labels: &[u32]) -> Result<ReadMask, DataProblem> {
    let of_labels = read_mask(path, labels)?;
    let lacks_them = !labels.is_empty() && of_labels.oddity.is_some();
    if lacks_them
        && let Ok(binary) = read_mask(path, &[])
        && binary.inside == Some(1.0)
    {
        eprintln!(
            "note: {}: holds 0 and 1 and none of the labels {}; 1 is inside",
            path.display(),
            labels.iter().format(", ")
        );
        print_remarks(path, &binary, false);
        return Ok(binary);
    }
    print_remarks(path, &of_labels, lacks_them);
    Ok(of_labels)
}

/// Reads a reference: what is inside is what the labels say.
fn read_reference(path: &Path, labels: &[u32]) -> Result<ReadMask, DataProblem> {
    let read = read_mask(path, labels)?;
    print_remarks(path, &read, !labels.is_empty());
    Ok(read)
}

fn read_mask(path: &Path, labels: &[u32]) -> Result<ReadMask, DataProblem> {
    let asked = FileReading {
        labels: labels.to_vec(),
        ..FileReading::default()
    };
    raster::mask(path, &asked).map_err(|fault| DataProblem::error(path, fault.what, fault.remedy))
}

/// Prints what is odd about a mask's header, and about its values where that is asked for.
fn print_remarks(path: &Path, read: &ReadMask, with_values: bool) {
    let of_values = read.oddity.clone().filter(|_| with_values);
    for remark in read.header.remarks().chain(of_values) {
        eprintln!("note: {}: {remark}", path.display());
    }
}

fn table(rows: &[ScoredCase], metrics: &Metrics) -> String {
    let unit = metrics.spacing.symbol();
    let heads = metrics.report.iter().map(|measure| match measure.unit() {
        Unit::Percent => measure.name().to_owned(),
        Unit::Distance => format!("{} ({unit})", measure.name()),
    });
    let heads: Vec<(String, usize)> = std::iter::zip(heads, &metrics.report)
        .map(|(head, measure)| match measure.unit() {
            Unit::Percent => (head, 4),
            Unit::Distance => (head, 3),
        })
        .collect();
    let longest = rows.iter().map(|row| row.case.chars().count()).max();
    let width = longest.unwrap_or(0).max("mean of 100 of 100".len());
    let line = |name: &str, values: &mut dyn Iterator<Item = Option<f64>>, status: &str| {
        let numbers = std::iter::zip(&heads, values).map(|((head, digits), value)| {
            let number = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"));
            format!("{number:>0$}", head.chars().count().max(7))
        });
        let line = format!("{name:<width$}  {}  {status}", numbers.format("  "));
        line.trim_end().to_owned()
    };
    let names = heads.iter().map(|(head, _)| format!("{head:>7}"));
    let mut lines = vec![format!("{:<width$}  {}", "case", names.format("  "))];
    for row in rows {
        let status = match row.status.as_str() {
            "ok" => "",
            why => why,
        };
        lines.push(line(
            &row.case,
            &mut row.scores.0.iter().map(|(_, value)| *value),
            status,
        ));
    }
    if rows.len() > 1 {
        let mean = |column: usize| {
            let values = rows.iter().filter_map(|row| row.scores.0[column].1);
            let defined: Vec<f64> = values.collect();
            let sum: f64 = defined.iter().sum();
            (!defined.is_empty()).then(|| sum / defined.len() as f64)
        };
        let defined = rows.iter().filter(|row| row.status == "ok").count();
        let name = match defined == rows.len() {
            true => format!("mean of {defined}"),
            false => format!("mean of {defined} of {}", rows.len()),
        };
        let status = match defined == rows.len() {
            true => "",
            false => "distances over the cases that have them; Dice over all",
        };
        lines.push(line(&name, &mut (0..heads.len()).map(mean), status));
    }
    lines.join("\n")
}
