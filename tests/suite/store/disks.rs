//! Real disks that fill up, can only be read, or vanish under a run.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{common::*, faults::*};

/// Whether this machine lets a test mount a disk that nobody else sees; where it does not, that is
/// said even though the test passes.
fn may_mount(test: &str) -> bool {
    let script = "mkdir -p disk && mount -t tmpfs tmpfs disk";
    let folder = tempfile::tempdir().unwrap();
    let may = alone(folder.path(), script)
        .output()
        .is_ok_and(|output| output.status.success());
    if !may {
        // Past the capture of output.
        let _ = writeln!(
            std::io::stderr(),
            "{test}: SKIPPED, this user may not mount a tmpfs (unshare, mount)"
        );
    }
    may
}

/// A shell script whose mounts are its own and end with it.
fn alone(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-euc", script])
        .current_dir(folder);
    command
}

/// A command of the program for a shell script.
fn quoted(arguments: &[&str]) -> String {
    let quote = |word: &&str| format!("'{word}'");
    let words: Vec<String> = arguments.iter().map(quote).collect();
    format!("{} {}", env!("CARGO_BIN_EXE_expertgrid"), words.join(" "))
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "mounts a tmpfs")]
fn a_disk_that_is_full_fails_stages_and_with_more_room_the_next_run_goes_on() {
    if !may_mount("a_disk_that_is_full") {
        return;
    }
    let folder = small();
    let run = quoted(&small_run(&[]));
    let verify = quoted(&["store", "verify"]);
    // A larger disk each time; at the end what is on it is taken off it.
    let script = format!(
        "mkdir results; mount -t tmpfs -o size=40k tmpfs results
         for size in 40 120 200 300 400 500 4000; do
             mount -o remount,size=${{size}}k results
             code=0; {run} > said.$size 2>&1 || code=$?
             ! {verify} > verified.$size 2>&1 &&
                 ! grep -q 'holds no stages' verified.$size && exit 9
             echo $size $code $(find results/store/tmp -type f | wc -l)
         done
         cp -r results taken"
    );
    let output = alone(folder.path(), &script).output().unwrap();
    let said = Said::of(&output);
    assert!(output.status.success(), "{said:#?}");
    let rounds: Vec<Vec<&str>> = said
        .out
        .lines()
        .map(|line| line.split(' ').collect())
        .collect();
    for round in &rounds {
        let words = fs::read_to_string(folder.path().join(format!("said.{}", round[0]))).unwrap();
        assert!(matches!(round[1], "0" | "1"), "{round:?}: {words}");
        assert_eq!(round[2], "0", "{round:?}: nothing half-written takes room");
        assert_eq!(
            round[1] == "1",
            words.contains("the disk is full: free some space"),
            "{words}"
        );
        // Whatever fails first, the rest is not tried one by one to fail in the same way.
        assert!(!words.contains("attempt"), "{words}");
        let told = words.matches("the disk is full: free some space").count();
        assert_eq!(told, usize::from(round[1] == "1"), "{words}");
    }
    assert_eq!(
        (rounds[0][1], rounds.last().unwrap()[1]),
        ("1", "0"),
        "{rounds:?}"
    );
    let undisturbed = small();
    crate::support::common::run(undisturbed.path(), &small_run(&[]), 0);
    assert_same_work(
        &folder.path().join("taken"),
        &undisturbed.path().join("results"),
        "a full disk",
    );
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "mounts a tmpfs")]
fn too_little_space_is_told_before_the_start_and_the_first_full_disk_ends_the_sweep() {
    if !may_mount("too_little_space") {
        return;
    }
    let folder = small();
    let run = quoted(&small_run(&["--jobs", "1"]));
    let dataset = few().to_str().unwrap();
    let asks = |command: &str| quoted(&[command, "small.toml", "--dataset", dataset]);
    let (plan, status) = (asks("plan"), asks("status"));
    let script = format!(
        "mkdir results; mount -t tmpfs -o size=120k tmpfs results
         {plan} > planned 2>&1
         code=0; {run} > first 2>&1 || code=$?; echo $code
         code=0; {status} > status 2>&1 || code=$?
         mount -o remount,size=40m results
         code=0; {run} > second 2>&1 || code=$?; echo $code"
    );
    let output = alone(folder.path(), &script).output().unwrap();
    let said = Said::of(&output);
    let words = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    let first = words("first");
    assert_eq!(said.out, "1\n0\n", "{said:#?} {first}");
    for told in [&words("planned"), &first] {
        assert!(
            told.contains("kB free, and what is left to run needs about"),
            "{told}"
        );
    }
    assert_eq!(first.matches("failed: ").count(), 1, "{first}");
    assert!(
        first.contains("1 failed") && first.contains("run small.toml"),
        "{first}"
    );
    let status = words("status");
    assert!(
        status.contains("stopped by a full disk") || status.contains("or the disk was full"),
        "{status}"
    );
    // No table of what is half done takes the last of the space.
    assert!(!first.contains("# Samples"), "{first}");
    assert!(!words("second").contains("free, and what is left"));
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "mounts a tmpfs")]
fn a_training_whose_progress_finds_no_space_does_not_go_on_for_hours() {
    if !may_mount("a_training_whose_progress") {
        return;
    }
    let folder = small();
    // Ten million steps, were it for their end.
    let endless = ["--set", "scratch.steps=10000000", "--save-every", "20ms"];
    let run = quoted(&small_run(&endless));
    let script = format!(
        "mkdir results; mount -t tmpfs -o size=2m tmpfs results
         code=0; {run} > said 2>&1 || code=$?; echo $code
         find results/store/partial -type f | wc -l"
    );
    let output = alone(folder.path(), &script).output().unwrap();
    let said = Said::of(&output);
    let words = fs::read_to_string(folder.path().join("said")).unwrap();
    let (code, kept) = said.out.split_once('\n').unwrap();
    assert_eq!(code, "1", "{said:#?} {words}");
    assert!(kept.trim() != "0", "progress is kept: {words}");
    let told = words.matches("the disk is full: free some space").count();
    assert_eq!(told, 1, "{words}");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "mounts a tmpfs")]
