//! The content-addressed store: one folder per stage, named by the stage's key.
//!
//! ```text
//! results/store/<kind>/<first two digits>/<digest>/
//!     artefact.json        the key's inputs, the files' digests, what made them
//!     ...                  the stage's files
//! results/store/claims/    stages that a process runs, one locked file each
//! results/store/partial/   stages that have been stopped on their way, to be gone on with
//! results/store/tmp/       artefacts being written; swept when nobody writes them any more
//! ```
//!
//! The rule: an artefact is written aside, flushed to disk and renamed into place; it is never
//! edited. What is read is verified against the digests; a damaged entry counts as missing. The
//! store does not know what an artefact means.

mod claim;
mod partial;
mod scratch;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    key::{Digest, Input},
    plan::Kind,
};

pub use claim::Claim;
pub use scratch::Scratch;

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

/// What computed an artefact. It is not part of any key: the same inputs on another device are the
/// same experiment, but a table that mixes devices says so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeBy {
    /// The program's version.
    pub version: String,
    /// `cpu` or `cuda`.
    pub device: String,
    /// The engine and the instruction set it used.
    pub engine: String,
}

/// A verified artefact.
#[derive(Clone, Debug)]
pub struct Artefact {
    /// What is known of it.
    pub description: Description,
    /// Its files, as asked for.
    pub files: Files,
}

/// What became of an artefact that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// A process works on it right now; it stays.
    InUse,
}

/// What a look into the store finds.
#[derive(Debug)]
pub enum Found {
    /// It is there and intact.
    Intact(Artefact),
    /// It is not there.
    Missing,
    /// It is there and cannot be believed.
    Damaged(String),
}

/// Why the store cannot take something.
#[derive(Debug)]
pub struct StoreError {
    /// What was being done.
    pub doing: String,
    /// What the operating system said.
    pub error: io::Error,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.error)
    }
}

impl std::error::Error for StoreError {}

/// Says what was being done when an operation failed.
pub(crate) trait Doing<T> {
    /// Names the operation.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StoreError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StoreError> {
        self.map_err(|error| StoreError {
            doing: what(),
            error,
        })
    }
}

impl Store {
    /// The store within a results folder; nothing is created.
    pub fn within(results: &Path) -> Self {
        Self {
            root: results.join("store"),
        }
    }

    /// A folder for what is being written, created with the store where need be.
    ///
    /// # Errors
    /// Where the store cannot be written to.
    pub fn scratch(&self) -> Result<Scratch, StoreError> {
        Scratch::open(&self.root.join("tmp"))
    }

    /// Whether the owner of a scratch folder of this name lives: it holds a lock as long as it does.
    pub fn is_alive(&self, owner: &str) -> bool {
        scratch::is_held(&self.root.join("tmp").join(owner))
    }

    /// Where an artefact is, or would be.
    pub fn path(&self, kind: Kind, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(kind.word()).join(&name[..2]).join(name)
    }

