//! What computed an artefact.
//!
//! It is not part of any key: the same inputs on another device are the same experiment, but a
//! table that mixes devices or engines says so. The processor's instruction set is no part of it:
//! all give the same bytes.

use serde::{Deserialize, Serialize};

/// What computed an artefact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeBy {
    /// The program's version.
    pub version: String,
    /// `cpu`, or a card's name and compute capability.
    pub device: String,
    /// The engine: `lanes` or `stock`.
    pub engine: String,
}
