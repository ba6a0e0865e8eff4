//! The free space on the store's disk.

use std::path::Path;

use super::Store;

impl Store {
    /// Where the store is, or would be.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The bytes that this user may still write to its disk; `None` where the system does not tell.
    /// A quota is not part of it.
    pub fn free_bytes(&self) -> Option<u64> {
        let absolute = std::path::absolute(&self.root).ok()?;
        let there = absolute.ancestors().find(|folder| folder.exists())?;
        free(there)
    }
}

#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(folder).ok()?;
    // Some network file systems tell nothing but zeros.
    let known = told.f_blocks > 0;
    known.then(|| told.f_bavail.saturating_mul(told.f_frsize))
}

#[cfg(not(unix))]
fn free(_folder: &Path) -> Option<u64> {
    None
}
