//! `expertgrid new`: a manifest that fits a data set, over another manifest.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use itertools::Itertools;

use super::{Done, Failure, output::print};
use crate::{
    data::{self, grouped, guess::guess},
    grid::ExpertNames,
    manifest::{self, PAPER},
    manifest_draft::Draft,
    shell,
    store::create_file,
};

#[derive(Debug, Args)]
#[command(
    after_help = "How the folder is laid out is guessed from names and values of its files; read \
                  what was written before you run it.

Example: expertgrid new mine --from table2 --dataset scans"
)]
pub(super) struct Arguments {
    /// Name of the experiment; its manifest is written to NAME.toml, which must not exist yet.
    #[arg(value_name = "NAME")]
    name: PathBuf,
    /// Manifest whose keys count where the new one has none.
    #[arg(long, value_name = "MANIFEST", default_value = "table2")]
    from: PathBuf,
    /// Folder of the data set.
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let path = match arguments
        .name
        .extension()
        .is_some_and(|ending| ending == "toml")
    {
        true => arguments.name.clone(),
        false => PathBuf::from(format!("{}.toml", arguments.name.display())),
    };
    if path.exists() {
        return Err(Failure::Input(anyhow!(
            "{} exists already; choose another name",
            path.display()
        )));
    }
    let base = manifest::found(&arguments.from);
    // Its mistakes are told before anything is written.
    manifest::read(&[&base], PAPER, &[]).map_err(Failure::input)?;
    let found =
        guess(&arguments.dataset).map_err(|problem| Failure::refused(problem.to_string()))?;
    let dataset = data::open_as(&arguments.dataset, &found.spec).map_err(Failure::input)?;
    for line in grouped(&dataset.warnings) {
        eprintln!("{line}");
    }
    let names = ExpertNames::new(&found.spec.experts);
    let draft = Draft {
        path: path.clone(),
        base,
        data: arguments.dataset.clone(),
        found,
    };
    let text = draft.fitting(&dataset).map_err(Failure::input)?;
    create_file(&path, text.as_bytes()).map_err(Failure::work)?;
    print(format_args!(
        "{}: {} training and {} test cases, experts {}",
        path.display(),
        dataset.training.len(),
        dataset.test.len(),
        dataset
            .experts
            .iter()
            .map(|expert| names.show(*expert))
            .join(", ")
    ));
    let profiles = manifest::profiles(&path).map_err(Failure::work)?;
    let small = match profiles.iter().any(|profile| profile == "phantom") {
        true => " --profile phantom",
        false => "",
    };
    print(format_args!(
        "read it, then: expertgrid plan {}{small}",
        shell::bytes(path.as_os_str().as_encoded_bytes())
    ));
    Ok(Done::Whole)
}
