//! One of the values of a key that a manifest sweeps.

use std::sync::Arc;

/// One of the values of a swept key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Setting {
    /// Its place among the values of the key, from 0.
    rank: usize,
    /// The value as TOML.
    text: Arc<str>,
    key: Arc<str>,
}

impl Setting {
    /// The value of a key at a place of its list, as TOML writes it.
    pub fn new(key: &str, rank: usize, text: &str) -> Self {
        Self {
            rank,
            text: text.into(),
            key: key.into(),
        }
    }

    /// The key, from the top of the manifest.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value as TOML.
    pub fn text(&self) -> &str {
        &self.text
    }
}
