//! The folder that the pilots of a sweep share.
//!
//! ```text
//! results/cluster/<sweep>/
//!   sweep.json                     what is run: manifests, options, settings
//!   expertgrid                     the program, so that a build of a new one changes nothing
//!   pilots/<array>_<element>.log   what each pilot printed
//!   pilots/<run>.alive             a pilot that runs, locked
//!   errors/<name>.json             why a pilot has ended with an error
//!   scratch/<owner>                a pilot's folder in the store's tmp
//!   tries/<stage>.<n>              the n-th attempt at a stage that has not succeeded
//!   failed/<stage>.json            a stage that is given up, and why
//!   report                         locked by the pilot that writes the tables
//!   reported                       the tables are written
//! ```

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::{
    results_dir::ResultsDir,
    store::{Store, StoreError, create_folder, replace_file},
};

/// The folder of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepFolder(PathBuf);

impl SweepFolder {
    /// At this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// That of a sweep by its name, of this user.
    pub fn of(results: &ResultsDir, name: &str) -> Self {
        Self(results.cluster().join(format!("{name}-{}", own_name())))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is run.
    pub fn frozen(&self) -> PathBuf {
        self.0.join("sweep.json")
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.0.join("expertgrid")
    }

    /// The folder of the pilots' logs and locks.
    pub fn pilots(&self) -> PathBuf {
        self.0.join("pilots")
    }

    /// The attempts at stages that have not succeeded.
    pub fn tries(&self) -> PathBuf {
        self.0.join("tries")
    }

    /// The stages that are given up.
    pub fn failed(&self) -> PathBuf {
        self.0.join("failed")
    }

    /// Why pilots have ended with errors.
    pub fn errors(&self) -> PathBuf {
        self.0.join("errors")
    }

    /// The names of the pilots' folders for what is being written.
    fn scratch(&self) -> PathBuf {
        self.0.join("scratch")
    }

    /// Notes a pilot's folder for what is being written, so that others can remove it once the
    /// pilot has ended.
    ///
    /// # Errors
    /// It cannot be noted.
    pub fn note_scratch(&self, owner: &str) -> Result<(), StoreError> {
        replace_file(&self.scratch().join(owner), b"")
    }

    /// Removes what pilots that have ended were writing. Only where locks are known to be shared.
    pub fn remove_ended(&self, store: &Store) {
        let entries = fs::read_dir(self.scratch());
        for entry in entries.into_iter().flatten().flatten() {
            let owner = entry.file_name();
            if owner
                .to_str()
                .is_some_and(|owner| store.remove_ended(owner))
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn reported(&self) -> PathBuf {
        self.0.join("reported")
    }

    /// Makes it ready for pilots that begin, of which none runs yet: what failed before is tried
    /// again.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn prepare(&self) -> Result<(), StoreError> {
        for folder in [self.tries(), self.failed(), self.errors()] {
            // What cannot be removed is found by creating it.
            let _ = fs::remove_dir_all(&folder);
        }
        let _ = fs::remove_file(self.reported());
        for folder in [
            self.pilots(),
            self.tries(),
            self.failed(),
            self.errors(),
            self.scratch(),
        ] {
            create_folder(&folder)?;
        }
        Ok(())
    }

    /// Whether the tables are written.
    pub fn is_reported(&self) -> bool {
        self.reported().exists()
    }

    /// The right to write the tables, which one pilot has; `None` where another has it or the
    /// tables are written.
    pub fn report(&self) -> Option<ReportLock> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.0.join("report"))
            .ok()?;
        file.try_lock().ok()?;
        let free = !self.is_reported();
        free.then(|| ReportLock {
            folder: self.clone(),
            _file: file,
        })
    }
}

/// The right to write the tables.
pub struct ReportLock {
    folder: SweepFolder,
    /// Locked.
    _file: File,
}

impl ReportLock {
    /// Says that they are written.
    ///
    /// # Errors
    /// That cannot be written.
    pub fn done(self) -> Result<(), StoreError> {
        replace_file(&self.folder.reported(), b"the tables are written\n")
    }
}

/// This user's name, for names of folders.
pub fn own_name() -> String {
    let mut known = ["USER", "LOGNAME", "USERNAME"].into_iter();
    let known = known.find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    let usual = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let plain = |name: String| -> String { name.chars().filter(|c| usual(*c)).collect() };
    known.map_or_else(own_number, plain)
}

#[cfg(unix)]
fn own_number() -> String {
    rustix::process::getuid().as_raw().to_string()
}

#[cfg(not(unix))]
fn own_number() -> String {
    "user".to_owned()
}
