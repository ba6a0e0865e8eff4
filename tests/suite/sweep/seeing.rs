//! Seeing: what `status`, `why` and `logs` say of a sweep, while it runs and after whatever
//! happened to it.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::{Child, Stdio},
};

use expertgrid::{event::Record, journal, progress::Board};
use serde_json::Value;

use crate::support::common::*;

const LONG: [&str; 2] = ["--set", "scratch.steps=1500"];
/// Ten million steps never end by themselves.
const ENDLESS: [&str; 2] = ["--set", "scratch.steps=10000000"];

fn start(folder: &Path, more: &[&str]) -> Child {
    expertgrid(folder, &tiny_run(more))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn asking<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = tiny_run(more);
    arguments[0] = command;
    arguments
}

fn status(folder: &Path, more: &[&str], code: i32) -> Value {
    let said = run(
        folder,
        &asking("status", &[&["--json"], more].concat()),
        code,
    );
    serde_json::from_str(&said.out).unwrap()
}

/// The journal of the only run.
fn journal_of(folder: &Path) -> std::path::PathBuf {
    let mut journals = journals_in(&folder.join("results/tiny/paper"));
    assert_eq!(journals.len(), 1, "{journals:?}");
    journals.remove(0)
}

#[test]
fn a_journal_read_again_shows_what_the_display_showed() {
    let folder = tiny();
    let said = run(folder.path(), &tiny_run(&["--jobs", "2"]), 0);
    let mut board = Board::default();
    let mut records: Vec<Record> = Vec::new();
    journal::read(&journal_of(folder.path()), &mut |record| {
        records.push(record)
    });
    records.iter().for_each(|record| board.on(record));
    // The display's last line is the board's.
    assert!(
        said.err.lines().any(|line| line == board.outcome()),
        "{}",
        said.err
    );
    assert!(
        board
            .outcome()
            .starts_with("9 done, 0 cached, 0 running, 0 left, after ")
    );
    assert_eq!(board.share_done(), 1.0);
    assert_eq!(board.slots.len(), 2);
    // In the middle of it, too: as many slots are busy as stages run.
    let mut board = Board::default();
    let mut most = 0;
    for record in &records {
        board.on(record);
        let busy = board
            .slots
            .iter()
            .filter(|slot| slot.stage.is_some())
            .count();
        assert_eq!(busy, board.counts.running, "{record:?}");
        most = most.max(busy);
    }
    assert!(most >= 1);
}

#[test]
fn a_running_sweep_is_seen_from_another_terminal_and_a_killed_one_is_not_taken_for_one() {
    let folder = tiny();
    let nothing = status(folder.path(), &ENDLESS, 0);
    assert_eq!(nothing["stages"], serde_json::json!({"done": 0, "of": 9}));
    assert_eq!(nothing["sweeps"], serde_json::json!([]));

    let mut child = start(folder.path(), &[&ENDLESS[..], &["--jobs", "2"]].concat());
    until("steps of both long trainings", || {
        let seen = status(folder.path(), &ENDLESS, 0);
        let Some(sweep) = seen["sweeps"].get(0) else {
            return false;
        };
        let slots = sweep["board"]["slots"].as_array().unwrap();
        let stepping = slots
            .iter()
            .all(|slot| slot["stage"]["step"]["step"].as_u64() > Some(0));
        stepping && seen["kinds"]["scratch"]["running"] == 2
    });
    let seen = run(folder.path(), &asking("status", &ENDLESS), 0).out;
    assert!(seen.contains("running since"), "{seen}");
    assert!(seen.contains("of 10000000  loss 0."), "{seen}");
    assert!(seen.contains("scratch on 6, n = 5, start 1"), "{seen}");

    child.kill().unwrap();
    child.wait().unwrap();
    until("the end of the workers", || {
        status(folder.path(), &ENDLESS, 0)["kinds"]["scratch"]["running"] == 0
    });
    let gone = status(folder.path(), &ENDLESS, 0);
    assert_eq!(gone["sweeps"][0]["life"], "gone");
    let said = run(folder.path(), &asking("status", &ENDLESS), 0).out;
    assert!(said.contains("ended unexpectedly"), "{said}");
    assert!(said.contains("run tiny.toml --dataset"), "{said}");
}

