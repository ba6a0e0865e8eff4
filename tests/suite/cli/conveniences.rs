//! What makes every day easier: completions, manual pages, lists, dry runs, a command at the end.

use std::{fs, io::Write, process::Command};

use serde_json::Value;

use crate::support::common::*;

/// The script completes words in bash, zsh and fish, and shows manual pages with `man`.
#[test]
fn shells_complete_words_and_man_shows_every_page() {
    let output = Command::new("bash")
        .arg(repository().join("tests/shells/check.sh"))
        .arg(env!("CARGO_BIN_EXE_expertgrid"))
        .output()
        .unwrap();
    let said = Said::of(&output);
    assert!(!said.out.contains("WRONG"), "{}{}", said.out, said.err);
    match output.status.code() {
        Some(0) => assert!(
            said.out.matches("ok: ").count() >= 3 * 7 + 4,
            "{}",
            said.out
        ),
        // Not through `println!`, which is not shown of a test that passes.
        Some(77) => {
            let lines = said.out.lines();
            let skipped = lines.filter(|line| line.starts_with("skipped"));
            let skipped: String = skipped.map(|line| format!("{line}\n")).collect();
            std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        }
        code => panic!("{code:?}: {}{}", said.out, said.err),
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["man", "-o", "man1"], 0);
    let page = |name: &str| fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
    assert!(page("expertgrid.1").contains("expertgrid\\-run"));
    let run_page = page("expertgrid-run.1");
    for word in ["\\-\\-set", "\\-\\-only", "\\-\\-dry\\-run"] {
        assert!(run_page.contains(word), "{word}");
    }
    assert!(page("expertgrid-store-export.1").contains("\\-\\-annotators"));
}

#[test]
fn runs_are_listed_with_their_state_and_a_dry_run_runs_nothing() {
    let folder = tiny();
    let at = folder.path();
    let dataset = phantom().to_str().unwrap();
    let list = |more: &[&str]| {
        let words = ["plan", "tiny.toml", "-d", dataset, "--list"];
        run(at, &[&words[..], more].concat(), 0).out
    };
    let dry = run(at, &tiny_run(&["-n"]), 0);
    assert!(dry.out.contains("pretrain"), "{}", dry.out);
    assert!(!at.join("results/store").exists());
    let count = |text: &str, state: &str| {
        let states = text
            .lines()
            .map(|line| line.split("  ").next().unwrap_or(""));
        states.filter(|found| *found == state).count()
    };
    assert_eq!(count(&list(&[]), "left"), 4);
    run(at, &tiny_run(&["--only", "start=1"]), 0);
    let text = list(&[]);
    assert_eq!((count(&text, "done"), count(&text, "left")), (2, 2));
    let first = text.lines().next().unwrap();
    for name in [
        "state",
        "stage",
        "expert",
        "method",
        "annotators",
        "samples",
        "start",
    ] {
        assert!(first.contains(name), "{first}");
    }
    assert_eq!(count(&list(&["--only", "start=1"]), "done"), 2);
    let told: Value = serde_json::from_str(&list(&["--json"])).unwrap();
    let runs = told["list"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    assert_eq!(runs[0]["state"], "done");
    assert!(runs[0]["fields"].to_string().contains("\"samples\",\"5\""));
    // Scores are made last.
    fs::remove_dir_all(at.join("results/store/evaluate")).unwrap();
    assert_eq!(count(&list(&[]), "network"), 2);
}

#[test]
fn a_command_at_the_end_is_told_how_it_ended() {
    let folder = tiny();
    let at = folder.path();
    let command = "echo \"$EXPERTGRID_END $EXPERTGRID_RESULTS\" >> ended";
    run(
        at,
        &tiny_run(&["--only", "start=1", "--on-end", command]),
        0,
    );
    let diverges = ["--set", "pretrain.lr=1e30", "--on-end", command];
    run(at, &tiny_run(&diverges), 1);
    let told = fs::read_to_string(at.join("ended")).unwrap();
    assert_eq!(told, "done results\nfailed results\n");
    let said = run(
        at,
        &tiny_run(&["--only", "start=1", "--on-end", "exit 3"]),
        0,
    );
    assert!(said.err.contains("warning: --on-end"), "{}", said.err);
}

#[test]
fn what_was_meant_by_a_mistyped_word_is_told() {
    let folder = tiny();
    let at = folder.path();
    let dataset = phantom().to_str().unwrap();
    for (typed, meant) in [
        (
            &["rnu", "tiny.toml"][..],
            "similar subcommand exists: 'run'",
        ),
        (&["staus"], "'status'"),
        (&["store", "verfy"], "'verify'"),
        (
            &["plan", "tiyn.toml"],
            "no such manifest; did you mean tiny.toml?",
        ),
        (&["plan", "tniy"], "did you mean tiny.toml?"),
        (&["plan", "tiny", "-p", "papre"], "did you mean `paper`?"),
        (
            &["plan", "tiny", "--only", "expret=6"],
            "did you mean `expert`?",
        ),
        (&["run", "tiny", "--dryrun"], "'--dry-run'"),
    ] {
        let said = run(at, typed, 2).err;
        assert!(said.contains(meant), "{typed:?}: {said}");
    }
    // What is a command elsewhere is none in a group.
    let said = run(at, &["cluster", "cancel"], 2).err;
    assert!(!said.contains("exists"), "{said}");
    // What is like nothing gets no advice that is none.
    let said = run(at, &["plan", "tiny", "--zzz", "-d", dataset], 2).err;
    assert!(said.contains("--zzz") && !said.contains("tip"), "{said}");
    let said = run(at, &["plan", "nothing.toml"], 2).err;
    assert!(said.contains("the paper's are table1"), "{said}");
}

#[test]
fn a_folder_without_a_store_is_not_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["ls", "du", "verify"] {
        let said = run(
            folder.path(),
            &["store", command, "--results", "nowhere"],
            2,
        )
        .err;
        assert!(
            said.contains("there is no store in nowhere"),
            "{command}: {said}"
        );
    }
    let said = run(folder.path(), &["data", "check", "nowhere"], 2);
    assert!(
        said.out.is_empty() && said.err.contains("nowhere: does not exist"),
        "{said:?}"
    );
}
