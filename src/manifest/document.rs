//! A TOML document as a tree in which every key and value has its place.
//!
//! The rule: layers (the manifest, a profile, overrides) are merged here, before anything is read,
//! so that a value's place is always where the user wrote the effective value.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use itertools::Itertools;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    problem::{Place, Problems},
    syntax,
};

/// How deep tables and lists are followed; a manifest has none beyond the fifth. TOML's own bounds
/// multiply: tables 80 deep, each under a key of 80 parts.
const MOST_NESTED: usize = 8;

/// Most characters of a list in an error message.
const MOST_SHOWN: usize = 60;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct TomlNode {
    /// Where the value begins.
    pub place: Place,
    /// The value.
    pub value: TomlValue,
}

/// The name of a whole number that is none for this program.
pub const BEYOND: &str = "whole number beyond 64 bits";

/// A TOML value, as far as manifests use them.
#[derive(Clone, Debug)]
pub enum TomlValue {
    /// `[name]` or `{ .. }`.
    Table(TomlTable),
    /// `[a, b]`.
    Array(Vec<TomlNode>),
    /// A whole number.
    Integer(i64),
    /// A real number.
    Float(f64),
    /// A string.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// Anything else, by its name in TOML.
    Other(&'static str),
}

impl TomlValue {
    /// What the value is, for an error message.
    pub fn describe(&self) -> String {
        match self {
            Self::Table(_) => "a table".into(),
            Self::Array(items) if items.is_empty() => "an empty list".into(),
            Self::Array(_) => {
                let list = self.toml();
                match list.char_indices().nth(MOST_SHOWN) {
                    Some((end, _)) => format!("the list {}...", &list[..end]),
                    None => format!("the list {list}"),
                }
            }
            Self::Integer(v) => format!("the whole number {v}"),
            Self::Float(v) => format!("the number {}", real(*v)),
            Self::Text(v) => format!("the text \"{v}\""),
            Self::Bool(v) => format!("`{v}`"),
            Self::Other(name) => format!("a {name}"),
        }
    }

    /// The value as TOML writes it in one line.
    pub fn toml(&self) -> String {
        match self {
            Self::Table(table) => {
                let entries = table.iter();
                let entries = entries
                    .map(|(key, entry)| format!("{} = {}", bare(key), entry.node.value.toml()));
                format!("{{ {} }}", entries.format(", "))
            }
            Self::Array(items) => {
                format!(
                    "[{}]",
                    items.iter().map(|item| item.value.toml()).format(", ")
                )
            }
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => real(*number),
            Self::Text(text) => quoted(text),
            Self::Bool(flag) => flag.to_string(),
            Self::Other(name) => format!("a {name}"),
        }
    }

    /// Whether both are the same value, as `1` and `1.0` are, whatever their places.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Integer(whole), Self::Float(number))
            | (Self::Float(number), Self::Integer(whole)) => *whole as f64 == *number,
            (Self::Array(a), Self::Array(b)) => {
                a.len() == b.len() && std::iter::zip(a, b).all(|(a, b)| a.value.same(&b.value))
            }
            (a, b) => a.toml() == b.toml(),
        }
    }
}

/// The shortest digits that read back as the same number, with a point or an exponent.
pub fn real(value: f64) -> String {
    format!("{value:?}")
}

/// A text in quotes.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A key, in quotes where it needs them.
pub fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !key.is_empty() && key.chars().all(plain) {
        true => key.to_owned(),
        false => quoted(key),
    }
}

/// Keys in alphabetical order: their order in the file never matters.
pub type TomlTable = BTreeMap<String, TomlEntry>;

/// A key with its place, and its value.
#[derive(Clone, Debug)]
pub struct TomlEntry {
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub node: TomlNode,
}

