//! What a manifest can say of rules for choosing annotators, and what is refused.

use expertgrid::manifest;

const MANIFEST: &str = r#"title = "rules"
[grid]
new_experts = [6]
methods = ["w/", "w/o"]
annotators = { from = [1, 2, 3], choose = [1, 2, 3] }
samples = [10]
starts = [1, 4]
pairing = "crossed"
repeats = 2
[selection]
rules = ["mean", "agreement", "best-elsewhere"]
"#;

/// The problems of a manifest, each without the folder that it lies in.
fn problems(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    std::fs::write(&path, text).unwrap();
    match manifest::read(&[&path], "paper", &[]) {
        Ok(_) => String::new(),
        Err(problems) => {
            let shown = problems.to_string();
            shown.replace(&format!("{}/", folder.path().display()), "")
        }
    }
}

#[test]
fn what_rules_cannot_choose_from_is_refused_with_place_and_remedy() {
    assert_eq!(problems(MANIFEST), "");
    for (from, to, expected) in [
        (
            "\"agreement\"",
            "\"agrement\"",
            "m.toml:11:18: there is no rule \"agrement\"; did you mean \"agreement\"?",
        ),
        (
            "\"agreement\"",
            "\"mean\"",
            "m.toml:11:18: `selection.rules` names mean twice",
        ),
        (
            "\"crossed\"",
            "\"matched\"",
            "m.toml:11:9: rules choose among all combinations at every way of sampling; set \
             `grid.pairing = \"crossed\"`",
        ),
        (
            "repeats = 2",
            "repeats = 1",
            "m.toml:11:9: \"best-elsewhere\" chooses by the other repeats, and there is one; set \
             `grid.repeats = 2` or more, or take the rule out",
        ),
        (
            "samples = [10]",
            "samples = [0, 10]",
            "m.toml:11:9: rules choose by the new expert's samples; take 0 out of `grid.samples`",
        ),
        (
            "choose = [1, 2, 3]",
            "choose = [3]",
            "m.toml:11:9: all 3 annotation experts at a time leave rules no choice; add a smaller \
             number to `grid.annotators.choose`",
        ),
        (
            "[\"w/\", \"w/o\"]",
            "[\"w/o\"]",
            "m.toml:11:9: rules choose the annotators of one method that pretrains; \
             `grid.methods` has none",
        ),
        (
            "[\"w/\", \"w/o\"]",
            "[\"customised\", \"pool\"]",
            "m.toml:11:9: rules choose the annotators of one method that pretrains; \
             `grid.methods` has customised, pool",
        ),
    ] {
        let found = problems(&MANIFEST.replacen(from, to, 1));
        assert!(found.contains(expected), "{to}:\n{found}\n{expected}");
    }
    let branch = MANIFEST.replace("\"agreement\"", "\"branch\"");
    assert_eq!(problems(&branch), "");
    let pool = branch.replace("[\"w/\", \"w/o\"]", "[\"pool\"]");
    let expected = "m.toml:11:9: \"branch\" chooses by the branch of each annotator, and pool has \
                    none for each; take the rule out";
    let found = problems(&pool);
    assert!(found.contains(expected), "{found}");
}

#[test]
fn rules_are_written_as_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    std::fs::write(&path, MANIFEST).unwrap();
    let read = manifest::read(&[&path], "paper", &[]).unwrap();
    let resolved = manifest::resolved(&read[0]);
    let line = "rules = [\"mean\", \"agreement\", \"best-elsewhere\"]";
    assert!(
        resolved.contains(&format!("[selection]\n{line}")),
        "{resolved}"
    );
    std::fs::write(&path, &resolved).unwrap();
    let again = manifest::read(&[&path], "paper", &[]).unwrap();
    assert_eq!(again[0].selection, read[0].selection);
    // Without rules the section is not there.
    std::fs::write(&path, MANIFEST.split("[selection]").next().unwrap()).unwrap();
    let plain = manifest::read(&[&path], "paper", &[]).unwrap();
    assert!(!manifest::resolved(&plain[0]).contains("[selection]"));
}