#[test]
fn status_counts_what_is_in_the_store_with_or_without_a_journal() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&["--only", "method=w/"]), 0);
    let whole = serde_json::json!({"needed": 2, "done": 2, "running": 0, "failed": 0, "left": 0});
    let open = serde_json::json!({"needed": 2, "done": 0, "running": 0, "failed": 0, "left": 2});
    let counts = |folder: &Path| {
        let seen = status(folder, &[], 0);
        assert_eq!(seen["runs"], serde_json::json!({"done": 2, "of": 4}));
        assert_eq!(seen["kinds"]["finetune"], whole);
        assert_eq!(seen["kinds"]["scratch"], open);
    };
    counts(folder.path());
    let part = status(folder.path(), &["--only", "method=w/"], 0);
    assert_eq!(part["runs"], serde_json::json!({"done": 2, "of": 2}));
    // A line that a crash has torn, and something that is none.
    let journal = journal_of(folder.path());
    let mut file = OpenOptions::new().append(true).open(&journal).unwrap();
    file.write_all(b"nonsense\n{\"at\":17").unwrap();
    counts(folder.path());
    run(folder.path(), &tiny_run(&[]), 0);
    let seen = status(folder.path(), &[], 0);
    assert_eq!(seen["runs"], serde_json::json!({"done": 4, "of": 4}));
    assert_eq!(
        seen["sweeps"][0]["life"],
        serde_json::json!({"ended": "done"})
    );
    fs::remove_file(&journal).unwrap();
    assert_eq!(status(folder.path(), &[], 0)["runs"]["done"], 4);
}

#[test]
fn a_journal_that_cannot_be_written_keeps_no_run_from_its_end() {
    let folder = tiny();
    // A file where their folder would be.
    fs::create_dir_all(folder.path().join("results/tiny/paper")).unwrap();
    fs::write(folder.path().join("results/tiny/paper/journal"), "").unwrap();
    let said = run(folder.path(), &tiny_run(&[]), 0);
    assert!(
        said.err.contains("warning: there will be no journal"),
        "{}",
        said.err
    );
    assert_eq!(said.counts(), Some((9, 0)));
}

