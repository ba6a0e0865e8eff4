//! Tables from results: computed once, rendered several ways.
//!
//! The rule: no statistics inside a renderer, no network or device anywhere: a table is rebuilt
//! from the store alone.

mod advantage;
mod beside;
mod claim;
mod csv_files;
pub mod document;
pub mod effects;
mod html;
mod latex;
mod layout;
mod markdown;
mod marks;
mod notes;
mod page;
mod panel;
mod position;
mod published;
mod richer;
pub mod selection;
mod selection_tables;
mod separator;
mod serving_notes;
mod shown;
pub mod table;
mod tabulate;
mod terminal;
mod versus;
mod written;

use std::{fs, path::PathBuf};

use crate::{
    data::{Dataset, Provenance},
    results::Results,
    results_dir::VariantDir,
    store::{StoreError, replace_file},
};

pub use advantage::MARGINAL;
pub use beside::{CLAIMS, PUBLISHED};
pub use claim::{
    CheckOutcome, Claim, ClaimCheck, Claims, OURS, Verdict, document as claims_document,
};
pub use csv_files::{
    cells as cells_csv, claims as claims_csv, runs as runs_csv, versus as versus_csv,
};
pub use document::Document;
pub use html::html;
pub use latex::latex;
pub use layout::{lay_out, shown};
pub use markdown::markdown;
pub use marks::{paired, unpaired};
pub use page::{
    PageSources, RunningSweep, Scale, Unread, document_page, is_whole_page, write_pages,
};
pub use position::Position;
pub use published::{PublishedError, PublishedFault, PublishedMeans};
pub use richer::RicherTable;
pub use shown::{p_value, signed};
pub use table::{Behind, Cell, Comparison, Table, Test};
pub use tabulate::tabulate;
pub use terminal::{Style, terminal};
pub use versus::{PublishedPair, Standing, Versus, versus};
pub use written::{Tables, WrittenPages};

/// What a table says of its data.
#[derive(Clone, Debug)]
pub struct DataOrigin {
    /// The data set's label.
    pub dataset: String,
    /// Where images and masks come from.
    pub origin: Provenance,
    /// What was done to images and masks on their way from the files; `None` where nothing was.
    pub preparation: Option<String>,
}

impl DataOrigin {
    /// Of a data set.
    pub fn of(dataset: &Dataset) -> Self {
        Self {
            dataset: dataset.label.clone(),
            origin: dataset.provenance,
            preparation: dataset.preparation.clone(),
        }
    }
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
    /// Whether the files on disk hold these bytes.
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
    /// For a code forge, or to be read as plain text.
    Markdown,
    /// A file that compiles.
    Latex,
    /// A fragment of a page.
    Html,
    /// For a terminal; paragraphs are wrapped after so many characters.
    Terminal(Style, usize),
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
        Format::Terminal(style, columns) => each(&|document| terminal(document, style, columns)),
    }
}

/// The table of one experiment; nothing is written yet.
pub fn table(
    results: &Results<'_>,
    experiment: usize,
    provenance: &DataOrigin,
    folder: &VariantDir,
) -> Tabled {
    let table = tabulate(results, experiment);
    let document = lay_out(&table, results, experiment, provenance);
    let tex = latex(std::slice::from_ref(&document));
    let mut files = vec![
        (folder.runs(), csv_files::runs(results, experiment)),
        (folder.table("csv"), cells_csv([&table])),
        (folder.table("md"), markdown(&document).into_bytes()),
        (folder.table("tex"), tex.into_bytes()),
    ];
    if !table.selections.is_empty() {
        files.push((folder.rules(), csv_files::rules(&table)));
    }
    Tabled {
        folder: folder.path().to_owned(),
        table,
        document,
        files,
    }
}

/// Writes one more document of an experiment as `<name>-<what>.md`; returns its path.
///
/// # Errors
/// Where the folder cannot be written.
pub fn write_beside(
    document: &Document,
    what: &str,
    folder: &VariantDir,
) -> Result<PathBuf, StoreError> {
    let path = folder.beside(what);
    replace_file(&path, markdown(document).as_bytes())?;
    Ok(path)
}
