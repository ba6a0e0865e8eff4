//! The JSON Schema of manifests (draft 2020-12), for editors: made of the table of keys.
//!
//! It does not know checks that concern several keys, such as a crop and `image.reduce`.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{
    MAX_PROFILES, PAPER,
    kind::{Fallback, Key, SIDE_UNIT, ValueKind, Word},
    sweep,
    table::{self, SectionTable},
};
use crate::{grid::Axis, method::Words};

/// A JSON value whose keys keep their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// Anything without keys.
    Plain(serde_json::Value),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Map(Vec<(String, Json)>),
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

fn plain(value: impl Into<serde_json::Value>) -> Json {
    Json::Plain(value.into())
}

fn map<const N: usize>(entries: [(&str, Json); N]) -> Json {
    Json::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

fn joined(first: Json, second: Json) -> Json {
    match (first, second) {
        (Json::Map(mut first), Json::Map(second)) => {
            first.extend(second);
            Json::Map(first)
        }
        (first, _) => first,
    }
}

/// A table that knows these keys and no others.
fn closed(about: &str, properties: Vec<(String, Json)>) -> Json {
    map([
        ("description", plain(about)),
        ("type", plain("object")),
        ("properties", Json::Map(properties)),
        ("additionalProperties", plain(false)),
    ])
}

/// The schema, as it is committed beside the manifests.
pub fn json_schema() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).expect("a schema is plain data");
    text.push('\n');
    text
}

fn schema() -> Json {
    let overlay = properties(
        |section| section.name != "profile",
        |key| key.name != "extends",
    );
    let profiles = map([
        ("description", plain(about("profile"))),
        ("type", plain("object")),
        (
            "propertyNames",
            map([("not", map([("const", plain(PAPER))]))]),
        ),
        (
            "additionalProperties",
            map([("$ref", plain("#/$defs/overlay"))]),
        ),
        ("maxProperties", plain(MAX_PROFILES)),
    ]);
    let mut top = properties(|section| section.name != "profile", |_| true);
    top.push(("profile".into(), profiles));
    let required = table::sections()
        .iter()
        .filter(|section| section.name == "grid");
    let required = required
        .flat_map(|grid| &grid.keys)
        .filter(|key| !key.name.contains('.'));
    // Which methods there are decides whether the trainers are needed; the older name of
    // `methods` may stand for it.
    let optional = [
        table::TRAIN_EXPERTS.name,
        table::METHODS.name,
        table::ARMS.name,
    ];
    let required = required
        .filter(|key| matches!(key.default, Fallback::Required(_)))
        .filter(|key| !optional.contains(&key.name));
    let required = required.map(|key| plain(key.name)).collect();
    let whole = map([
        ("required", Json::List(vec![plain("grid")])),
        (
            "properties",
            map([("grid", map([("required", Json::List(required))]))]),
        ),
    ]);
    let sections = table::sections()
        .iter()
        .filter(|section| !structural(section));
    let sections = sections.map(|section| (section.name.to_owned(), section_schema(section)));
    let mut definitions: Vec<(String, Json)> = sections.collect();
    definitions.push(("sweep".into(), sweep_schema()));
    definitions.push(("method".into(), methods_schema()));
    let about_overlay = "Keys of a profile: any of a manifest's, all optional.";
    definitions.push(("overlay".into(), closed(about_overlay, overlay)));
    let head = map([
        (
            "$schema",
            plain("https://json-schema.org/draft/2020-12/schema"),
        ),
        ("title", plain("A manifest of expertgrid")),
    ]);
    let rest = map([
        (
            "if",
            map([(
                "not",
                map([("required", Json::List(vec![plain("extends")]))]),
            )]),
        ),
        ("then", whole),
        ("$defs", Json::Map(definitions)),
    ]);
    joined(joined(head, closed("The grid of one table.", top)), rest)
}

/// Whether a section is written by hand: the top level, and what holds keys of others.
fn structural(section: &SectionTable) -> bool {
    ["", "sweep", "profile", "method"].contains(&section.name)
}

