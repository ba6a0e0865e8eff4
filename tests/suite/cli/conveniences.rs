//! What makes every day easier: completions, manual pages, lists, dry runs, a command at the end.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::common::*;

/// Whether a program is there.
fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null());
    command.stderr(Stdio::null()).status().is_ok()
}

/// What bash offers for the last of some words.
fn offered_by_bash(folder: &Path, words: &[&str]) -> Vec<String> {
    let script = run(folder, &["completions", "bash"], 0).out;
    fs::write(folder.join("script"), script).unwrap();
    let list: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let ask = format!(
        "source ./script; COMP_WORDS=({}); COMP_CWORD={}; _expertgrid expertgrid '{}' '{}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        list.join(" "),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let output = Command::new("bash")
        .current_dir(folder)
        .args(["--norc", "-c", &ask])
        .output()
        .unwrap();
    let said = Said::of(&output);
    said.out.lines().map(str::to_owned).collect()
}

#[test]
fn shells_complete_commands_options_and_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    if is_there("bash") {
        let commands = offered_by_bash(at, &["expertgrid", "st"]);
        assert_eq!(commands, ["status", "store"]);
        let options = offered_by_bash(at, &["expertgrid", "run", "--dry"]);
        assert_eq!(options, ["--dry-run"]);
        let profiles = offered_by_bash(at, &["expertgrid", "run", "--profile", ""]);
        assert_eq!(profiles, ["paper", "laptop", "phantom", "smoke"]);
    } else {
        println!("skipped: no bash");
    }
    for (shell, check) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = run(at, &["completions", shell], 0).out;
        assert!(script.contains("dry-run"), "{shell}");
        if !is_there(shell) {
            println!("skipped: no {shell}");
            continue;
        }
        let path = at.join(format!("script.{shell}"));
        fs::write(&path, script).unwrap();
        let status = Command::new(shell).arg(check).arg(&path).status().unwrap();
        assert!(status.success(), "{shell}");
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
    assert!(page("expertgrid-store-export.1").contains("\\-\\-combination"));
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
