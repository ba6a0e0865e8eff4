//! `expertgrid data`: make the phantom, check a data set, show a case.

mod show;

use std::{borrow::Cow, path::PathBuf};

use anyhow::anyhow;
use clap::Subcommand;
use serde::Serialize;

use super::{DescribedSet, Done, Failure, output::print};
use crate::data::{
    Dataset, Expert,
    check::{self, Check},
    fit::{Fit, fit},
    phantom,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Draw the synthetic phantom: 39 cases with the masks of seven experts, as NIfTI files.
    #[command(after_help = "Example: expertgrid data phantom --out data/phantom")]
    Phantom {
        /// Folder to write; it must be empty or not exist yet.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Seed; another one draws other brains.
        #[arg(long, default_value_t = phantom::DEFAULT_SEED)]
        seed: u64,
    },
    /// Check a data set: what it holds, and what is wrong with it.
    #[command(
        after_help = "A folder is read in QUBIQ's layout. A manifest says under `[dataset]` how \
                      its data set is found and read, and is held against what is there.

Examples:
  expertgrid data check data/phantom
  expertgrid data check mine.toml --dataset scans"
    )]
    Check {
        /// Folder of the data set, or a manifest that describes one.
        #[arg(value_name = "DIR|MANIFEST")]
        set: PathBuf,
        /// Folder of the data set that the manifest describes [default: its `dataset.path`, or
        /// data/phantom].
        #[arg(long, value_name = "DIR")]
        dataset: Option<PathBuf>,
        /// Print what it holds and every problem of every file as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Draw a case: all experts' contours, how far they agree, their mutual Dice.
    Show(show::Arguments),
}

/// What a check found, as JSON.
#[derive(Serialize)]
struct CheckedSet<'a> {
    label: &'a str,
    content: String,
    training: usize,
    test: usize,
    experts: &'a [Expert],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    usable: bool,
    problems: Vec<FileProblem<'a>>,
}

/// A problem of a file or folder, as JSON.
#[derive(Serialize)]
struct FileProblem<'a> {
    severity: String,
    path: Cow<'a, str>,
    what: &'a str,
    remedy: &'a str,
}

fn json(check: &Check) -> String {
    let problems = check.problems.iter().map(|problem| FileProblem {
        severity: problem.severity.to_string(),
        path: problem.path.to_string_lossy(),
        what: &problem.what,
        remedy: &problem.remedy,
    });
    let set = CheckedSet {
        label: &check.label,
        content: check.digest.to_string(),
        training: check.training,
        test: check.test,
        experts: &check.experts,
        names: match check.names.are_there() {
            true => check.experts.iter().map(|e| check.names.show(*e)).collect(),
            false => Vec::new(),
        },
        usable: check.usable(),
        problems: problems.collect(),
    };
    serde_json::to_string_pretty(&set).expect("a check is plain data")
}

pub(super) fn run(command: &Command) -> Result<Done, Failure> {
    match command {
        Command::Phantom { out, seed } => {
            phantom::write(out, *seed).map_err(Failure::refused)?;
            print(format_args!(
                "phantom of seed {seed} written to {}",
                out.display()
            ));
            Ok(Done::Whole)
        }
        Command::Check {
            set,
            dataset,
            json: as_json,
        } => {
            let described = DescribedSet::of(set, dataset.as_deref())?;
            if !described.dir.exists() {
                return Err(Failure::Input(anyhow!(
                    "{}: does not exist; name the folder of a data set, or a manifest that \
                     describes one",
                    described.dir.display()
                )));
            }
            let survey = described.survey();
            let check = check::of(&survey);
            match as_json {
                true => print(json(&check)),
                false => print(check.to_string().trim_end()),
            }
            match check.usable() {
                true => fits(&described, &survey.readable),
                false => Err(Failure::Input(anyhow!(
                    "{}: not usable as a data set",
                    described.dir.display()
                ))),
            }
        }
        Command::Show(arguments) => show::run(arguments),
    }
}

/// Holds a manifest against the data set that it describes.
fn fits(described: &DescribedSet, dataset: &Dataset) -> Result<Done, Failure> {
    let Some(experiment) = &described.experiment else {
        return Ok(Done::Whole);
    };
    let Fit { problems, notes } = fit(dataset, experiment);
    for note in notes {
        eprintln!("note: {note}");
    }
    match problems.is_empty() {
        true => Ok(Done::Whole),
        false => Err(Failure::refused(problems.join("\n"))),
    }
}
