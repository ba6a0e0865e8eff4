//! Keys of manifests: their names, the values they take, and their defaults.

use itertools::Itertools;

use super::document::{TomlNode, TomlValue, quoted, real};
use crate::grid::Axis;

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name within the section; dotted where it stands in a table of the section.
    pub name: &'static str,
    /// The values it takes.
    pub kind: ValueKind,
    /// Its value where it is absent.
    pub default: Fallback,
    /// What it says, as written in the source; see [`Key::sentence`].
    pub doc: &'static str,
    /// Whether it enters the keys of stages, itself or through the default of another key.
    pub keyed: bool,
}

impl Key {
    /// What the key says, in one sentence or two.
    pub fn sentence(&self) -> &'static str {
        self.doc.trim()
    }

    /// The last part of its name: the key of its own table.
    pub(super) fn last(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// What to write for a key that has no default.
    pub(super) fn example(&self) -> &'static str {
        match self.default {
            Fallback::Required(example) => example,
            Fallback::Value(_) | Fallback::As(_) | Fallback::Absent => "",
        }
    }
}

/// The value of an absent key.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// A value, as TOML writes it.
    Value(fn() -> String),
    /// The value of another key.
    As(&'static str),
    /// Nothing: the key must be there wherever it is used. With an example.
    Required(&'static str),
    /// Nothing: what the key asks for is not done.
    Absent,
}

/// A word and what it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// The word.
    pub word: &'static str,
    /// What it stands for, as written in the source.
    pub doc: &'static str,
}

