//! What the program's messages never advise.

use std::fs;

use super::layers::sources;
use crate::support::common::repository;

/// A source without comments, each literal in one line, in small letters.
fn spoken(text: &str) -> String {
    let lines = text.lines().map(str::trim_start);
    let code = lines.filter(|line| !line.starts_with("//"));
    let mut joined = String::new();
    for line in code {
        match line.strip_suffix('\\') {
            Some(begun) => joined.push_str(begun),
            None => {
                joined.push_str(line);
                joined.push('\n');
            }
        }
    }
    joined.to_lowercase()
}

/// Advice to lose a file.
fn loses_a_file(code: &str) -> Option<&str> {
    let verbs = ["remove", "delete", "erase", "throw away"];
    let objects = [" it", " this", " that", " them", " the ", " these", " one"];
    code.lines().find(|line| {
        let about = |verb: &str| {
            objects
                .iter()
                .any(|object| line.contains(&(verb.to_owned() + object)))
        };
        line.contains('"') && verbs.iter().any(|verb| about(verb))
    })
}

#[test]
fn no_message_advises_to_remove_a_file() {
    let mut all = Vec::new();
    sources(&repository().join("src"), &mut all);
    for path in all {
        let found = spoken(&fs::read_to_string(&path).unwrap());
        assert_eq!(loses_a_file(&found), None, "{}", path.display());
    }
    for advice in [
        "fault(\"is ignored; remove it\")",
        "// no message\nfault(\"is there already; choose another or \\\n    delete the old one\")",
    ] {
        assert!(loses_a_file(&spoken(advice)).is_some(), "{advice}");
    }
    assert_eq!(
        loses_a_file(&spoken("// remove it\nfs::remove_file(path);\n")),
        None
    );
}
