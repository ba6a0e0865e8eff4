//! The names of experts, whose numbers count from 1.
//!
//! The rule: an expert is a number wherever runs are compared, ordered or keyed; a name stands for
//! it wherever one is shown or asked for. So names make no difference between two values.

use std::{cmp::Ordering, hash, sync::Arc};

use itertools::Itertools;

/// The names of experts in the order of their numbers; none where they are called by these.
#[derive(Clone, Debug, Default)]
pub struct ExpertNames(Option<Arc<[Arc<str>]>>);

impl ExpertNames {
    /// Of these names; none where the list is empty.
    pub fn new(names: &[String]) -> Self {
        let each = names.iter().map(|name| Arc::from(name.as_str()));
        Self((!names.is_empty()).then(|| each.collect()))
    }

    /// Whether experts have names.
    pub fn are_there(&self) -> bool {
        self.0.is_some()
    }

    /// The name of an expert.
    pub fn of(&self, number: usize) -> Option<&str> {
        let name = self.0.as_ref()?.get(number.checked_sub(1)?)?;
        Some(name)
    }

    /// An expert as results show him: by his name, or his number.
    pub fn show(&self, number: u8) -> String {
        let name = self.of(number.into()).map(str::to_owned);
        name.unwrap_or_else(|| number.to_string())
    }

    /// Several, with `+` between them.
    pub fn joined(&self, experts: &[u8]) -> String {
        experts.iter().map(|expert| self.show(*expert)).join("+")
    }

    /// Whether a word is somebody's name.
    pub fn know(&self, word: &str) -> bool {
        self.0
            .iter()
            .flat_map(|names| names.iter())
            .any(|name| **name == *word)
    }
}

impl PartialEq for ExpertNames {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ExpertNames {}

impl PartialOrd for ExpertNames {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ExpertNames {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl hash::Hash for ExpertNames {
    fn hash<H: hash::Hasher>(&self, _: &mut H) {}
}
