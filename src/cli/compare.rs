//! `expertgrid compare`: two experiments side by side.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    Done, Failure,
    output::print,
    terminals::{columns, in_locale, style},
};
use crate::{
    comparison::compare,
    report::{markdown, terminal},
    store::replace_file,
};

#[derive(Debug, Args)]
#[command(
    after_help = "It reads runs.csv and variant.toml in both folders, and the manifests that they
name, as these are now, for the keys; nothing is run.

Examples:
  expertgrid compare results/table2/phantom results/table2/phantom+finetune.steps=80
  expertgrid compare results/table2/phantom results/table2/phantom+finetune.steps=80 -o page.html"
)]
pub(super) struct Arguments {
    /// The folder of the first experiment's results: results/<name>/<variant>.
    #[arg(value_name = "A")]
    first: PathBuf,
    /// The folder of the second one's; differences are its results less the first's.
    #[arg(value_name = "B")]
    second: PathBuf,
    /// What to print [default: terminal on a terminal, markdown elsewhere]; not with `--out`.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<ComparisonFormat>,
    /// Write it to a file instead, whose ending says what: .html for a page, .md or .csv.
    #[arg(short, long, value_name = "FILE", conflicts_with = "format")]
    out: Option<PathBuf>,
}

/// How a comparison is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ComparisonFormat {
    /// Tables as code forges render them.
    Markdown,
    /// One row per cell and measure, with numbers in full.
    Csv,
    /// Aligned columns; what is significant is bold.
    Terminal,
    /// A page with a plot of the differences, one file that needs no network.
    Html,
}

impl ComparisonFormat {
    /// That of a file, by its name.
    fn of_file(path: &Path) -> Result<Self, Failure> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => Ok(Self::Html),
            Some("csv") => Ok(Self::Csv),
            Some("md") => Ok(Self::Markdown),
            _ => Err(Failure::refused(format!(
                "{} does not say what to write; name a file that ends with .html, .md or .csv",
                path.display()
            ))),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let Arguments {
        first,
        second,
        format,
        out,
    } = arguments;
    let format = match out {
        Some(path) => ComparisonFormat::of_file(path)?,
        None => format.unwrap_or(match std::io::stdout().is_terminal() {
            true => ComparisonFormat::Terminal,
            false => ComparisonFormat::Markdown,
        }),
    };
    let compared = compare([first, second]).map_err(Failure::input)?;
    let text = match format {
        ComparisonFormat::Markdown => markdown(&compared.document()),
        ComparisonFormat::Csv => compared.csv(),
        ComparisonFormat::Html => compared.page(),
        ComparisonFormat::Terminal => in_locale(terminal(&compared.document(), style(), columns())),
    };
    match out {
        None => print(text.trim_end()),
        Some(path) => {
            replace_file(path, text.as_bytes()).map_err(Failure::work)?;
            print(format_args!("written to {}", path.display()));
        }
    }
    Ok(Done::Whole)
}
