//! Tensors under names that begin with another program's prefix: `model.encoder.conv1.weight`.
//!
//! The rule: a prefix is taken off every name that has it before anything else reads the file, so
//! that the same tensors have the same digest with and without it. Where it is not certain which
//! prefix is meant, the file is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use itertools::Itertools;

use super::checkpoint::{Checkpoint, CheckpointError};

/// A tensor that every ResNet-18 has; what stands before it is the prefix of the encoder.
const ANCHOR: &str = "layer1.0.conv1.weight";
/// The encoder's own name within the network.
const ENCODER: &str = "encoder.";

impl Checkpoint {
    /// Reads another program's checkpoint, with the prefix of its names taken off.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; and where several encoders are there, or two names become one.
    pub fn open_import(path: &Path) -> Result<Self, CheckpointError> {
        Self::open(path)?.without_prefix()
    }

    fn without_prefix(self) -> Result<Self, CheckpointError> {
        let names = self.tensors.keys().chain(self.unread.keys());
        let Some(prefix) = prefix(names)? else {
            return Ok(self);
        };
        let Self {
            tensors, unread, ..
        } = self;
        let tensors = renamed(tensors, &prefix)?;
        let unread = renamed(unread, &prefix)?;
        Ok(Self {
            tensors,
            unread,
            prefix: Some(prefix),
            ..self
        })
    }

    /// The prefix that was taken off the tensors' names, where they had one.
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }
}

/// What stands before the encoder's names; `None` where these are the network's or a plain
/// ResNet's own, or there is no encoder.
fn prefix<'a>(names: impl Iterator<Item = &'a String>) -> Result<Option<String>, CheckpointError> {
    let before = names.filter_map(|name| {
        let before = name.strip_suffix(ANCHOR)?;
        (before.is_empty() || before.ends_with('.')).then_some(before)
    });
    let found: BTreeSet<&str> = before
        .map(|before| match before.strip_suffix(ENCODER) {
            Some(outer) if outer.is_empty() || outer.ends_with('.') => outer,
            Some(_) | None => before,
        })
        .collect();
    if found.contains("") {
        return Ok(None);
    }
    match found.iter().collect_vec().as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((**one).to_owned())),
        several => Err(CheckpointError::Mismatch(format!(
            "it has several encoders, under the prefixes {}; write the tensors of one of them into \
             a file of their own",
            several
                .iter()
                .map(|prefix| format!("`{prefix}`"))
                .format(", ")
        ))),
    }
}

/// The same entries without the prefix.
fn renamed<T>(
    entries: BTreeMap<String, T>,
    prefix: &str,
) -> Result<BTreeMap<String, T>, CheckpointError> {
    let mut renamed = BTreeMap::new();
    for (name, entry) in entries {
        let short = name.strip_prefix(prefix).unwrap_or(&name).to_owned();
        if renamed.contains_key(&short) {
            return Err(CheckpointError::Mismatch(format!(
                "it has tensors {short} and {prefix}{short}; write one of them into a file of its \
                 own"
            )));
        }
        renamed.insert(short, entry);
    }
    Ok(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Result<Option<String>, String> {
        let names = names.iter().map(|name| (*name).to_owned()).collect_vec();
        prefix(names.iter()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_prefix_is_what_stands_before_the_encoder() {
        for (name, expected) in [
            ("layer1.0.conv1.weight", None),
            ("encoder.layer1.0.conv1.weight", None),
            ("model.encoder.layer1.0.conv1.weight", Some("model.")),
            ("module.layer1.0.conv1.weight", Some("module.")),
            (
                "state.net.encoder.layer1.0.conv1.weight",
                Some("state.net."),
            ),
            ("autoencoder.layer1.0.conv1.weight", Some("autoencoder.")),
            ("xlayer1.0.conv1.weight", None),
            ("decoder.conv1.weight", None),
        ] {
            assert_eq!(of(&[name]), Ok(expected.map(str::to_owned)), "{name}");
        }
        // Its own names win over a copy under another.
        let [own, copy] = ["", "ema."].map(|before| format!("{before}encoder.{ANCHOR}"));
        assert_eq!(of(&[&own, &copy]), Ok(None));
        let two = of(&[&copy, "teacher.layer1.0.conv1.weight"]).unwrap_err();
        assert!(two.contains("`ema.`, `teacher.`"), "{two}");
    }

    #[test]
    fn two_names_do_not_become_one() {
        let entries = [("a.b", 1), ("m.a.b", 2)].map(|(name, n)| (name.to_owned(), n));
        let refused = renamed(BTreeMap::from(entries), "m.").unwrap_err();
        assert!(refused.to_string().contains("a.b and m.a.b"), "{refused}");
    }
}
