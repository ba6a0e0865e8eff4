//! Tables from results: computed once, rendered several ways.
//!
//! The rule: no statistics inside a renderer, no network or device anywhere: a table is rebuilt from
//! the store alone.

mod csv_files;
mod markdown;
mod table;

use std::path::{Path, PathBuf};

use crate::{
    manifest::Experiment,
    results::Results,
    store::{StoreError, replace_file},
};

pub use table::{Cell, Table, tabulate};

/// What a table says of itself.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The data set's label.
    pub dataset: String,
    /// Whether images and masks were drawn by a program.
    pub synthetic: Synthetic,
}

/// Whether data were drawn by a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synthetic {
    /// They were: every table says so first.
    Yes,
    /// They were not, or the folder does not say.
    No,
}

/// A table in its files.
#[derive(Debug)]
pub struct Written {
    /// The Markdown file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// Where an experiment's tables go.
pub fn folder(results: &Path, experiment: &Experiment) -> PathBuf {
    results.join(&experiment.name).join(&experiment.profile)
}

/// Writes `runs.csv`, `<name>.csv` and `<name>.md` of one experiment; a file that would not change
/// is not touched.
///
/// # Errors
/// Where the folder cannot be written.
pub fn write(
    results: &Results<'_>,
    experiment: usize,
    provenance: &Provenance,
    to: &Path,
) -> Result<Written, StoreError> {
    let table = tabulate(results, experiment);
    let spec = &results.plan.experiments[experiment];
    let folder = folder(to, spec);
    replace_file(
        &folder.join("runs.csv"),
        &csv_files::runs(results, experiment),
    )?;
    replace_file(
        &folder.join(format!("{}.csv", spec.name)),
        &csv_files::cells(&table),
    )?;
    let text = markdown::render(&table, results, experiment, provenance);
    let path = folder.join(format!("{}.md", spec.name));
    replace_file(&path, text.as_bytes())?;
    Ok(Written { path, text })
}
