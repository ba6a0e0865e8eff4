//! Runs a command that must end in a given time.
//!
//! The rule: whatever the command does, this thread goes on in time. One that takes too long is
//! killed, with what it has started.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

/// How long the output may stay open once the command has ended: a process that it has left behind
/// may keep it so.
const REST: Duration = Duration::from_secs(1);

/// What a command that has ended says.
#[derive(Debug)]
pub(super) struct CommandAnswer {
    pub status: ExitStatus,
    pub output: String,
    pub errors: String,
}

/// Runs a command in an environment of these variables alone; `None` where it takes too long.
///
/// # Errors
/// Where it cannot be started.
pub(super) fn answer(
    program: &Path,
    words: &[String],
    environment: &[(OsString, OsString)],
    input: &str,
    patience: Duration,
) -> io::Result<Option<CommandAnswer>> {
    let mut command = Command::new(program);
    // Ctrl-C in a terminal would end a command of this group in its middle.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command
        .args(words)
        .env_clear()
        .envs(environment.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut to_child = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // One that reads nothing must not hold this thread.
    thread::spawn(move || to_child.write_all(input.as_bytes()));
    let output = listened(child.stdout.take().expect("piped"));
    let errors = listened(child.stderr.take().expect("piped"));
    let Some(status) = ended(&mut child, patience) else {
        kill(child);
        return Ok(None);
    };
    let until = Instant::now() + REST;
    Ok(Some(CommandAnswer {
        status,
        output: heard(&output, until),
        errors: heard(&errors, until),
    }))
}

/// The pieces that a command prints, as they come.
fn listened(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut piece = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            // Nobody listens any more once the command has been killed.
            if sender.send(piece[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Everything that was printed until a time, or until the output was closed.
fn heard(pieces: &Receiver<Vec<u8>>, until: Instant) -> String {
    let mut all = Vec::new();
    let left = || until.saturating_duration_since(Instant::now());
    while let Ok(piece) = pieces.recv_timeout(left()) {
        all.extend(piece);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// How the command ended; `None` where it has not in this time.
fn ended(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let give_up = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Kills a command and what it has started.
fn kill(mut child: Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    }
    let _ = child.kill();
    // One that waits for a hung disk ends later.
    thread::spawn(move || child.wait());
}