fn a_disk_that_can_only_be_read_is_told_before_anything_runs_and_still_reported_from() {
    if !may_mount("a_disk_that_can_only_be_read") {
        return;
    }
    let folder = small();
    let three = small_run(&["--only", THREE_STAGES]);
    let all = quoted(&small_run(&[]));
    let report = quoted(&["report", "small.toml", "--dataset", few().to_str().unwrap()]);
    let script = format!(
        "mkdir results; mount -t tmpfs tmpfs results
         {} > first 2>&1
         mount -o remount,ro results
         code=0; {all} > second 2>&1 || code=$?; echo $code
         code=0; {} > third 2>&1 || code=$?; echo $code
         code=0; {report} > fourth 2>&1 || code=$?; echo $code",
        quoted(&three),
        quoted(&["store", "verify"]),
    );
    let output = alone(folder.path(), &script).output().unwrap();
    let said = Said::of(&output);
    let words = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    // Half of the runs are missing: 1. The tables have not changed: nothing need be written.
    assert_eq!(
        said.out,
        "2\n0\n1\n",
        "{said:#?} {} {}",
        words("second"),
        words("fourth")
    );
    let told = words("second");
    assert!(
        told.contains("the disk is read-only") && told.contains("--results"),
        "{told}"
    );
    assert!(words("third").contains("3 of 3 stages are intact"));
    assert!(words("fourth").contains("have not been run yet"));
}

#[test]
fn a_store_that_vanishes_fails_what_needs_it_and_the_next_run_begins_anew() {
    let folder = small();
    let long = small_run(&["--jobs", "1", "--set", "scratch.steps=3000"]);
    let child = expertgrid(folder.path(), &long)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let store = folder.path().join("results/store");
    until("the pretraining", || store.join("pretrain").exists());
    fs::rename(&store, folder.path().join("gone")).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = Said::of(&output);
    assert_eq!(output.status.code(), Some(1), "{said:#?}");
    assert!(said.err.contains("a folder is missing"), "{said:#?}");
    let others = results_of(folder.path(), "small", "paper+scratch.steps=3000@");
    fs::remove_dir_all(others).unwrap();
    run(folder.path(), &small_run(&[]), 0);
    let undisturbed = small();
    run(undisturbed.path(), &small_run(&[]), 0);
    assert_same_work(
        &folder.path().join("results"),
        &undisturbed.path().join("results"),
        "a vanished store",
    );
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "/dev/full is a Linux device")]
fn output_that_cannot_be_written_is_a_failure_and_the_tables_are_there() {
    let folder = small();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = expertgrid(folder.path(), &small_run(&[]));
    let output = command.stdout(full).output().unwrap();
    let said = Said::of(&output);
    assert_eq!(output.status.code(), Some(1), "{said:#?}");
    assert!(said.err.contains("standard output: "), "{said:#?}");
    assert!(
        results_of(folder.path(), "small", "paper@")
            .join("small.md")
            .exists()
    );
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "mounts a tmpfs")]
fn a_disk_that_is_full_keeps_no_part_of_a_prediction() {
    if !may_mount("a_disk_that_is_full_keeps_no_part") {
        return;
    }
    let folder = small();
    run(folder.path(), &small_run(&[]), 0);
    let runs = csv(&results_of(folder.path(), "small", "paper@").join("runs.csv"));
    let export = [
        "store",
        "export",
        &runs[0]["pretraining"],
        "-o",
        "w.safetensors",
    ];
    run(folder.path(), &export, 0);
    let image = few().join("Validation/case35/image.nii.gz");
    let predict = [
        "predict",
        "--weights",
        "w.safetensors",
        "--expert",
        "1",
        "--logits",
        image.to_str().unwrap(),
        "-o",
        "masks",
    ];
    let script = format!(
        "mkdir masks; mount -t tmpfs -o size=32k tmpfs masks
         code=0; {} > said 2>&1 || code=$?; echo $code; ls -A masks",
        quoted(&predict)
    );
    let output = alone(folder.path(), &script).output().unwrap();
    let said = Said::of(&output);
    let words = fs::read_to_string(folder.path().join("said")).unwrap();
    assert_eq!(said.out, "1\ncase35.nii.gz\n", "{said:#?} {words}");
    assert!(words.contains("case35_logits.nii.gz"), "{words}");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "mounts a tmpfs")]
fn tables_that_cannot_be_written_are_shown_all_the_same() {
    if !may_mount("tables_that_cannot_be_written") {
        return;
    }
    let folder = small();
    let report = quoted(&["report", "small.toml", "--dataset", few().to_str().unwrap()]);
    let script = format!(
        "mkdir results; mount -t tmpfs tmpfs results
         {} > first 2>&1
         rm results/small/*/small.md
         mount -o remount,ro results
         code=0; {report} > second 2> told || code=$?; echo $code",
        quoted(&small_run(&[])),
    );
    let output = alone(folder.path(), &script).output().unwrap();
    let said = Said::of(&output);
    let words = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(said.out, "1\n", "{said:#?} {}", words("told"));
    assert!(words("second").contains("# Samples"), "{}", words("second"));
    let told = words("told");
    assert!(
        told.contains("read-only") && !told.contains("written to"),
        "{told}"
    );
}
