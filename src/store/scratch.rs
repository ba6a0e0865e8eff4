//! Folders for what is being written, swept when their owner is gone.
//!
//! The rule: an owner holds a file lock, which the operating system releases however the owner
//! ends; so nobody ever needs to unlock anything.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Doing, StoreError};

/// A folder of this process, removed with its contents at the end.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    next: AtomicU64,
    /// Held as long as the folder is in use.
    _lock: File,
}

const LOCK: &str = "lock";

impl Scratch {
    pub(super) fn open(parent: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(parent).doing(|| format!("creating {}", parent.display()))?;
        sweep(parent);
        let folder = tempfile::Builder::new()
            .prefix("writing-")
            .tempdir_in(parent)
            .doing(|| format!("creating a folder in {}", parent.display()))?;
        let path = folder.path().join(LOCK);
        let lock = File::create(&path).doing(|| format!("creating {}", path.display()))?;
        lock.lock()
            .doing(|| format!("locking {}", path.display()))?;
        Ok(Self {
            path: folder.keep(),
            next: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new folder in it.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("{number}-{name}"));
        fs::create_dir(&path).doing(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    /// Removes a folder made by [`Scratch::folder`].
    pub(super) fn discard(&self, folder: &Path) -> Result<(), StoreError> {
        fs::remove_dir_all(folder).doing(|| format!("removing {}", folder.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next one to come.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what owners that are gone have left behind.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            // No lock yet: its owner is just beginning, or died at that very moment. A minute
            // tells the two apart.
            let age = entry
                .metadata()
                .and_then(|m| m.modified())
                .ok()
                .and_then(|t| t.elapsed().ok());
            if age.is_some_and(|age| age.as_secs() > 60) {
                let _ = fs::remove_dir_all(entry.path());
            }
            continue;
        };
        match lock.try_lock() {
            Ok(()) => {
                let _ = fs::remove_dir_all(entry.path());
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}
