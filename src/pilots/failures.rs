//! Failures that the pilots of a sweep share, so that a stage is tried so often in all.
//!
//! The rule: every attempt is a file of its own, made under the stage's lease before it begins, and
//! removed when it ends in good order. A file whose pilot is gone is an attempt that took its pilot
//! with it. A file is never changed but by replacing it, since network file systems may show the
//! old length of one that was.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{folder::SweepFolder, living::is_living};
use crate::{
    event::now,
    key::Digest,
    schedule::Release,
    store::{StoreError, replace_file},
};

/// What is known of an attempt, or of a stage that is given up.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Trial {
    /// The pilot: its host, and its element of an array where Slurm runs it.
    pilot: String,
    /// By which the pilot's sign of life is found.
    run: String,
    /// When it began or was given up, in seconds since 1970.
    at: f64,
    /// Why it failed; `None` while it runs, and where its pilot ended with it.
    reason: Option<String>,
}

/// The failures of a sweep, as one pilot sees them.
#[derive(Debug)]
pub struct SharedFailures {
    folder: SweepFolder,
    /// Further attempts after an accident.
    retries: usize,
    pilot: String,
    run: String,
    /// The files of this pilot's attempts.
    begun: BTreeMap<Digest, PathBuf>,
}

/// Whether a stage is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trying {
    /// It is; the attempt is noted.
    Begun,
    /// It is given up, for this reason.
    GivenUp(String),
    /// Another pilot tries it, whose lease is not seen here.
    Elsewhere,
}

impl SharedFailures {
    /// Those of a sweep; `pilot` is how others call this one, `run` names its sign of life.
    pub fn new(folder: SweepFolder, retries: usize, pilot: String, run: String) -> Self {
        Self {
            folder,
            retries,
            pilot,
            run,
            begun: BTreeMap::new(),
        }
    }

    /// The stages that are given up, by listing, and why.
    pub fn given_up(&self) -> BTreeMap<Digest, String> {
        given_up(&self.folder)
    }

    /// Why a stage is given up, if it is.
    pub fn reason(&self, stage: &Digest) -> Option<String> {
        let listed = listed(&self.folder);
        listed.contains(stage).then(|| reason(&self.folder, stage))
    }

    /// Notes that an attempt begins, under the stage's lease.
    ///
    /// # Errors
    /// It cannot be noted.
    pub fn begin(&mut self, stage: &Digest) -> Result<Trying, StoreError> {
        if let Some(reason) = self.reason(stage) {
            return Ok(Trying::GivenUp(reason));
        }
        let trial = self.trial(None);
        for number in 1..=self.retries + 1 {
            let path = self.folder.tries().join(format!("{stage}.{number}"));
            match create_new(&path, &trial) {
                Ok(()) => {
                    self.begun.insert(*stage, path);
                    return Ok(Trying::Begun);
                }
                // A pilot that lives has not given the stage back, or its file would be gone.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let earlier = read(&path);
                    let unexplained = earlier.filter(|trial| trial.reason.is_none());
                    if unexplained.is_some_and(|trial| is_living(&self.folder, &trial.run)) {
                        return Ok(Trying::Elsewhere);
                    }
                }
                Err(error) => {
                    let doing = format!("writing {}", path.display());
                    return Err(StoreError { doing, error });
                }
            }
        }
        let reason = self.last_words(stage);
        self.give_up(stage, &reason)?;
        Ok(Trying::GivenUp(reason))
    }

    /// Why a stage is given up whose attempts are used up.
    fn last_words(&self, stage: &Digest) -> String {
        let attempts = (1..=self.retries + 1).filter_map(|number| {
            let path = self.folder.tries().join(format!("{stage}.{number}"));
            read(&path)
        });
        let attempts: Vec<Trial> = attempts.collect();
        let times = match self.retries {
            0 => "once".to_owned(),
            more => format!("{} times", more + 1),
        };
        let last = attempts.last();
        match last.map(|trial| (trial.reason.as_deref(), &trial.pilot)) {
            Some((Some(reason), _)) => format!("tried {times}, at last: {reason}"),
            Some((None, pilot)) => format!(
                "tried {times}, and at last its pilot ended with it ({pilot}): killed, out of \
                 memory, or its node went down"
            ),
            None => format!("tried {times}"),
        }
    }

    /// Notes how an attempt ended, under the stage's lease.
    ///
    /// # Errors
    /// It cannot be noted.
    pub fn end(&mut self, stage: &Digest, how: &Release) -> Result<(), StoreError> {
        let Some(path) = self.begun.remove(stage) else {
            return Ok(());
        };
        match how {
            Release::Finished | Release::Stopped => {}
            Release::Accident(reason) => {
                let trial = self.trial(Some(reason.clone()));
                return replace_file(&path, &json(&trial));
            }
            Release::Failed(reason) => self.give_up(stage, reason)?,
        }
        // If it stays, a later attempt counts one more.
        let _ = fs::remove_file(path);
        Ok(())
    }

    fn trial(&self, reason: Option<String>) -> Trial {
        Trial {
            pilot: self.pilot.clone(),
            run: self.run.clone(),
            at: now(),
            reason,
        }
    }

    fn give_up(&self, stage: &Digest, reason: &str) -> Result<(), StoreError> {
        let path = self.folder.failed().join(format!("{stage}.json"));
        replace_file(&path, &json(&self.trial(Some(reason.to_owned()))))
    }
}

