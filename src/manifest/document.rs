//! A TOML document as a tree in which every key and value knows its place.
//!
//! The rule: layers (the manifest, a profile, overrides) are merged here, before anything is
//! read, so that a value's place is always where the user wrote the value that counts.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{Place, Problems};

/// How deep tables and lists are followed; a manifest has none beyond the fifth. TOML's own bounds
/// multiply: tables 80 deep, each under a key of 80 parts.
const MOST_NESTED: usize = 8;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value begins.
    pub place: Place,
    /// The value.
    pub value: Value,
}

/// What TOML can say, as far as a manifest uses it.
#[derive(Clone, Debug)]
pub enum Value {
    /// `[name]` or `{ .. }`.
    Table(Table),
    /// `[a, b]`.
    Array(Vec<Node>),
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

impl Value {
    /// What the value is, for an error message.
    pub fn describe(&self) -> String {
        match self {
            Self::Table(_) => "a table".into(),
            Self::Array(_) => "a list".into(),
            Self::Integer(v) => format!("the whole number {v}"),
            Self::Float(v) => format!("the number {v}"),
            Self::Text(v) => format!("the text \"{v}\""),
            Self::Bool(v) => format!("`{v}`"),
            Self::Other(name) => format!("a {name}"),
        }
    }
}

/// Keys in alphabetical order: their order in the file never matters.
pub type Table = BTreeMap<String, Entry>;

/// A key with its place, and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

/// Parses a file's text.
///
/// # Errors
/// Every syntax error the parser can recover from, each with its place.
pub fn parse(path: &str, text: &str) -> Result<Table, Problems> {
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
    for error in errors {
        let place = at(error.span().unwrap_or(0..0));
        problems.push(
            &place,
            format!("not valid TOML: {}", error.message().trim()),
        );
    }
    problems.or(()).map(|()| table(document.get_ref(), &at, 0))
}

/// Parses `a.b.c=value`. A value that is not TOML is taken as text, so that
/// `metrics.assd=macro` needs no quotes.
///
/// # Errors
/// An override without `=` or with an empty key.
pub fn parse_override(text: &str) -> Result<Table, Problems> {
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
        // A text that says nothing, like a comment, is no override either.
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
pub fn overlay(base: &mut Table, top: Table) {
    for (key, entry) in top {
        match (base.get_mut(&key), entry) {
            (
                Some(Entry {
                    node:
                        Node {
                            value: Value::Table(under),
                            ..
                        },
                    ..
                }),
                Entry {
                    node:
                        Node {
                            value: Value::Table(over),
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

fn table(source: &DeTable<'_>, at: &dyn Fn(Range<usize>) -> Place, depth: usize) -> Table {
    source
        .iter()
        .map(|(key, value)| {
            let entry = Entry {
                place: at(key.span()),
                node: node(value, at, depth + 1),
            };
            (key.get_ref().to_string(), entry)
        })
        .collect()
}

fn node(source: &Spanned<DeValue<'_>>, at: &dyn Fn(Range<usize>) -> Place, depth: usize) -> Node {
    let value = match source.get_ref() {
        // No key is known so deep: whoever reads the document refuses what is above.
        DeValue::Table(_) | DeValue::Array(_) if depth > MOST_NESTED => {
            Value::Other("value nested too deeply")
        }
        DeValue::Table(inner) => Value::Table(table(inner, at, depth)),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| node(item, at, depth + 1)).collect())
        }
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("whole number beyond 64 bits"), Value::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or(Value::Other("number"), Value::Float),
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(_) => Value::Other("date"),
    };
    Node {
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
