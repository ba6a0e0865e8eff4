//! The keys that a manifest sweeps, with their values.

use super::{document::TomlNode, problem::Place};
use crate::grid::{Axis, Setting};

/// A key that takes several values.
#[derive(Clone, Debug)]
pub struct Swept {
    /// The key, from the top of the manifest: `network.width`.
    pub key: String,
    /// Its values, as they are listed.
    pub values: Vec<SweptValue>,
}

/// One of the values of a swept key.
#[derive(Clone, Debug)]
pub struct SweptValue {
    /// The value as TOML, the same however it was written.
    pub text: String,
    /// Where it is written.
    pub place: Place,
    pub(super) node: TomlNode,
}

impl Swept {
    /// The axis of its values.
    pub fn axis(&self) -> Axis {
        Axis::Swept(self.key.as_str().into())
    }

    /// Its values as those of an axis.
    pub fn settings(&self) -> impl Iterator<Item = Setting> {
        let values = self.values.iter().enumerate();
        values.map(|(rank, value)| Setting::new(&self.key, rank, &value.text))
    }
}
