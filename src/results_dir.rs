//! The paths of everything below the results folder.
//!
//! ```text
//! results/
//!   store/               finished stages; what is inside is the store's own
//!   logs/<stage>.log     what stages printed
//!   <variant>.html       the page over several experiments
//!   <name>/<variant>/    one experiment: tables, page, journals, and what they are of
//!   cluster/<sweep>/     a sweep on a cluster: what is run, and what its pilots share
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::key::Digest;

/// The extension of a log's name.
const LOG: &str = ".log";

/// The results folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultsDir(PathBuf);

impl ResultsDir {
    /// At this path, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The root of the store.
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// Where a stage's log is, if it has one.
    pub fn log(&self, stage: &Digest) -> PathBuf {
        self.logs().join(format!("{stage}{LOG}"))
    }

    fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The stages that have a log.
    pub fn logged(&self) -> Vec<Digest> {
        let names = names(&self.logs()).into_iter();
        let stages = names.filter_map(|name| name.strip_suffix(LOG)?.parse().ok());
        stages.collect()
    }

    /// The page over several experiments of one variant.
    pub fn overview(&self, variant: &str) -> PathBuf {
        self.0.join(format!("{variant}.html"))
    }

    /// The folder of an experiment's variant. No experiment has the name of another folder here.
    pub fn variant(&self, name: &str, variant: &str) -> VariantDir {
        VariantDir {
            path: self.0.join(name).join(variant),
            shown: format!("{name}/{variant}"),
            name: name.to_owned(),
        }
    }

    /// Every journal there is.
    pub fn journals(&self) -> Vec<PathBuf> {
        let folders = |path: &Path| -> Vec<PathBuf> {
            let names = names(path).into_iter();
            names.map(|name| path.join(name)).collect()
        };
        let experiments = folders(&self.0).into_iter();
        let variants = experiments.flat_map(|experiment| folders(&experiment));
        variants.flat_map(|variant| journals_in(&variant)).collect()
    }

    /// The folders of the sweeps on clusters.
    pub fn cluster(&self) -> PathBuf {
        self.0.join("cluster")
    }
}

/// The names in a folder, sorted; none where it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The file that says what the results of a variant are of.
pub const IDENTITY: &str = "variant.toml";

/// The folder of an experiment's journals.
const JOURNALS: &str = "journal";
const JOURNAL: &str = ".jsonl";
/// The only journal that an experiment had in earlier versions.
const EARLIER: &str = "journal.jsonl";

/// The journals of an experiment's variant.
fn journals_in(variant: &Path) -> Vec<PathBuf> {
    let folder = variant.join(JOURNALS);
    let names = names(&folder).into_iter();
    let names = names.filter(|name| name.ends_with(JOURNAL));
    let earlier = Some(variant.join(EARLIER)).filter(|path| path.is_file());
    let journals = names.map(|name| folder.join(name));
    earlier.into_iter().chain(journals).collect()
}

/// The folder of one experiment's variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantDir {
    path: PathBuf,
    shown: String,
    name: String,
}

impl VariantDir {
    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path below the results folder, with `/`.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The file that says what the results are of.
    pub fn identity(&self) -> PathBuf {
        self.path.join(IDENTITY)
    }

    /// The journal of a run of stages.
    pub fn journal(&self, run: &str) -> PathBuf {
        self.path.join(JOURNALS).join(format!("{run}{JOURNAL}"))
    }

    /// Every journal there is.
    pub fn journals(&self) -> Vec<PathBuf> {
        journals_in(&self.path)
    }

    /// The page.
    pub fn page(&self) -> PathBuf {
        self.path.join("index.html")
    }

    /// The scores of every run.
    pub fn runs(&self) -> PathBuf {
        self.path.join("runs.csv")
    }

    /// What rules for choosing annotators would have got.
    pub fn rules(&self) -> PathBuf {
        self.path.join("rules.csv")
    }

    /// The table as a file of this kind: `csv`, `md`, `tex`.
    pub fn table(&self, extension: &str) -> PathBuf {
        self.path.join(format!("{}.{extension}", self.name))
    }

    /// A document beside the table: `claims`, `vs-paper`.
    pub fn beside(&self, what: &str) -> PathBuf {
        self.path.join(format!("{}-{what}.md", self.name))
    }
}