#[test]
fn failures_are_told_with_their_reason_until_they_are_mended() {
    let folder = tiny();
    let diverging = ["--set", "scratch.lr=1e25"];
    run(folder.path(), &tiny_run(&diverging), 1);
    let seen = status(folder.path(), &diverging, 1);
    assert_eq!(seen["kinds"]["scratch"]["failed"], 2);
    assert_eq!(seen["kinds"]["evaluate"]["left"], 2);
    let failures = seen["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2);
    let digest = failures[0]["stage"].as_str().unwrap();
    assert!(failures[0]["reason"].as_str().unwrap().contains("diverged"));

    let said = run(folder.path(), &["logs", "--stage", &digest[..10]], 0).out;
    assert!(said.contains("started in slot"), "{said}");
    assert!(said.contains("failed: the training diverged"), "{said}");
    assert!(
        said.contains(&format!("{digest}.log:\n== scratch {digest}")),
        "{said}"
    );

    // A run that was blocked by it: the cause comes first.
    let rows = csv(&folder
        .path()
        .join("results/tiny/paper+scratch.lr=1e25/runs.csv"));
    let row = rows.iter().find(|row| row["status"] == "failed").unwrap();
    let blocked = &row["evaluation"];
    let said = run(folder.path(), &["logs", "--stage", blocked], 0).out;
    let cause = said.find("failed: the training diverged");
    let blocked = said.find("cannot run: it needs");
    assert!(cause.is_some() && cause < blocked, "{said}");

    // Other settings are other stages: nothing of them has failed.
    run(folder.path(), &tiny_run(&[]), 0);
    assert_eq!(
        status(folder.path(), &[], 0)["failures"],
        serde_json::json!([])
    );
    let set = ["--set", "scratch.lr=1e25", "--stage", &row["evaluation"]];
    let said = run(folder.path(), &asking("why", &set), 0).out;
    let first = said.lines().next().unwrap();
    let told = [
        "of its 2 stages",
        " failed when it was tried last: the training diverged",
    ];
    assert!(told.iter().all(|told| first.contains(told)), "{said}");
    run(folder.path(), &["logs", "--stage", "zzzz"], 2);
    run(folder.path(), &["logs", "--stage", "0123456789abcdef"], 2);
}

#[test]
fn why_names_the_fields_that_differ_from_the_nearest_neighbour() {
    let folder = tiny();
    let one = "method=w/ start=1";
    let ask = |more: &[&str], code| {
        let mut arguments = asking("why", more);
        arguments.extend(["--only", one]);
        run(folder.path(), &arguments, code)
    };
    let said = ask(&[], 0).out;
    let first = "none of its 3 stages is in the store; nothing runs now that would make them\n";
    assert!(said.starts_with(first), "{said}");
    assert_eq!(
        said.matches("nor is any other of its kind").count(),
        3,
        "{said}"
    );

    run(folder.path(), &tiny_run(&[]), 0);
    let said = ask(&[], 0).out;
    assert!(
        said.starts_with("all 3 stages are in the store\n"),
        "{said}"
    );
    assert_eq!(said.matches("  in the store\n").count(), 3, "{said}");
    assert!(!said.contains("budget.steps"), "{said}");
    let said = ask(&["--inputs"], 0).out;
    assert!(
        said.contains("budget.steps = 4") && said.contains("budget.steps = 2"),
        "{said}"
    );

    // A damaged stage is there and of no use.
    let told: Value = serde_json::from_str(&ask(&["--json"], 0).out).unwrap();
    let digest = told[2]["digest"].as_str().unwrap();
    let scores = format!(
        "results/store/evaluate/{}/{digest}/scores.json",
        &digest[..2]
    );
    let scores = folder.path().join(scores);
    let whole = fs::read(&scores).unwrap();
    fs::write(&scores, "{}").unwrap();
    let said = ask(&[], 0).out;
    let first = "1 of its 3 stages is not in the store (1 damaged); nothing runs now that would";
    assert!(said.starts_with(first), "{said}");
    fs::write(&scores, whole).unwrap();

    let said = ask(
        &["--set", "finetune.steps=3", "--set", "finetune.lr=0.5"],
        0,
    )
    .out;
    let first = "2 of its 3 stages are not in the store; nothing runs now that would make them\n";
    assert!(said.starts_with(first), "{said}");
    let differing: Vec<&str> = said.lines().filter(|line| line.contains(" -> ")).collect();
    let training = differing
        .iter()
        .find(|line| line.contains("training: "))
        .unwrap();
    assert_eq!(
        differing,
        [
            "    budget.steps: 2 -> 3",
            "    budget.lr: 0.01 -> 0.5",
            training
        ],
        "{said}"
    );
    // By digest: the stage with what it needs.
    let told: Value = {
        let said = ask(&["--json"], 0).out;
        serde_json::from_str(&said).unwrap()
    };
    let digest = told[1]["digest"].as_str().unwrap();
    let mut arguments = asking("why", &[]);
    arguments.extend(["--stage", &digest[..12]]);
    let said = run(folder.path(), &arguments, 0).out;
    assert!(
        said.contains("\npretrain on 1+2 [") && said.contains("finetune 1+2 to 6"),
        "{said}"
    );
    assert!(!said.contains("evaluate"), "{said}");

    // What does not pick one run is refused with what there is.
    let mut arguments = asking("why", &[]);
    arguments.extend(["--only", "method=w/"]);
    let said = run(folder.path(), &arguments, 2).err;
    assert!(
        said.contains("2 runs match; narrow the expression down to one run (table, expert"),
        "{said}"
    );
    *arguments.last_mut().unwrap() = "expert=5";
    let said = run(folder.path(), &arguments, 2).err;
    assert!(
        said.contains("no run of these manifests is `expert=5`"),
        "{said}"
    );
    assert!(said.contains("expert 6;"), "{said}");
}

#[test]
fn an_expression_that_picks_nothing_is_refused_by_every_command() {
    let folder = tiny();
    for command in ["run", "plan", "report", "status", "trace", "why", "logs"] {
        let mut arguments = asking(command, &[]);
        arguments.extend(["--only", "samples=7"]);
        let said = run(folder.path(), &arguments, 2);
        let told = " is `samples=7`; there are table tiny; expert 6; samples 5;";
        assert!(said.err.contains(told), "{command}: {}", said.err);
        assert_eq!(said.out, "", "{command}");
    }
    assert!(!folder.path().join("results/tiny").exists());
}

#[test]
fn the_last_look_of_watching_is_the_end() {
    let folder = tiny();
    let child = start(folder.path(), &LONG);
    let results = folder.path().join("results/tiny/paper+scratch.steps=1500");
    until("a journal", || !journals_in(&results).is_empty());
    until("something that runs", || {
        status(folder.path(), &LONG, 0)["sweeps"][0]["life"] == "running"
    });
    let why = [&LONG[..], &["--only", "method=w/ start=28"]].concat();
    let said = run(folder.path(), &asking("why", &why), 0).out;
    let first = said.lines().next().unwrap();
    let process = format!("(process {})", child.id());
    let told = ["is being run now", &process, "in the store"];
    assert!(told.iter().any(|told| first.contains(told)), "{said}");
    let said = run(
        folder.path(),
        &asking("status", &[&LONG[..], &["--watch"]].concat()),
        0,
    )
    .out;
    let looks = said.matches("runs have their scores").count();
    assert!(looks >= 2, "{said}");
    assert!(
        said.trim_end()
            .lines()
            .last()
            .unwrap()
            .starts_with("ended "),
        "{said}"
    );
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
}
