//! Two groups of results joined into pairs.
//!
//! The rule: every key of one group is in the other, once. Pairs are kept in the order of their
//! keys, whatever the order of the groups, so that sums over them are the same to the bit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Values of two groups, pair by pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Pairs {
    /// Joins two groups of (key, value) by key.
    ///
    /// # Errors
    /// A key is in one group only, or twice in one group; the error names all such keys.
    pub fn join<K: Ord + Clone>(
        first: &[(K, f64)],
        second: &[(K, f64)],
    ) -> Result<Self, PairError<K>> {
        let (left, left_twice) = index(first);
        let (right, right_twice) = index(second);
        let missing = |from: &BTreeMap<&K, f64>, other: &BTreeMap<&K, f64>| -> Vec<K> {
            let unpaired = from.keys().filter(|key| !other.contains_key(**key));
            unpaired.map(|key| K::clone(key)).collect()
        };
        let error = PairError {
            only_first: missing(&left, &right),
            only_second: missing(&right, &left),
            twice: left_twice
                .union(&right_twice)
                .map(|key| (*key).clone())
                .collect(),
        };
        if error.is_none() {
            Ok(Self {
                first: left.into_values().collect(),
                second: right.into_values().collect(),
            })
        } else {
            Err(error)
        }
    }

    /// The first group's values, in the order of the keys.
    pub fn first(&self) -> &[f64] {
        &self.first
    }

    /// The second group's values, in the order of the keys.
    pub fn second(&self) -> &[f64] {
        &self.second
    }

    /// First minus second, pair by pair.
    pub fn differences(&self) -> Vec<f64> {
        let pairs = self.first.iter().zip(&self.second);
        pairs.map(|(first, second)| first - second).collect()
    }
}

fn index<K: Ord>(group: &[(K, f64)]) -> (BTreeMap<&K, f64>, BTreeSet<&K>) {
    let mut values = BTreeMap::new();
    let mut twice = BTreeSet::new();
    for (key, value) in group {
        if values.insert(key, *value).is_some() {
            twice.insert(key);
        }
    }
    (values, twice)
}

/// The keys because of which two groups cannot be paired.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PairError<K> {
    /// Keys of the first group that the second lacks.
    pub only_first: Vec<K>,
    /// Keys of the second group that the first lacks.
    pub only_second: Vec<K>,
    /// Keys that one group holds more than once.
    pub twice: Vec<K>,
}

impl<K> PairError<K> {
    fn is_none(&self) -> bool {
        self.only_first.is_empty() && self.only_second.is_empty() && self.twice.is_empty()
    }
}

impl<K: fmt::Display> fmt::Display for PairError<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the results cannot be paired:")?;
        let parts = [
            ("only in the first group", &self.only_first),
            ("only in the second group", &self.only_second),
            ("more than once in a group", &self.twice),
        ];
        let named = parts.into_iter().filter(|(_, keys)| !keys.is_empty());
        for (nth, (place, keys)) in named.enumerate() {
            let names: Vec<String> = keys.iter().map(K::to_string).collect();
            let comma = if nth > 0 { ";" } else { "" };
            write!(f, "{comma} {} {place}", names.join(", "))?;
        }
        Ok(())
    }
}
