//! Names of experts: those that `dataset.experts` lists, and where one stands for a number.

use itertools::Itertools;

use super::{
    data_set::NumberOrName,
    document::{TomlNode, TomlValue},
    kind::Key,
    reader::{FromNode, Located, Misfit, Section},
};
use crate::file_name::folded;

/// Most bytes of a name.
const MOST_BYTES: usize = 40;

/// A list of names; nothing where there is another value, which is read elsewhere.
struct NameList(Vec<Located<String>>);

impl FromNode for NameList {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        let TomlValue::Array(items) = &node.value else {
            return Ok(Self(Vec::new()));
        };
        let names = items.iter().filter_map(|item| match &item.value {
            TomlValue::Text(name) => Some(Located {
                value: name.clone(),
                place: item.place.clone(),
            }),
            _ => None,
        });
        Ok(Self(names.collect()))
    }
}

/// The names in `dataset.experts`; none where it is a number.
pub(super) fn names(section: &Section<'_>) -> Vec<String> {
    let found = section.read("experts", NameList(Vec::new())).value.0;
    let names: Vec<String> = found.iter().map(|name| name.value.clone()).collect();
    for (at, (name, why)) in refused_at(&names) {
        let message = format!("the expert's name \"{name}\" {why}; give the expert another name");
        section.note(&found[at].place, message);
    }
    // Also those that are refused: where they are used is no mistake of its own.
    names
}

/// The names that experts cannot have, each with why not.
pub fn refused_names(names: &[String]) -> Vec<(String, String)> {
    refused_at(names).map(|(_, refused)| refused).collect()
}

fn refused_at(names: &[String]) -> impl Iterator<Item = (usize, (String, String))> {
    let refused = |(at, value): (usize, &String)| {
        let forbidden = |c: char| c.is_control() || "+/\\,;|*?\"<>{}".contains(c);
        let why = if value.is_empty() || value.trim() != value || value.len() > MOST_BYTES {
            format!("is empty, has blanks at an end, or more than {MOST_BYTES} bytes")
        } else if value.contains(forbidden) || value.starts_with('.') {
            "has a character that separates names in tables, paths or expressions".to_owned()
        } else if names[..at]
            .iter()
            .any(|known| folded(known) == folded(value))
        {
            "stands for two experts, or differs in case only".to_owned()
        } else {
            return None;
        };
        Some((at, (value.clone(), why)))
    };
    names.iter().enumerate().filter_map(refused)
}

/// The experts of a list, by number or by name.
pub(super) fn list(section: &Section<'_>, axis: &Key, names: &[String]) -> Vec<Located<usize>> {
    let words = section.list::<NumberOrName>(axis.last(), axis.example());
    let mut numbers = Vec::new();
    for Located { value, place } in words {
        let name = match value {
            NumberOrName::Number(value) => {
                numbers.push(Located { value, place });
                continue;
            }
            NumberOrName::Name(name) => name,
        };
        let at = names.iter().position(|known| *known == name);
        match (at, names) {
            (Some(at), _) => numbers.push(Located {
                value: at + 1,
                place,
            }),
            (None, []) => section.note(
                &place,
                format!(
                    "`{}`: \"{name}\" is the name of no expert, as `dataset.experts` lists none; \
                     write numbers, or list the names there",
                    section.name(axis.last())
                ),
            ),
            (None, names) => section.note(
                &place,
                format!(
                    "`{}`: there is no expert \"{name}\"; `dataset.experts` has {}",
                    section.name(axis.last()),
                    names.iter().format(", ")
                ),
            ),
        }
    }
    numbers
}
