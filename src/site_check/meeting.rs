//! What two nodes do together to find how their shared folder behaves.
//!
//! The rule: both run the same steps, and tell each other how far they are by files that are
//! written once, under a name that nobody has asked for before, and looked for by listing: that is
//! seen soonest. Every wait has an end.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::findings::{Lock, Met};
use crate::{event::now, store::replace_file};

/// How often clocks are compared; the quickest answer counts.
const EXCHANGES: usize = 5;

/// How long a node waits.
#[derive(Clone, Copy, Debug)]
pub struct NodePatience {
    /// For the other node, for names and for locks.
    pub wait: Duration,
    /// Between two looks.
    pub look: Duration,
}

impl Default for NodePatience {
    /// Network file systems remember for up to a minute that a name was absent, and keep the lock
    /// of a client that is gone for a minute and a half.
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(120),
            look: Duration::from_millis(20),
        }
    }
}

/// One of two nodes in a folder that both should see.
#[derive(Debug)]
pub struct Meeting {
    folder: PathBuf,
    /// 0 or 1.
    own: usize,
    host: String,
    patience: NodePatience,
}

impl Meeting {
    /// Of node 0 or 1, called `host`, in an empty folder.
    pub fn new(folder: &Path, own: usize, host: String, patience: NodePatience) -> Self {
        let folder = folder.to_owned();
        Self {
            folder,
            own,
            host,
            patience,
        }
    }

    /// Runs all steps with the other node.
    ///
    /// # Errors
    /// Why it did not come to the end: the other node's files are not seen, or files cannot be
    /// written.
    pub fn run(&self) -> Result<Met, String> {
        self.tell("here", &self.host)?;
        let other = self.told_within(self.patience.wait, "here")?;
        let named_after = self.late_name()?;
        let (listed_after, behind) = self.clocks()?;
        let mut lock = None;
        for holder in [0, 1] {
            match holder == self.own {
                true => self.hold_a_lock()?,
                false => lock = Some(self.others_lock()?),
            }
        }
        let lock = lock.expect("the other node holds one in its turn");
        Ok(Met {
            other,
            named_after,
            listed_after,
            behind,
            lock,
        })
    }

    /// Writes a file of this node.
    fn tell(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.file(name, self.own);
        replace_file(&path, text.as_bytes()).map_err(|error| error.to_string())
    }

    /// What the other node writes into its file. It may have to wait for a name and for a lock
    /// itself before it does.
    fn told(&self, name: &str) -> Result<String, String> {
        self.told_within(3 * self.patience.wait, name)
    }

    fn told_within(&self, most: Duration, name: &str) -> Result<String, String> {
        let path = self.file(name, 1 - self.own);
        let read = || {
            self.lists(&path)
                .then(|| fs::read_to_string(&path).ok())
                .flatten()
        };
        let (text, _) = self.wait_within(most, read).ok_or_else(|| {
            format!(
                "{} waited {} s for {}, which another node writes",
                self.host,
                most.as_secs(),
                path.display()
            )
        })?;
        Ok(text)
    }

    fn file(&self, name: &str, node: usize) -> PathBuf {
        self.folder.join(format!("{name}-{node}"))
    }

    /// Whether a file is listed in the folder.
    fn lists(&self, path: &Path) -> bool {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        names.any(|name| Some(name.as_os_str()) == path.file_name())
    }

    /// Looks until something is found, and how many seconds that took; `None` where it takes too
    /// long.
    fn wait<T>(&self, look: impl FnMut() -> Option<T>) -> Option<(T, f64)> {
        self.wait_within(self.patience.wait, look)
    }

