//! Tables from results: computed once, rendered several ways.
//!
//! The rule: no statistics inside a renderer, no network or device anywhere: a table is rebuilt from
//! the store alone.

mod advantage;
mod claim;
mod csv_files;
pub mod document;
mod html;
mod latex;
mod layout;
mod markdown;
mod marks;
mod notes;
mod page;
mod position;
mod published;
pub mod table;
mod tabulate;
mod terminal;
mod versus;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    data::Provenance as Origin,
    manifest::Experiment,
    results::Results,
    store::{StoreError, replace_file},
};

pub use advantage::MARGINAL;
pub use claim::{Check, Claim, Outcome, Verdict, document as claims_document};
pub use csv_files::{cells as cells_csv, claims as claims_csv, versus as versus_csv};
pub use document::Document;
pub use html::{escaped as html_escaped, html, html_block, html_text};
pub use latex::latex;
pub use layout::{lay_out, shown};
pub use markdown::markdown;
pub use marks::{paired, unpaired};
pub use page::{Sources, Unread, is_whole_page, overview_path, page_paths, write_pages};
pub use position::Position;
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

/// A table, and the files that it is written to.
#[derive(Debug)]
pub struct Tabled {
    /// The folder of its files.
    pub folder: PathBuf,
    /// The table.
    pub table: Table,
    /// The table, laid out.
    pub document: Document,
    /// `runs.csv`, `<name>.csv`, `<name>.md` and `<name>.tex` by path.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

impl Tabled {
    /// Whether the files hold just this.
    pub fn is_written(&self) -> bool {
        let same =
            |(path, bytes): &(PathBuf, Vec<u8>)| fs::read(path).is_ok_and(|old| old == *bytes);
        self.files.iter().all(same)
    }

    /// Writes the files; one that would not change is not touched.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn write(&self) -> Result<(), StoreError> {
        let mut files = self.files.iter();
        files.try_for_each(|(path, bytes)| replace_file(path, bytes))
    }
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

/// The table of one experiment; nothing is written yet.
pub fn table(
    results: &Results<'_>,
    experiment: usize,
    provenance: &Provenance,
    to: &Path,
) -> Tabled {
    let spec = &results.plan.experiments[experiment];
    let folder = folder(to, spec);
    let table = tabulate(results, experiment);
    let document = lay_out(&table, results, experiment, provenance);
    let file = |name: String, bytes: Vec<u8>| (folder.join(name), bytes);
    let files = vec![
        file("runs.csv".to_owned(), csv_files::runs(results, experiment)),
        file(format!("{}.csv", spec.name), cells_csv([&table])),
        file(
            format!("{}.md", spec.name),
            markdown(&document).into_bytes(),
        ),
        file(
            format!("{}.tex", spec.name),
            latex(std::slice::from_ref(&document)).into_bytes(),
        ),
    ];
    Tabled {
        folder,
        table,
        document,
        files,
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
