//! Tables from results: computed once, rendered several ways.
//!
//! The rule: no statistics inside a renderer, no network or device anywhere: a table is rebuilt from
//! the store alone.

mod advantage;
pub mod claims;
mod csv_files;
pub mod document;
mod html;
mod latex;
mod layout;
mod markdown;
mod marks;
mod notes;
mod page;
mod published;
pub mod table;
mod tabulate;
mod terminal;
mod versus;

use std::path::{Path, PathBuf};

use crate::{
    data::Provenance as Origin,
    manifest::Experiment,
    results::Results,
    store::{StoreError, replace_file},
};

pub use claims::{Claim, Verdict, claims};
pub use csv_files::{cells as cells_csv, claims as claims_csv, versus as versus_csv};
pub use document::Document;
pub use html::{escaped as html_escaped, html, html_block, html_text};
pub use latex::latex;
pub use layout::{lay_out, metric_name, shown};
pub use markdown::markdown;
pub use page::{Sources, Unread, overview_path, write_pages};
pub use published::Reference;
pub use table::{Behind, Cell, Comparison, Table, Test};
pub use tabulate::tabulate;
pub use terminal::{Style, terminal};
pub use versus::{Pair, Standing, Versus, versus};

/// What a table says of itself.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The data set's label.
    pub dataset: String,
    /// Where images and masks come from.
    pub origin: Origin,
}

/// A table, and where its files are.
#[derive(Debug)]
pub struct Written {
    /// The folder of its files.
    pub folder: Option<PathBuf>,
    /// The table.
    pub table: Table,
    /// The table, laid out.
    pub document: Document,
}

/// How documents are rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a code forge, or to be read as it is.
    Markdown,
    /// A file that compiles.
    Latex,
    /// A fragment of a page.
    Html,
    /// For a terminal.
    Terminal(Style),
}

/// Renders documents, one after the other.
pub fn render(documents: &[Document], format: Format) -> String {
    let each = |render: &dyn Fn(&Document) -> String| {
        let texts: Vec<String> = documents.iter().map(render).collect();
        texts.join("\n")
    };
    match format {
        Format::Markdown => each(&markdown),
        Format::Latex => latex(documents),
        Format::Html => each(&html),
        Format::Terminal(style) => each(&|document| terminal(document, style)),
    }
}

/// Where an experiment's tables go.
pub fn folder(results: &Path, experiment: &Experiment) -> PathBuf {
    results.join(&experiment.name).join(&experiment.profile)
}

/// Writes `runs.csv`, `<name>.csv`, `<name>.md` and `<name>.tex` of one experiment; a file that would not change
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
    let spec = &results.plan.experiments[experiment];
    let folder = folder(to, spec);
    let written = of(results, experiment, provenance, Some(folder.clone()));
    let Written {
        table, document, ..
    } = &written;
    let file = |name: String, bytes: &[u8]| replace_file(&folder.join(name), bytes);
    file("runs.csv".to_owned(), &csv_files::runs(results, experiment))?;
    file(format!("{}.csv", spec.name), &cells_csv([table]))?;
    file(format!("{}.md", spec.name), markdown(document).as_bytes())?;
    let tex = latex(std::slice::from_ref(document));
    file(format!("{}.tex", spec.name), tex.as_bytes())?;
    Ok(written)
}

/// The table of one experiment and how it is laid out, in this folder or in none.
pub fn of(
    results: &Results<'_>,
    experiment: usize,
    provenance: &Provenance,
    folder: Option<PathBuf>,
) -> Written {
    let table = tabulate(results, experiment);
    let document = lay_out(&table, results, experiment, provenance);
    Written {
        folder,
        table,
        document,
    }
}

/// Writes one more document of an experiment as `<name>-<what>.md`; its path.
///
/// # Errors
/// Where the folder cannot be written.
pub fn write_beside(
    document: &Document,
    spec: &Experiment,
    what: &str,
    to: &Path,
) -> Result<PathBuf, StoreError> {
    let path = folder(to, spec).join(format!("{}-{what}.md", spec.name));
    replace_file(&path, markdown(document).as_bytes())?;
    Ok(path)
}
