//! Typed reading of a document's sections that goes on after every mistake.
//!
//! The rule: a wrong value is noted with its place and replaced by its default, so that one reading
//! finds every problem; an unknown key is a problem too.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use super::{
    document::{BEYOND, TomlNode, TomlTable, TomlValue},
    problem::{Place, Problems},
};

/// The longest unknown key that is compared with those known; none of them has half as many bytes.
pub const MOST_COMPARED: usize = 64;

/// A value with its place, where problems of it are reported.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written, or where it would have been.
    pub place: Place,
}

/// One table of the document, being read.
pub struct Section<'a> {
    table: Option<&'a TomlTable>,
    path: String,
    place: Place,
    asked: RefCell<Vec<&'static str>>,
    problems: &'a RefCell<Problems>,
}

impl<'a> Section<'a> {
    /// The document itself.
    pub fn root(table: &'a TomlTable, place: Place, problems: &'a RefCell<Problems>) -> Self {
        Self {
            table: Some(table),
            path: String::new(),
            place,
            asked: RefCell::default(),
            problems,
        }
    }

    fn node(&self, key: &'static str) -> Option<&'a TomlNode> {
        self.asked.borrow_mut().push(key);
        Some(&self.table?.get(key)?.node)
    }

    /// The name of a key from the top of the document.
    pub fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// Where a key's value stands, or would.
    pub fn place_of(&self, key: &str) -> &Place {
        let entry = self.table.and_then(|table| table.get(key));
        entry.map_or(&self.place, |entry| &entry.node.place)
    }

    /// A table in this one; an absent one reads as empty, all defaults.
    pub fn section(&self, key: &'static str) -> Section<'a> {
        let node = self.node(key);
        let table = node.and_then(|node| match &node.value {
            TomlValue::Table(table) => Some(table),
            other => {
                self.note(
                    &node.place,
                    format!("`{}` is a table, not {}", self.name(key), other.describe()),
                );
                None
            }
        });
        Section {
            table,
            path: format!("{}.", self.name(key)),
            place: node.map_or_else(|| self.place.clone(), |node| node.place.clone()),
            asked: RefCell::default(),
            problems: self.problems,
        }
    }

    /// The tables in a table of this one, each by its name.
    pub fn tables(&self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let outer = self.section(key);
        let mut found = Vec::new();
        for (name, entry) in outer.table.into_iter().flatten() {
            match &entry.node.value {
                TomlValue::Table(table) => found.push((
                    name.clone(),
                    Section {
                        table: Some(table),
                        path: format!("{}.", outer.name(name)),
                        place: entry.place.clone(),
                        asked: RefCell::default(),
                        problems: self.problems,
                    },
                )),
                other => self.note(
                    &entry.node.place,
                    format!(
                        "`{}` is a table, not {}",
                        outer.name(name),
                        other.describe()
                    ),
                ),
            }
        }
        found
    }

    /// The value of a key, or its default where it is absent or wrong.
    pub fn read<T: FromNode>(&self, key: &'static str, default: T) -> Located<T> {
        let Some(node) = self.node(key) else {
            return Located {
                value: default,
                place: self.place.clone(),
            };
        };
        let value = T::from_node(node).unwrap_or_else(|Misfit { expected, item }| {
            let (name, found) = (self.name(key), item.as_ref().unwrap_or(node));
            let what = match &item {
                None => format!("`{name}`"),
                Some(_) => format!("each item of `{name}`"),
            };
            let message = format!(
                "{what} is {expected}, not {}{}",
                found.value.describe(),
                match (&item, &found.value) {
                    (Some(_), TomlValue::Array(_)) => String::new(),
                    (_, value) => remedy(&name, expected, value),
                }
            );
            self.note(&found.place, message);
            default
        });
        Located {
            value,
            place: node.place.clone(),
        }
    }

    /// The value of a key that may be absent, or is wrong.
    pub fn optional<T: FromNode>(&self, key: &'static str) -> Option<T> {
        self.read(key, Wrapped::<T>(None)).value.0
    }

    /// The value of a key that has no default.
    pub fn require<T: FromNode>(&self, key: &'static str, example: &str) -> Located<Option<T>> {
        if self.table.is_none_or(|table| !table.contains_key(key)) {
            self.asked.borrow_mut().push(key);
            self.note(
                &self.place,
                format!(
                    "`{}` is missing; write for example `{key} = {example}`",
                    self.name(key)
                ),
            );
            return Located {
                value: None,
                place: self.place.clone(),
            };
        }
        let located = self.read(key, Wrapped::<T>(None));
        Located {
            value: located.value.0,
            place: located.place,
        }
    }

    /// The items of a list that has no default and is not empty.
    pub fn list<T: FromNode>(&self, key: &'static str, example: &str) -> Vec<Located<T>> {
        let found = self.require::<Vec<_>>(key, example);
        if found.value.as_ref().is_some_and(Vec::is_empty) {
            self.note(
                &found.place,
                format!(
                    "`{}` is empty; write for example `{key} = {example}`",
                    self.name(key)
                ),
            );
        }
        found.value.unwrap_or_default()
    }

    /// One of several words.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)], default: T) -> T {
        let Located { value, place } = self.read(key, Wrapped::<String>(None));
        let Some(text) = value.0 else {
            return default;
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let words: Vec<_> = choices
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let message = format!(
            "`{}` is \"{text}\"; it is one of {}",
            self.name(key),
            words.join(", ")
        );
        self.note(&place, message);
        default
    }

    /// Where the table begins.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Notes a problem of this section's.
    pub fn note(&self, place: &Place, message: impl Into<String>) {
        self.problems.borrow_mut().push(place, message);
    }

    /// Marks that one of the problems is an expert whom `dataset.experts` excludes.
    pub fn mark_unknown_expert(&self) {
        self.problems.borrow_mut().unknown_expert = true;
    }

    /// Notes that the manifest describes a data set of its own.
    pub fn mark_described_data(&self) {
        self.problems.borrow_mut().describes_data = true;
    }

    /// Whether a key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Skips a key that is read elsewhere.
    pub fn skip(&self, key: &'static str) {
        self.asked.borrow_mut().push(key);
    }

    /// Ends the reading: every key that was not read is unknown.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for (key, entry) in self.table.into_iter().flatten() {
            if asked.contains(&key.as_str()) {
                continue;
            }
            // A key far longer than those known resembles none, and takes long to compare.
            let comparable = asked.iter().filter(|_| key.len() <= MOST_COMPARED);
            let likeliest = comparable
                .map(|known| (strsim::damerau_levenshtein(key, known), known))
                .min()
                .filter(|(distance, known)| *distance <= 1 + known.len() / 3);
            let remedy = match likeliest {
                Some((_, known)) => format!("did you mean `{known}`?"),
                None => {
                    let mut known = asked.clone();
                    known.sort_unstable();
                    known.dedup();
                    format!("known here: {}", known.join(", "))
                }
            };
            self.note(
                &entry.place,
                format!("unknown key `{}`; {remedy}", self.name(key)),
            );
        }
    }
}

