//! Ctrl-C, Ctrl-Z, a terminal that is closed, and requests to terminate.
//!
//! The rule: the first request to end lets a run end at its next steps; the second, or one that
//! comes while no stage runs, ends the program at once, which is said. Who asks twice in a moment
//! asks once: `timeout`, shells and service managers send two signals for one request. Nor is a
//! terminal that is closed a second request. Workers end when their parent is gone. A pause is one
//! of the workers too. A closed terminal and Ctrl-Z are ignored where they were ignored at the
//! start, as with `nohup`, and Ctrl-Z where no shell could continue the run.
//!
//! A pilot on a cluster is asked by the cluster, which kills it soon: one request is all there is,
//! and whoever starts the pilot asks which one it was.

use std::{
    io::{self, IsTerminal, stderr},
    process,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::exec::{RunControl, can_be_continued, pause_this_process};

/// Requests that come within this time of the first are the same request.
const ONE_REQUEST: Duration = Duration::from_millis(250);

/// What is asked of the program.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// To end.
    End,
    /// To end, since its time is nearly up.
    TimeUp,
    /// To end, since the terminal is closed.
    HangUp,
    /// To stop until it is continued.
    Pause,
}

/// The run that interrupts are for.
#[derive(Default)]
struct Interruptible {
    /// `None` while no stage runs.
    run: Option<RunControl>,
    /// When it was interrupted.
    interrupted: Option<Instant>,
    /// Whether that was since its time is nearly up.
    time_up: bool,
    /// Whether further requests are ignored.
    once: bool,
}

/// What the next interrupt does.
#[derive(Clone, Default)]
pub(super) struct Interrupts(Arc<Mutex<Interruptible>>);

impl Interrupts {
    /// Handles interrupts from now on. Until [`Interrupts::set`] is called, one ends the program.
    /// `command` is the command that goes on from there.
    pub fn listen(command: String) -> Self {
        Self::default().start(command)
    }

    /// The same for a pilot: one request to end counts, and waits for the run if it comes before.
    pub fn listen_once(command: String) -> Self {
        let interrupts = Self::default();
        interrupts.locked().once = true;
        interrupts.start(command)
    }

    fn start(self, command: String) -> Self {
        let interrupts = self;
        let listening = interrupts.clone();
        let outcome = listen(move |asked| match asked {
            Asked::End => listening.end(&command),
            Asked::TimeUp => {
                listening.time_up();
                listening.end(&command);
            }
            Asked::HangUp if listening.is_interrupted() => {}
            Asked::HangUp => listening.end(&command),
            Asked::Pause => listening.pause(),
        });
        if let Err(error) = outcome {
            eprintln!(
                "warning: Ctrl-C will end the program at once, without saving progress: {error}"
            );
        }
        interrupts
    }

    /// Sets the run that interrupts are for, or none, where the next one ends the program.
    pub fn set(&self, run: Option<RunControl>) {
        let mut now = self.locked();
        if let (Some(run), true, Some(_)) = (&run, now.once, now.interrupted) {
            run.interrupt();
        }
        now.run = run;
    }

    /// Whether the run was interrupted since its time is nearly up.
    pub fn is_time_up(&self) -> bool {
        self.locked().time_up
    }

    /// Interrupts the run, as a signal does.
    pub fn interrupt(&self) {
        let mut now = self.locked();
        now.interrupted.get_or_insert_with(Instant::now);
        if let Some(run) = &now.run {
            run.interrupt();
        }
    }

    fn time_up(&self) {
        let mut now = self.locked();
        now.time_up |= now.interrupted.is_none();
    }

    fn locked(&self) -> MutexGuard<'_, Interruptible> {
        let locked = self.0.lock();
        locked.expect("no thread panics while it holds the lock")
    }

    fn is_interrupted(&self) -> bool {
        self.locked().interrupted.is_some()
    }

    fn end(&self, command: &str) {
        let mut now = self.locked();
        let why = match (&now.run, now.interrupted) {
            (_, Some(_)) if now.once => return,
            (None, None) if now.once => {
                now.interrupted = Some(Instant::now());
                return;
            }
            (_, Some(first)) if first.elapsed() < ONE_REQUEST => return,
            (Some(run), None) => {
                run.interrupt();
                now.interrupted = Some(Instant::now());
                return;
            }
            (Some(_), Some(_)) => {
                "stopped at once; what is done is kept, trainings go on from their last saving:"
            }
            (None, _) => "interrupted; what is done is kept, and this command goes on from there:",
        };
        // After the `^C` that a terminal shows.
        let line = if stderr().is_terminal() { "\n" } else { "" };
        eprintln!("{line}{why}\n  {command}");
        process::exit(130);
    }

    fn pause(&self) {
        if !can_be_continued() {
            return;
        }
        if let Some(run) = &self.locked().run {
            return run.pause();
        }
        pause_this_process();
    }
}

/// Calls a function at every signal that asks for something, from a thread of its own.
#[cfg(unix)]
fn listen(each: impl Fn(Asked) + Send + 'static) -> io::Result<()> {
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1},
        iterator::Signals,
    };
    // A script may start a program in the background with SIGINT ignored. Sent to this process, it
    // is meant for it nevertheless.
    // SIGUSR1 is what clusters send before a job's time is up (`sbatch --signal=USR1@60`).
    let always = [SIGINT, SIGTERM, SIGUSR1].into_iter();
    let heeded = [SIGHUP, SIGTSTP].into_iter();
    let heeded = heeded.filter(|signal| !is_ignored(*signal));
    let mut signals = Signals::new(always.chain(heeded))?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            each(match signal {
                SIGTSTP => Asked::Pause,
                SIGHUP => Asked::HangUp,
                SIGUSR1 => Asked::TimeUp,
                _ => Asked::End,
            });
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn listen(each: impl Fn(Asked) + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(move || each(Asked::End)).map_err(io::Error::other)
}

/// Whether a signal is ignored. Only Linux tells without calls that are not safe; elsewhere a
/// closed terminal ends the run, its progress saved.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
