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