fn about(section: &str) -> &'static str {
    let found = table::sections().iter().find(|table| table.name == section);
    found.map_or("", |section| section.about.trim())
}

/// The keys of the top level, and references to the sections.
fn properties(
    wanted: impl Fn(&SectionTable) -> bool,
    key_wanted: impl Fn(&Key) -> bool,
) -> Vec<(String, Json)> {
    let mut found = Vec::new();
    for section in table::sections().iter().filter(|section| wanted(section)) {
        if section.name.is_empty() {
            let keys = section.keys.iter().filter(|key| key_wanted(key));
            found.extend(keys.map(|key| (key.name.to_owned(), key_schema(section, key))));
        } else {
            let target = format!("#/$defs/{}", section.name);
            found.push((section.name.to_owned(), map([("$ref", plain(target))])));
        }
    }
    found
}

fn section_schema(section: &SectionTable) -> Json {
    let keys = section.keys.iter();
    let keys = keys.map(|key| (key.name, key_schema(section, key)));
    closed(section.about.trim(), nested(keys.collect()))
}

/// Dotted keys as tables of a table.
fn nested(keys: Vec<(&str, Json)>) -> Vec<(String, Json)> {
    let mut found: Vec<(String, Json)> = Vec::new();
    for (name, schema) in keys {
        let Some((outer, inner)) = name.split_once('.') else {
            found.push((name.to_owned(), schema));
            continue;
        };
        let inner = (inner.to_owned(), schema);
        match found.iter_mut().find(|(name, _)| name == outer) {
            Some((_, Json::Map(table))) => {
                let properties = table.iter_mut().find(|(name, _)| name == "properties");
                if let Some((_, Json::Map(properties))) = properties {
                    properties.push(inner);
                }
            }
            _ => found.push((outer.to_owned(), closed(outer, vec![inner]))),
        }
    }
    found
}

/// `[method]`: a table for each method.
fn methods_schema() -> Json {
    let keys = Words::KEYS.iter().map(|(key, values)| {
        let values = values.iter().map(|value| plain(*value));
        let schema = map([("enum", Json::List(values.collect()))]);
        ((*key).to_owned(), schema)
    });
    map([
        ("description", plain(about("method"))),
        ("type", plain("object")),
        (
            "additionalProperties",
            closed(
                "A way of getting a network for a new expert.",
                keys.collect(),
            ),
        ),
    ])
}

/// `[sweep]`: each key with its whole name, and in the table of its section.
fn sweep_schema() -> Json {
    let mut whole = Vec::new();
    let mut tables = Vec::new();
    for section in table::sections() {
        let keys = section
            .keys
            .iter()
            .filter(|key| sweep::can_be_swept(&section.path(key)));
        let keys: Vec<(&Key, Json)> = keys
            .map(|key| {
                let values = map([
                    (
                        "description",
                        plain(format!("Values of: {}", description(key))),
                    ),
                    ("type", plain("array")),
                    ("items", value_schema(&key.kind)),
                    ("minItems", plain(1)),
                    ("uniqueItems", plain(true)),
                ]);
                (key, values)
            })
            .collect();
        whole.extend(
            keys.iter()
                .map(|(key, values)| (section.path(key), values.clone())),
        );
        if !section.name.is_empty() && !keys.is_empty() {
            let inner = keys
                .into_iter()
                .map(|(key, values)| (key.name.to_owned(), values));
            let about = format!("Values of keys of [{}].", section.name);
            tables.push((section.name.to_owned(), closed(&about, inner.collect())));
        }
    }
    whole.extend(tables);
    closed(about("sweep"), whole)
}

/// What a key says, with the words it chooses from.
fn description(key: &Key) -> String {
    let words: Vec<String> = key
        .kind
        .words()
        .iter()
        .map(|Word { word, doc }| format!("\n- \"{word}\": {}", doc.trim()))
        .collect();
    format!("{}{}", key.sentence(), words.concat())
}

