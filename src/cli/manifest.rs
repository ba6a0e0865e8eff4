//! `expertgrid manifest`: the keys of manifests and their schema.

use std::fmt::Write;

use anyhow::anyhow;
use clap::Subcommand;
use serde::Serialize;

use super::{Done, Failure, output::print};
use crate::manifest::{Fallback, Key, SectionTable, json_schema, sections};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the keys of manifests: values, default, meaning, and whether they enter stages' keys.
    #[command(after_help = "Examples:
  expertgrid manifest keys
  expertgrid manifest keys network
  expertgrid manifest keys finetune.lr")]
    Keys {
        /// A section, like `network`, or one key, like `network.width` [default: all].
        #[arg(value_name = "SECTION")]
        section: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of manifests, for editors.
    #[command(
        after_help = "Example: expertgrid manifest schema > manifest.schema.json

A manifest whose first line is `#:schema manifest.schema.json` is completed and checked by editors
that know taplo, as those of the paper are."
    )]
    Schema,
}

pub(super) fn run(command: &Command) -> Result<Done, Failure> {
    match command {
        Command::Schema => print(json_schema().trim_end()),
        Command::Keys { section, json } => {
            let chosen = chosen(section.as_deref())?;
            match json {
                true => {
                    let told: Vec<KeyDescription> = chosen.iter().flat_map(told).collect();
                    print(serde_json::to_string_pretty(&told).expect("keys are plain data"));
                }
                false => print(listed(&chosen).trim_end()),
            }
        }
    }
    Ok(Done::Whole)
}

/// The sections asked for, each with the keys asked for.
fn chosen(name: Option<&str>) -> Result<Vec<SectionTable>, Failure> {
    let Some(name) = name else {
        return Ok(sections().to_vec());
    };
    let of_section = sections().iter().filter(|section| section.name == name);
    let mut found: Vec<SectionTable> = of_section.cloned().collect();
    if found.is_empty() {
        found.extend(sections().iter().filter_map(|section| {
            let keys = section.keys.iter().filter(|key| section.path(key) == name);
            let keys: Vec<Key> = keys.copied().collect();
            (!keys.is_empty()).then(|| SectionTable {
                keys,
                ..section.clone()
            })
        }));
    }
    match found.is_empty() {
        true => {
            let names = sections().iter().map(|section| section.name);
            let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
            Err(Failure::Input(anyhow!(
                "there is no section or key `{name}`; the sections are {}",
                names.join(", ")
            )))
        }
        false => Ok(found),
    }
}

fn listed(sections: &[SectionTable]) -> String {
    let mut text = String::new();
    for section in sections {
        let name = match section.name {
            "" => "at the top".to_owned(),
            name => format!("[{name}]"),
        };
        let _ = writeln!(text, "{name}  {}", section.about.trim());
        for key in &section.keys {
            let keyed = match key.keyed {
                true => "enters stages' keys",
                false => "not in keys",
            };
            let (kind, default) = (key.kind.describe(), default(key));
            let _ = writeln!(text, "  {}: {kind}; {default}; {keyed}", key.name);
            let _ = writeln!(text, "      {}", key.sentence());
            for word in key.kind.words() {
                let _ = writeln!(text, "      \"{}\": {}", word.word, word.doc.trim());
            }
        }
        text.push('\n');
    }
    text
}

/// The default of a key, in words.
fn default(key: &Key) -> String {
    match key.default {
        Fallback::Value(text) => format!("default {}", text()),
        Fallback::As(other) => format!("default that of `{other}`"),
        Fallback::Required(example) => format!("no default, for example {example}"),
        Fallback::Absent => "may be absent".to_owned(),
    }
}

/// A key as JSON.
#[derive(Serialize)]
struct KeyDescription {
    key: String,
    section: &'static str,
    values: String,
    /// As TOML writes it.
    default: Option<String>,
    default_from: Option<&'static str>,
    required: bool,
    keyed: bool,
    description: &'static str,
    words: Vec<AllowedWord>,
}

#[derive(Serialize)]
struct AllowedWord {
    word: &'static str,
    description: &'static str,
}

fn told(section: &SectionTable) -> Vec<KeyDescription> {
    let keys = section.keys.iter();
    keys.map(|key| KeyDescription {
        key: section.path(key),
        section: section.name,
        values: key.kind.describe(),
        default: match key.default {
            Fallback::Value(text) => Some(text()),
            Fallback::As(_) | Fallback::Required(_) | Fallback::Absent => None,
        },
        default_from: match key.default {
            Fallback::As(other) => Some(other),
            Fallback::Value(_) | Fallback::Required(_) | Fallback::Absent => None,
        },
        required: matches!(key.default, Fallback::Required(_)),
        keyed: key.keyed,
        description: key.sentence(),
        words: key.kind.words().iter().map(choice).collect(),
    })
    .collect()
}

fn choice(word: &crate::manifest::Word) -> AllowedWord {
    AllowedWord {
        word: word.word,
        description: word.doc.trim(),
    }
}
