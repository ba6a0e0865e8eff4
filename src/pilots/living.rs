//! Which pilots live, and whether their locks are seen by other machines.
//!
//! The rule: a pilot holds the lock of a file as long as it lives, and counts in it. A pilot on
//! another machine whose lock can be taken while it goes on counting shows that locks are not
//! shared: then a stage would be run on each machine.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use super::folder::SweepFolder;
use crate::{host, store::StoreError};

/// The ending of the files of living pilots.
const ALIVE: &str = ".alive";
/// Time between two counts.
const BEAT: Duration = Duration::from_secs(2);
/// How long a count may take to be seen on another machine. Network file systems remember what is
/// in a file for up to a minute.
const SEEN_AFTER: Duration = Duration::from_secs(75);
/// How often others are looked for, after the first time.
const BETWEEN_LOOKS: Duration = Duration::from_secs(20);

/// The sign that this process lives as a pilot, until it is dropped.
#[derive(Debug)]
pub struct Alive {
    path: PathBuf,
    /// Ends the counting when it is dropped.
    counting: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// A pilot that lives, as its file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingPilot {
    /// The machine.
    pub host: String,
    /// The element of the array, or the process where there is none.
    pub name: String,
}

/// What to do where locks are not shared, as half a sentence.
pub const LOCKS_REMEDY: &str = "mount the file system with shared locks (`flock` for Lustre, \
     version 4 for NFS), or set `claims = \"shares\"` in clusters.toml, so that each pilot runs a \
     fixed part of the stages";

/// The locks of pilots on two machines are not shared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{folder} has locks that one machine alone sees: {other} runs on {host}, and its lock could be \
     taken here; {LOCKS_REMEDY}"
)]
pub struct NotShared {
    folder: String,
    host: String,
    other: String,
}

impl Alive {
    /// Begins to count; `run` names the file, `name` is how this pilot is called.
    ///
    /// # Errors
    /// The file cannot be written or locked.
    pub fn begin(folder: &SweepFolder, run: &str, name: &str) -> Result<Self, StoreError> {
        let path = folder.pilots().join(format!("{run}{ALIVE}"));
        let beginning = folder.pilots().join(format!(".{run}"));
        let make = || {
            let mut options = File::options();
            options.create(true).truncate(true).read(true).write(true);
            let mut file = options.open(&beginning)?;
            file.write_all(&content(0, name))?;
            file.lock()?;
            // Nobody finds it unlocked.
            fs::rename(&beginning, &path)?;
            Ok(file)
        };
        let mut file: File = make().map_err(|error| StoreError {
            doing: format!("writing {}", path.display()),
            error,
        })?;
        let (counting, ended) = mpsc::channel();
        let name = name.to_owned();
        let thread = thread::spawn(move || {
            let mut count = 0;
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                count += 1;
                // Of the same length always: others may remember the old one.
                let _ = file
                    .rewind()
                    .and_then(|()| file.write_all(&content(count, &name)));
            }
        });
        Ok(Self {
            path,
            counting: Some(counting),
            thread: Some(thread),
        })
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        drop(self.counting.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a pilot goes on counting, which takes some seconds to find; without asking for its lock.
pub(super) fn is_living(folder: &SweepFolder, run: &str) -> bool {
    let path = folder.pilots().join(format!("{run}{ALIVE}"));
    let mut counts = Vec::new();
    let began = Instant::now();
    while began.elapsed() < 4 * BEAT {
        // The file is removed at the end of its pilot.
        let Some((count, _)) = read(&path) else {
            return false;
        };
        counts.push(count);
        counts.dedup();
        // What was read first may be what this machine remembered.
        if counts.len() > 2 {
            return true;
        }
        thread::sleep(BEAT / 4);
    }
    false
}

fn content(count: u64, name: &str) -> Vec<u8> {
    format!("{count:020}\n{}\n{name}\n", host::name()).into_bytes()
}

/// What a pilot's file says: its count, and who it is.
fn read(path: &Path) -> Option<(u64, LivingPilot)> {
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let count = lines.next()?.parse().ok()?;
    let (host, name) = (lines.next()?.to_owned(), lines.next()?.to_owned());
    Some((count, LivingPilot { host, name }))
}

fn files(folder: &SweepFolder) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.pilots());
    let paths = entries.into_iter().flatten().flatten();
    let paths = paths.map(|entry| entry.path());
    let alive = |path: &PathBuf| path.to_string_lossy().ends_with(ALIVE);
    let mut paths: Vec<PathBuf> = paths.filter(alive).collect();
    paths.sort();
    paths
}

