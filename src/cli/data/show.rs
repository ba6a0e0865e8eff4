//! `expertgrid data show`: draws a case of a data set.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;

use super::super::{DescribedSet, Done, Failure, output::print};
use crate::{
    data::{Case, Dataset, grouped},
    figure::{CaseFigure, Sheet},
    store::create_file,
    suggestion::nearest,
};

#[derive(Debug, Args)]
#[command(
    after_help = "The figure has three panels: the image with every expert's contour, how many \
                  experts marked each pixel, and the Dice of every two. It says which data and \
                  which case it shows, and where these are synthetic.

A folder is read in QUBIQ's layout; a manifest says under `[dataset]` how its data set is read and \
what experts are called.

Examples:
  expertgrid data show data/phantom -o figure.svg
  expertgrid data show data/phantom --case case20 -o figure.png
  expertgrid data show mine.toml --dataset scans --case P07 -o P07.svg"
)]
pub struct Arguments {
    /// Folder of the data set, or a manifest that describes one.
    #[arg(value_name = "DIR|MANIFEST")]
    set: PathBuf,
    /// Folder of the data set that the manifest describes [default: its `dataset.path`, or
    /// data/phantom].
    #[arg(long, value_name = "DIR")]
    dataset: Option<PathBuf>,
    /// Case to draw [default: the first test case].
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// File to write, .svg or .png; it must not exist yet.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// The formats of a figure, by the endings of their files.
const FORMATS: [(&str, FigureFormat); 2] = [("svg", FigureFormat::Svg), ("png", FigureFormat::Png)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FigureFormat {
    Svg,
    Png,
}

impl FigureFormat {
    /// By the ending of a file's name.
    fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let known = FORMATS.iter().find(|(word, _)| ending == *word);
        known.map(|(_, format)| *format).ok_or_else(|| {
            Failure::Input(anyhow!(
                "{}: a figure is written as .svg or .png; give the file one of these endings",
                path.display()
            ))
        })
    }

    /// The bytes of a file; tells of letters that a PNG cannot show.
    fn bytes(self, sheet: &Sheet) -> Vec<u8> {
        match self {
            Self::Svg => sheet.svg().into_bytes(),
            Self::Png => {
                let unknown = sheet.unknown_letters();
                if !unknown.is_empty() {
                    eprintln!(
                        "note: a PNG has Latin letters only, and no {unknown:?}; write an .svg to \
                         show them"
                    );
                }
                sheet.png()
            }
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let out = &arguments.out;
    let format = FigureFormat::of(out)?;
    if out.exists() {
        return Err(Failure::Input(anyhow!(
            "{} exists already; choose another name",
            out.display()
        )));
    }
    let described = DescribedSet::of(&arguments.set, arguments.dataset.as_deref())?;
    let dataset = described.open()?;
    for line in grouped(&dataset.warnings) {
        eprintln!("{line}");
    }
    let (case, which) = chosen(&dataset, arguments.case.as_deref())?;
    let figure = CaseFigure::of(&dataset, case);
    create_file(out, &format.bytes(&figure.sheet())).map_err(Failure::work)?;
    print(format_args!(
        "{}{which} of {}, {} experts, written to {}",
        case.name,
        dataset.label,
        figure.experts.len(),
        out.display()
    ));
    Ok(Done::Whole)
}

/// The case of a name, or else the first test case; and in words why it is that one.
fn chosen<'a>(
    dataset: &'a Dataset,
    name: Option<&str>,
) -> Result<(&'a Case, &'static str), Failure> {
    match name {
        Some(name) => {
            let found = dataset.cases().find(|case| case.name == name);
            let case = found.ok_or_else(|| {
                let known: Vec<&str> = dataset.cases().map(|case| case.name.as_str()).collect();
                Failure::Input(anyhow!(
                    "there is no case \"{name}\" in {}; {}",
                    dataset.label,
                    nearest(name, &known)
                ))
            })?;
            Ok((case, ""))
        }
        None => match (dataset.test.first(), dataset.training.first()) {
            (Some(case), _) => Ok((case, ", the first test case")),
            (None, Some(case)) => Ok((case, ", the first case")),
            (None, None) => Err(Failure::Input(anyhow!(
                "{} has no case; add one to its folder",
                dataset.label
            ))),
        },
    }
}
