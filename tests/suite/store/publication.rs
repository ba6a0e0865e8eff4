//! Publication under faults: whichever step fails, and however, nothing that is half-written
//! counts, the failure is told with what helps against it, and the next run ends with the bytes of
//! an undisturbed one.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use expertgrid::store::{Found, Store};

use crate::support::{common::*, faults::*};

/// The results of an undisturbed run of three stages, and the steps that it takes.
struct Undisturbed {
    folder: tempfile::TempDir,
    watched: Watched,
}

impl Undisturbed {
    fn results(&self) -> PathBuf {
        self.folder.path().join("results")
    }
}

fn undisturbed() -> &'static Undisturbed {
    static UNDISTURBED: OnceLock<Undisturbed> = OnceLock::new();
    UNDISTURBED.get_or_init(|| {
        let folder = small_in(tempfile::tempdir().unwrap());
        let watched = store_of(folder.path());
        let (said, code) = disturbed(folder.path(), &watched, None, &[]);
        assert_eq!(code, Some(0), "{said}");
        Undisturbed { folder, watched }
    })
}

/// The steps in the store of a folder's results.
fn store_of(folder: &Path) -> Watched {
    Watched::new(&folder.join("results/store"), &folder.join("steps"))
}

/// Runs the three stages, one after the other: what was said, and the exit code.
fn disturbed(
    folder: &Path,
    watched: &Watched,
    fault: Option<Fault>,
    more: &[&str],
) -> (String, Option<i32>) {
    let three = ["--jobs", "1", "--only", THREE_STAGES];
    let mut command = expertgrid(folder, &small_run(&[&three[..], more].concat()));
    watched.watch(&mut command, fault);
    let output = command.output().unwrap();
    (Said::of(&output).err, output.status.code())
}

/// Asserts that every artefact that counts is whole.
fn assert_intact(results: &Path, after: &str) {
    let store = Store::within(results);
    for (kind, digest) in store.list() {
        let found = store.verify(kind, &digest);
        assert!(
            matches!(found, Found::Intact(_)),
            "after {after}: {found:?}"
        );
    }
}

/// Disturbs a run, and asserts what holds after any disturbance.
fn survives(fault: Fault) {
    let folder = small();
    let results = folder.path().join("results");
    let (said, code) = disturbed(folder.path(), &store_of(folder.path()), Some(fault), &[]);
    let after = format!("{fault:?}, which ended with {code:?} and said\n{said}\n");
    match code {
        Some(0) => assert_same_work(&results, &undisturbed().results(), &after),
        Some(1 | 2) => assert!(said.contains("results/store"), "after {after}"),
        // Killed.
        None => assert_eq!(
            (fault.role, fault.fate),
            ("run", Fate::Kill),
            "after {after}"
        ),
        Some(_) => panic!("after {after}"),
    }
    if code != Some(0) {
        assert_intact(&results, &after);
        let watched = Watched::new(
            &folder.path().join("results/store"),
            &folder.path().join("more"),
        );
        let (said, code) = disturbed(folder.path(), &watched, None, &[]);
        assert_eq!(code, Some(0), "{said}\nafter {after}");
        assert_same_work(&results, &undisturbed().results(), &after);
    }
}

const FATES: [Fate; 6] = [ENOSPC, EIO, EROFS, ENOENT, Fate::Half, Fate::Kill];

