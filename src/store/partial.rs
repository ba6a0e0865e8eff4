//! What a stage that is not done yet keeps, so that it is not started over.
//!
//! The rule: it is written aside and renamed, carries its own digest, and counts only if that is
//! right; without it a stage begins at the beginning, and ends with the same bytes.

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
    /// Where the disk does not take it; what was kept before stays.
    pub fn keep_progress(
        &self,
        scratch: &Scratch,
        stage: &Digest,
        progress: &[u8],
    ) -> Result<(), StoreError> {
        let digest = Digest::of_bytes(progress);
        let bytes = [digest.as_bytes().as_slice(), progress].concat();
        // In a folder that is swept if this process dies.
        let aside = scratch.folder("progress")?;
        let file = aside.path().join(stage.to_string());
        write_flushed(&file, &bytes)?;
        let place = self.partial(stage);
        let folder = place.parent().expect("it lies within the store");
        create_folder(folder)?;
        // Not flushed: should it be lost, a training begins earlier, and ends with the same bytes.
        fs::rename(&file, &place).doing(|| format!("renaming into {}", place.display()))
    }

    /// The progress of a stage, if any was kept and is intact.
    pub fn progress(&self, stage: &Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.partial(stage)).ok()?;
        let (digest, progress) = bytes.split_first_chunk::<32>()?;
        (Digest::of_bytes(progress).as_bytes() == digest).then(|| progress.to_vec())
    }

    /// Forgets the progress of stages that are done: their process was killed in between.
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
        // What stays is not looked at any more once the stage is published.
        let _ = fs::remove_file(self.partial(stage));
    }
}
