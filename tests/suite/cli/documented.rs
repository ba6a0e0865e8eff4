//! The commands in the README and in the pages beside it: each is one that the program has, with
//! options that it takes; links lead somewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::support::common::*;

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(repository().join("docs")).unwrap();
    let mut pages: Vec<PathBuf> = docs.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.push(repository().join("README.md"));
    pages.sort();
    pages
}

/// The lines of the blocks of commands, those that are continued as one.
fn commands(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap().replace("\\\n", " "));
    let lines: Vec<String> = blocks
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines
        .into_iter()
        .filter(|line| !line.trim().is_empty())
        .collect()
}

/// The words of a line as a shell takes them, without a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), letter) => word.push(letter),
            (None, '\'' | '"') => (quote, begun) = (Some(letter), true),
            (None, '#') if word.is_empty() => break,
            (None, letter) if letter.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, letter) => word.push(letter),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

#[test]
fn every_documented_command_is_one_that_the_program_takes() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .flat_map(|(targets, _)| targets.split_whitespace())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let (mut own, mut made) = (0, 0);
    for page in pages() {
        for line in commands(&page) {
            let words = words(&line);
            let place = format!("{}: {line}", page.display());
            match words[0].as_str() {
                "expertgrid" | "target/release/expertgrid" => {
                    let arguments = words[1..].iter().map(String::as_str);
                    // Options are read in their order, and nothing is done.
                    let asked: Vec<&str> = arguments.chain(["--help"]).collect();
                    let output = expertgrid(folder.path(), &asked).output().unwrap();
                    assert!(output.status.success(), "{place}: {:#?}", Said::of(&output));
                    own += 1;
                }
                "make" => {
                    assert!(targets.contains(words[1].as_str()), "{place}");
                    made += 1;
                }
                "cargo" | "$EDITOR" => {}
                other => panic!("{place}: what is {other}?"),
            }
        }
    }
    assert!(own > 40 && made > 5, "{own} {made}");
}

#[test]
fn every_link_leads_to_a_file_of_the_repository() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let to = page.parent().unwrap().join(link);
            assert!(to.exists(), "{}: {link}", page.display());
            links += 1;
        }
    }
    assert!(links > 25, "{links}");
}

#[test]
fn the_readme_is_read_in_one_sitting() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 150);
}