/// Every step of a role with one fate each, or, where torture is asked for, with each of them.
fn every_step(role: &'static str, fates: &[Fate], fault: impl Fn(usize, Fate) -> Fault) {
    let steps = undisturbed().watched.count(role);
    assert!(steps > 20, "there are steps to disturb");
    for step in 1..=steps {
        match std::env::var_os("EXPERTGRID_TORTURE_KILLS") {
            Some(_) => fates.iter().for_each(|fate| survives(fault(step, *fate))),
            None => survives(fault(step, fates[step % fates.len()])),
        }
    }
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn any_step_of_a_worker_may_fail_once() {
    every_step("worker", &FATES, |step, fate| {
        Fault::at("worker", step, fate)
    });
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn any_step_of_a_worker_may_fail_with_all_that_come_after_it() {
    every_step("worker", &FATES[..5], |step, fate| {
        Fault::from("worker", step, fate)
    });
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn any_step_of_the_scheduler_may_fail_once() {
    every_step("run", &FATES, |step, fate| Fault::at("run", step, fate));
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn any_step_of_the_scheduler_may_fail_with_all_that_come_after_it() {
    every_step("run", &FATES[..5], |step, fate| {
        Fault::from("run", step, fate)
    });
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn an_artefact_is_on_disk_before_it_is_in_its_place_and_its_place_right_after() {
    let steps = undisturbed().watched.steps();
    let worker: Vec<&Step> = steps.iter().filter(|step| step.role == "worker").collect();
    let flushed = |path: &Path, between: std::ops::Range<usize>| {
        worker[between]
            .iter()
            .any(|step| step.call == "fsync" && step.path == path)
    };
    let mut published = BTreeSet::new();
    for (at, step) in worker.iter().enumerate() {
        let Some(stage) = step.publishes() else {
            continue;
        };
        published.insert(stage);
        let last_written = |path: &Path| {
            let writes =
                |step: &&Step| matches!(&*step.call, "create" | "write") && step.path == path;
            worker.iter().rposition(writes).unwrap()
        };
        let written = worker[..at]
            .iter()
            .filter(|s| s.call == "create" && s.path.starts_with(&step.path));
        let written: BTreeSet<&Path> = written.map(|step| &*step.path).collect();
        assert!(written.len() > 1, "{stage:?} has files");
        for file in &written {
            assert!(flushed(file, last_written(file)..at), "{file:?} is flushed");
        }
        let last = written.iter().map(|file| last_written(file)).max().unwrap();
        assert!(
            flushed(&step.path, last..at),
            "the folder of {stage:?} is flushed"
        );
        let next = worker[at + 1..].iter().position(|s| s.prepares().is_some());
        let end = next.map_or(worker.len(), |next| at + 1 + next);
        assert!(
            flushed(stage.parent().unwrap(), at..end),
            "the place of {stage:?} is flushed"
        );
    }
    assert_eq!(published.len(), 3);
    let made = |step: &&&Step| step.call == "mkdir" && !step.path.starts_with("tmp") && !step.there;
    for (at, step) in worker.iter().enumerate().filter(|(_, step)| made(step)) {
        let parent = step.path.parent().unwrap();
        assert!(
            flushed(parent, at..worker.len()),
            "{parent:?} is flushed, where {step:?}"
        );
    }
}

/// A pretraining's first write fails, and all after it.
fn fails_to_write(fate: Fate) -> String {
    let steps = undisturbed().watched.steps();
    let write = |step: &&Step| step.role == "worker" && step.call == "write";
    let first = steps.iter().find(write).unwrap().number;
    let folder = small();
    let fault = Fault::from("worker", first, fate);
    let (said, code) = disturbed(folder.path(), &store_of(folder.path()), Some(fault), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("failed: pretrain"), "{said}");
    let no_space = matches!(fate, ENOSPC | Fate::Half);
    assert_eq!(
        said.contains("attempt 2"),
        !no_space,
        "an accident is tried again, a full disk is not: {said}"
    );
    said
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn what_helps_is_said_with_the_file() {
    for (fate, remedy) in [
        (ENOSPC, "the disk is full: free some space and run again"),
        (
            Fate::Half,
            "the disk is full: free some space and run again",
        ),
        (EROFS, "the disk is read-only: make it writable"),
        (EIO, "the disk is failing: see the system's log"),
        (ENOENT, "a folder is missing"),
    ] {
        let said = fails_to_write(fate);
        assert!(said.contains("writing results/store/tmp/"), "{said}");
        assert!(said.contains(remedy), "{said}");
    }
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn what_could_not_be_published_takes_no_room() {
    let steps = undisturbed().watched.steps();
    let fsync = |step: &&Step| {
        step.role == "worker" && step.call == "fsync" && step.path.ends_with("curve.csv")
    };
    let first = steps.iter().find(fsync).unwrap().number;
    let folder = small();
    let watched = store_of(folder.path());
    let fault = Fault::at("worker", first, EIO);
    let (said, code) = disturbed(folder.path(), &watched, Some(fault), &[]);
    assert_eq!(code, Some(0), "{said}");
    // Removed by the attempt that failed, before the next one writes, and not at the end of the
    // worker.
    let steps = watched.steps();
    let failed = steps.iter().position(|step| step.disturbed).unwrap();
    let next = steps[failed..]
        .iter()
        .position(|step| step.prepares().is_some());
    let between = &steps[failed..failed + next.expect("it is tried again")];
    let removed = |step: &Step| step.call == "unlink" && step.path.ends_with("curve.csv");
    assert!(between.iter().any(removed), "{between:#?}");
}

/// Runs with one folder of the results failing from the first step on.
fn without(
    folder: &Path,
    part: &str,
    role: &'static str,
    more: &[&str],
) -> (String, Option<i32>, usize) {
    let watched = Watched::new(&folder.join("results").join(part), &folder.join("steps"));
    let fault = Fault::from(role, 1, EIO);
    let (said, code) = disturbed(folder, &watched, Some(fault), more);
    let failed = watched.steps().iter().filter(|step| step.disturbed).count();
    (said, code, failed)
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn progress_that_cannot_be_saved_is_told_and_fails_nothing() {
    let folder = small();
    let (said, code, failed) = without(
        folder.path(),
        "store/partial",
        "worker",
        &["--save-every", "1ms"],
    );
    assert_eq!(code, Some(0), "{said}");
    assert!(failed > 3, "progress was to be saved {failed} times");
    assert_same_work(
        &folder.path().join("results"),
        &undisturbed().results(),
        "lost progress",
    );
    let logs = files(&folder.path().join("results/logs"));
    let told = |bytes: &Vec<u8>| {
        String::from_utf8_lossy(bytes).contains("the progress of this training is not saved")
    };
    assert!(logs.values().any(told));
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn an_error_that_passes_is_no_claim_and_the_stage_is_asked_for_again() {
    let folder = small();
    let results = folder.path().join("results");
    let watched = Watched::new(&results.join("store/claims"), &folder.path().join("steps"));
    // As on a network file system, where another machine removes a claim that this one opens.
    // Before the first stage's file, the folder is made and its use is noted.
    let fault = Fault::at("run", 5, ESTALE);
    let (said, code) = disturbed(folder.path(), &watched, Some(fault), &[]);
    assert_eq!(code, Some(0), "{said}");
    let steps = watched.steps();
    let refused = steps
        .iter()
        .filter(|step| step.disturbed && step.call == "create");
    let refused: Vec<&Path> = refused.map(|step| step.path.as_path()).collect();
    assert_eq!(refused.len(), 1, "{steps:?}");
    for path in refused {
        let later = |step: &&Step| step.call == "create" && step.path == path && !step.disturbed;
        assert_eq!(
            steps.iter().filter(later).count(),
            1,
            "{path:?} is claimed once"
        );
    }
    assert_same_work(&results, &undisturbed().results(), "stale claims");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn without_claims_nothing_runs_and_the_error_says_why() {
    let folder = small();
    let (said, code, failed) = without(folder.path(), "store/claims", "run", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(failed >= 1, "the folder was to be made");
    assert!(
        said.contains("store/claims") && said.contains("the disk is failing"),
        "{said}"
    );
    // With claims it goes on.
    let three = ["--jobs", "1", "--only", THREE_STAGES];
    run(folder.path(), &small_run(&three), 0);
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn a_log_that_cannot_be_written_fails_nothing_and_the_failure_is_told_all_the_same() {
    let folder = small();
    let (said, code, failed) =
        without(folder.path(), "logs", "run", &["--set", "finetune.lr=1e25"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(failed > 0, "a log was to be written");
    assert!(
        said.contains("the training diverged") && !said.contains("log: "),
        "{said}"
    );
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "faults are made on Linux only")]
fn tables_that_cannot_be_written_are_a_failure_and_written_by_the_next_run() {
    let folder = small();
    let (said, code, _) = without(folder.path(), "small", "run", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("results/small/paper") && said.contains("the disk is failing"),
        "{said}"
    );
    let (said, code) = disturbed(folder.path(), &store_of(folder.path()), None, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("finished"), "no stage was run again: {said}");
    assert_same_work(
        &folder.path().join("results"),
        &undisturbed().results(),
        "unwritten tables",
    );
}
