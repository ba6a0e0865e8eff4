//! Ctrl-C, Ctrl-Z, a terminal that is closed, and requests to terminate.
//!
//! The rule: the first request to end lets a run end at its next steps; the second, or one that
//! comes while no stage runs, ends the program at once, which is said. Workers end when their
//! parent is gone. A pause is one of the workers too. A closed terminal and Ctrl-Z are ignored
//! where they were ignored at the start, as with `nohup`.

use std::{
    io::{self, IsTerminal, stderr},
    process,
    sync::{Arc, Mutex, MutexGuard},
};

use crate::exec::{RunControl, pause_this_process};

/// What is asked of the program.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// To end.
    End,
    /// To stop until it is continued.
    Pause,
}

/// The run that interrupts are for.
#[derive(Default)]
struct Interruptible {
    /// `None` while no stage runs.
    run: Option<RunControl>,
    /// Whether it was interrupted.
    interrupted: bool,
}

/// What the next interrupt does.
#[derive(Clone, Default)]
pub(super) struct Interrupts(Arc<Mutex<Interruptible>>);

impl Interrupts {
    /// Handles interrupts from now on. Until [`Interrupts::next`] is called, one ends the program.
    /// `command` is the command that goes on from there.
    pub fn listen(command: String) -> Self {
        let interrupts = Self::default();
        let listening = interrupts.clone();
        let outcome = listen(move |asked| match asked {
            Asked::End => listening.end(&command),
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
        self.locked().run = run;
    }

    fn locked(&self) -> MutexGuard<'_, Interruptible> {
        let locked = self.0.lock();
        locked.expect("no thread panics while it holds the lock")
    }

    fn end(&self, command: &str) {
        let mut now = self.locked();
        let why = match (&now.run, now.interrupted) {
            (Some(run), false) => {
                run.interrupt();
                now.interrupted = true;
                return;
            }
            (Some(_), true) => {
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
        consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP},
        iterator::Signals,
    };
    // A script may start a program in the background with SIGINT ignored. Sent to this process, it
    // is meant for it nevertheless.
    let always = [SIGINT, SIGTERM].into_iter();
    let heeded = [SIGHUP, SIGTSTP].into_iter();
    let heeded = heeded.filter(|signal| !is_ignored(*signal));
    let mut signals = Signals::new(always.chain(heeded))?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            each(match signal {
                SIGTSTP => Asked::Pause,
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