/// Parses a file's text.
///
/// # Errors
/// Every syntax error the parser can recover from, each with its place.
pub fn parse(path: &str, text: &str) -> Result<TomlTable, Problems> {
    let path: Arc<str> = path.into();
    let at = |span: Range<usize>| {
        let (line, column) = position(text, span.start);
        Place::File {
            path: path.clone(),
            line,
            column,
        }
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut problems = Problems::default();
    let errors = errors.iter().map(|error| {
        let span = error.span().unwrap_or(0..0);
        (span, error.message())
    });
    for found in syntax::explain_all(text, errors) {
        problems.push(&at(found.at..found.at), found.message);
    }
    problems.or(()).map(|()| table(document.get_ref(), &at, 0))
}

/// Parses `a.b.c=value`. A value that is not TOML is taken as text, so that
/// `metrics.assd=macro` needs no quotes.
///
/// # Errors
/// An override without `=` or with an empty key.
pub fn parse_override(text: &str) -> Result<TomlTable, Problems> {
    let place = Place::Override(text.into());
    let at = |_: Range<usize>| place.clone();
    let complaint = |why: &str| {
        let mut problems = Problems::default();
        problems.push(&place, why);
        problems
    };
    let Some((key, value)) = text.split_once('=') else {
        return Err(complaint(
            "an override is `key=value`, for example `--set finetune.steps=200`",
        ));
    };
    let quoted = format!("{key}={}", toml::Value::String(value.trim().to_owned()));
    for candidate in [text, &quoted] {
        // A text without a key, such as a comment, is no override.
        if let Ok(document) = DeTable::parse(candidate)
            && !document.get_ref().is_empty()
        {
            return Ok(table(document.get_ref(), &at, 0));
        }
    }
    Err(complaint(
        "the key is not a dotted TOML key like `finetune.steps`",
    ))
}

/// Lays `top` over `base`: tables are merged key by key, everything else is replaced.
pub fn overlay(base: &mut TomlTable, top: TomlTable) {
    for (key, entry) in top {
        match (base.get_mut(&key), entry) {
            (
                Some(TomlEntry {
                    node:
                        TomlNode {
                            value: TomlValue::Table(under),
                            ..
                        },
                    ..
                }),
                TomlEntry {
                    node:
                        TomlNode {
                            value: TomlValue::Table(over),
                            ..
                        },
                    ..
                },
            ) => overlay(under, over),
            (_, entry) => {
                base.insert(key, entry);
            }
        }
    }
}

/// The value of a path of keys.
pub fn find<'a>(table: &'a TomlTable, path: &[&str]) -> Option<&'a TomlNode> {
    let (last, tables) = path.split_last()?;
    let mut table = table;
    for key in tables {
        match &table.get(*key)?.node.value {
            TomlValue::Table(inner) => table = inner,
            _ => return None,
        }
    }
    Some(&table.get(*last)?.node)
}

/// Sets the value of a path of keys, in tables that are made where they are missing. A value in the
/// place of a table stays: reading the document refuses it.
pub fn set(table: &mut TomlTable, path: &[&str], node: TomlNode) {
    let [key, rest @ ..] = path else {
        return;
    };
    let place = node.place.clone();
    if rest.is_empty() {
        table.insert((*key).to_owned(), TomlEntry { place, node });
        return;
    }
    let empty = || TomlEntry {
        place: place.clone(),
        node: TomlNode {
            place: place.clone(),
            value: TomlValue::Table(TomlTable::new()),
        },
    };
    let entry = table.entry((*key).to_owned()).or_insert_with(empty);
    if let TomlValue::Table(inner) = &mut entry.node.value {
        set(inner, rest, node);
    }
}

/// Removes and returns the value of a path of keys.
pub fn take(table: &mut TomlTable, path: &[&str]) -> Option<TomlNode> {
    let (first, rest) = path.split_first()?;
    if rest.is_empty() {
        return table.remove(*first).map(|entry| entry.node);
    }
    match &mut table.get_mut(*first)?.node.value {
        TomlValue::Table(inner) => take(inner, rest),
        _ => None,
    }
}

/// Every value that is not a table, with its path.
pub fn leaves(table: &TomlTable) -> Vec<(Vec<&str>, &TomlNode)> {
    let mut found = Vec::new();
    for (key, entry) in table {
        match &entry.node.value {
            TomlValue::Table(inner) => {
                found.extend(leaves(inner).into_iter().map(|(mut path, node)| {
                    path.insert(0, key.as_str());
                    (path, node)
                }))
            }
            _ => found.push((vec![key.as_str()], &entry.node)),
        }
    }
    found
}

fn table(source: &DeTable<'_>, at: &dyn Fn(Range<usize>) -> Place, depth: usize) -> TomlTable {
    source
        .iter()
        .map(|(key, value)| {
            let entry = TomlEntry {
                place: at(key.span()),
                node: node(value, at, depth + 1),
            };
            (key.get_ref().to_string(), entry)
        })
        .collect()
}

fn node(
    source: &Spanned<DeValue<'_>>,
    at: &dyn Fn(Range<usize>) -> Place,
    depth: usize,
) -> TomlNode {
    let value = match source.get_ref() {
        // No key is so deep: reading the document refuses the key above it.
        DeValue::Table(_) | DeValue::Array(_) if depth > MOST_NESTED => {
            TomlValue::Other("value nested too deeply")
        }
        DeValue::Table(inner) => TomlValue::Table(table(inner, at, depth)),
        DeValue::Array(items) => {
            TomlValue::Array(items.iter().map(|item| node(item, at, depth + 1)).collect())
        }
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(TomlValue::Other(BEYOND), TomlValue::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or(TomlValue::Other("number"), TomlValue::Float),
        DeValue::String(text) => TomlValue::Text(text.to_string()),
        DeValue::Boolean(flag) => TomlValue::Bool(*flag),
        DeValue::Datetime(_) => TomlValue::Other("date"),
    };
    TomlNode {
        place: at(source.span()),
        value,
    }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |i| i + 1);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&before[line_start..])
        .chars()
        .count()
        + 1;
    (line, column)
}
