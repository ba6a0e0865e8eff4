//! Claims: the right to run a stage, among all processes that share a store.
//!
//! The rule: a claim is a lock that the operating system holds for a process and releases when the
//! process ends, however it ends; so nobody ever needs to unlock anything. On a local disk that is
//! certain. Over NFS it holds where the server keeps locks (version 4, or 3 with its lock daemon);
//! where it does not, two machines may compute the same stage, and the second to publish finds the
//! first one's bytes in place: time is lost, nothing else.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{Doing, Store, StoreError};
use crate::key::Digest;

/// A claim; dropping it gives it back.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// Locked.
    _file: File,
}

impl Store {
    /// Claims a stage; `None` where another process holds it.
    ///
    /// # Errors
    /// Where the store cannot be written to.
    pub fn claim(&self, digest: &Digest) -> Result<Option<Claim>, StoreError> {
        let folder = self.root.join("claims");
        fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
        let path = folder.join(digest.to_string());
        loop {
            let open = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path);
            let file = open.doing(|| format!("creating {}", path.display()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    return Err(error).doing(|| format!("locking {}", path.display()));
                }
            }
            // The holder before may have removed the file between opening and locking.
            if is_at(&file, &path).doing(|| format!("reading {}", path.display()))? {
                return Ok(Some(Claim { path, _file: file }));
            }
        }
    }
}

impl Store {
    /// The stages that some process runs right now. Each lock is asked for shared, and only for a
    /// moment: who wants it then is told that another process has it, and asks again.
    pub fn claimed(&self) -> Vec<Digest> {
        let entries = fs::read_dir(self.root.join("claims"));
        let held = entries.into_iter().flatten().flatten().filter_map(|entry| {
            let digest = entry.file_name().to_string_lossy().parse().ok()?;
            let file = File::open(entry.path()).ok()?;
            file.try_lock_shared().is_err().then_some(digest)
        });
        held.collect()
    }

    /// Removes the claims of processes that are gone.
    pub fn sweep_claims(&self) {
        let entries = fs::read_dir(self.root.join("claims"));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Claimed by nobody, it is ours for a moment, and removed with that.
            if let Ok(digest) = name.parse() {
                let _ = self.claim(&digest);
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While the lock is held: whoever opens the file from now on finds that it is not at its
        // path any more. What cannot be removed is an empty file that nobody holds.
        let _ = fs::remove_file(&self.path);
    }
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

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}
