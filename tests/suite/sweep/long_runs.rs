//! Runs of days: what a terminal does to them when it is closed or stops them, and what they say of
//! their progress when they go on.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use expertgrid::{
    event::{Counts, Event, Record, Step, Subject},
    journal,
    key::Digest,
    plan::{Kind, Size, Work},
    progress::Board,
};

use crate::support::common::*;

/// A grid whose trainings from scratch take a few seconds.
const LONG: [&str; 2] = ["--set", "scratch.steps=1500"];
/// Ten million steps never end by themselves.
const ENDLESS: [&str; 2] = ["--set", "scratch.steps=10000000"];

fn spawn(mut command: Command) -> Child {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> (String, Option<i32>) {
    let output = child.wait_with_output().unwrap();
    (Said::of(&output).err, output.status.code())
}

/// Waits until a run has trainings at work.
fn at_work(folder: &Path, child: &Child) {
    until("trainings", || {
        folder.join("results/store/pretrain").exists() && !workers(child.id()).is_empty()
    });
}

/// The state of a process: `R` running, `S` waiting, `T` stopped.
fn state(process: u32) -> char {
    let told = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after = told.rsplit_once(") ").unwrap().1;
    after.chars().next().unwrap()
}

#[test]
#[cfg_attr(not(unix), ignore = "signals are of Unix")]
fn under_nohup_a_run_outlives_its_terminal() {
    let folder = tiny();
    let mut command = Command::new("nohup");
    command
        .arg(env!("CARGO_BIN_EXE_expertgrid"))
        .args(tiny_run(&LONG))
        .current_dir(folder.path());
    let child = spawn(command);
    at_work(folder.path(), &child);
    signal(child.id(), "-HUP");
    let (said, code) = end(child);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("stopping"), "{said}");
    assert!(said.contains("9 done"), "{said}");
}

#[test]
#[cfg_attr(not(unix), ignore = "signals are of Unix")]
fn without_nohup_the_end_of_the_terminal_saves_progress() {
    let folder = tiny();
    let child = spawn(expertgrid(folder.path(), &tiny_run(&ENDLESS)));
    at_work(folder.path(), &child);
    signal(child.id(), "-HUP");
    let (said, code) = end(child);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("goes on from there"), "{said}");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "/dev/full is a Linux device")]
fn nothing_is_lost_where_nobody_reads_what_is_said() {
    let folder = tiny();
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let mut command = expertgrid(folder.path(), &tiny_run(&[]));
    // A terminal that has hung up takes nothing either.
    let status = command.stderr(full.unwrap()).stdout(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(0));
    assert!(folder.path().join("results/tiny/paper/tiny.md").exists());
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "the states of processes are read on Linux only"
)]
fn a_paused_run_pauses_its_workers_and_the_pause_does_not_count() {
    let folder = tiny();
    // The pause is longer than a stage may take.
    let steps = ["--set", "scratch.steps=600"];
    let timed = ["--jobs", "2", "--stage-timeout", "8s", "--retries", "0"];
    let child = spawn(expertgrid(
        folder.path(),
        &tiny_run(&[&steps[..], &timed].concat()),
    ));
    at_work(folder.path(), &child);
    signal(child.id(), "-TSTP");
    let stopped = |process: &u32| state(*process) == 'T';
    until("everything to stop", || stopped(&child.id()));
    let at_rest = workers(child.id());
    assert!(!at_rest.is_empty());
    // A process that waits for a disk stops a little later.
    until("the workers to stop", || at_rest.iter().all(stopped));
    thread::sleep(Duration::from_secs(9));
    assert!(stopped(&child.id()) && at_rest.iter().all(stopped));
    signal(child.id(), "-CONT");
    let (said, code) = end(child);
    assert_eq!(code, Some(0), "{said}");
    let records = records(&folder.path().join("results/tiny/paper+scratch.steps=600"));
    let paused = records.iter().find_map(|record| match record.event {
        Event::Continued { seconds } => Some(seconds),
        _ => None,
    });
    assert!(paused.is_some_and(|seconds| seconds > 8.5), "{paused:?}");
    for record in records {
        if let Event::Finished { seconds, .. } = record.event {
            assert!(seconds < 8.0, "{record:?}");
        }
    }
    let undisturbed = tiny();
    run(undisturbed.path(), &tiny_run(&steps), 0);
    assert_same_files(
        &undisturbed.path().join("results"),
        &folder.path().join("results"),
    );
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "the states of processes are read on Linux only"
)]
fn a_run_that_is_being_interrupted_can_be_paused_too() {
    let folder = tiny();
    let child = spawn(expertgrid(folder.path(), &tiny_run(&ENDLESS)));
    at_work(folder.path(), &child);
    signal(child.id(), "-TSTP");
    until("it to stop", || state(child.id()) == 'T');
    // Both wait until it goes on.
    signal(child.id(), "-INT");
    signal(child.id(), "-CONT");
    let (said, code) = end(child);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("goes on from there"), "{said}");
}

#[test]
fn a_second_interrupt_says_what_it_does() {
    let folder = tiny();
    let child = spawn(expertgrid(folder.path(), &tiny_run(&ENDLESS)));
    at_work(folder.path(), &child);
    // Workers that do not answer: the run cannot end by itself.
    for worker in workers(child.id()) {
        signal(worker, "-STOP");
    }
    signal(child.id(), "-INT");
    thread::sleep(Duration::from_millis(500));
    signal(child.id(), "-INT");
    let at_once = workers(child.id());
    let (said, code) = end(child);
    // Going on, they find that their parent is gone.
    for worker in at_once {
        let going_on = ["-CONT", &worker.to_string()];
        let _ = Command::new("kill").args(going_on).output();
    }
    assert_eq!(code, Some(130), "{said}");
    let (first, second) = said.split_once("stopped at once").unwrap();
    assert!(first.contains("a second Ctrl-C stops at once"), "{said}");
    assert!(
        second.contains("from their last saving") && second.contains("run tiny.toml"),
        "{said}"
    );
}