    /// Whether an artefact is there. It is verified when it is read.
    pub fn contains(&self, kind: Kind, digest: &Digest) -> bool {
        self.path(kind, digest).join(DESCRIPTION).exists()
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

    /// Removes an artefact, whole: it vanishes first, and is deleted then.
    ///
    /// # Errors
    /// Where the store cannot be written to.
    pub fn remove(
        &self,
        scratch: &Scratch,
        kind: Kind,
        digest: &Digest,
    ) -> Result<Removal, StoreError> {
        let Some(_claim) = self.claim(digest)? else {
            return Ok(Removal::InUse);
        };
        let place = self.path(kind, digest);
        let aside = scratch.folder(&format!("removed-{kind}-{}", digest.short()))?;
        fs::rename(&place, aside.join("artefact"))
            .doing(|| format!("removing {}", place.display()))?;
        scratch.discard(&aside)?;
        Ok(Removal::Removed)
    }

    /// Reads an artefact's description and those of its files that `wanted` names, verified.
    pub fn read(&self, kind: Kind, digest: &Digest, wanted: &[&str]) -> Found {
        match self.try_read(kind, digest, wanted) {
            Ok(artefact) => Found::Intact(artefact),
            Err(Unreadable::Missing) => Found::Missing,
            Err(Unreadable::Damaged(why)) => {
                Found::Damaged(format!("{}: {why}", self.path(kind, digest).display()))
            }
        }
    }

    /// Reads an artefact with all its files, verified.
    pub fn verify(&self, kind: Kind, digest: &Digest) -> Found {
        match self.read(kind, digest, &[]) {
            Found::Intact(artefact) => {
                let names: Vec<&str> = artefact
                    .description
                    .files
                    .keys()
                    .map(String::as_str)
                    .collect();
                self.read(kind, digest, &names)
            }
            other => other,
        }
    }

    fn try_read(
        &self,
        kind: Kind,
        digest: &Digest,
        wanted: &[&str],
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
        for name in wanted {
            let Some(expected) = description.files.get(*name) else {
                return Err(damaged(format!("it has no file {name}")));
            };
            let bytes =
                fs::read(folder.join(name)).map_err(|error| damaged(format!("{name}: {error}")))?;
            if bytes.len() as u64 != expected.size || Digest::of_bytes(&bytes) != expected.digest {
                return Err(damaged(format!("{name} is not what was written")));
            }
            files.insert((*name).to_owned(), bytes);
        }
        Ok(Artefact { description, files })
    }

    /// Publishes an artefact: all of it or nothing.
    ///
    /// # Errors
    /// Where the disk does not take it; nothing is left that could be mistaken for an artefact.
    pub fn publish(
        &self,
        scratch: &Scratch,
        about: Unpublished,
        files: &Files,
    ) -> Result<(), StoreError> {
        let Unpublished {
            kind,
            digest,
            inputs,
            spec,
            dataset,
            made_by,
        } = about;
        let description = Description {
            kind,
            digest,
            inputs,
            spec,
            dataset,
            files: files
                .iter()
                .map(|(name, bytes)| {
                    let file = FileDigest {
                        size: bytes.len() as u64,
                        digest: Digest::of_bytes(bytes),
                    };
                    (name.clone(), file)
                })
                .collect(),
            made_by,
        };
        let mut text =
            serde_json::to_vec_pretty(&description).expect("a description is plain data");
        text.push(b'\n');
        let aside = scratch.folder(&format!("{kind}-{}", digest.short()))?;
        for (name, bytes) in files {
            write_flushed(&aside.join(name), bytes)?;
        }
        write_flushed(&aside.join(DESCRIPTION), &text)?;
        flush_folder(&aside)?;

        let place = self.path(kind, &digest);
        let parent = place.parent().expect("an artefact lies within the store");
        fs::create_dir_all(parent).doing(|| format!("creating {}", parent.display()))?;
        if place.exists() {
            if matches!(self.verify(kind, &digest), Found::Intact(_)) {
                // Somebody else was faster with the same bytes.
                return scratch.discard(&aside);
            }
            let damaged = scratch.folder(&format!("damaged-{kind}-{}", digest.short()))?;
            fs::rename(&place, damaged.join("artefact"))
                .doing(|| format!("moving the damaged {} aside", place.display()))?;
        }
        match fs::rename(&aside, &place) {
            Ok(()) => flush_folder(parent),
            Err(_) if self.contains(kind, &digest) => scratch.discard(&aside),
            Err(error) => Err(error).doing(|| format!("renaming into {}", place.display())),
        }
    }
}

enum Unreadable {
    Missing,
    Damaged(String),
}

/// Writes a file and waits until it is on disk.
fn write_flushed(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        use io::Write;
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().doing(|| format!("writing {}", path.display()))
}

/// Waits until a folder's entries are on disk.
fn flush_folder(path: &Path) -> Result<(), StoreError> {
    let flush = || fs::File::open(path)?.sync_all();
    // Only Unix lets a folder be opened and flushed.
    if cfg!(unix) {
        flush().doing(|| format!("flushing {}", path.display()))?;
    }
    Ok(())
}

/// Replaces a file so that a reader sees the old or the new one, never a part; a file that holds
/// these bytes already is left alone.
///
/// # Errors
/// Where the disk does not take it.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).doing(|| format!("creating {}", folder.display()))?;
    let write = || {
        use io::Write;
        let mut file = tempfile::Builder::new()
            .prefix(".writing-")
            .tempfile_in(folder)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file()
                .set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().doing(|| format!("writing {}", path.display()))
}
