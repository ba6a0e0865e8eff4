//! Translates older names and shorter forms of keys into those of the table of keys.

use std::mem;

use super::{
    document::{self, TomlEntry, TomlTable, TomlValue},
    problem::Problems,
};

/// Older keys, and what they are called now.
const RENAMED: [(&[&str], &[&str]); 2] = [
    (&["grid", "arms"], &["grid", "methods"]),
    (&["rows"], &["table", "rows"]),
];

/// Renames older keys, and makes the keys of `sweep` dotted.
pub(super) fn normalise(table: &mut TomlTable, problems: &mut Problems) {
    flatten(table, problems);
    for (old, new) in RENAMED {
        let Some(node) = document::take(table, old) else {
            continue;
        };
        match document::find(table, new) {
            Some(_) => problems.push(
                &node.place,
                format!(
                    "`{}` and `{}` are one key; take one of them out",
                    old.join("."),
                    new.join(".")
                ),
            ),
            None => document::set(table, new, node),
        }
    }
}

/// Turns the tables within `sweep` into dotted keys: `finetune.lr` and `"finetune.lr"` are one.
fn flatten(table: &mut TomlTable, problems: &mut Problems) {
    let Some(TomlEntry { node, .. }) = table.get_mut("sweep") else {
        return;
    };
    let TomlValue::Table(nested) = &mut node.value else {
        return;
    };
    let mut flat = TomlTable::new();
    for (key, entry) in dotted(mem::take(nested)) {
        if flat.contains_key(&key) {
            let message = format!("`sweep` names `{key}` twice; take one of them out");
            problems.push(&entry.place, message);
        }
        flat.insert(key, entry);
    }
    *nested = flat;
}

fn dotted(table: TomlTable) -> Vec<(String, TomlEntry)> {
    let mut flat = Vec::new();
    for (key, entry) in table {
        match entry.node.value {
            TomlValue::Table(inner) => {
                let inner = dotted(inner).into_iter();
                flat.extend(inner.map(|(last, entry)| (format!("{key}.{last}"), entry)));
            }
            _ => flat.push((key, entry)),
        }
    }
    flat
}
