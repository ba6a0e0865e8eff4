//! Pausing: the workers stop with their parent, and go on with it.
//!
//! The rule: workers are in process groups of their own, so what a terminal sends to stop this
//! process does not reach them. They are stopped before it and continued after it.

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
