//! Folders for what is being written, swept when their owner is gone.
//!
//! The rule: an owner holds a file lock, which the operating system releases however the owner
//! ends; so nobody ever needs to unlock anything.

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

    /// Its name, by which others can tell whether its owner lives; see [`super::Store::is_alive`].
    pub fn owner(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Whether it is still there: a disk may have been taken away since.
    ///
    /// # Errors
    /// Where it is not.
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

    /// Removes it, and says where that cannot be done.
    pub fn remove(self) -> Result<(), StoreError> {
        fs::remove_dir_all(&self.path).doing(|| format!("removing {}", self.path.display()))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // It has been renamed into its place, or what cannot be removed now is swept later.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next one to come.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether somebody holds the lock of a folder. It is asked for shared, and only for a moment.
pub(super) fn is_held(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// Removes what owners that are gone have left behind.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(BEGINNING) {
            // Its owner is just beginning, or died at that very moment: ten seconds tell.
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
            // A sweeper that was interrupted: it held the lock.
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if free {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
