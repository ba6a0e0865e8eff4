//! Leases: the right to run a stage, among all processes that share a store.
//!
//! The rule: a lease is a file lock, which the operating system releases when the process ends,
//! however it ends; nothing is ever unlocked by hand. On a local disk the lock is exclusive. Over
//! NFS it is where the server keeps locks (version 4, or 3 with its lock daemon); elsewhere two
//! machines may compute the same stage, and the second to publish finds the first one's bytes in
//! place, so that time is lost. The file of a lease is removed with it: on a network file system
//! another machine may then fail to open it, with an error that passes.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{Doing, Store, StoreError};
use crate::key::Digest;

/// A lease of a stage; dropping it gives it back.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    /// Locked.
    _file: File,
}

impl Store {
    fn leases(&self) -> PathBuf {
        self.root.join("claims")
    }

    /// Takes the lease of a stage; `None` where another process holds it.
    ///
    /// # Errors
    /// The store cannot be written to, or an error that [may pass](StoreError::may_pass).
    pub fn lease(&self, stage: &Digest) -> Result<Option<Lease>, StoreError> {
        let folder = self.leases();
        fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
        let path = folder.join(stage.to_string());
        loop {
            match locked(&path).doing(|| format!("locking {}", path.display()))? {
                Locked::Held(file) => return Ok(Some(Lease { path, _file: file })),
                Locked::Elsewhere => return Ok(None),
                Locked::Removed => {}
            }
        }
    }

    /// The stages that some process holds the lease of. Each lock is tried for a moment, shared: a
    /// process that asks for the lease at that moment is refused, and asks again.
    pub fn leased(&self) -> Vec<Digest> {
        let entries = fs::read_dir(self.leases());
        let held = entries.into_iter().flatten().flatten().filter_map(|entry| {
            let stage = entry.file_name().to_string_lossy().parse().ok()?;
            let file = File::open(entry.path()).ok()?;
            file.try_lock_shared().is_err().then_some(stage)
        });
        held.collect()
    }

    /// Removes the leases of processes that have ended.
    pub fn sweep_leases(&self) {
        let entries = fs::read_dir(self.leases());
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Taking a lease that nobody holds and dropping it removes its file.
            if let Ok(stage) = name.parse() {
                let _ = self.lease(&stage);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Removed while locked: a process that has opened the file already finds, once it has the
        // lock, that the file is no longer at its path. If removing fails, an empty unlocked file
        // stays, which is no lease.
        let _ = fs::remove_file(&self.path);
    }
}

/// A file that a lock was asked for.
enum Locked {
    /// It is locked.
    Held(File),
    /// Another process has locked it.
    Elsewhere,
    /// The previous holder has removed it between opening and locking.
    Removed,
}

/// Opens and locks the file at a path.
fn locked(path: &Path) -> io::Result<Locked> {
    let open = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    let file = open?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Locked::Elsewhere),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(match is_at(&file, path)? {
        true => Locked::Held(file),
        false => Locked::Removed,
    })
}

/// Whether an open file is the one at a path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((opened.dev(), opened.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// On other systems an open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}
