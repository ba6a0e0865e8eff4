//! The shape of the source: a module uses only itself and those listed before it in `lib.rs`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::common::repository;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                found.push(path)
            }
            false => {}
        }
    }
}

/// The modules of the crate that a source text names after `crate::`.
fn used(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            // Names at the first level of a `use crate::{a, b::{c, d}};`.
            let (mut depth, mut name) = (0, String::new());
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut name)),
                    _ if depth == 0 && !c.is_whitespace() => name.push(c),
                    _ => {}
                }
            }
            names.push(name);
        } else {
            names.push(rest.to_owned());
        }
    }
    let first = |name: String| {
        name.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .map(str::to_owned)
    };
    names
        .into_iter()
        .filter_map(first)
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn imports_point_up_the_list_of_modules() {
    let src = repository().join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).unwrap();
    let order: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert!(order.len() > 10);
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let module = relative
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        let Some(own) = order.iter().position(|name| *name == module) else {
            assert!(
                ["lib", "main"].contains(&module),
                "{module} is not in lib.rs"
            );
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for name in used(&text) {
            match order.iter().position(|known| *known == name) {
                Some(place) if place <= own => {}
                _ => wrong.push(format!("{} uses {name}", relative.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        sources(&repository().join(folder), &mut files);
    }
    let silent: Vec<_> = files
        .iter()
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn the_program_and_its_tests_share_every_compiled_dependency() {
    // Every dependency with the features it is compiled with.
    let compiled = |edges: &str| -> BTreeSet<String> {
        let output = Command::new(env!("CARGO"))
            .current_dir(repository())
            .args([
                "tree",
                "--offline",
                "--locked",
                "--no-dedupe",
                "--prefix",
                "none",
            ])
            .args(["--format", "{p} {f}", "--edges", edges])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(str::to_owned).collect()
    };
    let of_program = compiled("normal,build");
    let of_tests = compiled("normal,build,dev");
    let otherwise: Vec<_> = of_program.difference(&of_tests).collect();
    assert!(of_program.len() > 50, "{of_program:?}");
    assert!(
        otherwise.is_empty(),
        "compiled with other features for the tests; give the program the same: {otherwise:?}"
    );
}
