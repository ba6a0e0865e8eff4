//! What profiles, extending files and overrides change in a manifest.

use std::fmt;

use super::problem::Place;

/// A key that a layer above the first changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, from the top of the manifest.
    pub key: String,
    /// The effective value, as TOML.
    pub value: String,
    /// The value below it, as TOML: an earlier layer's, or the default; `None` where there is none.
    pub previous: Option<String>,
    /// Where the effective value is written.
    pub place: Place,
    /// What changed it.
    pub by: ChangedBy,
}

/// What changed a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedBy {
    /// A profile, by its name.
    Profile(String),
    /// The keys of a file that extends this one.
    Extends(String),
    /// An override on the command line.
    Set,
}

/// The keys whose numbers are a size: of networks, images, trainings, or of the grid.
const SIZES: [&str; 7] = [
    "network.width",
    "image.crop",
    "training.batch",
    "pretrain.steps",
    "scratch.steps",
    "finetune.steps",
    "grid.repeats",
];
/// The keys whose lists span the grid.
const SPANS: [&str; 7] = [
    "grid.new_experts",
    "grid.train_experts",
    "grid.methods",
    "grid.samples",
    "grid.starts",
    "grid.annotators.from",
    "grid.annotators.choose",
];

impl Change {
    /// Whether it makes networks, images, trainings or the grid smaller.
    pub fn reduces(&self) -> bool {
        let Some(previous) = &self.previous else {
            return false;
        };
        let number = |text: &str| text.parse::<f64>().ok();
        let numbers = number(&self.value).zip(number(previous));
        match self.key.as_str() {
            "image.reduce" => numbers.is_some_and(|(value, previous)| value > previous),
            key if SIZES.contains(&key) => {
                numbers.is_some_and(|(value, previous)| value < previous)
            }
            key if SPANS.contains(&key) => items(&self.value) < items(previous),
            _ => false,
        }
    }
}

/// How many items a list has, or a single value in its place.
fn items(text: &str) -> usize {
    let list = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match list.map(str::trim) {
        Some("") => 0,
        Some(items) => items.trim_end_matches(',').split(',').count(),
        None => 1,
    }
}

/// Most characters of a value in one line.
const MOST_SHOWN: usize = 60;

fn short(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// `profile phantom (table2.toml:92): network.width = 8 (was 64)`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            ChangedBy::Profile(name) => write!(f, "profile {name}")?,
            ChangedBy::Extends(file) => write!(f, "extends {file}")?,
            ChangedBy::Set => f.write_str("--set")?,
        }
        if let Place::File { path, line, .. } = &self.place {
            write!(f, " ({path}:{line})")?;
        }
        write!(f, ": {} = {}", self.key, short(&self.value))?;
        match &self.previous {
            Some(previous) => write!(f, " (was {})", short(previous)),
            None => Ok(()),
        }
    }
}
