//! Names of manifests and profiles, which become folders, parts of texts and arguments.
//!
//! The rule: a name is refused where some file system would not keep it as it is, or where the
//! program has another use for the folder.

use std::path::Path;

use itertools::Itertools;

use crate::file_name::folded;

/// The longest name in bytes: that of a file beside a table has some more, and 255 at most.
const MAX_BYTES: usize = 200;
/// The program's own folders beside those of experiments.
const OWN: [&str; 3] = ["store", "logs", "cluster"];
/// Characters that no name may have on Windows or that separate folders.
const FORBIDDEN: &str = "<>:\"/\\|?*";

/// Why a manifest cannot have its name, and what to do; `None` where it can.
pub(super) fn refused(manifest: &Path) -> Option<String> {
    let stem = manifest.file_stem().unwrap_or_default();
    let Some(name) = stem.to_str() else {
        return Some("its name is not UTF-8, and becomes that of a folder; rename it".into());
    };
    let lower = name.to_lowercase();
    let plain = folded(name);
    let odd = |c: &char| c.is_control() || FORBIDDEN.contains(*c);
    let why = if OWN.contains(&plain.as_str()) {
        format!("`{name}` is a folder of the program's own beside those of experiments")
    } else if is_device(&lower) {
        format!("`{name}` is the name of a device on Windows")
    } else if lower.ends_with(".html") {
        format!("`{name}` may be the name of a page over several experiments")
    } else if let Some(c) = name.chars().find(odd) {
        format!("{c:?} cannot be in the name of a folder on every system")
    } else if name.starts_with(['.', '-', ' ']) || name.ends_with(['.', ' ']) || name.is_empty() {
        format!("`{name}` begins or ends with a character that is not kept everywhere")
    } else if name.len() > MAX_BYTES {
        format!("its name has more than {MAX_BYTES} bytes")
    } else {
        return None;
    };
    Some(format!(
        "{why}, and the folder of an experiment's results is named after its manifest; rename it"
    ))
}

/// Whether Windows takes a name, without what follows its first dot, for a device.
fn is_device(lower: &str) -> bool {
    let base = lower.split('.').next().unwrap_or_default().trim_end();
    let numbered = base.strip_prefix("com").or(base.strip_prefix("lpt"));
    ["con", "prn", "aux", "nul", "conin$", "conout$"].contains(&base)
        || numbered
            .is_some_and(|n| matches!(n.chars().collect_vec()[..], ['0'..='9' | '¹' | '²' | '³']))
}

/// How two different names that some file systems take for one differ.
pub(super) fn difference(one: &str, other: &str) -> &'static str {
    match one.to_lowercase() == other.to_lowercase() {
        true => "in case only",
        false => "in the encoding of letters only",
    }
}

/// Pairs of different names that some file systems take for one.
pub(super) fn alike<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(&'a str, &'a str)> {
    let names = names.into_iter().unique();
    let groups = names.into_group_map_by(|name| folded(name));
    let pairs = groups.into_values().flat_map(|group| {
        let (first, others) = (group[0], group.into_iter().skip(1));
        others.map(move |other| (first, other)).collect_vec()
    });
    pairs.sorted().collect()
}
