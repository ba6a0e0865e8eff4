//! Folders for what is being written, swept when their owner has ended.
//!
//! The rule: an owner holds a file lock, which the operating system releases when the owner ends,
//! however it ends; nothing is ever unlocked by hand.

use std::{
    fs::{self, File},
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
const BEGINNING: &str = "beginning-";
const WRITING: &str = "writing-";

impl Scratch {
    pub(super) fn open(parent: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(parent).doing(|| format!("creating {}", parent.display()))?;
        sweep(parent);
        // Under another name until the lock is held: a sweeper must never find it unlocked.
        let folder = tempfile::Builder::new()
            .prefix(BEGINNING)
            .tempdir_in(parent)
            .doing(|| format!("creating a folder in {}", parent.display()))?;
        let path = folder.path().join(LOCK);
        let lock = File::create(&path).doing(|| format!("creating {}", path.display()))?;
        lock.lock()
            .doing(|| format!("locking {}", path.display()))?;
        let name = folder
            .path()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let place = parent.join(name.replace(BEGINNING, WRITING));
        fs::rename(folder.path(), &place).doing(|| format!("creating {}", place.display()))?;
        // It is not under its temporary name any more.
        let _ = folder.keep();
        Ok(Self {
            path: place,
            next: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// Its name, by which others find whether its owner runs; see [`super::Store::is_alive`].
    pub fn owner(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Checks that it is still there: its disk may have been unmounted.
    ///
    /// # Errors
    /// It is not there.
    pub fn check(&self) -> Result<(), StoreError> {
        let found = fs::metadata(&self.path).map(drop);
        found.doing(|| format!("looking for {}", self.path.display()))
    }

    /// A new folder in it.
    pub(super) fn folder(&self, name: &str) -> Result<Aside, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("{number}-{name}"));
        fs::create_dir(&path).doing(|| format!("creating {}", path.display()))?;
        Ok(Aside { path })
    }
}

/// A folder in which something is prepared; what is still in it when it is dropped is removed.
#[derive(Debug)]
pub(super) struct Aside {
    path: PathBuf,
}

impl Aside {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(self) -> Result<(), StoreError> {
        fs::remove_dir_all(&self.path).doing(|| format!("removing {}", self.path.display()))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Nothing is left where it was renamed into place; what cannot be removed is swept later.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is swept by a later process.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether a process holds the lock of a folder. The lock is tried for a moment, shared.
pub(super) fn is_held(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// Removes the folders of owners that have ended.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(BEGINNING) {
            // Its owner is starting, or ended while starting: starting takes less than ten seconds.
            let age = entry
                .metadata()
                .and_then(|m| m.modified())
                .ok()
                .and_then(|t| t.elapsed().ok());
            if age.is_some_and(|age| age.as_secs() > 10) {
                let _ = fs::remove_dir_all(entry.path());
            }
            continue;
        }
        let free = match File::open(entry.path().join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Left by an interrupted sweep, which had removed the lock file.
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if free {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
