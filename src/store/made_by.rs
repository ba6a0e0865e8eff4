//! What computed an artefact.
//!
//! It is not part of any key: the same inputs on another device are the same experiment, but a
//! table that mixes devices says so.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What computed an artefact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeBy {
    /// The program's version.
    pub version: String,
    /// `cpu`, or a card's name and compute capability.
    pub device: String,
    /// The engine.
    pub engine: EngineUsed,
}

/// An engine, and the instruction set it used. Stored as one text: `lanes, avx2`, or `stock`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct EngineUsed {
    /// Its name.
    pub name: String,
    /// The instruction set; `None` for an engine that does not choose one.
    pub isa: Option<String>,
}

/// From the stored text.
impl<T: AsRef<str>> From<T> for EngineUsed {
    fn from(text: T) -> Self {
        let text = text.as_ref();
        let (name, isa) = match text.split_once(", ") {
            Some((name, isa)) => (name, Some(isa.to_owned())),
            None => (text, None),
        };
        Self {
            name: name.to_owned(),
            isa,
        }
    }
}

impl From<EngineUsed> for String {
    fn from(engine: EngineUsed) -> Self {
        engine.to_string()
    }
}

/// The stored text.
impl fmt::Display for EngineUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.isa {
            Some(isa) => f.pad(&format!("{}, {isa}", self.name)),
            None => f.pad(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_stored_as_one_text() {
        for text in [
            r#""lanes, avx2""#,
            r#""stock""#,
            r#""none: nothing was computed""#,
        ] {
            let engine: EngineUsed = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&engine).unwrap(), text);
        }
        let lanes = EngineUsed::from("lanes, avx2");
        assert_eq!(
            (lanes.name.as_str(), lanes.isa.as_deref()),
            ("lanes", Some("avx2"))
        );
    }
}
