//! `expertgrid metric`: masks against reference masks, as any segmentation is scored.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use itertools::Itertools;
use serde::Serialize;

use super::{Done, Failure, output::print};
use crate::{
    data::{
        Expert, Mask, folder,
        nifti::{self, ReadMask},
    },
    manifest::{AssdDefinition, HdDefinition, Metrics, SpacingFrom},
    metric::{self, Score, Spacing},
    stage::definition,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Files of two folders belong together by their names; where REF holds a folder for each case, by the \
                  folder's name, and `--expert` says whose mask is the reference.

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
    /// Distances in pixels, or in the millimetres of the reference's header.
    #[arg(long, value_enum, default_value = "unit")]
    spacing: SpacingChoice,
    /// `assd=pooled` or `macro`, `hd95=pooled` or `max_directed`; the default is MedPy's.
    #[arg(long, value_name = "METRIC=WHICH", value_delimiter = ',')]
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

/// The metrics of one case.
#[derive(Serialize)]
struct Row {
    case: String,
    dice: Option<f64>,
    assd: Option<f64>,
    hd95: Option<f64>,
    /// `ok`, or why a metric has no value.
    status: String,
}

/// Where a case's two masks are.
struct Pair {
    case: String,
    prediction: PathBuf,
    reference: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let metrics = Metrics {
        spacing: match arguments.spacing {
            SpacingChoice::Unit => SpacingFrom::Unit,
            SpacingChoice::Header => SpacingFrom::Header,
        },
        ..definitions(&arguments.definition)?
    };
    let pairs = pairs(arguments)?;
    let (rows, problems): (Vec<Row>, Vec<String>) = pairs
        .iter()
        .map(|pair| score(pair, &metrics))
        .partition_result();
    if !problems.is_empty() {
        return Err(Failure::Input(problems.join("\n")));
    }
    match arguments.json {
        true => print(serde_json::to_string_pretty(&rows).expect("rows are plain data")),
        false => print(table(&rows, metrics.spacing)),
    }
    Ok(Done::Whole)
}

fn definitions(words: &[String]) -> Result<Metrics, Failure> {
    let mut metrics = Metrics {
        assd: AssdDefinition::Pooled,
        hd95: HdDefinition::Pooled,
        spacing: SpacingFrom::Unit,
    };
    for word in words {
        let known = match word.split_once('=') {
            Some(("assd", which)) => {
                let found = AssdDefinition::ALL
                    .iter()
                    .find(|(known, _)| *known == which);
                found.map(|(_, assd)| metrics.assd = *assd)
            }
            Some(("hd95", which)) => {
                let found = HdDefinition::ALL.iter().find(|(known, _)| *known == which);
                found.map(|(_, hd95)| metrics.hd95 = *hd95)
            }
            _ => None,
        };
        if known.is_none() {
            return Err(Failure::Input(format!(
                "--definition {word}: write assd=pooled, assd=macro, hd95=pooled or hd95=max_directed"
            )));
        }
    }
    Ok(metrics)
}

fn pairs(arguments: &Arguments) -> Result<Vec<Pair>, Failure> {
    let (prediction, reference) = (&arguments.prediction, &arguments.reference);
    match (prediction.is_dir(), reference.is_dir()) {
        (false, false) => Ok(vec![Pair {
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
            Err(Failure::Input(format!(
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
) -> Result<Vec<Pair>, Failure> {
    let found = masks(predictions, expert)?;
    let mut expected = masks(references, expert)?;
    let mut problems = Vec::new();
    let mut pairs = Vec::new();
    for (case, prediction) in found {
        match expected.remove(&case) {
            Some(reference) => pairs.push(Pair {
                case,
                prediction,
                reference,
            }),
            None => problems.push(format!(
                "{}: there is no reference for it in {}",
                prediction.display(),
                references.display()
            )),
        }
    }
    problems.extend(expected.into_values().map(|reference| {
        format!(
            "{}: there is no prediction for it in {}",
            reference.display(),
            predictions.display()
        )
    }));
    match problems.is_empty() {
        true => Ok(pairs),
        false => Err(Failure::Input(problems.join("\n"))),
    }
}

/// The masks of a folder by case: its NIfTI files, or an expert's masks in its folders of cases.
fn masks(dir: &Path, expert: Option<Expert>) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| Failure::Input(format!("{}: {error}", dir.display()));
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(unreadable)?;
    entries.sort();
    let is_nifti = |path: &PathBuf| {
        let name = path.to_string_lossy();
        path.is_file() && (name.ends_with(".nii") || name.ends_with(".nii.gz"))
    };
    let (files, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_nifti);
    let folders: Vec<PathBuf> = others.into_iter().filter(|path| path.is_dir()).collect();
    let mut masks = BTreeMap::new();
    let mut add = |case: String, path: PathBuf| match masks.insert(case, path.clone()) {
        None => Ok(()),
        Some(other) => Err(Failure::Input(format!(
            "{} and {} are of the same case; keep one of the two",
            other.display(),
            path.display()
        ))),
    };
    if !files.is_empty() {
        for path in files {
            // What `predict` writes beside the masks is no mask.
            let name = folder::name(&path);
            if !name.ends_with("_probability") && !name.ends_with("_logits") {
                add(name, path)?;
            }
        }
        return Ok(masks);
    }
    let Some(expert) = expert else {
        return Err(Failure::Input(format!(
            "{} holds no .nii or .nii.gz file{}",
            dir.display(),
            match folders.is_empty() {
                true => "",
                false => "; where its folders are cases, say whose masks with `--expert N`",
            }
        )));
    };
    for case in folders {
        let name = case
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let file = |ending: &str| case.join(format!("task01_seg{expert:02}.{ending}"));
        match [file("nii.gz"), file("nii")]
            .into_iter()
            .find(|path| path.is_file())
        {
            Some(path) => add(name, path)?,
            None => {
                return Err(Failure::Input(format!(
                    "{}: there is no mask of expert {expert} (task01_seg{expert:02}.nii.gz)",
                    case.display()
                )));
            }
        }
    }
    match masks.is_empty() {
        true => Err(Failure::Input(format!("{} holds no case", dir.display()))),
        false => Ok(masks),
    }
}

fn score(pair: &Pair, metrics: &Metrics) -> Result<Row, String> {
    let prediction = read(&pair.prediction)?;
    let reference = read(&pair.reference)?;
    let spacing = match (metrics.spacing, reference.header.spacing()) {
        (SpacingFrom::Unit, _) => Spacing::default(),
        (SpacingFrom::Header, Some(spacing)) => Spacing {
            row: spacing.y_mm,
            column: spacing.x_mm,
        },
        (SpacingFrom::Header, None) => {
            return Err(format!(
                "{}: its header has no spacing; set its pixel size, or measure in pixels with `--spacing unit`",
                pair.reference.display()
            ));
        }
    };
    if metrics.spacing == SpacingFrom::Header
        && prediction.header.spacing() != reference.header.spacing()
    {
        eprintln!(
            "warning: {}: its header has another spacing than the reference's, which is taken",
            pair.prediction.display()
        );
    }
    let wrong = |error: metric::MaskError| {
        format!(
            "{} against {}: {error}",
            pair.prediction.display(),
            pair.reference.display()
        )
    };
    let [found, expected] = [&prediction.mask, &reference.mask].map(Mask::view);
    let scores = metric::scores(found, expected, spacing, definition(metrics)).map_err(wrong)?;
    let undefined = [scores.dice, scores.assd, scores.hd95]
        .into_iter()
        .find_map(|score| match score {
            Score::Value(_) => None,
            Score::Undefined(reason) => Some(reason),
        });
    Ok(Row {
        case: pair.case.clone(),
        dice: scores.dice.value(),
        assd: scores.assd.value(),
        hd95: scores.hd95.value(),
        status: undefined.map_or_else(|| "ok".to_owned(), |reason| reason.to_string()),
    })
}

fn read(path: &Path) -> Result<ReadMask, String> {
    let read = nifti::read_mask(path).map_err(|fault| format!("{}: {fault}", path.display()))?;
    // 0 and 255 make a mask as well as 0 and 1 do.
    match read.two_valued {
        true => Ok(read),
        false => Err(format!(
            "{}: has more than two different values, so it is no mask; cut it at one half first",
            path.display()
        )),
    }
}

fn table(rows: &[Row], spacing: SpacingFrom) -> String {
    let unit = match spacing {
        SpacingFrom::Unit => "px",
        SpacingFrom::Header => "mm",
    };
    let longest = rows.iter().map(|row| row.case.chars().count()).max();
    let width = longest.unwrap_or(0).max("mean of 100 of 100".len());
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let line = |name: &str, dice, assd, hd95, status: &str| {
        let line = format!(
            "{name:<width$}  {:>7}  {:>9}  {:>9}  {status}",
            number(dice, 4),
            number(assd, 3),
            number(hd95, 3)
        );
        line.trim_end().to_owned()
    };
    let mut lines = vec![format!(
        "{:<width$}  {:>7}  {:>9}  {:>9}",
        "case",
        "Dice",
        format!("ASSD ({unit})"),
        format!("95HD ({unit})")
    )];
    for row in rows {
        let status = match row.status.as_str() {
            "ok" => "",
            why => why,
        };
        lines.push(line(&row.case, row.dice, row.assd, row.hd95, status));
    }
    if rows.len() > 1 {
        let mean = |of: &dyn Fn(&Row) -> Option<f64>| {
            let defined: Vec<f64> = rows.iter().filter_map(of).collect();
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
        lines.push(line(
            &name,
            mean(&|row| row.dice),
            mean(&|row| row.assd),
            mean(&|row| row.hd95),
            status,
        ));
    }
    lines.join("\n")
}
