//! What terminals, shells and service managers send: requests that come twice or to every process,
//! Ctrl-Z with and without a shell, readers that have gone.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::support::common::*;

/// Ten million steps never end by themselves.
const ENDLESS: [&str; 2] = ["--set", "scratch.steps=10000000"];
/// A grid whose trainings from scratch take a few seconds.
const LONG: [&str; 2] = ["--set", "scratch.steps=1500"];

fn start(folder: &Path) -> Child {
    let mut command = expertgrid(folder, &tiny_run(&ENDLESS));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    until("trainings", || {
        folder.join("results/store/pretrain").exists() && !workers(child.id()).is_empty()
    });
    child
}

fn end(child: Child) -> (String, Option<i32>) {
    let output = child.wait_with_output().unwrap();
    (Said::of(&output).err, output.status.code())
}

/// How many trainings have saved progress.
fn saved(folder: &Path) -> usize {
    let partial = fs::read_dir(folder.join("results/store/partial"));
    partial.into_iter().flatten().count()
}

fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

#[test]
#[cfg_attr(not(unix), ignore = "signals are of Unix")]
fn requests_that_come_together_are_one_and_a_closed_terminal_is_no_second_one() {
    let folder = tiny();
    let child = start(folder.path());
    // As a service manager ends a session. Nobody waits for the answer to the first.
    signal(child.id(), "-TERM");
    signal(child.id(), "-HUP");
    signal(child.id(), "-INT");
    thread::sleep(Duration::from_millis(400));
    let hung_up = Command::new("kill")
        .args(["-HUP", &child.id().to_string()])
        .output();
    hung_up.unwrap();
    let (said, code) = end(child);
    assert_eq!(code, Some(130), "{said}");
    assert!(!said.contains("stopped at once"), "{said}");
    assert!(saved(folder.path()) > 0, "progress is saved: {said}");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "finds workers by /proc")]
fn a_request_to_every_process_saves_progress_too() {
    // As the end of a systemd unit, and before that of a job of Slurm's. Workers are asked first.
    for how in ["-TERM", "-USR1"] {
        let folder = tiny();
        let child = start(folder.path());
        for process in workers(child.id()) {
            signal(process, how);
        }
        thread::sleep(Duration::from_millis(200));
        signal(child.id(), how);
        let (said, code) = end(child);
        assert_eq!(code, Some(130), "{how}: {said}");
        assert!(!said.contains("attempt"), "no worker was lost: {said}");
        assert!(saved(folder.path()) > 0, "progress is saved: {said}");
    }
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "finds workers by /proc")]
fn a_run_that_is_quit_or_killed_while_it_is_paused_leaves_no_worker() {
    for how in ["-QUIT", "-KILL"] {
        let folder = tiny();
        let child = start(folder.path());
        let at_work = workers(child.id());
        if how == "-KILL" {
            signal(child.id(), "-TSTP");
            until("everything to stop", || {
                let stopped = |process: &u32| {
                    let told = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
                    told.contains(") T ")
                };
                at_work.iter().all(stopped) && stopped(&child.id())
            });
        }
        signal(child.id(), how);
        let (said, code) = end(child);
        assert_eq!(code, None, "{said}");
        until("the end of the workers", || {
            !at_work.iter().any(|worker| is_there(*worker))
        });
        // Nothing stands in the way of the next.
        run(folder.path(), &tiny_run(&[]), 0);
    }
}

/// Says to a process of the test program that it is the one that takes in orphans.
#[cfg(target_os = "linux")]
const TAKES_IN_ORPHANS: &str = "EXPERTGRID_TEST_TAKES_IN_ORPHANS";