/// The records in the journals of a folder of results, in the order of their times.
fn records(results: &Path) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for path in journals_in(results) {
        journal::read(&path, &mut |record| records.push(record));
    }
    records.sort_by(|a, b| a.at.total_cmp(&b.at));
    records
}

#[test]
fn a_training_that_goes_on_tells_from_where() {
    let folder = tiny();
    let results = folder
        .path()
        .join("results/tiny/paper+scratch.steps=10000000");
    let run_until = |what: &str, told: fn(&Event) -> bool| {
        let child = spawn(expertgrid(folder.path(), &tiny_run(&ENDLESS)));
        until(what, || {
            let records = records(&results);
            records.iter().any(|record| told(&record.event))
        });
        thread::sleep(Duration::from_millis(700));
        signal(child.id(), "-INT");
        assert_eq!(end(child).1, Some(130));
    };
    run_until("a step", |event| matches!(event, Event::Progress { .. }));
    run_until("a training that goes on", |event| {
        matches!(event, Event::Resumed { .. })
    });
    let records = records(&results);
    let resumed = records.iter().filter_map(|record| match record.event {
        Event::Resumed { steps, .. } => Some(steps),
        _ => None,
    });
    let resumed: Vec<usize> = resumed.collect();
    assert!(
        !resumed.is_empty() && resumed.iter().all(|steps| *steps > 0),
        "{resumed:?}"
    );
    // What was done before the second run is no pace of it.
    let mut board = Board::default();
    let mut last = 0.0;
    for record in &records {
        board.on(record);
        let began = matches!(record.event, Event::Began { .. });
        assert!(began || board.share_done() >= last, "{record:?}");
        last = board.share_done();
    }
}

/// A board, ten seconds after a run began that has one training of 100 steps of one batch left, as
/// much as was done before.
fn ten_seconds(events: Vec<Event>) -> Board {
    let mut board = Board::default();
    let began = Event::Began {
        command: String::new(),
        version: String::new(),
        process: 1,
        host: String::new(),
        log: None,
        slots: vec!["cpu".into()],
        cost: work().cost(),
        before: work().cost(),
    };
    let times = [0.0, 0.5].into_iter().chain(std::iter::repeat(10.0));
    for (at, event) in times.zip([began].into_iter().chain(events)) {
        let run = String::new();
        let counts = Counts::default();
        board.on(&Record {
            at,
            run,
            counts,
            event,
        });
    }
    board
}

fn work() -> Work {
    Work {
        steps: 100,
        batches: 1,
        size: Some(Size {
            width: 4,
            side: 32,
            batch: 2,
        }),
    }
}

fn stage() -> Digest {
    Digest::of_bytes(b"a stage")
}

fn started() -> Event {
    Event::Started {
        stage: stage(),
        slot: 0,
        subject: Subject {
            kind: Kind::Scratch,
            name: "a training".into(),
            work: work(),
        },
    }
}

fn resumed(steps: usize) -> Event {
    let (stage, slot) = (stage(), 0);
    Event::Resumed { stage, slot, steps }
}

fn step(step: usize) -> Event {
    Event::Progress {
        stage: stage(),
        slot: 0,
        step: Step {
            step,
            lr: 0.1,
            loss: 0.5,
            latent: None,
        },
    }
}

#[test]
fn pace_and_time_left_are_of_what_is_done_now() {
    let anew = ten_seconds(vec![started(), step(50)]);
    assert_eq!(anew.share_done(), 0.75);
    assert!(
        anew.line(10.0).contains("5 batches/s"),
        "{}",
        anew.line(10.0)
    );
    assert_eq!(anew.left(10.0), Some(Duration::from_secs(10)));

    let on = ten_seconds(vec![started(), resumed(40), step(50)]);
    assert_eq!(on.share_done(), 0.75);
    assert!(on.line(10.0).contains("1 batches/s"), "{}", on.line(10.0));
    assert_eq!(on.left(10.0), Some(Duration::from_secs(50)));

    let finished = Event::Finished {
        stage: stage(),
        slot: 0,
        seconds: 9.5,
    };
    let done = ten_seconds(vec![started(), resumed(40), step(50), finished]);
    assert_eq!(done.share_done(), 1.0);
    assert!(
        done.line(10.0).contains("6 batches/s"),
        "{}",
        done.line(10.0)
    );
    assert_eq!(done.left(10.0), Some(Duration::ZERO));
}

#[test]
fn a_pause_is_no_time_of_work() {
    let paused = Event::Continued { seconds: 5.0 };
    let board = ten_seconds(vec![started(), step(50), paused]);
    assert!(
        board.line(10.0).contains("10 batches/s"),
        "{}",
        board.line(10.0)
    );
    assert_eq!(board.left(10.0), Some(Duration::from_secs(5)));
}

#[test]
fn the_bar_never_falls() {
    let again = Event::Retried {
        stage: stage(),
        slot: 0,
        attempt: 2,
        reason: "the worker ended".into(),
    };
    let board = ten_seconds(vec![started(), step(80), again, started(), step(10)]);
    assert_eq!(board.share_done(), 0.9);
    // Ninety steps are left, whatever the bar shows.
    assert_eq!(board.left(10.0), Some(Duration::from_secs(90)));
}
