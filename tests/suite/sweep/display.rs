//! The live display on terminals narrow and wide, without colours, and what is printed where there
//! is no terminal.

use std::{path::Path, process::Command};

use crate::support::common::*;

/// A run on a terminal of so many columns, as `script` (util-linux) makes one; what the terminal
/// got. `None` where there is no such program.
fn on_terminal(folder: &Path, columns: usize, more: &[&str]) -> Option<String> {
    on_terminal_of(folder, columns, more, &[("TERM", "xterm")])
}

/// The same in an environment.
fn on_terminal_of(
    folder: &Path,
    columns: usize,
    more: &[&str],
    environment: &[(&str, &str)],
) -> Option<String> {
    let arguments = tiny_run(&[&["--set", "scratch.steps=1500", "--jobs", "2"], more].concat());
    let program = env!("CARGO_BIN_EXE_expertgrid");
    let command = format!(
        "stty cols {columns} rows 24; exec {program} {}",
        arguments.join(" ")
    );
    let output = Command::new("script")
        .current_dir(folder)
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("NO_COLOR", "1")
        .envs(environment.iter().copied())
        .output();
    match output {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            eprintln!("skipped: no terminal can be had: script: {error}");
            None
        }
    }
}

/// What stood in the lines of a terminal, without escape sequences.
fn lines(got: &str, columns: usize) -> Vec<String> {
    let mut text = String::new();
    let mut rest = got;
    while let Some(at) = rest.find('\x1b') {
        text.push_str(&rest[..at]);
        // A sequence begins with `[` and ends with a letter; where it moves the cursor, a line
        // ends.
        let sequence = rest[at..].trim_start_matches(['\x1b', '[']);
        let end = sequence
            .find(char::is_alphabetic)
            .map_or(sequence.len(), |end| end + 1);
        text.push('\n');
        rest = &sequence[end..];
    }
    text.push_str(rest);
    // What is longer than the terminal is wide goes on in its next line.
    let lines = text
        .split(['\n', '\r'])
        .map(|line| line.chars().collect::<Vec<_>>());
    let wrapped = lines.flat_map(|line| {
        let rows = line.chunks(columns).map(|row| row.iter().collect());
        rows.collect::<Vec<String>>()
    });
    wrapped.collect()
}

#[test]
fn the_live_display_fits_the_terminal_and_says_what_each_slot_does() {
    for columns in [20, 40, 80, 132] {
        let folder = tiny();
        let Some(got) = on_terminal(folder.path(), columns, &[]) else {
            return;
        };
        let lines = lines(&got, columns);
        let live: Vec<&String> = lines
            .iter()
            .filter(|line| {
                line.contains("slot 0:") || line.contains("slot 1:") || line.contains(" % [")
            })
            .collect();
        assert!(live.len() > 10, "{got}");
        // Nothing of it runs over into the next line: every slot begins one.
        let slots = live.iter().filter(|line| line.contains("slot "));
        let slots: Vec<&&String> = slots.collect();
        assert!(
            slots.iter().all(|line| line.starts_with("  slot ")),
            "{live:#?}"
        );
        assert!(slots.len() > 4, "{live:#?}");
        let what = if columns == 20 {
            "scratch on"
        } else {
            "scratch on 6, n = 5"
        };
        assert!(live.iter().any(|line| line.contains(what)), "{live:#?}");
        if columns >= 80 {
            assert!(
                live.iter().any(|line| line.contains("of 1500  loss 0.")),
                "{live:#?}"
            );
            for part in ["ETA ", " batches/s"] {
                let percent = live.iter().filter(|line| line.contains(" % ["));
                assert!(percent.clone().any(|line| line.contains(part)), "{live:#?}");
            }
            let done = |line: &String| {
                line.trim() == "0 of 5 trainings done, 2 stages running"
                    || line.trim() == "2 of 5 trainings done, 2 stages running"
            };
            assert!(lines.iter().any(done), "{lines:#?}");
        }
        // Nothing of it stays but the line on how it went.
        let last = got.matches("9 done, 0 cached, 0 running, 0 left, after ");
        assert_eq!(last.count(), 1);
    }
}

#[test]
fn without_colours_there_are_none() {
    let folder = tiny();
    let Some(got) = on_terminal(folder.path(), 100, &[]) else {
        return;
    };
    let coloured = got.match_indices('\x1b').any(|(at, _)| {
        let sequence = got[at..].trim_start_matches(['\x1b', '[']);
        let end = sequence.find(char::is_alphabetic).unwrap_or(0);
        // `m` sets how characters look; 0 resets it.
        sequence[end..].starts_with('m') && !["", "0"].contains(&&sequence[..end])
    });
    assert!(!coloured, "{got:?}");
}

#[test]
fn where_there_is_no_terminal_plain_lines_are_printed() {
    let folder = tiny();
    let said = run(folder.path(), &tiny_run(&[]), 0);
    assert!(
        !said.err.contains('\x1b') && !said.err.contains('\r'),
        "{:?}",
        said.err
    );
    assert!(!said.out.contains('\x1b'), "{:?}", said.out);
    assert_eq!(said.counts(), Some((9, 0)));
    // A heading with the time of day, and the page's address last.
    let mut lines = said.err.lines();
    let heading = "tiny: profile paper, phantom (synthetic, seed 1), results in results";
    assert_eq!(lines.next(), Some(heading));
    let first = lines.next().unwrap();
    let (clock, heading) = first.split_once(" UTC  ").unwrap();
    assert_eq!(clock.len(), "14:03:22".len(), "{first}");
    assert!(
        heading.starts_with("0 of 5 trainings done, 0 stages running, "),
        "{first}"
    );
    let last = said.err.lines().last().unwrap();
    assert!(last.starts_with("page: "), "{}", said.err);
}

#[test]
fn a_terminal_without_escape_sequences_gets_lines_and_every_failure() {
    let folder = tiny();
    let diverging = ["--set", "scratch.lr=1e25"];
    let dumb = [("TERM", "dumb")];
    let Some(got) = on_terminal_of(folder.path(), 100, &diverging, &dumb) else {
        return;
    };
    assert!(!got.contains('\x1b'), "{got:?}");
    assert_eq!(got.matches("failed: scratch on 6").count(), 2, "{got}");
    assert!(got.contains("2 failed, 2 blocked by them, after "), "{got}");
}

#[test]
fn a_locale_without_the_signs_gets_none_of_them() {
    let folder = tiny();
    let simple = [("LC_ALL", "C"), ("TERM", "xterm")];
    let Some(got) = on_terminal_of(folder.path(), 132, &[], &simple) else {
        return;
    };
    assert!(got.contains("ASSD (px) v"), "{got}");
    assert!(got.is_ascii(), "{got}");
}
