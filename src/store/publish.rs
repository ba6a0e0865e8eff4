//! Publication: how something comes to disk whole or not at all.
//!
//! The rule: write aside, flush the files, flush their folder, rename into place, flush the folder
//! that it is in now. Whatever fails on the way, what is in its place is whole, and what was written
//! aside is removed, so that a full disk is not filled further.

use std::{fs, path::Path};

use super::{
    DESCRIPTION, Description, Doing, FileDigest, Files, Found, Scratch, Store, StoreError,
    Unpublished,
};
use crate::key::Digest;

impl Store {
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
        let (kind, digest) = (about.kind, about.digest);
        let description = describe(about, files);
        let mut text =
            serde_json::to_vec_pretty(&description).expect("a description is plain data");
        text.push(b'\n');
        let aside = scratch.folder(&format!("{kind}-{}", digest.short()))?;
        for (name, bytes) in files {
            write_flushed(&aside.path().join(name), bytes)?;
        }
        write_flushed(&aside.path().join(DESCRIPTION), &text)?;
        flush_folder(aside.path())?;

        let place = self.path(kind, &digest);
        let parent = place.parent().expect("an artefact lies within the store");
        create_folder(parent)?;
        if place.exists() {
            if matches!(self.verify(kind, &digest), Found::Intact(_)) {
                // Somebody else was faster with the same bytes.
                return Ok(());
            }
            let damaged = scratch.folder(&format!("damaged-{kind}-{}", digest.short()))?;
            fs::rename(&place, damaged.path().join("artefact"))
                .doing(|| format!("moving the damaged {} aside", place.display()))?;
        }
        match fs::rename(aside.path(), &place) {
            Ok(()) => flush_folder(parent),
            Err(_) if self.contains(kind, &digest) => Ok(()),
            Err(error) => Err(error).doing(|| format!("renaming into {}", place.display())),
        }
    }
}

fn describe(about: Unpublished, files: &Files) -> Description {
    let Unpublished {
        kind,
        digest,
        inputs,
        spec,
        dataset,
        made_by,
    } = about;
    Description {
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
    }
}

/// Writes a file and waits until it is on disk.
pub(super) fn write_flushed(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        use std::io::Write;
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().doing(|| format!("writing {}", path.display()))
}

/// Creates a folder with all above it that are missing, each on disk before anything is in it.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    if let Some(parent) = parent {
        create_folder(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => flush_folder(parent.unwrap_or(Path::new("."))),
        // Another process has been faster.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error).doing(|| format!("creating {}", path.display())),
    }
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
        use std::io::Write;
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
