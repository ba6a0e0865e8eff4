//! Tables from results: computed once, rendered several ways.
//!
//! The rule: no statistics inside a renderer, no network or device anywhere: a table is rebuilt from
//! the store alone.

mod csv_files;
pub mod document;
mod layout;
mod markdown;
mod marks;
mod notes;
mod page;
pub mod table;
mod tabulate;

use std::path::{Path, PathBuf};

use crate::{
    data::Provenance as Origin,
    manifest::Experiment,
    results::Results,
    store::{StoreError, replace_file},
};

pub use document::Document;
pub use layout::{lay_out, metric_name, shown};
pub use markdown::markdown;
pub use page::{Sources, overview_path, write_pages};
pub use table::{Cell, Table};
pub use tabulate::tabulate;

/// What a table says of itself.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The data set's label.
    pub dataset: String,
    /// Where images and masks come from.
    pub origin: Origin,
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
    let text = markdown(&lay_out(&table, results, experiment, provenance));
    let path = folder.join(format!("{}.md", spec.name));
    replace_file(&path, text.as_bytes())?;
    Ok(Written { path, text })
}