/// The stages of a sweep that are given up, and why.
pub fn given_up(folder: &SweepFolder) -> BTreeMap<Digest, String> {
    let stages = listed(folder).into_iter();
    stages
        .map(|stage| (stage, reason(folder, &stage)))
        .collect()
}

fn listed(folder: &SweepFolder) -> Vec<Digest> {
    let entries = fs::read_dir(folder.failed());
    let entries = entries.into_iter().flatten().flatten();
    let stages = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".json")?.parse().ok()
    });
    stages.collect()
}

fn reason(folder: &SweepFolder, stage: &Digest) -> String {
    let path = folder.failed().join(format!("{stage}.json"));
    let told = read(&path).map(|trial| {
        let reason = trial.reason.unwrap_or_default();
        format!("{reason}\n    pilot: {}", trial.pilot)
    });
    told.unwrap_or_else(|| format!("given up; why is in {}", path.display()))
}

fn read(path: &Path) -> Option<Trial> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn json(trial: &Trial) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(trial).expect("a trial is plain data");
    bytes.push(b'\n');
    bytes
}

/// Writes a file that must not be there.
fn create_new(path: &Path, trial: &Trial) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(&json(trial))
}

#[cfg(test)]
mod tests {
    use super::{super::living::Alive, *};

    /// Two pilots of a sweep.
    fn pilots(retries: usize) -> (tempfile::TempDir, [SharedFailures; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let sweep = SweepFolder::at(folder.path());
        sweep.prepare().unwrap();
        let of = |name: &str| {
            let (pilot, run) = (name.to_owned(), name.to_owned());
            SharedFailures::new(sweep.clone(), retries, pilot, run)
        };
        (folder, [of("a on n1"), of("b on n2")])
    }

    fn stage() -> Digest {
        Digest::of_bytes(b"stage")
    }

    #[test]
    fn a_stage_that_takes_its_pilots_with_it_is_tried_so_often_in_all() {
        let (_folder, [mut a, mut b]) = pilots(1);
        assert_eq!(a.begin(&stage()).unwrap(), Trying::Begun);
        // The pilot is gone; another one comes.
        assert_eq!(b.begin(&stage()).unwrap(), Trying::Begun);
        let mut c = SharedFailures::new(b.folder.clone(), 1, "c on n3".into(), "c".into());
        let Trying::GivenUp(reason) = c.begin(&stage()).unwrap() else {
            panic!("a third attempt");
        };
        assert!(reason.contains("tried 2 times"), "{reason}");
        assert!(reason.contains("b on n2"), "{reason}");
        // The others hear of it.
        assert!(a.reason(&stage()).unwrap().contains("tried 2 times"));
    }

    #[test]
    fn an_attempt_of_a_pilot_that_lives_is_no_accident() {
        let (folder, [mut a, mut b]) = pilots(0);
        let sweep = SweepFolder::at(folder.path());
        let alive = Alive::begin(&sweep, "a on n1", "a").unwrap();
        assert_eq!(a.begin(&stage()).unwrap(), Trying::Begun);
        // Locks that are not shared give the lease to two pilots.
        assert_eq!(b.begin(&stage()).unwrap(), Trying::Elsewhere);
        drop(alive);
        assert!(matches!(b.begin(&stage()).unwrap(), Trying::GivenUp(_)));
    }

    #[test]
    fn a_stop_in_good_order_is_no_attempt() {
        let (_folder, [mut a, mut b]) = pilots(0);
        for _ in 0..3 {
            assert_eq!(a.begin(&stage()).unwrap(), Trying::Begun);
            a.end(&stage(), &Release::Stopped).unwrap();
        }
        assert_eq!(b.begin(&stage()).unwrap(), Trying::Begun);
        b.end(&stage(), &Release::Finished).unwrap();
        assert!(a.given_up().is_empty());
    }

    #[test]
    fn accidents_of_two_pilots_add_up_and_the_last_reason_is_told() {
        let (_folder, [mut a, mut b]) = pilots(1);
        for (pilot, reason) in [(&mut a, "first"), (&mut b, "second")] {
            assert_eq!(pilot.begin(&stage()).unwrap(), Trying::Begun);
            let how = Release::Accident(reason.to_owned());
            pilot.end(&stage(), &how).unwrap();
        }
        let given_up = Trying::GivenUp("tried 2 times, at last: second".to_owned());
        assert_eq!(a.begin(&stage()).unwrap(), given_up);
    }

    #[test]
    fn a_failure_that_would_repeat_is_tried_once_in_all() {
        let (_folder, [mut a, mut b]) = pilots(5);
        assert_eq!(a.begin(&stage()).unwrap(), Trying::Begun);
        let how = Release::Failed("the loss is not finite".to_owned());
        a.end(&stage(), &how).unwrap();
        let told = "the loss is not finite\n    pilot: a on n1".to_owned();
        assert_eq!(b.begin(&stage()).unwrap(), Trying::GivenUp(told));
        assert_eq!(fs::read_dir(a.folder.tries()).unwrap().count(), 0);
    }
}