/// The pilots of a sweep that hold their locks. Each lock is tried for a moment, shared.
pub fn living(folder: &SweepFolder) -> Vec<LivingPilot> {
    let held = files(folder).into_iter().filter_map(|path| {
        let file = File::open(&path).ok()?;
        file.try_lock_shared().is_err().then(|| read(&path))?
    });
    held.map(|(_, pilot)| pilot).collect()
}

/// Whether a lock of another machine's pilot was refused here: then locks are shared.
#[derive(Clone, Debug, Default)]
pub struct LocksSeen(Arc<AtomicBool>);

impl LocksSeen {
    /// Whether one was refused so far.
    pub fn are_shared(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks for pilots on other machines whose locks can be taken while they count, from a thread of
/// its own, until the first is found or what is returned is dropped.
pub fn watch_for_unshared_locks(
    folder: SweepFolder,
    seen: LocksSeen,
    found: impl FnOnce(NotShared) + Send + 'static,
) -> Sender<()> {
    let (watching, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        let rest = |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        while rest(BEAT) {
            for path in files(&folder) {
                if let Some(other) = unshared(&path, &seen, &rest) {
                    return found(NotShared {
                        folder: folder.path().display().to_string(),
                        host: other.host,
                        other: other.name,
                    });
                }
            }
            if !rest(BETWEEN_LOOKS) {
                return;
            }
        }
    });
    watching
}

/// The pilot of a file, if it goes on counting while its lock is held here. `rest` waits, and tells
/// whether to go on.
fn unshared(path: &Path, seen: &LocksSeen, rest: &dyn Fn(Duration) -> bool) -> Option<LivingPilot> {
    let (_, pilot) = read(path)?;
    if pilot.host == host::name() {
        return None;
    }
    let mut options = File::options();
    let file = options.read(true).write(true).open(path).ok()?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            seen.0.store(true, Ordering::Relaxed);
            return None;
        }
        Err(TryLockError::Error(_)) => return None,
    }
    // It is dead, or its lock is not seen here. What was read before the lock may be old.
    let began = Instant::now();
    let mut counts = Vec::new();
    while began.elapsed() < SEEN_AFTER && rest(BEAT) {
        // Its file is removed at its end.
        let (count, _) = read(path)?;
        counts.push(count);
        counts.dedup();
        // One change may have been made before the lock was taken.
        if counts.len() > 2 {
            return Some(pilot);
        }
    }
    if began.elapsed() >= SEEN_AFTER {
        let _ = fs::remove_file(path);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pilot_is_alive_as_long_as_it_holds_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let sweep = SweepFolder::at(folder.path());
        sweep.prepare().unwrap();
        let alive = Alive::begin(&sweep, "one", "7_0").unwrap();
        let expected = LivingPilot {
            host: host::name(),
            name: "7_0".to_owned(),
        };
        assert_eq!(living(&sweep), [expected]);
        drop(alive);
        assert!(living(&sweep).is_empty());
        // One that was killed leaves its file, without a lock.
        fs::write(sweep.pilots().join("two.alive"), content(3, "7_1")).unwrap();
        assert!(living(&sweep).is_empty());
    }

    /// A file whose pilot counts on another machine, and whose lock nobody holds.
    fn counting(path: PathBuf) -> Sender<()> {
        let (counting, ended) = mpsc::channel();
        thread::spawn(move || {
            for count in 0_u64.. {
                fs::write(&path, format!("{count:020}\nelsewhere\n7_2\n")).unwrap();
                if ended.recv_timeout(Duration::from_millis(200)) != Err(RecvTimeoutError::Timeout)
                {
                    return;
                }
            }
        });
        counting
    }

    #[test]
    fn a_pilot_that_counts_while_its_lock_is_held_here_shows_that_locks_are_not_shared() {
        let folder = tempfile::tempdir().unwrap();
        let sweep = SweepFolder::at(folder.path());
        sweep.prepare().unwrap();
        let path = sweep.pilots().join("other.alive");
        let other = counting(path.clone());
        while read(&path).is_none() {
            thread::sleep(Duration::from_millis(10));
        }
        let (tell, told) = mpsc::channel();
        let seen = LocksSeen::default();
        let _watching = watch_for_unshared_locks(sweep, seen.clone(), move |why| {
            tell.send(why).unwrap();
        });
        let why = told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(why.to_string().contains("7_2 runs on elsewhere"), "{why}");
        assert!(!seen.are_shared());
        drop(other);
    }
}