/// What a value should have been.
pub struct Misfit {
    /// In words.
    pub expected: &'static str,
    /// The item of a list that is meant, where it is not the value itself.
    pub item: Option<TomlNode>,
}

impl From<&'static str> for Misfit {
    fn from(expected: &'static str) -> Self {
        Self {
            expected,
            item: None,
        }
    }
}

/// Whether a key is of a section none of whose keys can be swept.
fn is_fixed(name: &str) -> bool {
    let section = name.split('.').next().unwrap_or_default();
    ["grid", "dataset", "table", "statistics"].contains(&section)
}

/// What to write, where a value of another type says it.
fn remedy(name: &str, expected: &str, found: &TomlValue) -> String {
    let number = expected.contains("number");
    let instead = match found {
        TomlValue::Array(items) if number && items.len() > 1 && !is_fixed(name) => {
            return format!(
                "; to try each of them, write `\"{name}\" = {}` under `[sweep]`",
                found.toml()
            );
        }
        TomlValue::Array(items) => match &items[..] {
            [item] if !matches!(item.value, TomlValue::Array(_)) => item.value.toml(),
            _ => return String::new(),
        },
        TomlValue::Float(value) if number && value.fract() == 0.0 && value.abs() < 1e15 => {
            format!("{value:.0}")
        }
        TomlValue::Text(text) if number && text.trim().parse::<f64>().is_ok() => {
            text.trim().to_owned()
        }
        TomlValue::Text(text) if ["true", "false"].contains(&text.as_str()) => text.clone(),
        TomlValue::Integer(value) if expected.contains("in quotes") => format!("\"{value}\""),
        _ => return String::new(),
    };
    format!("; write {instead}")
}

/// What a key's value can be read as.
pub trait FromNode: Sized {
    /// The value, or what was expected in words.
    ///
    /// # Errors
    /// A description of what the value should have been.
    fn from_node(node: &TomlNode) -> Result<Self, Misfit>;
}

struct Wrapped<T>(Option<T>);

impl<T: FromNode> FromNode for Wrapped<T> {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        T::from_node(node).map(|value| Self(Some(value)))
    }
}

impl FromNode for usize {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        match node.value {
            TomlValue::Integer(number) => {
                usize::try_from(number).map_err(|_| "a whole number that is not negative".into())
            }
            TomlValue::Other(BEYOND) => Err("a whole number within 64 bits".into()),
            _ => Err("a whole number".into()),
        }
    }
}

impl FromNode for u64 {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        usize::from_node(node).map(|number| number as u64)
    }
}

impl FromNode for f64 {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        match node.value {
            TomlValue::Float(number) if number.is_finite() => Ok(number),
            TomlValue::Integer(number) => Ok(number as f64),
            TomlValue::Float(_) => Err("a finite number".into()),
            _ => Err("a number".into()),
        }
    }
}

impl FromNode for bool {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        match node.value {
            TomlValue::Bool(flag) => Ok(flag),
            _ => Err("`true` or `false`".into()),
        }
    }
}

impl FromNode for String {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        match &node.value {
            TomlValue::Text(text) => Ok(text.clone()),
            _ => Err("a text in quotes".into()),
        }
    }
}

/// A list whose items keep their places. A single value is a list of one.
impl<T: FromNode> FromNode for Vec<Located<T>> {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        let located = |item: &TomlNode, value| Located {
            value,
            place: item.place.clone(),
        };
        let TomlValue::Array(items) = &node.value else {
            return T::from_node(node).map(|value| vec![located(node, value)]);
        };
        let read = items.iter().map(|item| match T::from_node(item) {
            Ok(value) => Ok(located(item, value)),
            Err(misfit) => Err(Misfit {
                item: Some(item.clone()),
                ..misfit
            }),
        });
        read.collect()
    }
}

/// A range written as `[low, high]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl FromNode for Range {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        const EXPECTED: &str = "a range `[low, high]` with low <= high";
        let items = Vec::<Located<f64>>::from_node(node).map_err(|_| Misfit::from(EXPECTED))?;
        match items.as_slice() {
            [low, high] if low.value <= high.value => Ok(Self {
                low: low.value,
                high: high.value,
            }),
            _ => Err(EXPECTED.into()),
        }
    }
}
