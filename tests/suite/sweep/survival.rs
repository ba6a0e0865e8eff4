//! Accidents, interruptions and company: whatever happens to a sweep, it ends with the bytes of an
//! undisturbed one.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use expertgrid::engine::lanes::Isa;

use crate::support::{common::*, faults::*};

/// A grid whose training from scratch takes a few seconds.
const LONG: [&str; 2] = ["--set", "scratch.steps=1500"];

fn start(folder: &Path, more: &[&str]) -> Child {
    expertgrid(folder, &tiny_run(&[&LONG[..], more].concat()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What it said, and its exit code.
fn end(mut child: Child) -> (String, Option<i32>) {
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    (said, child.wait().unwrap().code())
}

/// The entries of a folder that others work in.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Whether the store has a stage of this kind.
fn has(folder: &Path, kind: &str) -> bool {
    let prefixes = entries(&folder.join("results/store").join(kind));
    prefixes.iter().any(|prefix| !entries(prefix).is_empty())
}

fn partial(folder: &Path) -> usize {
    entries(&folder.join("results/store/partial")).len()
}

/// What an undisturbed run leaves.
fn undisturbed() -> tempfile::TempDir {
    let folder = tiny();
    let (said, code) = end(start(folder.path(), &[]));
    assert_eq!(code, Some(0), "{said}");
    folder
}

#[test]
fn a_stage_whose_worker_was_killed_is_tried_again_with_the_same_bytes() {
    let folder = tiny();
    let child = start(folder.path(), &["--jobs", "1"]);
    until("a worker at work", || {
        has(folder.path(), "finetune") || has(folder.path(), "pretrain")
    });
    signal(workers(child.id())[0], "-9");
    let (said, code) = end(child);
    assert_eq!(code, Some(0), "{said}");
    let line = said.lines().find(|line| line.starts_with("attempt 2: "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let named = ["pretrain on 1+2", "scratch on 6", "finetune 1+2 to 6"];
    assert!(
        named.iter().any(|name| line.contains(name))
            && line.contains("the worker ended (signal: 9"),
        "{said}"
    );
    fs::remove_dir_all(folder.path().join("results/logs")).unwrap();
    assert_same_files(
        &undisturbed().path().join("results"),
        &folder.path().join("results"),
    );
}

#[test]
fn a_failure_names_the_log_that_holds_all_of_it() {
    let folder = tiny();
    let child = start(folder.path(), &["--jobs", "1", "--retries", "0"]);
    until("a worker at work", || has(folder.path(), "pretrain"));
    signal(workers(child.id())[0], "-9");
    let (said, code) = end(child);
    assert_eq!(code, Some(1), "{said}");
    let line = said.lines().find(|line| line.contains("log: ")).unwrap();
    let path = line.split("log: ").nth(1).unwrap();
    let log = fs::read_to_string(folder.path().join(path)).unwrap();
    assert!(log.contains("signal: 9"), "{log}");
}

#[test]
fn what_would_fail_again_is_not_tried_again() {
    let folder = tiny();
    let said = run(
        folder.path(),
        &tiny_run(&["--set", "scratch.lr=1e25", "--retries", "5"]),
        1,
    );
    assert!(!said.err.contains("attempt"), "{}", said.err);
    assert_eq!(
        said.err.matches("the training diverged").count(),
        2,
        "{}",
        said.err
    );
}

#[test]
fn a_run_can_end_at_the_first_failure_or_at_so_many() {
    // Three trainings that diverge and one pretraining that does not.
    let diverging = [
        "--set",
        "scratch.lr=1e25",
        "--set",
        "grid.starts=[1, 4, 28]",
        "--jobs",
        "1",
    ];
    let failed = |more: &[&str]| {
        let folder = tiny();
        let said = run(
            folder.path(),
            &tiny_run(&[&diverging[..], more].concat()),
            1,
        );
        said.err.matches("failed: scratch").count()
    };
    assert_eq!(failed(&["--keep-going"]), 3);
    assert_eq!(failed(&["--fail-fast"]), 1);
    assert_eq!(failed(&["--max-fail", "2"]), 2);
    let folder = tiny();
    let both = tiny_run(&["--fail-fast", "--max-fail", "2"]);
    run(folder.path(), &both, 2);
}

#[test]
fn a_stage_that_takes_too_long_is_ended_and_the_rest_goes_on() {
    let folder = tiny();
    let said = run(
        folder.path(),
        &tiny_run(&[
            "--set",
            "scratch.steps=10000000",
            "--stage-timeout",
            "8s",
            "--retries",
            "0",
        ]),
        1,
    );
    assert_eq!(
        said.err.matches("not finished after 8 s").count(),
        2,
        "{}",
        said.err
    );
    let rows = csv(&folder
        .path()
        .join("results/tiny/paper+scratch.steps=10000000/runs.csv"));
    for row in rows {
        assert_eq!(row["status"] == "failed", row["method"] == "w/o", "{row:?}");
    }
    let wrong = run(folder.path(), &tiny_run(&["--stage-timeout", "3 days"]), 2);
    assert!(wrong.err.contains("90s"), "{}", wrong.err);
}

#[test]
fn an_interrupted_run_saves_its_progress_says_how_to_go_on_and_ends_with_the_same_bytes() {
    let folder = tiny();
    let mut rounds = 0;
    loop {
        let results = folder.path().join("results/tiny/paper+scratch.steps=1500");
        let journals = || journals_in(&results).into_iter();
        let length = || -> u64 {
            journals()
                .map(|path| fs::metadata(path).unwrap().len())
                .sum()
        };
        let before = length();
        let mut child = start(folder.path(), &[]);
        until("a run that has begun, or ended", || {
            length() > before || child.try_wait().unwrap().is_some()
        });
        // In the middle of the long trainings, or wherever it is; a little later each time.
        thread::sleep(Duration::from_millis(150 * rounds));
        if child.try_wait().unwrap().is_some() {
            let (said, code) = end(child);
            assert_eq!(code, Some(0), "{said}");
            break;
        }
        signal(child.id(), "-INT");
        let (said, code) = end(child);
        if code == Some(0) {
            break;
        }
        assert_eq!(code, Some(130), "{said}");
        assert!(said.contains("goes on from there"), "{said}");
        assert!(said.contains("run tiny.toml"), "{said}");
        assert!(said.contains("scratch.steps=1500"), "{said}");
        rounds += 1;
        assert!(rounds < 60, "it never gets to its end");
    }
    assert!(rounds > 0, "it was interrupted at least once");
    assert_eq!(
        partial(folder.path()),
        0,
        "progress is forgotten when it is done"
    );
    assert_same_files(
        &undisturbed().path().join("results"),
        &folder.path().join("results"),
    );
}

#[test]
fn an_interrupted_training_goes_on_where_it_was() {
    let folder = tiny();
    let child = start(folder.path(), &["--set", "scratch.steps=10000000"]);
    until("the long trainings", || has(folder.path(), "pretrain"));
    thread::sleep(Duration::from_millis(500));
    signal(child.id(), "-INT");
    let (said, code) = end(child);
    assert_eq!(code, Some(130), "{said}");
    assert!(partial(folder.path()) > 0, "{said}");
    // Ten million steps would never end: what was saved is what is gone on from.
    let steps = |folder: &Path| -> usize {
        let kept = files(&folder.join("results/store/partial"));
        let lengths = kept.values().map(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            text.matches("\\\"step\\\":").count()
        });
        lengths.sum()
    };
    let before = steps(folder.path());
    assert!(before > 0);
    let again = ["--set", "scratch.steps=10000000", "--save-every", "50ms"];
    let child = start(folder.path(), &again);
    // Had it begun anew, it would have fewer at first.
    until("more steps than before", || {
        let now = steps(folder.path());
        assert!(now >= before, "{now} steps where there were {before}");
        now > before
    });
    signal(child.id(), "-INT");
    let (said, code) = end(child);
    assert_eq!(code, Some(130), "{said}");
}

#[test]
fn an_interrupted_training_goes_on_on_another_instruction_set_to_the_same_bytes() {
    let sets = Isa::available();
    let [first, .., last] = &sets[..] else {
        println!("skipped: this machine has one instruction set only");
        return;
    };
    for (before, after) in [(first, last), (last, first)] {
        let folder = tiny();
        let child = start(
            folder.path(),
            &["--isa", before.name(), "--save-every", "20ms"],
        );
        until("progress that is saved", || partial(folder.path()) > 0);
        signal(child.id(), "-INT");
        let (said, code) = end(child);
        assert_eq!(code, Some(130), "{said}");
        assert!(partial(folder.path()) > 0, "{said}");
        let (said, code) = end(start(folder.path(), &["--isa", after.name()]));
        assert_eq!(code, Some(0), "{said}");
        assert_same_files(
            &undisturbed().path().join("results"),
            &folder.path().join("results"),
        );
    }
}

#[test]
fn interrupted_twice_it_ends_at_once() {
    let folder = tiny();
    let child = start(folder.path(), &["--set", "pretrain.steps=10000000"]);
    until("a worker", || !workers(child.id()).is_empty());
    signal(child.id(), "-INT");
    signal(child.id(), "-INT");
    let (_, code) = end(child);
    assert_eq!(code, Some(130));
}

#[test]
fn a_killed_run_goes_on_from_the_progress_saved_last() {
    let folder = tiny();
    for round in 0..8 {
        let mut child = start(folder.path(), &["--save-every", "20ms"]);
        thread::sleep(Duration::from_millis(150 + 150 * round));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let (said, code) = end(start(folder.path(), &["--save-every", "20ms"]));
    assert_eq!(code, Some(0), "{said}");
    let scratch = folder.path().join("results/store/tmp");
    until("the sweeping of what was half-written", || {
        run(folder.path(), &tiny_run(&LONG), 0);
        files(&scratch).is_empty()
    });
    assert_same_files(
        &undisturbed().path().join("results"),
        &folder.path().join("results"),
    );
}

#[test]
fn progress_that_was_damaged_is_not_believed() {
    let folder = tiny();
    let child = start(folder.path(), &["--save-every", "20ms", "--jobs", "1"]);
    until("progress", || {
        partial(folder.path()) > 0 && has(folder.path(), "pretrain")
    });
    signal(child.id(), "-INT");
    end(child);
    let kept = folder.path().join("results/store/partial");
    for entry in fs::read_dir(&kept).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let (said, code) = end(start(folder.path(), &[]));
    assert_eq!(code, Some(0), "{said}");
    assert_same_files(
        &undisturbed().path().join("results"),
        &folder.path().join("results"),
    );
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "stages are counted on Linux only")]
fn three_runs_side_by_side_do_every_stage_once() {
    let folder = tiny();
    // Another manifest that shares the pretraining and the trainings from scratch.
    let other = TINY.replace("samples = [5]", "samples = [5, 10]");
    fs::write(folder.path().join("other.toml"), other).unwrap();
    let watched = Watched::new(
        &folder.path().join("results/store"),
        &folder.path().join("steps"),
    );
    let children: Vec<Child> = ["tiny.toml", "other.toml", "tiny.toml"]
        .into_iter()
        .map(|manifest| {
            let mut arguments = tiny_run(&LONG);
            arguments[1] = manifest;
            let mut command = expertgrid(folder.path(), &arguments);
            watched.watch(&mut command, None);
            command
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut done = 0;
    for child in children {
        let (said, code) = end(child);
        assert_eq!(code, Some(0), "{said}");
        let said = Said {
            out: String::new(),
            err: said,
        };
        done += said.counts().map_or(0, |(done, _)| done);
    }
    let stages = files(&folder.path().join("results/store"))
        .keys()
        .filter(|name| name.ends_with("artefact.json"))
        .count();
    // One pretraining; four fine-tunings, four trainings and eight evaluations.
    assert_eq!(stages, 1 + 4 + 4 + 8);
    assert_eq!(done, stages, "each was done by one of the three");

    let steps = watched.steps();
    let once = |what: &str, of: usize, names: Vec<String>| {
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(
            (names.len(), distinct.len()),
            (of, of),
            "{what} once each: {names:#?}"
        );
    };
    let name = |path: &Path| path.display().to_string();
    // A training looks for saved progress first.
    let begins = |step: &&Step| step.call == "open" && step.path.starts_with("partial");
    let begun = steps.iter().filter(begins);
    once(
        "begun",
        1 + 4 + 4,
        begun.map(|step| name(&step.path)).collect(),
    );
    once(
        "computed",
        stages,
        steps.iter().filter_map(Step::prepares).collect(),
    );
    let published = steps.iter().filter_map(Step::publishes);
    once("published", stages, published.map(name).collect());
}

#[test]
fn a_request_to_terminate_is_an_interrupt() {
    let folder = tiny();
    let child = start(folder.path(), &["--set", "scratch.steps=10000000"]);
    until("a worker", || !workers(child.id()).is_empty());
    signal(child.id(), "-TERM");
    let (said, code) = end(child);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("goes on from there"), "{said}");
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "processes are watched on Linux only"
)]
fn workers_end_with_a_scheduler_that_is_killed() {
    let folder = tiny();
    // Training for hours, were it for their stages.
    let endless = ["--set", "scratch.steps=10000000", "--jobs", "2"];
    let mut child = start(folder.path(), &endless);
    until("long trainings", || has(folder.path(), "pretrain"));
    let workers = workers(child.id());
    assert_eq!(workers.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let ended = |worker: &u32| !Path::new(&format!("/proc/{worker}")).exists();
    until("the end of both workers", || workers.iter().all(ended));
}
