//! The content-addressed store: one folder per stage, named by the stage's key.
//!
//! ```text
//! results/store/<kind>/<first two digits>/<digest>/
//!     artefact.json        the key's inputs, the files' digests, what made them
//!     ...                  the stage's files
//! results/store/claims/    a file for a stage that was claimed, locked while a process runs it
//! results/store/partial/   progress of interrupted stages, from which they resume
//! results/store/tmp/       artefacts being written; removed when their writer has ended
//! ```
//!
//! The rule: an artefact is written aside, flushed to disk and renamed into place; it is never
//! edited. What is read is verified against the digests; a damaged entry counts as missing. The
//! store does not know what an artefact means.

mod error;
mod lease;
mod made_by;
mod partial;
mod publish;
mod scratch;
mod space;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    data::training_geometry::TrainingGeometry,
    key::{Digest, Input},
    plan::{Kind, Stage},
    results_dir::ResultsDir,
};

pub use error::StoreError;
pub use lease::{Lease, LeaseFolder};
pub use made_by::MadeBy;
pub use publish::{check_writable, create_file, create_folder, replace_file};
pub use scratch::Scratch;

use error::Doing;

/// The description beside an artefact's files.
const DESCRIPTION: &str = "artefact.json";

/// A store on disk.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What is known of an artefact beside its files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The kind of stage that made it.
    pub kind: Kind,
    /// The stage's key.
    pub digest: Digest,
    /// The inputs behind the key.
    pub inputs: Vec<Input>,
    /// The whole specification of the work, so that it can be done again from here.
    pub spec: Box<RawValue>,
    /// What the data set was called.
    pub dataset: String,
    /// What the headers of its training images say, beside weights that can leave the store.
    /// Stages of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geometry: Option<TrainingGeometry>,
    /// Size and digest of every file.
    pub files: BTreeMap<String, FileDigest>,
    /// What computed it.
    pub made_by: MadeBy,
}

/// What is known of an artefact before it is published; see [`Description`].
#[derive(Clone, Debug)]
pub struct Unpublished {
    /// The kind of stage that made it.
    pub kind: Kind,
    /// The stage's key.
    pub digest: Digest,
    /// The inputs behind the key.
    pub inputs: Vec<Input>,
    /// The whole specification of the work.
    pub spec: Box<RawValue>,
    /// What the data set is called.
    pub dataset: String,
    /// What the headers of its training images say.
    pub geometry: Option<TrainingGeometry>,
    /// What computed it.
    pub made_by: MadeBy,
}

/// Size and digest of a file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of the bytes.
    pub digest: Digest,
}

/// A verified artefact.
#[derive(Clone, Debug)]
pub struct Artefact {
    /// What is known of it.
    pub description: Box<Description>,
    /// The files that were asked for.
    pub files: Files,
}

/// What became of an artefact that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was removed.
    Removed,
    /// A process works on it; it stays.
    InUse,
}

/// The result of looking for an artefact.
#[derive(Debug)]
pub enum Found {
    /// It is there and intact.
    Intact(Artefact),
    /// It is not there.
    Missing,
    /// It is there and damaged, for this reason.
    Damaged(String),
}

impl Store {
    /// The store within a results folder; nothing is created.
    pub fn within(results: &Path) -> Self {
        Self {
            root: ResultsDir::new(results).store(),
        }
    }

    /// A folder for what is being written, created with the store where need be.
    ///
    /// # Errors
    /// The store cannot be written to.
    pub fn scratch(&self) -> Result<Scratch, StoreError> {
        Scratch::open(&self.root.join("tmp"))
    }

    /// Whether the process that owns a scratch folder of this name still runs: it holds a lock as
    /// long as it runs.
    pub fn is_alive(&self, owner: &str) -> bool {
        scratch::is_held(&self.root.join("tmp").join(owner))
    }

    /// Removes the scratch folders of owners that have ended, on the machine of one of them, with
    /// which locks are known to be shared. Whether nothing of that one is left.
    pub fn remove_ended(&self, owner: &str) -> bool {
        scratch::remove_ended(&self.root.join("tmp"), owner)
    }

    /// Whether a process works on it: a sweep, a worker, an audit.
    pub fn is_at_work(&self) -> bool {
        let folders = fs::read_dir(self.root.join("tmp"));
        let mut folders = folders.into_iter().flatten().flatten();
        folders.any(|folder| scratch::is_held(&folder.path()))
    }

    /// Where an artefact is, or would be.
    pub fn path(&self, kind: Kind, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(kind.word()).join(&name[..2]).join(name)
    }

    /// Makes the folders in which these stages' artefacts will be, so that no other machine can
    /// remember that one is not there.
    ///
    /// # Errors
    /// One cannot be created.
    pub fn make_folders(&self, stages: &[&Stage]) -> Result<(), StoreError> {
        let of = |stage: &&Stage| {
            let path = self.path(stage.spec.kind(), &stage.digest);
            path.parent().map(Path::to_owned)
        };
        let folders: BTreeSet<PathBuf> = stages.iter().filter_map(of).collect();
        folders.iter().try_for_each(|folder| {
            fs::create_dir_all(folder).doing(|| format!("creating {}", folder.display()))
        })
    }

