//! `expertgrid compare`: two experiments side by side.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Done, Failure, output::print};
use crate::comparison::compare;

#[derive(Debug, Args)]
#[command(
    after_help = "It reads runs.csv and variant.toml in both folders, and the manifests that they
name, as these are now, for the keys; nothing is run.

Example: expertgrid compare results/table2/phantom results/table2/phantom+finetune.steps=80"
)]
pub(super) struct Arguments {
    /// The folder of the first experiment's results: results/<name>/<variant>.
    #[arg(value_name = "A")]
    first: PathBuf,
    /// The folder of the second one's; differences are its results less the first's.
    #[arg(value_name = "B")]
    second: PathBuf,
    /// What to print.
    #[arg(long, value_enum, default_value = "markdown")]
    format: ComparisonFormat,
}

/// How a comparison is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ComparisonFormat {
    /// Tables as code forges render them.
    Markdown,
    /// One row per cell and measure, with numbers in full.
    Csv,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let Arguments {
        first,
        second,
        format,
    } = arguments;
    let compared = compare([first, second]).map_err(Failure::input)?;
    let text = match format {
        ComparisonFormat::Markdown => compared.markdown(),
        ComparisonFormat::Csv => compared.csv(),
    };
    print(text.trim_end());
    Ok(Done::Whole)
}
