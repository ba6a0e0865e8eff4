//! Pausing: the workers stop with their parent, and go on with it.
//!
//! The rule: workers are in process groups of their own, so what a terminal sends to stop this
//! process does not reach them. They are stopped before it and continued after it, or when it dies.
//! Where no shell could continue it, as over `ssh -t`, Ctrl-Z is ignored, as the system does by
//! itself.

use std::{
    process::Child,
    time::{Duration, Instant},
};

/// Stops the workers and this process until it is continued; returns how long that was.
pub(super) fn pause<'a>(workers: impl Iterator<Item = &'a Child>) -> Duration {
    let workers: Vec<&Child> = workers.collect();
    let since = Instant::now();
    send(&workers, Sent::Stop);
    pause_this_process();
    send(&workers, Sent::Continue);
    since.elapsed()
}

/// What a worker is sent.
#[derive(Clone, Copy)]
enum Sent {
    Stop,
    Continue,
}

#[cfg(unix)]
fn send(workers: &[&Child], what: Sent) {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = match what {
        Sent::Stop => Signal::STOP,
        Sent::Continue => Signal::CONT,
    };
    for worker in workers {
        // A worker that has ended has not been waited for yet: its number is still its own.
        let _ = kill_process(Pid::from_child(worker), signal);
    }
}

#[cfg(not(unix))]
fn send(_workers: &[&Child], what: Sent) {
    match what {
        Sent::Stop | Sent::Continue => {}
    }
}

/// Stops this process until it is continued.
pub fn pause_this_process() {
    #[cfg(unix)]
    {
        let _ = signal_hook::low_level::raise(signal_hook::consts::SIGSTOP);
    }
}

/// Has the system continue this worker, should it be stopped, when its parent dies: a parent that
/// is killed while it pauses continues nobody, and a stopped worker would hold its stage for ever.
/// The system does so by itself only for groups without a relative in their session, and only once
/// every thread has stopped. Only Linux can be asked.
pub fn continue_when_the_parent_dies() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // A worker that runs is not disturbed by it. It fails for unknown signals alone.
        let _ = set_parent_process_death_signal(Some(Signal::CONT));
    }
}

/// Whether somebody can continue this process once it has stopped: a shell in its session, or,
/// where it has no terminal, whoever stopped it. Only Linux tells; elsewhere it is taken for so.
pub fn can_be_continued() -> bool {
    let Some(own) = ProcessPlace::of("self").filter(|own| own.terminal != 0) else {
        return true;
    };
    // A shell gives its commands process groups of their own. What is in this group, as `make` may
    // be, stops with it.
    let mut at = own;
    loop {
        match ProcessPlace::of(&at.parent.to_string()) {
            Some(parent) if parent.session != own.session => return false,
            Some(parent) if parent.group != own.group => return true,
            Some(parent) => at = parent,
            None => return false,
        }
    }
}

/// Where a process is among the others.
#[derive(Clone, Copy, Debug)]
struct ProcessPlace {
    parent: i32,
    group: i32,
    session: i32,
    /// 0 where it has none.
    terminal: i32,
}

impl ProcessPlace {
    /// That of a process, by its number or `self` (proc(5), `/proc/pid/stat`).
    fn of(process: &str) -> Option<Self> {
        let told = std::fs::read(format!("/proc/{process}/stat")).ok()?;
        let told = String::from_utf8_lossy(&told);
        // The program's name, in brackets, may hold anything.
        let (_, after) = told.rsplit_once(") ")?;
        let mut numbers = after.split(' ').skip(1).map_while(|word| word.parse().ok());
        let mut next = || numbers.next();
        Some(Self {
            parent: next()?,
            group: next()?,
            session: next()?,
            terminal: next()?,
        })
    }
}