/// The schema of one key, with its description and default.
pub(super) fn key_schema(section: &SectionTable, key: &Key) -> Json {
    let described = map([("description", plain(description(key)))]);
    let schema = joined(described, value_schema(&key.kind));
    let default = match key.default {
        Fallback::Value(_) => table::default_text(&section.path(key)),
        Fallback::As(_) | Fallback::Required(_) | Fallback::Absent => None,
    };
    match default.map(|text| toml_value(&text)) {
        Some(default) => joined(schema, map([("default", plain(default))])),
        None => schema,
    }
}

/// A default as JSON.
fn toml_value(text: &str) -> serde_json::Value {
    let table: toml::Table = toml::from_str(&format!("value = {text}")).expect("written as TOML");
    serde_json::to_value(&table["value"]).expect("numbers, texts and lists of them")
}

fn value_schema(kind: &ValueKind) -> Json {
    match kind {
        ValueKind::Whole {
            least,
            most,
            multiple_of,
            ..
        } => {
            let mut schema = map([("type", plain("integer")), ("minimum", plain(*least))]);
            if let Some(most) = most {
                schema = joined(schema, map([("maximum", plain(*most))]));
            }
            match multiple_of {
                1 => schema,
                unit => joined(schema, map([("multipleOf", plain(*unit))])),
            }
        }
        ValueKind::Side => map([
            ("type", plain("integer")),
            ("minimum", plain(SIDE_UNIT)),
            ("multipleOf", plain(SIDE_UNIT)),
        ]),
        ValueKind::Number { least, most } => bounded(*least, *most),
        ValueKind::Rate => map([("type", plain("number")), ("exclusiveMinimum", plain(0))]),
        ValueKind::Range { least, most } | ValueKind::Pair { least, most } => map([
            ("type", plain("array")),
            ("items", bounded(*least, *most)),
            ("minItems", plain(2)),
            ("maxItems", plain(2)),
        ]),
        ValueKind::Words(words) => {
            let words = words.iter().map(|word| plain(word.word));
            map([("enum", Json::List(words.collect()))])
        }
        ValueKind::Text | ValueKind::Path | ValueKind::Folder => map([("type", plain("string"))]),
        ValueKind::Either(kinds) => {
            let kinds = kinds.iter().map(value_schema);
            map([("anyOf", Json::List(kinds.collect()))])
        }
        ValueKind::List(item) => {
            map([("anyOf", Json::List(vec![value_schema(item), list_of(item)]))])
        }
        ValueKind::Axes => {
            let axes = Axis::of_grids().collect::<Vec<_>>();
            let words = axes.iter().flat_map(Axis::words).map(str::to_owned);
            let keys = table::sections().iter().flat_map(|section| {
                let paths = section.keys.iter().map(|key| section.path(key));
                paths.filter(|path| sweep::can_be_swept(path))
            });
            let words = words.chain(keys).map(plain).collect();
            one_or_many(map([("enum", Json::List(words))]))
        }
        ValueKind::Comparison => one_or_many(map([("type", plain("string"))])),
        ValueKind::Overlay => map([("type", plain("object"))]),
        ValueKind::Values => map([("type", plain("array"))]),
    }
}

/// A value, or a list of distinct ones that may be empty.
fn one_or_many(item: Json) -> Json {
    let list = map([
        ("type", plain("array")),
        ("items", item.clone()),
        ("uniqueItems", plain(true)),
    ]);
    map([("anyOf", Json::List(vec![item, list]))])
}

fn bounded(least: f64, most: f64) -> Json {
    map([
        ("type", plain("number")),
        ("minimum", plain(least)),
        ("maximum", plain(most)),
    ])
}

fn list_of(item: &ValueKind) -> Json {
    map([
        ("type", plain("array")),
        ("items", value_schema(item)),
        ("minItems", plain(1)),
        ("uniqueItems", plain(true)),
    ])
}
