//! Problems of the user's input: the place, what is wrong, and the remedy.
//!
//! The rule: problems are collected and reported together, never one at a time.

use std::{collections::BTreeSet, fmt, sync::Arc};

use itertools::Itertools;

/// How many characters of an override are shown: each of its problems shows them again.
const MOST_SHOWN: usize = 200;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A position in a file; line and column count from 1.
    File {
        /// The path as the user gave it.
        path: Arc<str>,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// An override on the command line, as it was typed.
    Override(Arc<str>),
    /// A file as a whole, or a folder.
    Whole(Arc<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Override(text) => match text.char_indices().nth(MOST_SHOWN) {
                Some((end, _)) => write!(f, "--set {}...", &text[..end]),
                None => write!(f, "--set {text}"),
            },
            Self::Whole(path) => f.write_str(path),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, and what to do about it: one sentence, lower case, no full stop.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Everything that is wrong, each once, in the order of the places.
#[derive(Clone, Debug, Default, thiserror::Error)]
#[error("{}", .all.iter().format("\n"))]
pub struct Problems {
    all: BTreeSet<Problem>,
    /// Whether one of them is an expert whom `dataset.experts` excludes: which experts there are is
    /// for the data set to say.
    pub unknown_expert: bool,
    /// Whether a manifest describes a data set of its own, by folder or patterns.
    pub describes_data: bool,
}

impl Problems {
    /// Notes one more.
    pub fn push(&mut self, place: &Place, message: impl Into<String>) {
        self.all.insert(Problem {
            place: place.clone(),
            message: message.into(),
        });
    }

    /// Takes over those of another reading.
    pub fn extend(&mut self, other: Problems) {
        self.all.extend(other.all);
        self.unknown_expert |= other.unknown_expert;
        self.describes_data |= other.describes_data;
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// `Ok(value)` where nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}
