//! One word means one thing: no two types of the crate have the same name.

use std::{collections::BTreeMap, fs};

use super::layers::sources;
use crate::support::common::repository;

/// The arguments and subcommands of each command line.
const ONE_PER_COMMAND: [&str; 2] = ["Arguments", "Command"];

/// The type that a line defines; those that a trait asks for have no name of their own.
fn defined(line: &str) -> Option<&str> {
    let words = line.trim_start().trim_start_matches("pub");
    let words = words.trim_start().trim_start_matches("unsafe ");
    let words = match words.strip_prefix('(') {
        Some(rest) => rest.split_once(')')?.1,
        None => words,
    };
    let mut words = words.split_whitespace();
    let is_of_a_trait = line.starts_with(' ') && line.trim_start().starts_with("type ");
    match words.next()? {
        "struct" | "enum" | "trait" | "union" => {}
        "type" if !is_of_a_trait => {}
        _ => return None,
    }
    let name = words.next()?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &name[..end.unwrap_or(name.len())];
    // A macro's parameter has none.
    (!name.is_empty()).then_some(name)
}

/// The types that a text defines, those of the manifest's macros among them.
fn all_defined(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = text.lines().filter_map(defined).collect();
    for made in ["\nsection! {", "\nwords! {"] {
        for rest in text.split(made).skip(1) {
            let mut lines = rest.lines().map(str::trim);
            let named = lines.find(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
            let named = named.and_then(|line| line.strip_suffix(" {"));
            names.push(named.expect("the macro's first line is `Name {`"));
        }
    }
    names
}

#[test]
fn a_definition_is_told_from_what_looks_like_one() {
    for (line, name) in [
        ("pub struct Run {", Some("Run")),
        ("pub(super) enum Known<'a> {", Some("Known")),
        ("    struct Inner(u8);", Some("Inner")),
        ("trait Watch: Send {", Some("Watch")),
        ("type Files = BTreeMap<String, Vec<u8>>;", Some("Files")),
        ("    type Target = [f32];", None),
        ("        pub enum $name {", None),
        ("/// struct of arrays", None),
        ("pub fn type_of() {}", None),
    ] {
        assert_eq!(defined(line), name, "{line}");
    }
    let made = "\nsection! {\n    /// Of a section.\n    #[derive(Debug)]\n    Budget {\n";
    assert_eq!(all_defined(made), ["Budget"]);
}

#[test]
fn a_name_stands_for_one_type() {
    let mut files = Vec::new();
    sources(&repository().join("src"), &mut files);
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let place = file
            .strip_prefix(repository())
            .unwrap()
            .display()
            .to_string();
        let text = fs::read_to_string(&file).unwrap();
        for name in all_defined(&text) {
            places
                .entry(name.to_owned())
                .or_default()
                .push(place.clone());
        }
    }
    assert!(places.len() > 300, "{}", places.len());
    let doubled = places
        .iter()
        .filter(|(name, files)| files.len() > 1 && !ONE_PER_COMMAND.contains(&name.as_str()));
    let doubled: Vec<_> = doubled.collect();
    assert!(doubled.is_empty(), "{doubled:#?}");
}
