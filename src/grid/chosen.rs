//! The methods of a grid, each with its word and rank.

use std::{cmp::Ordering, hash, sync::Arc};

use crate::method::Method;

/// A method of a grid.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its place among the methods of the grid, from 0.
    pub rank: usize,
    /// The word by which the manifest names it: the method's name, or another of it.
    pub word: Arc<str>,
    /// The method.
    pub method: Method,
}

impl Chosen {
    /// Whether a word names it.
    pub fn is_called(&self, word: &str) -> bool {
        *self.word == *word || self.method.name == word || self.method.alias() == Some(word)
    }

    fn place(&self) -> (usize, &str) {
        (self.rank, &self.word)
    }
}

impl PartialEq for Chosen {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place() && self.method == other.method
    }
}

impl Eq for Chosen {}

impl PartialOrd for Chosen {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Chosen {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl hash::Hash for Chosen {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.place().hash(state);
    }
}
