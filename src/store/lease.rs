//! Leases: the right to run a stage, among all processes that share a store.
//!
//! The rule: a lease is a file lock, which the operating system releases when the process ends,
//! however it ends; nothing is ever unlocked by hand. A stage runs once where all machines see each
//! other's locks: on a local disk, over NFS (version 4, or 3 with its lock daemon), on Lustre
//! mounted with `flock`. Elsewhere two machines may compute the same stage; the second to publish
//! finds the first one's bytes in place, and time is lost.
//!
//! The files of leases stay as long as any process uses them, since a name that other machines
//! remember must not mean another file. Who finds at the beginning or at the end that nobody else
//! uses them removes them all.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{Doing, Store, StoreError};
use crate::key::Digest;

/// The file whose shared lock means that a process uses the leases.
const IN_USE: &str = "in-use";

/// The leases of a store, used by this process until this is dropped.
#[derive(Debug)]
pub struct LeaseFolder {
    path: PathBuf,
    /// Its shared lock is held.
    in_use: Option<File>,
}

/// A lease of a stage; dropping it gives it back.
#[derive(Debug)]
pub struct Lease {
    /// Locked.
    _file: File,
}

impl Store {
    fn lease_folder(&self) -> PathBuf {
        self.root.join("claims")
    }

    /// Begins to use the leases.
    ///
    /// # Errors
    /// The store cannot be written to, or its disk has no locks.
    pub fn leases(&self) -> Result<LeaseFolder, StoreError> {
        let path = self.lease_folder();
        fs::create_dir_all(&path).doing(|| format!("creating {}", path.display()))?;
        remove_unused(&path);
        let file = path.join(IN_USE);
        let locked = || {
            let opened = opened(&file)?;
            opened.lock_shared()?;
            Ok(opened)
        };
        let in_use = locked().doing(|| format!("locking {}", file.display()))?;
        Ok(LeaseFolder {
            path,
            in_use: Some(in_use),
        })
    }

    /// Those of some stages that a process holds the lease of. Each lock is tried for a moment,
    /// shared: a process that asks for the lease at that moment is refused, and asks again.
    pub fn leased(&self, among: impl Fn(&Digest) -> bool) -> Vec<Digest> {
        let entries = fs::read_dir(self.lease_folder());
        let held = entries.into_iter().flatten().flatten().filter_map(|entry| {
            let stage = entry.file_name().to_string_lossy().parse().ok()?;
            let file = among(&stage).then(|| File::open(entry.path()).ok())??;
            file.try_lock_shared().is_err().then_some(stage)
        });
        held.collect()
    }
}

impl LeaseFolder {
    /// Takes the lease of a stage; `None` where another process holds it.
    ///
    /// # Errors
    /// The store cannot be written to, or an error that [may pass](StoreError::may_pass).
    pub fn lease(&self, stage: &Digest) -> Result<Option<Lease>, StoreError> {
        let path = self.path.join(stage.to_string());
        let locked = locked(&path).doing(|| format!("locking {}", path.display()))?;
        Ok(locked.map(|file| Lease { _file: file }))
    }
}

impl Drop for LeaseFolder {
    fn drop(&mut self) {
        drop(self.in_use.take());
        remove_unused(&self.path);
    }
}

/// Opens a file to lock it. Network file systems give a lock for one process alone to files that
/// are open for writing only, and a shared one to files that are open for reading.
fn opened(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    options.open(path)
}

/// Opens and locks the file at a path; `None` where another process has locked it.
fn locked(path: &Path) -> io::Result<Option<File>> {
    let file = opened(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes the files of all leases, where no process uses them. If that fails, empty unlocked files
/// stay, which are no leases.
fn remove_unused(folder: &Path) {
    let in_use = folder.join(IN_USE);
    // Not created here: where it is missing, nothing was ever leased.
    let Ok(file) = File::options().read(true).write(true).open(&in_use) else {
        return;
    };
    if file.try_lock().is_err() {
        return;
    }
    let entries = fs::read_dir(folder);
    for entry in entries.into_iter().flatten().flatten() {
        if entry.file_name() != IN_USE {
            let _ = fs::remove_file(entry.path());
        }
    }
}
