//! The shape of the source: a module uses only itself and those listed before it, files use each
//! other in no circle, and lines are short.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::graph::SourceGraph;
use crate::support::common::repository;

pub(super) fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
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

/// Folders below `src` whose `mod.rs` lists modules in the order in which they may use each other.
const LAYERED: [&str; 2] = ["engine", "engine/lanes"];

#[test]
fn files_of_a_layer_use_it_and_those_listed_before_it() {
    let graph = SourceGraph::read(&repository().join("src"));
    let uses = graph.uses();
    let mut wrong = Vec::new();
    for folder in LAYERED {
        let layers = graph.children(&format!("{folder}/mod.rs"));
        assert!(layers.len() > 2, "{folder}: {layers:?}");
        let layer = |file: &str| {
            let name = file.strip_prefix(folder)?.strip_prefix('/')?;
            let name = name.split('/').next()?.trim_end_matches(".rs");
            layers.iter().position(|layer| layer == name)
        };
        for (file, used) in &uses {
            for other in used {
                if let (Some(own), Some(theirs)) = (layer(file), layer(other))
                    && theirs > own
                {
                    wrong.push(format!("{file} uses {other}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Folders below `src` in which files still use each other in circles, and why they do.
const CIRCLES: [(&str, &str); 7] = [
    (
        "cli",
        "commands use the `Failure` and the lists of `mod.rs`, which runs them",
    ),
    (
        "data",
        "formats of files use the types of `mod.rs`, which reads with them",
    ),
    (
        "progress",
        "the board words durations as `mod.rs` does, which shows the board",
    ),
    (
        "report",
        "layouts, notes and claims use the types of `mod.rs`, which makes them",
    ),
    (
        "report/page",
        "parts use the words of `mod.rs`, which puts them together",
    ),
    (
        "stage",
        "the library has the errors of `mod.rs`, which uses the library",
    ),
    (
        "train",
        "the optimiser's tests use the learning rate of `mod.rs`, which has an optimiser",
    ),
];

#[test]
fn files_use_each_other_in_no_circle() {
    let graph = SourceGraph::read(&repository().join("src"));
    assert!(graph.count() > 100, "{}", graph.count());
    let (mut found, mut unknown) = (BTreeSet::new(), Vec::new());
    for circle in graph.circles() {
        let folders = Path::new(circle[0]).ancestors().skip(1);
        let mut common = folders.filter(|folder| {
            circle
                .iter()
                .all(|file| Path::new(file).starts_with(folder))
        });
        let folder = common.next().unwrap().to_str().unwrap().to_owned();
        if !CIRCLES.iter().any(|(known, _)| *known == folder) {
            unknown.push(circle);
        }
        found.insert(folder);
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    let gone: Vec<_> = CIRCLES
        .iter()
        .filter(|(folder, _)| !found.contains(*folder))
        .collect();
    assert!(
        gone.is_empty(),
        "no circle any more, take them off the list: {gone:#?}"
    );
}

#[test]
fn circles_are_found_through_the_names_that_modules_pass_on() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a;\nmod b;\nmod c;");
    write(
        "a/mod.rs",
        "mod inner;\npub use inner::{One, Two as Other};",
    );
    write(
        "a/inner.rs",
        "pub struct One;\npub struct Two;\nfn f() { crate::b::g::<u8>(); }",
    );
    // Neither comments, strings, tests' own names nor visibility count.
    write(
        "c.rs",
        "//! crate::a::One\npub(in crate::a) const S: &str = \"crate::b::g\";\npub struct Three;
        #[cfg(test)] mod tests { use super::*; const C: char = '\"'; }",
    );
    write("b.rs", "use crate::c::Three;\npub fn g<'a, T>() {}");
    assert_eq!(
        SourceGraph::read(folder.path()).circles(),
        Vec::<Vec<&str>>::new()
    );
    write(
        "b.rs",
        "use crate::{a::{self, One}, c};\npub fn g<T>() { c::Three; }",
    );
    let graph = SourceGraph::read(folder.path());
    assert_eq!(graph.circles(), [["a/inner.rs", "b.rs"]]);
    assert_eq!(
        graph.uses()["b.rs"],
        ["a/inner.rs", "a/mod.rs", "c.rs"].into()
    );
    // A module that uses what it passes on uses it as any other file does.
    write(
        "a/mod.rs",
        "mod inner;\npub use inner::One;\npub fn h(_: One) {}",
    );
    write("a/inner.rs", "pub struct One;\nfn f() { super::h(One); }");
    let graph = SourceGraph::read(folder.path());
    assert_eq!(graph.circles(), [["a/inner.rs", "a/mod.rs"]]);
}

/// Folders whose lines have a width at most.
const NARROW: [&str; 3] = ["src", "tests", "benches"];

#[test]
fn lines_are_at_most_a_hundred_columns() {
    for place in NARROW {
        let mut files = Vec::new();
        sources(&repository().join(place), &mut files);
        assert!(!files.is_empty(), "{place}");
        let mut wide = Vec::new();
        for file in files {
            for (i, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
                if line.chars().count() > 100 {
                    wide.push(format!("{}:{}", file.display(), i + 1));
                }
            }
        }
        assert!(wide.is_empty(), "{wide:#?}");
    }
}

/// Folders whose files may lift the ban on unsafe code.
const UNSAFE: [&str; 3] = [
    "engine/lanes/machine",
    "engine/lanes/kernels",
    "engine/cuda/machine",
];

#[test]
fn unsafe_code_is_only_in_the_lower_layers_of_the_engine() {
    let src = repository().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let lifts = |text: &str| {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let mut words = words.filter(|word| !word.is_empty());
        let mut last = "";
        words.any(|word| {
            let lifts = word == "unsafe_code" && last != "forbid";
            last = word;
            lifts
        })
    };
    let (allowed, wrong): (Vec<_>, Vec<_>) = files
        .iter()
        .filter(|file| lifts(&fs::read_to_string(file).unwrap()))
        .map(|file| file.strip_prefix(&src).unwrap())
        .partition(|file| UNSAFE.iter().any(|folder| file.starts_with(folder)));
    assert!(allowed.len() > 5, "{allowed:?}");
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

/// What computes results asks no system's library for exp, sin and the like: libraries differ in
/// their last bits. Square roots are rounded rightly everywhere.
#[test]
fn results_do_not_depend_on_a_systems_mathematics() {
    let functions = [
        "exp", "exp2", "exp_m1", "ln", "ln_1p", "log", "log2", "log10", "powf", "sin", "cos",
        "sin_cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "hypot", "cbrt",
    ];
    let mut files = Vec::new();
    for folder in [
        "adaptation.rs",
        "data",
        "engine",
        "metric",
        "net",
        "seed.rs",
        "stage",
        "train",
    ] {
        let path = repository().join("src").join(folder);
        match path.is_dir() {
            true => sources(&path, &mut files),
            false => files.push(path),
        }
    }
    // Candle's own functions promise no bytes, on processors or GPUs.
    files.retain(|path| !path.ends_with("engine/stock.rs"));
    let mut found = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in product.lines().enumerate() {
            let calls = |function: &&str| line.contains(&format!(".{function}("));
            if functions.iter().any(&calls) {
                found.push(format!(
                    "{}:{}: {}",
                    path.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(found.is_empty(), "take libm's:\n{}", found.join("\n"));
}