    fn wait_within<T>(
        &self,
        most: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<(T, f64)> {
        let began = Instant::now();
        loop {
            if let Some(found) = look() {
                return Some((found, began.elapsed().as_secs_f64()));
            }
            if began.elapsed() >= most {
                return None;
            }
            thread::sleep(self.patience.look);
        }
    }

    /// How long after its listing a name is found that was asked for before it was there.
    fn late_name(&self) -> Result<Option<f64>, String> {
        let path = self.file("late", 1 - self.own);
        let _ = fs::metadata(&path);
        self.tell("asked", "")?;
        self.told("asked")?;
        self.tell("late", "")?;
        let listed = self.wait(|| self.lists(&path).then_some(()));
        listed.ok_or_else(|| format!("{} is not listed", path.display()))?;
        let named = self.wait(|| fs::metadata(&path).ok());
        Ok(named.map(|(_, seconds)| seconds))
    }

    /// How long a file takes to be listed, and how far this clock is behind the other's.
    fn clocks(&self) -> Result<(f64, f64), String> {
        let mut quickest = (f64::INFINITY, 0.0);
        for number in 0..EXCHANGES {
            for asks in [0, 1] {
                let name = format!("clock-{number}-{asks}");
                if self.own != asks {
                    self.told(&name)?;
                    self.tell(&name, &now().to_string())?;
                    continue;
                }
                let (began, sent) = (Instant::now(), now());
                self.tell(&name, "")?;
                let answer = self.told(&name)?;
                let there_and_back = began.elapsed().as_secs_f64();
                let answered: f64 = answer.parse().map_err(|error| format!("{name}: {error}"))?;
                let behind = answered - (sent + there_and_back / 2.0);
                if there_and_back < quickest.0 {
                    quickest = (there_and_back, behind);
                }
            }
        }
        Ok((quickest.0 / 2.0, quickest.1))
    }

    /// Holds a lock until the other node has tried it.
    fn hold_a_lock(&self) -> Result<(), String> {
        let path = self.file("lock", self.own);
        let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        // Where there are no locks the other node finds that too.
        let _ = file.lock();
        self.tell("held", "")?;
        self.told("tried")?;
        drop(file);
        self.tell("free", "")
    }

    /// What becomes of a lock that the other node holds.
    fn others_lock(&self) -> Result<Lock, String> {
        self.told("held")?;
        let path = self.file("lock", 1 - self.own);
        let open = || File::options().read(true).write(true).open(&path).ok();
        let opened = self.wait(open);
        let (file, _) = opened.ok_or_else(|| format!("{} cannot be opened", path.display()))?;
        let tried = file.try_lock();
        self.tell("tried", "")?;
        self.told("free")?;
        Ok(match tried {
            Ok(()) => Lock::Granted,
            Err(TryLockError::Error(error)) => Lock::Impossible(error.to_string()),
            Err(TryLockError::WouldBlock) => {
                let given = self.wait(|| file.try_lock().ok());
                Lock::Refused(given.map(|((), seconds)| seconds))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both nodes in their folders, at once.
    fn meet(folders: [&Path; 2], wait: Duration) -> [Result<Met, String>; 2] {
        let patience = NodePatience {
            wait,
            look: Duration::from_millis(1),
        };
        let node = |own: usize| Meeting::new(folders[own], own, format!("n{own}"), patience);
        let (one, other) = (node(0), node(1));
        thread::scope(|scope| {
            let other = scope.spawn(|| other.run());
            [one.run(), other.join().unwrap()]
        })
    }

    #[test]
    fn two_nodes_see_each_other_and_are_refused_each_others_locks() {
        let folder = tempfile::tempdir().unwrap();
        let met = meet([folder.path(); 2], Duration::from_secs(60));
        let others = met
            .each_ref()
            .map(|met| met.as_ref().unwrap().other.as_str());
        assert_eq!(others, ["n1", "n0"]);
        for met in met.map(Result::unwrap) {
            assert!(met.named_after.is_some(), "{met:?}");
            assert!(matches!(met.lock, Lock::Refused(Some(_))), "{met:?}");
            assert!(
                met.listed_after >= 0.0 && met.behind.abs() < 30.0,
                "{met:?}"
            );
        }
    }

    #[test]
    fn a_folder_that_is_a_nodes_own_is_found_out() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = folders.each_ref().map(tempfile::TempDir::path);
        for met in meet(paths, Duration::from_millis(20)) {
            let why = met.unwrap_err();
            assert!(why.contains("which another node writes"), "{why}");
        }
    }
}
