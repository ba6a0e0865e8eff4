//! The manifests of the paper's tables, as the program carries them: for folders that have none.

use std::path::Path;

/// The tables with the text of their manifests.
const TABLES: [(&str, &str); 3] = [
    ("table1", include_str!("../../experiments/table1.toml")),
    ("table2", include_str!("../../experiments/table2.toml")),
    ("table3", include_str!("../../experiments/table3.toml")),
];

/// The names of the tables: `table1`.
pub fn shipped_names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(name, _)| *name)
}

/// The profiles of these manifests, from the largest to the smallest.
pub const PROFILES: [&str; 4] = ["paper", "laptop", "phantom", "smoke"];

/// The manifest of one of the paper's tables, by its name: `table2`, `table2.toml`. Without what
/// refers to files beside it: the published values and the schema.
pub fn shipped(name: &Path) -> Option<String> {
    let name = name.to_str()?;
    let name = name.strip_suffix(".toml").unwrap_or(name);
    let (_, text) = TABLES.iter().find(|(table, _)| *table == name)?;
    let mut kept = String::new();
    let mut is_reference = false;
    for line in text.lines() {
        // A section ends with an empty line.
        is_reference = (is_reference && !line.is_empty()) || line.starts_with("[reference]");
        if !is_reference && !line.starts_with("#:schema") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    Some(kept)
}
