//! The folder of a site check, which the node where it was asked for and two nodes of a job share.
//!
//! ```text
//! results/cluster/check-<digits>/
//!   check.json            what is checked
//!   expertgrid            the program
//!   log                   what the job printed
//!   meeting/              what the nodes write for each other
//!   found-0, found-1      what each of them finds
//!   queuing               whether the job was queued again
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::findings::NodeFindings;
use crate::{
    cluster::ClusterSettings,
    store::{StoreError, create_folder, replace_file},
};

/// What is checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteCheck {
    /// How pilots would run.
    pub settings: ClusterSettings,
    /// The folder in which the check was asked for.
    pub directory: PathBuf,
}

/// What became of the job's request to be queued again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Queuing {
    /// It was asked for.
    Asked,
    /// It was refused, with these words.
    Refused(String),
    /// The job has begun a second time, on this node.
    BeganAgain(String),
}

/// The folder of a site check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteFolder(PathBuf);

impl SiteFolder {
    /// At this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.0.join("expertgrid")
    }

    /// What the job prints.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The folder in which nodes write for each other.
    pub fn meeting(&self) -> PathBuf {
        self.0.join("meeting")
    }

    /// Makes it, with what is checked.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn prepare(&self, check: &SiteCheck) -> Result<(), StoreError> {
        create_folder(&self.meeting())?;
        self.write("check.json", check)
    }

    /// What is checked.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn check(&self) -> Result<SiteCheck, String> {
        let path = self.0.join("check.json");
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Writes what a node finds; `node` is 0 or 1.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_findings(&self, node: usize, found: &NodeFindings) -> Result<(), StoreError> {
        self.write(&format!("found-{node}"), found)
    }

    /// What a node has found, once it has.
    pub fn findings(&self, node: usize) -> Option<NodeFindings> {
        self.read(&format!("found-{node}"))
    }

    /// Writes what became of the request to be queued again.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_queuing(&self, queuing: &Queuing) -> Result<(), StoreError> {
        self.write("queuing", queuing)
    }

    /// What became of the request to be queued again, if the job came so far.
    pub fn queuing(&self) -> Option<Queuing> {
        self.read("queuing")
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let json = serde_json::to_vec_pretty(value).expect("plain data");
        replace_file(&self.0.join(name), &json)
    }

    /// By listing first: a name that was asked for too early may be remembered as absent.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let entries = fs::read_dir(&self.0).ok()?;
        let mut names = entries.flatten().map(|entry| entry.file_name());
        names.find(|listed| listed == name)?;
        serde_json::from_slice(&fs::read(self.0.join(name)).ok()?).ok()
    }
}
