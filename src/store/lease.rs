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
//! uses them removes them all. On a disk of this machine alone, where every process sees a name
//! come and go at once, a file goes with its lease: thousands that stay would take time.

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
    /// Whether it is on a disk of this machine alone.
    is_local: bool,
    /// Whether files stay there, too.
    keeps_files: bool,
    /// Its shared lock is held.
    in_use: Option<File>,
}

/// A lease of a stage; dropping it gives it back.
#[derive(Debug)]
pub struct Lease {
    /// Locked.
    _file: File,
    /// The file's name, where it goes with the lease.
    removed: Option<PathBuf>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Still locked: whoever has opened it finds that its name is gone, and opens the next one.
        if let Some(path) = &self.removed {
            let _ = fs::remove_file(path);
        }
    }
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
            is_local: is_local(&path),
            keeps_files: false,
            path,
            in_use: Some(in_use),
        })
    }

    /// Removes what ended processes have left behind, where no process uses the leases.
    pub fn remove_left_behind(&self) {
        remove_unused(&self.lease_folder());
        self.sweep_progress();
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
    /// The same, whose files stay on every disk: for processes on several machines.
    pub fn keeping_files(self) -> Self {
        // A field cannot be moved out of what is dropped.
        let mut folder = self;
        folder.keeps_files = true;
        folder
    }

    /// Takes the lease of a stage; `None` where another process holds it.
    ///
    /// # Errors
    /// The store cannot be written to, or an error that [may pass](StoreError::may_pass).
    pub fn lease(&self, stage: &Digest) -> Result<Option<Lease>, StoreError> {
        let path = self.path.join(stage.to_string());
        loop {
            let locked = locked(&path).doing(|| format!("locking {}", path.display()))?;
            let Some(file) = locked else {
                return Ok(None);
            };
            // Its holder may have removed it since it was opened.
            if self.is_local && !is_at(&file, &path) {
                continue;
            }
            let removed = (self.is_local && !self.keeps_files).then_some(path);
            return Ok(Some(Lease {
                _file: file,
                removed,
            }));
        }
    }
}

impl Drop for LeaseFolder {
    fn drop(&mut self) {
        drop(self.in_use.take());
        remove_unused(&self.path);
    }
}

/// File systems of a machine alone, by the numbers that Linux has for them: ext2 to ext4, XFS,
/// Btrfs, tmpfs, F2FS, ZFS, bcachefs, and overlays, which are written to one of these.
#[cfg(target_os = "linux")]
const LOCAL: [u64; 8] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0x0102_1994,
    0xF2F5_2010,
    0x2FC1_2FC1,
    0xCA45_1A4E,
    0x794C_7630,
];

/// Whether a folder is on a disk of this machine, which no other one is expected to write.
#[cfg(target_os = "linux")]
fn is_local(folder: &Path) -> bool {
    let told = rustix::fs::statfs(folder);
    told.is_ok_and(|told| LOCAL.contains(&(told.f_type as u64)))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_folder: &Path) -> bool {
    false
}

/// Whether a path names this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(named)) => place(file) == place(named),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
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
