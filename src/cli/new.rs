//! `expertgrid new`: a manifest that fits a data set, over another manifest.

use std::{
    fs,
    path::{Path, PathBuf},
};

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
    #[arg(short, long, value_name = "DIR")]
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
    let base = BaseManifest::of(&arguments.from, &path)?;
    // Its mistakes are told before anything is written.
    let read = manifest::read(&[&base.path], PAPER, &[]).map_err(Failure::input)?;
    let extended = read
        .into_iter()
        .next()
        .expect("one manifest is one experiment");
    let found =
        guess(&arguments.dataset).map_err(|problem| Failure::refused(problem.to_string()))?;
    let dataset = data::open_as(&arguments.dataset, &found.spec).map_err(Failure::input)?;
    for line in grouped(&dataset.warnings) {
        eprintln!("{line}");
    }
    let names = ExpertNames::new(&found.spec.experts);
    let draft = Draft {
        path: path.clone(),
        base: base.path.clone(),
        extended,
        data: arguments.dataset.clone(),
        found,
    };
    let text = draft.fitting(&dataset).map_err(Failure::input)?;
    create_file(&path, text.as_bytes()).map_err(Failure::work)?;
    base.keep();
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

/// The manifest that a new one extends.
struct BaseManifest {
    path: PathBuf,
    /// Whether it is the program's own, and goes again where no new manifest comes of it.
    is_temporary: bool,
}

impl BaseManifest {
    /// A manifest of the user; where there is none of the name of one of the paper's tables, the
    /// program's own, written beside the new one.
    fn of(given: &Path, beside: &Path) -> Result<Self, Failure> {
        let path = manifest::found(given);
        let shipped = manifest::shipped(given).filter(|_| !path.exists());
        let Some(text) = shipped else {
            return Ok(Self {
                path,
                is_temporary: false,
            });
        };
        let path = beside.with_file_name(given).with_extension("toml");
        create_file(&path, text.as_bytes()).map_err(Failure::input)?;
        Ok(Self {
            path,
            is_temporary: true,
        })
    }

    /// Lets it stay.
    fn keep(mut self) {
        if self.is_temporary {
            print(format_args!("{}: as the paper's", self.path.display()));
        }
        self.is_temporary = false;
    }
}

impl Drop for BaseManifest {
    fn drop(&mut self) {
        if self.is_temporary {
            // What remains is read as it is by the next call.
            let _ = fs::remove_file(&self.path);
        }
    }
}
