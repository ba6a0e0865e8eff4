//! Folders for what is being written, swept when their owner has ended.
//!
//! The rule: an owner holds a file lock, which the operating system releases when the owner ends,
//! however it ends; nothing is ever unlocked by hand. On some network file systems a lock is seen
//! on its own machine only. So a folder is named by machine and boot: the lock decides for
//! folders of this machine since it was started, and others are left alone for a month, unless
//! their owner is known and locks are known to be shared with its machine.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use super::{Doing, StoreError};
use crate::host;

/// A folder of this process, removed with its contents at the end.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    next: AtomicU64,
    /// Held as long as the folder is in use.
    lock: Option<File>,
}

const LOCK: &str = "lock";
const BEGINNING: &str = "beginning-";
const WRITING: &str = "writing-";

/// How long a folder that has no locked file yet is left alone: its owner may just be making it.
const BEGINNING_TAKES: Duration = Duration::from_secs(10);

/// How long a folder of another machine, or of this one before it was started again, is left alone
/// after the last change in it. An owner may change nothing in it for as long as a sweep takes.
const OTHERS_ARE_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The end of the names of this machine's folders since it was started: `-<boot>-<host>`.
static HERE: LazyLock<String> = LazyLock::new(|| {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let host = host::name();
    let in_a_name = |text: &str, most: usize| -> String {
        let usual = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let characters = text.trim().chars().map(|c| if usual(c) { c } else { '_' });
        characters.take(most).collect()
    };
    let (boot, host) = (in_a_name(&boot, 8), in_a_name(&host, 64));
    format!("-{boot}-{host}")
});

impl Scratch {
    pub(super) fn open(parent: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(parent).doing(|| format!("creating {}", parent.display()))?;
        // Under another name until the lock is held: a sweeper must never find it unlocked.
        let folder = tempfile::Builder::new()
            .prefix(BEGINNING)
            .suffix(HERE.as_str())
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
        let place = parent.join(name.replacen(BEGINNING, WRITING, 1));
        fs::rename(folder.path(), &place).doing(|| format!("creating {}", place.display()))?;
        // It is not under its temporary name any more.
        let _ = folder.keep();
        // The time by the clock of the disk, which may be a server's.
        if let Some(now) = changed(&place) {
            sweep(parent, &place, now);
        }
        Ok(Self {
            path: place,
            next: AtomicU64::new(0),
            lock: Some(lock),
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
        // Some network file systems keep a file that is removed while it is open.
        drop(self.lock.take());
        // What cannot be removed is swept by a later process.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether a process holds the lock of a folder. The lock is tried for a moment, shared.
pub(super) fn is_held(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// Removes the folders of owners that have ended, on the machine of one of them, with which locks
/// are shared. Whether nothing of that one is left.
pub(super) fn remove_ended(parent: &Path, owner: &str) -> bool {
    if let Some(machine) = machine(owner) {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_its = name.starts_with(WRITING) && name.ends_with(machine);
            if is_its && !is_locked(&path) {
                let _ = fs::remove_dir_all(path);
            }
        }
    }
    !parent.join(owner).exists()
}

/// The end of an owner's name, which names its machine since it was started.
fn machine(owner: &str) -> Option<&str> {
    let rest = owner.strip_prefix(WRITING)?;
    rest.find('-').map(|at| &rest[at..])
}

/// When something was last put into a folder or taken out of it.
fn changed(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder).and_then(|found| found.modified()).ok()
}

/// Removes the folders of owners that have ended; `own` is the caller's.
fn sweep(parent: &Path, own: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path == own {
            continue;
        }
        let name = name.to_string_lossy();
        let unchanged_for = |least: Duration| {
            let age = changed(&path).and_then(|changed| now.duration_since(changed).ok());
            age.is_some_and(|age| age > least)
        };
        let left = match (name.ends_with(HERE.as_str()), name.starts_with(BEGINNING)) {
            (false, _) => unchanged_for(OTHERS_ARE_KEPT) && !is_locked(&path),
            (true, true) => unchanged_for(BEGINNING_TAKES) && !is_locked(&path),
            (true, false) => !is_locked(&path),
        };
        if left {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Whether an owner may hold the lock of a folder. Network file systems give a lock for one process
/// alone to files that are open for writing only.
fn is_locked(folder: &Path) -> bool {
    match File::options().write(true).open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_err(),
        // A sweeper that was interrupted: it held the lock.
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}
