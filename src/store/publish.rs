//! Publication: writing artefacts and files whole or not at all.
//!
//! The rule: write aside, flush the files and their folder, rename into place, flush the folder
//! that it is in now. Whatever fails, what is in place is whole, and what was written aside is
//! removed, so that a full disk is not filled further.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
};

use super::{
    DESCRIPTION, Description, Doing, FileDigest, Files, Found, Scratch, Store, StoreError,
    Unpublished,
};
use crate::key::Digest;

impl Store {
    /// Publishes an artefact: all of it or nothing.
    ///
    /// # Errors
    /// It cannot be written; nothing is left that could be mistaken for an artefact.
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
        let mut written = Vec::new();
        for (name, bytes) in files {
            written.push(write(aside.path().join(name), bytes)?);
        }
        written.push(write(aside.path().join(DESCRIPTION), &text)?);
        written.extend(open_folder(aside.path())?);

        let place = self.path(kind, &digest);
        let parent = place.parent().expect("an artefact lies within the store");
        let of_kind = parent.parent().expect("two folders down");
        create_folder(of_kind)?;
        match fs::create_dir(parent) {
            Err(_) if parent.is_dir() => {}
            made => made.doing(|| format!("creating {}", parent.display()))?,
        }
        // Whichever process made the folder: it is on disk before anything is in it.
        written.extend(open_folder(of_kind)?);
        flush_all(&written)?;
        if place.exists() {
            if let Found::Intact(there) = self.verify(kind, &digest)
                && files.keys().all(|name| there.files.contains_key(name))
            {
                // Another process has published it in the meantime.
                return Ok(());
            }
            // It is damaged, or lacks a file.
            let old = scratch.folder(&format!("old-{kind}-{}", digest.short()))?;
            fs::rename(&place, old.path().join("artefact"))
                .doing(|| format!("moving the old {} aside", place.display()))?;
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
        geometry,
        made_by,
    } = about;
    Description {
        kind,
        digest,
        inputs,
        spec,
        dataset,
        geometry,
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

/// Something open that may not be on disk yet.
struct Unflushed {
    path: PathBuf,
    file: File,
}

impl Unflushed {
    /// Waits until it is on disk.
    fn flush(&self) -> Result<(), StoreError> {
        let flushed = self.file.sync_all();
        flushed.doing(|| format!("flushing {}", self.path.display()))
    }
}

/// Waits until all of it is on disk. All files are flushed at once, which takes little longer than
/// one.
fn flush_all(written: &[Unflushed]) -> Result<(), StoreError> {
    let Some((first, others)) = written.split_first() else {
        return Ok(());
    };
    thread::scope(|scope| {
        let flushing = others.iter().map(|file| scope.spawn(|| file.flush()));
        let flushing: Vec<_> = flushing.collect();
        let ended = flushing.into_iter().map(|thread| thread.join());
        let first = first.flush();
        ended.fold(first, |before, ended| {
            before.and(ended.expect("flushing never panics"))
        })
    })
}

/// Writes a file that is to be flushed.
fn write(path: PathBuf, bytes: &[u8]) -> Result<Unflushed, StoreError> {
    let write = || {
        use io::Write;
        let mut file = File::create(&path)?;
        file.write_all(bytes)?;
        Ok(file)
    };
    let file = write().doing(|| format!("writing {}", path.display()))?;
    Ok(Unflushed { path, file })
}

/// Writes a file and waits until it is on disk.
pub(super) fn write_flushed(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write(path.to_owned(), bytes)?.flush()
}

/// Creates a folder with all above it that are missing, each on disk before anything is in it.
///
/// # Errors
/// One of them cannot be created.
pub fn create_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    if let Some(parent) = parent {
        create_folder(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => flush_folder(parent.unwrap_or(Path::new("."))),
        // Another process has created it in the meantime.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error).doing(|| format!("creating {}", path.display())),
    }
}

/// Waits until a folder's entries are on disk.
fn flush_folder(path: &Path) -> Result<(), StoreError> {
    match open_folder(path)? {
        Some(folder) => folder.flush(),
        None => Ok(()),
    }
}

/// Opens a folder whose entries are to be flushed; `None` on systems other than Unix, where that is
/// not possible.
fn open_folder(path: &Path) -> Result<Option<Unflushed>, StoreError> {
    if !cfg!(unix) {
        return Ok(None);
    }
    let file = File::open(path).doing(|| format!("flushing {}", path.display()))?;
    let path = path.to_owned();
    Ok(Some(Unflushed { path, file }))
}

/// Replaces a file so that a reader sees the old or the new one, never a part; a file that holds
/// these bytes already is left alone.
///
/// # Errors
/// It cannot be written.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let written = aside(path, bytes)?
        .persist(path)
        .map_err(|error| error.error);
    written
        .doing(|| format!("writing {}", path.display()))
        .map(drop)
}

/// Writes a file that is not there yet: all of it or nothing.
///
/// # Errors
/// It is there, or cannot be written.
pub fn create_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = match aside(path, bytes)?.persist_noclobber(path) {
        // Not every file system can tell.
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
            error.file.persist(path)
        }
        written => written,
    };
    let written = written.map_err(|error| error.error);
    written
        .doing(|| format!("writing {}", path.display()))
        .map(drop)
}

/// Checks that a file could be written, before the work that leads to it.
///
/// # Errors
/// It could not.
pub fn check_writable(path: &Path) -> Result<(), StoreError> {
    aside(path, &[]).map(drop)
}

/// Bytes on disk beside a file, to be renamed into its place.
fn aside(path: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile, StoreError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
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
        Ok(file)
    };
    write().doing(|| format!("writing {}", path.display()))
}