    /// Whether an artefact is there. It is verified when it is read.
    pub fn contains(&self, kind: Kind, digest: &Digest) -> bool {
        self.path(kind, digest).join(DESCRIPTION).exists()
    }

    /// Whether an artefact is there, by the list of those in its folder.
    pub fn is_listed(&self, kind: Kind, digest: &Digest) -> bool {
        let path = self.path(kind, digest);
        let entries = path.parent().map(fs::read_dir);
        let mut entries = entries.into_iter().flatten().flatten().flatten();
        entries.any(|entry| path.file_name() == Some(&entry.file_name()))
    }

    /// Whether an artefact is there that has a file of this name.
    pub fn has_file(&self, kind: Kind, digest: &Digest, name: &str) -> bool {
        self.path(kind, digest).join(name).exists()
    }

    /// Every artefact that is there, by kind and digest.
    pub fn list(&self) -> Vec<(Kind, Digest)> {
        let names = |folder: PathBuf| -> Vec<String> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut names: Vec<String> = entries
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        let mut found = Vec::new();
        for kind in Kind::ALL {
            let of_kind = self.root.join(kind.word());
            for prefix in names(of_kind.clone()) {
                let digests = names(of_kind.join(prefix));
                let digests = digests.iter().filter_map(|name| name.parse().ok());
                found.extend(digests.map(|digest| (kind, digest)));
            }
        }
        found
    }

    /// How many bytes an artefact takes.
    pub fn size(&self, kind: Kind, digest: &Digest) -> u64 {
        let entries = fs::read_dir(self.path(kind, digest)).into_iter();
        let files = entries.flatten().flatten();
        files
            .filter_map(|file| file.metadata().ok())
            .map(|metadata| metadata.len())
            .sum()
    }

    /// Removes an artefact: it is moved away first and then deleted, so that no reader finds a part
    /// of it.
    ///
    /// # Errors
    /// The store cannot be written to.
    pub fn remove(
        &self,
        scratch: &Scratch,
        kind: Kind,
        digest: &Digest,
    ) -> Result<Removal, StoreError> {
        let leases = self.leases()?;
        let Some(_lease) = leases.lease(digest)? else {
            return Ok(Removal::InUse);
        };
        let place = self.path(kind, digest);
        let aside = scratch.folder(&format!("removed-{kind}-{}", digest.short()))?;
        fs::rename(&place, aside.path().join("artefact"))
            .doing(|| format!("removing {}", place.display()))?;
        aside.remove()?;
        Ok(Removal::Removed)
    }

    /// Reads an artefact's description and those of its files that `wanted` names, verified.
    pub fn read(&self, kind: Kind, digest: &Digest, wanted: &[&str]) -> Found {
        self.look(kind, digest, FileSelection::These(wanted))
    }

    /// Reads an artefact with all its files, verified.
    pub fn verify(&self, kind: Kind, digest: &Digest) -> Found {
        self.look(kind, digest, FileSelection::All)
    }

    fn look(&self, kind: Kind, digest: &Digest, wanted: FileSelection<'_>) -> Found {
        match self.try_read(kind, digest, wanted) {
            Ok(artefact) => Found::Intact(artefact),
            Err(Unreadable::Missing) => Found::Missing,
            Err(Unreadable::Damaged(why)) => {
                Found::Damaged(format!("{}: {why}", self.path(kind, digest).display()))
            }
        }
    }

    fn try_read(
        &self,
        kind: Kind,
        digest: &Digest,
        wanted: FileSelection<'_>,
    ) -> Result<Artefact, Unreadable> {
        let folder = self.path(kind, digest);
        let text = match fs::read(folder.join(DESCRIPTION)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => {
                return Err(Unreadable::Missing);
            }
            Err(error) => return Err(Unreadable::Damaged(format!("{DESCRIPTION}: {error}"))),
        };
        let damaged = |what: String| Unreadable::Damaged(what);
        let description: Description = serde_json::from_slice(&text)
            .map_err(|error| damaged(format!("{DESCRIPTION}: {error}")))?;
        if (description.kind, description.digest) != (kind, *digest) {
            return Err(damaged(format!("{DESCRIPTION} is that of another stage")));
        }
        let mut files = Files::new();
        let names: Vec<&str> = match wanted {
            FileSelection::These(names) => names.to_vec(),
            FileSelection::All => description.files.keys().map(String::as_str).collect(),
        };
        for name in names {
            let Some(expected) = description.files.get(name) else {
                return Err(damaged(format!("it has no file {name}")));
            };
            let bytes =
                fs::read(folder.join(name)).map_err(|error| damaged(format!("{name}: {error}")))?;
            if bytes.len() as u64 != expected.size || Digest::of_bytes(&bytes) != expected.digest {
                return Err(damaged(format!("{name} is not what was written")));
            }
            files.insert(name.to_owned(), bytes);
        }
        Ok(Artefact {
            description: Box::new(description),
            files,
        })
    }
}

/// Which files of an artefact are to be read.
#[derive(Clone, Copy)]
enum FileSelection<'a> {
    These(&'a [&'a str]),
    All,
}

enum Unreadable {
    Missing,
    Damaged(String),
}