/// The system continues the stopped workers of a parent that dies only where nobody of the same
/// session takes them in, and where all their threads have stopped already.
#[test]
#[cfg(target_os = "linux")]
fn a_paused_worker_ends_with_its_parent_whoever_takes_it_in() {
    use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};

    if std::env::var_os(TAKES_IN_ORPHANS).is_none() {
        // In a process of its own: orphans of other tests stay what they are.
        let name = "sweep::signals::a_paused_worker_ends_with_its_parent_whoever_takes_it_in";
        let again = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(TAKES_IN_ORPHANS, "1")
            .output()
            .unwrap();
        assert!(
            again.status.success(),
            "{}",
            String::from_utf8_lossy(&again.stdout)
        );
        return;
    }
    set_child_subreaper(Some(getpid())).unwrap();
    let folder = tiny();
    let child = start(folder.path());
    let at_work = workers(child.id());
    signal(child.id(), "-TSTP");
    let stopped = |process: u32| {
        let told = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        told.contains(") T ")
    };
    until("everything to stop", || {
        at_work.iter().chain(&[child.id()]).all(|at| stopped(*at))
    });
    signal(child.id(), "-KILL");
    end(child);
    let mut left = at_work;
    until("the end of the workers", || {
        left.retain(|worker| {
            let worker = Pid::from_raw(*worker as i32).unwrap();
            waitpid(Some(worker), WaitOptions::NOHANG)
                .unwrap()
                .is_none()
        });
        left.is_empty()
    });
}

/// A command on a terminal of its own, as `script` (util-linux) makes one; its standard input is
/// the keyboard. `None` where there is no such program.
fn on_terminal(folder: &Path, command: &str) -> Option<Child> {
    let child = Command::new("script")
        .current_dir(folder)
        .args(["--quiet", "--return", "--command", command, "/dev/null"])
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    match child {
        Ok(child) => Some(child),
        Err(error) => {
            eprintln!("skipped: no terminal can be had: script: {error}");
            None
        }
    }
}

/// Presses Ctrl-Z once trainings run; what the terminal got in the end.
fn with_ctrl_z(folder: &Path, mut child: Child) -> String {
    until("trainings", || {
        folder.join("results/store/pretrain").exists()
    });
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(b"\x1a").unwrap();
    keyboard.flush().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut got = String::new();
        screen.read_to_string(&mut got).map(|_| got)
    });
    until("its end", || child.try_wait().unwrap().is_some());
    assert!(child.wait().unwrap().success());
    reader.join().unwrap().unwrap()
}

fn long_command() -> String {
    let program = env!("CARGO_BIN_EXE_expertgrid");
    format!("{program} {}", tiny_run(&LONG).join(" "))
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "`script` is another one elsewhere")]
fn ctrl_z_is_ignored_where_no_shell_could_continue_the_run() {
    let folder = tiny();
    // As with `ssh -t HOST expertgrid run` and in a container.
    let Some(child) = on_terminal(folder.path(), &format!("exec {}", long_command())) else {
        return;
    };
    let got = with_ctrl_z(folder.path(), child);
    assert!(got.contains("9 done"), "{got}");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "`script` is another one elsewhere")]
fn ctrl_z_stops_a_run_under_a_shell_and_fg_continues_it() {
    let folder = tiny();
    let command = format!("sh -mc '{}; echo it has stopped; fg'", long_command());
    let Some(child) = on_terminal(folder.path(), &command) else {
        return;
    };
    let got = with_ctrl_z(folder.path(), child);
    let (stopped, on) = (got.find("it has stopped"), got.find("9 done"));
    assert!(stopped.is_some() && stopped < on, "{got}");
}

#[test]
#[cfg_attr(not(unix), ignore = "pipes of a POSIX shell")]
fn a_reader_that_has_gone_keeps_no_run_from_its_tables() {
    let folder = tiny();
    let program = env!("CARGO_BIN_EXE_expertgrid");
    let words = tiny_run(&[]).join(" ");
    // Nobody reads the progress, and nobody the tables.
    let command = format!("{program} {words} 2>&1 | true; {program} {words} 2>err | head -n 1");
    let mut shell = Command::new("sh");
    shell.current_dir(folder.path()).args(["-c", &command]);
    let output = shell.output().unwrap();
    assert!(output.status.success());
    let said = fs::read_to_string(folder.path().join("err")).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    assert!(folder.path().join("results/tiny/paper/tiny.md").exists());
    // The second has found everything done.
    assert!(!said.contains(" done, "), "{said}");
}