/// The values that a key takes.
#[derive(Clone, Copy, Debug)]
pub enum ValueKind {
    /// A whole number within bounds, both included.
    Whole {
        /// The least.
        least: u64,
        /// The greatest, where there is one.
        most: Option<u64>,
        /// What it is a multiple of.
        multiple_of: u64,
        /// Why it is a multiple.
        why: &'static str,
    },
    /// The side of an image: a multiple of 32 times `image.reduce`.
    Side,
    /// A number within bounds, both included.
    Number {
        /// The least.
        least: f64,
        /// The greatest.
        most: f64,
    },
    /// A learning rate: a number greater than 0.
    Rate,
    /// Two numbers `[low, high]` within bounds.
    Range {
        /// The least of `low`.
        least: f64,
        /// The greatest of `high`.
        most: f64,
    },
    /// Two numbers `[width, height]` within bounds.
    Pair {
        /// The least of both.
        least: f64,
        /// The greatest of both.
        most: f64,
    },
    /// One of several words.
    Words(&'static [Word]),
    /// A text.
    Text,
    /// The path of a file, relative to the manifest that names it.
    Path,
    /// The path of a folder, relative to the manifest that names it.
    Folder,
    /// A list of distinct values that is not empty, or a single value.
    List(&'static ValueKind),
    /// Any of several kinds.
    Either(&'static [ValueKind]),
    /// An axis of the grid, or a list of axes.
    Axes,
    /// `axis=value`, or a list of those, or `none`.
    Comparison,
    /// A table that holds keys of a manifest.
    Overlay,
    /// A list of values of the key of the same name.
    Values,
}

/// What an image's side is a multiple of: the network halves its input five times.
pub(super) const SIDE_UNIT: usize = 32;

/// A whole number from `least` to `most`.
pub(super) const fn whole(least: u64, most: u64) -> ValueKind {
    multiples(1, least, most, "")
}

/// A multiple of a number, and why.
pub(super) const fn multiples(
    multiple_of: u64,
    least: u64,
    most: u64,
    why: &'static str,
) -> ValueKind {
    ValueKind::Whole {
        least,
        most: Some(most),
        multiple_of,
        why,
    }
}

/// A whole number without an upper bound.
pub(super) const fn from(least: u64) -> ValueKind {
    ValueKind::Whole {
        least,
        most: None,
        multiple_of: 1,
        why: "",
    }
}

/// A number from `least` to `most`.
pub(super) const fn number(least: f64, most: f64) -> ValueKind {
    ValueKind::Number { least, most }
}

/// A key that may be absent.
pub(super) const fn optional(
    name: &'static str,
    kind: ValueKind,
    keyed: bool,
    doc: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default: Fallback::Absent,
        doc,
        keyed,
    }
}

/// A probability.
pub(super) const CHANCE: ValueKind = number(0.0, 1.0);

/// A range within `least` and `most`.
pub(super) const fn range(least: f64, most: f64) -> ValueKind {
    ValueKind::Range { least, most }
}

impl ValueKind {
    /// What a whole number must be, where it is not.
    pub(super) fn refuses_whole(&self, value: u64) -> Option<String> {
        if let Self::Either(kinds) = self {
            let is_whole = |kind: &&Self| matches!(kind, Self::Whole { .. });
            return kinds.iter().find(is_whole)?.refuses_whole(value);
        }
        let Self::Whole {
            least,
            most,
            multiple_of,
            why,
        } = *self
        else {
            return None;
        };
        let within = value >= least && most.is_none_or(|most| value <= most);
        (!within || !value.is_multiple_of(multiple_of)).then(|| {
            let why = match why {
                "" => String::new(),
                why => format!(" ({why})"),
            };
            let multiple = match multiple_of {
                1 => String::new(),
                _ => format!("a multiple of {multiple_of} "),
            };
            match most {
                Some(most) => format!("it must be {multiple}from {least} to {most}{why}"),
                None => format!("it must be {multiple}from {least}{why}"),
            }
        })
    }

    /// What a number must be, where it is not; NaN never is.
    pub(super) fn refuses_number(&self, value: f64) -> Option<String> {
        let Self::Number { least, most } = self else {
            return None;
        };
        let within = *least <= value && value <= *most;
        (!within).then(|| format!("it must be from {least} to {most}"))
    }

    /// The words that it, or each of its items, is one of.
    pub fn words(&self) -> &'static [Word] {
        match self {
            Self::Words(words) => words,
            Self::List(item) => item.words(),
            _ => &[],
        }
    }

    /// The values in words, for a list of keys.
    pub fn describe(&self) -> String {
        match self {
            Self::Whole {
                least,
                most,
                multiple_of,
                ..
            } => {
                let what = match multiple_of {
                    1 => "whole number".to_owned(),
                    unit => format!("multiple of {unit}"),
                };
                match most {
                    Some(most) => format!("{what} from {least} to {most}"),
                    None => format!("{what} from {least}"),
                }
            }
            Self::Side => format!("multiple of {SIDE_UNIT} times `image.reduce`"),
            Self::Number { least, most } => format!("number from {least:?} to {most:?}"),
            Self::Rate => "number greater than 0".into(),
            Self::Range { least, most } => {
                format!("range [low, high] within {least:?} and {most:?}")
            }
            Self::Pair { least, most } => {
                format!("two of them [width, height] within {least:?} and {most:?}")
            }
            Self::Words(words) => {
                let words = words.iter().map(|word| quoted(word.word));
                format!("one of {}", words.format(", "))
            }
            Self::Text => "text".into(),
            Self::Path => "path of a file, relative to the manifest".into(),
            Self::Folder => "path of a folder, relative to the manifest".into(),
            Self::List(item) => format!("{}, or a list of them", item.describe()),
            Self::Either(kinds) => kinds.iter().map(Self::describe).join(", or "),
            Self::Axes => {
                let known = Axis::of_grids();
                let known = known.map(|axis| quoted(axis.word())).join(", ");
                format!("axis or list of axes: {known}, or a swept key")
            }
            Self::Comparison => "axis=value, a list of those, or none".into(),
            Self::Overlay => "table of keys of a manifest".into(),
            Self::Values => "list of values of that key".into(),
        }
    }

    /// A value of this kind as TOML, the same however it was written: `1` and `1.0` are one number.
    pub(super) fn text(&self, node: &TomlNode) -> String {
        match (self, &node.value) {
            (Self::Number { .. } | Self::Rate, TomlValue::Integer(number)) => real(*number as f64),
            (Self::Range { .. }, TomlValue::Array(items)) => {
                let items = items.iter().map(|item| number(0.0, 0.0).text(item));
                format!("[{}]", items.format(", "))
            }
            (_, value) => value.toml(),
        }
    }
}
