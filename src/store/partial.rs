//! The progress of interrupted stages, from which they resume.
//!
//! The rule: progress is written aside and renamed, carries its own digest, and is ignored where
//! that does not match; a stage then starts anew, and ends with the same bytes.

use std::{fs, path::PathBuf};

use super::{
    Doing, Scratch, Store, StoreError,
    publish::{create_folder, write_flushed},
};
use crate::{key::Digest, plan::Kind};

impl Store {
    fn partial(&self, stage: &Digest) -> PathBuf {
        self.root.join("partial").join(stage.to_string())
    }

    /// Keeps the progress of a stage, instead of what was kept before.
    ///
    /// # Errors
    /// It cannot be written; what was kept before stays.
    pub fn keep_progress(
        &self,
        scratch: &Scratch,
        stage: &Digest,
        progress: &[u8],
    ) -> Result<(), StoreError> {
        let digest = Digest::of_bytes(progress);
        let bytes = [digest.as_bytes().as_slice(), progress].concat();
        // In a folder that is swept after this process.
        let aside = scratch.folder("progress")?;
        let file = aside.path().join(stage.to_string());
        write_flushed(&file, &bytes)?;
        let place = self.partial(stage);
        let folder = place.parent().expect("it lies within the store");
        create_folder(folder)?;
        // Not flushed: if it is lost, a training resumes earlier, and ends with the same bytes.
        fs::rename(&file, &place).doing(|| format!("renaming into {}", place.display()))
    }

    /// The progress of a stage, if any was kept and is intact.
    pub fn progress(&self, stage: &Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.partial(stage)).ok()?;
        let (digest, progress) = bytes.split_first_chunk::<32>()?;
        (Digest::of_bytes(progress).as_bytes() == digest).then(|| progress.to_vec())
    }

    /// Forgets the progress of finished stages, which stays where a process is killed after it has
    /// published.
    pub fn sweep_progress(&self) {
        let entries = fs::read_dir(self.root.join("partial"));
        for entry in entries.into_iter().flatten().flatten() {
            let Ok(stage) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            if Kind::ALL.iter().any(|kind| self.contains(*kind, &stage)) {
                self.forget_progress(&stage);
            }
        }
    }

    /// Forgets the progress of a stage.
    pub fn forget_progress(&self, stage: &Digest) {
        // Progress of a published stage is not read; if it cannot be removed, it only takes space.
        let _ = fs::remove_file(self.partial(stage));
    }
}
