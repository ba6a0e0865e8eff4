//! Workers of this machine, by scripts that answer as workers do.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use expertgrid::{
    exec::{DeviceName, Local, Slot, Slots, Takes, WorkerCommand},
    key::Keyed,
    plan::Spec,
    results_dir::ResultsDir,
    schedule::{Executor, Heard, Nature, News, StageFailure},
};

use super::script::Grid;

/// An executor with two slots of a card, whose workers are shell scripts: they note that they
/// started, and do something for a stage in each slot.
fn executor(folder: &Path, in_slots: [&str; 2], timeout: Option<Duration>) -> Local {
    let script = folder.join("worker.sh");
    let [first, second] = in_slots;
    let text = format!(
        "echo started >> '{}'\nwhile read -r line; do\ncase \"$line\" in\n\
         *'\"stage\":{{\"slot\":0'*) {first};;\n*'\"stage\":{{\"slot\":1'*) {second};;\n\
         esac\ndone\n",
        started(folder).display()
    );
    fs::write(&script, text).unwrap();
    let slot = Slot {
        device: DeviceName::Cuda(0),
        takes: Takes::Trainings,
    };
    let slots = Slots {
        slots: vec![slot; 2],
        cores: 1,
        no_card: None,
    };
    let command = WorkerCommand {
        program: "sh".into(),
        arguments: vec![script.into()],
    };
    Local::new(command, slots, timeout, ResultsDir::new(folder))
}

fn started(folder: &Path) -> PathBuf {
    folder.join("started")
}

/// How many workers were started.
fn workers(folder: &Path) -> usize {
    fs::read_to_string(started(folder)).unwrap().lines().count()
}

fn spec(name: &str) -> &'static Spec {
    let grid = Grid::get("pretrained");
    &grid.plan.stage(grid.id(name)).spec
}

/// What happens next: the slot and the news.
fn next(executor: &mut Local) -> (usize, News) {
    match executor.wait(Some(Duration::from_secs(60))) {
        Some(Heard::Stage(message)) => (message.slot, message.news),
        other => panic!("{other:?}"),
    }
}

/// What happens next, in both slots.
fn both(executor: &mut Local) -> [News; 2] {
    let mut news = [next(executor), next(executor)];
    news.sort_by_key(|(slot, _)| *slot);
    let [(0, first), (1, second)] = news else {
        panic!("{news:?}")
    };
    [first, second]
}

#[track_caller]
fn is_accident(news: &News, parts: &[&str]) {
    match news {
        News::Failed(StageFailure {
            reason,
            nature: Nature::Accident,
        }) => parts.iter().for_each(|part| {
            assert!(reason.contains(part), "{part}: {reason}");
        }),
        other => panic!("{other:?}"),
    }
}

const RESUMED: &str = r#"echo '{"slot":0,"what":"begun"}'; echo '{"slot":0,"what":{"resumed":3}}'"#;

#[test]
fn a_stage_after_which_its_worker_ends_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let last = r#"
        echo '{"slot":0,"what":{"log":"of the first alone"}}'
        echo 'of anyone' >&2
        echo '{"slot":1,"what":{"last":{"reason":"the card broke","nature":"accident"}}}'
        exit 1"#;
    let mut executor = executor(folder.path(), [RESUMED, last], None);
    executor.start(0, spec("F1"));
    assert!(matches!(next(&mut executor), (0, News::Resumed(3))));
    executor.start(1, spec("F2"));
    let [first, second] = both(&mut executor);
    assert!(matches!(first, News::Stopped), "{first:?}");
    is_accident(&second, &["the card broke\n    of anyone\n    log: "]);
    assert_eq!(workers(folder.path()), 1);
    let logs = ResultsDir::new(folder.path());
    let log = |name: &str| fs::read_to_string(logs.log(&spec(name).digest())).unwrap();
    // The lines of two pipes come in any order.
    let first = log("F1");
    assert!(first.contains("\nof the first alone\n") && first.contains("\nof anyone\n"));
    assert!(log("F2").ends_with("\nof anyone\nthe card broke\n"));
    assert!(!log("F2").contains("of the first alone"));
    // Another worker takes the next stage.
    executor.start(0, spec("F1"));
    assert!(matches!(next(&mut executor), (0, News::Resumed(3))));
    assert_eq!(workers(folder.path()), 2);
}

#[test]
fn the_last_stage_of_a_worker_that_is_killed_fails() {
    let folder = tempfile::tempdir().unwrap();
    let mut executor = executor(folder.path(), [RESUMED, "kill -9 $$"], None);
    executor.start(0, spec("F1"));
    next(&mut executor);
    executor.start(1, spec("F2"));
    let [first, second] = both(&mut executor);
    assert!(matches!(first, News::Stopped), "{first:?}");
    is_accident(&second, &["the worker ended (signal: 9"]);
}

#[test]
fn a_stage_that_takes_too_long_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let timeout = Duration::from_secs(4);
    let mut executor = executor(folder.path(), [RESUMED, ":"], Some(timeout));
    executor.start(0, spec("F1"));
    assert!(matches!(next(&mut executor), (0, News::Resumed(3))));
    thread::sleep(Duration::from_secs(2));
    executor.start(1, spec("F2"));
    let [first, second] = both(&mut executor);
    is_accident(&first, &["not finished after 4 s", "signal: 9"]);
    assert!(matches!(second, News::Stopped), "{second:?}");
}

#[test]
fn a_worker_that_cannot_be_started_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let slots = Slots {
        slots: vec![Slot {
            device: DeviceName::Cpu,
            takes: Takes::Everything,
        }],
        cores: 1,
        no_card: None,
    };
    let command = WorkerCommand {
        program: folder.path().join("nothing"),
        arguments: Vec::new(),
    };
    let mut executor = Local::new(command, slots, None, ResultsDir::new(folder.path()));
    executor.start(0, spec("P1"));
    let (_, news) = next(&mut executor);
    is_accident(&news, &["a worker could not be started", "No such file"]);
}
