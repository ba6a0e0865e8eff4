//! The layers of a manifest: the files of a chain of `extends`, a profile of each, overrides.
//!
//! The rule: a later layer replaces values of an earlier one. From the first: the keys of the file
//! that extends none, its profile, the keys of the file that extends it, that file's profile, and
//! so on; overrides last. This file knows no key's meaning.

use std::{
    fs,
    path::{Path, PathBuf},
};

use itertools::Itertools;

use super::{
    changes::{Change, ChangedBy},
    document::{self, TomlEntry, TomlNode, TomlTable, TomlValue},
    kind::{Fallback, ValueKind},
    normal::normalise,
    problem::{Place, Problems},
    source::{ManifestTexts, complaint, existing_at},
    table,
};

/// The longest chain of files that extend each other.
pub const MAX_CHAIN: usize = 8;

/// One file of a chain.
pub(super) struct ChainedFile {
    /// Its path.
    pub(super) path: PathBuf,
    /// Its path, as problems name it.
    shown: String,
    /// Its text.
    pub(super) text: String,
    /// Its own keys, without `profile` and `extends`.
    keys: TomlTable,
    /// Its profiles.
    pub(super) profiles: TomlTable,
}

/// A manifest and the files it extends, the last of them first.
///
/// # Errors
/// A file that cannot be read or is not TOML; a chain that is too long or circular.
pub(super) fn chain(
    path: &Path,
    text: String,
    texts: &ManifestTexts,
) -> Result<Vec<ChainedFile>, Problems> {
    let mut files = Vec::new();
    let mut names = vec![identity(path)];
    let (mut path, mut text) = (path.to_owned(), text);
    loop {
        let (file, base) = ChainedFile::parse(&path, &text)?;
        files.push(file);
        let Some((place, base)) = base else {
            break;
        };
        if let Some(at) = names.iter().position(|name| *name == identity(&base)) {
            let circle = files[at..].iter().map(|file| file.shown.as_str());
            return Err(problem(
                &place,
                format!(
                    "`extends` comes back to {}: {} extend each other in a circle; take one \
                     `extends` out",
                    base.display(),
                    circle.format(", ")
                ),
            ));
        }
        if files.len() == MAX_CHAIN {
            return Err(problem(
                &place,
                format!(
                    "a chain of more than {MAX_CHAIN} manifests that extend each other; write the \
                     keys of some of them into one"
                ),
            ));
        }
        text = existing_at(&base, texts, |why| {
            format!("`extends` names {}: {why}", base.display())
        })
        .map_err(|why| problem(&place, why))?;
        names.push(identity(&base));
        path = base;
    }
    files.reverse();
    Ok(files)
}

fn problem(place: &Place, message: String) -> Problems {
    let mut problems = Problems::default();
    problems.push(place, message);
    problems
}

/// The same for all paths of one file.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

impl ChainedFile {
    /// The file; and the file that it extends, with the place that names it.
    fn parse(path: &Path, text: &str) -> Result<(Self, Option<(Place, PathBuf)>), Problems> {
        let shown = path.display().to_string();
        let mut keys = document::parse(&shown, text)?;
        if keys.is_empty() {
            return Err(complaint(
                path,
                "the manifest is empty; copy one of experiments/*.toml and edit it",
            ));
        }
        let mut problems = Problems::default();
        let base = keys.remove("extends").and_then(|entry| {
            let place = entry.node.place;
            match entry.node.value {
                TomlValue::Text(base) if !base.is_empty() => {
                    let folder = path.parent().unwrap_or(Path::new(""));
                    Some((place, folder.join(base)))
                }
                other => {
                    let message = format!(
                        "`extends` is the path of another manifest, not {}",
                        other.describe()
                    );
                    problems.push(&place, message);
                    None
                }
            }
        });
        let mut profiles = TomlTable::new();
        if let Some(entry) = keys.remove("profile") {
            match entry.node.value {
                TomlValue::Table(named) => profiles = named,
                other => problems.push(
                    &entry.node.place,
                    format!(
                        "`profile` holds one table per profile, not {}",
                        other.describe()
                    ),
                ),
            }
        }
        normalise(&mut keys, &mut problems);
        for (name, entry) in &mut profiles {
            match &mut entry.node.value {
                TomlValue::Table(overlay) => {
                    misplaced(overlay, &format!("profile `{name}`"), &mut problems);
                    normalise(overlay, &mut problems);
                }
                other => problems.push(
                    &entry.node.place,
                    format!("a profile is a table, not {}", other.describe()),
                ),
            }
        }
        let file = Self {
            path: path.to_owned(),
            shown,
            text: text.to_owned(),
            keys,
            profiles,
        };
        problems.or((file, base))
    }

    fn profile(&self, name: &str) -> Option<&TomlTable> {
        match &self.profiles.get(name)?.node.value {
            TomlValue::Table(table) => Some(table),
            _ => None,
        }
    }
}

/// Removes keys that are allowed at the top of a file only.
pub(super) fn misplaced(overlay: &mut TomlTable, where_: &str, problems: &mut Problems) {
    for key in ["extends", "profile"] {
        if let Some(entry) = overlay.remove(key) {
            let message =
                format!("`{key}` has no place in {where_}; write it at the top of a file");
            problems.push(&entry.place, message);
        }
    }
}

/// All layers laid over each other.
pub(super) struct Laid {
    /// The effective keys.
    pub(super) table: TomlTable,
    /// What every layer but the first changed.
    pub(super) changes: Vec<Change>,
    /// What the user might not expect.
    pub(super) warnings: Vec<String>,
    /// The order in which values were written.
    pub(super) rank: Rank,
}

/// Overrides laid over each other, and in the order in which they were given.
#[derive(Default)]
pub(super) struct Overrides {
    pub(super) table: TomlTable,
    pub(super) given: Vec<String>,
}

/// The files of a chain, the lowest first, and the overrides after them.
pub(super) struct Rank {
    files: Vec<String>,
    overrides: Vec<String>,
}

impl Rank {
    /// The rank of the layer in which a place lies.
    pub(super) fn of(&self, place: &Place) -> usize {
        match place {
            Place::File { path, .. } => {
                let at = self.files.iter().position(|file| **file == **path);
                at.unwrap_or_default()
            }
            Place::Override(text) => {
                let at = self.overrides.iter().position(|given| **given == **text);
                self.files.len() + at.unwrap_or_default()
            }
            Place::Whole(_) => 0,
        }
    }
}

/// Lays a profile of each file and the overrides over the files' keys.
pub(super) fn lay(files: &[ChainedFile], profile: &str, overrides: &Overrides) -> Laid {
    let mut laid = Laid {
        table: TomlTable::new(),
        changes: Vec::new(),
        warnings: Vec::new(),
        rank: Rank {
            files: files.iter().map(|file| file.shown.clone()).collect(),
            overrides: overrides.given.clone(),
        },
    };
    for (i, file) in files.iter().enumerate() {
        match i.checked_sub(1) {
            None => laid.table = file.keys.clone(),
            Some(base) => laid.overlay(&file.keys, &ChangedBy::Extends(files[base].shown.clone())),
        }
        if let Some(overlay) = file.profile(profile) {
            laid.overlay(overlay, &ChangedBy::Profile(profile.to_owned()));
        }
    }
    laid.overlay(&overrides.table, &ChangedBy::Set);
    for file in files {
        laid.warn_of(file, profile);
    }
    laid.settle_sweep();
    laid
}

impl Laid {
    fn overlay(&mut self, top: &TomlTable, by: &ChangedBy) {
        let written = document::leaves(top).into_iter();
        for (path, node) in written.sorted_by_key(|(_, node)| node.place.clone()) {
            let before = document::find(&self.table, &path);
            if before.is_some_and(|before| before.value.same(&node.value)) {
                continue;
            }
            let key = path.join(".");
            let previous = before.map(|node| shown(&key, node));
            let previous = previous.or_else(|| self.default_of(&key));
            let value = shown(&key, node);
            if previous.as_ref() == Some(&value) {
                continue;
            }
            self.changes.retain(|change| change.key != key);
            self.changes.push(Change {
                key,
                value,
                previous,
                place: node.place.clone(),
                by: by.clone(),
            });
        }
        document::overlay(&mut self.table, top.clone());
    }

    /// The default of a key that no layer has set yet.
    fn default_of(&self, key: &str) -> Option<String> {
        match table::key(key)?.1.default {
            Fallback::As(other) => {
                let path: Vec<&str> = other.split('.').collect();
                let node = document::find(&self.table, &path);
                node.map(|node| shown(other, node))
                    .or_else(|| self.default_of(other))
            }
            Fallback::Value(_) | Fallback::Required(_) | Fallback::Absent => {
                table::default_text(key)
            }
        }
    }

    /// Warns of values that differ from the default and that the profile of their own file
    /// replaces.
    fn warn_of(&mut self, file: &ChainedFile, profile: &str) {
        for (path, over) in file
            .profile(profile)
            .map(document::leaves)
            .unwrap_or_default()
        {
            let key = path.join(".");
            let counts = document::find(&self.table, &path);
            let (Some(own), Some(counts)) = (document::find(&file.keys, &path), counts) else {
                continue;
            };
            let Some(default) = table::default_text(&key) else {
                continue;
            };
            let text = table::key(&key).is_some_and(|(_, key)| matches!(key.kind, ValueKind::Text));
            let (own_text, over_text) = (shown(&key, own), shown(&key, over));
            if text || counts.place != over.place || own_text == default || own_text == over_text {
                continue;
            }
            self.warnings.push(format!(
                "{}: {key} = {own_text} is overridden by profile {profile} ({}: {over_text}); edit \
                 the profile, or use --set {key}={own_text}",
                own.place, over.place
            ));
        }
    }

    /// Resolves keys that are both swept and set: a sweep replaces values of its own file and those
    /// below; a value of a file above or of the command line replaces the sweep.
    fn settle_sweep(&mut self) {
        let Some(TomlEntry {
            node:
                TomlNode {
                    value: TomlValue::Table(swept),
                    ..
                },
            ..
        }) = self.table.get("sweep")
        else {
            return;
        };
        let mut replaced = Vec::new();
        for (key, entry) in swept {
            let path: Vec<&str> = key.split('.').collect();
            let Some(own) = document::find(&self.table, &path) else {
                continue;
            };
            if self.rank.of(&own.place) > self.rank.of(&entry.node.place) {
                let previous = format!("swept over {}", entry.node.value.toml());
                replaced.push((key.clone(), own.clone(), previous));
                continue;
            }
            // The value that is set has no effect.
            let Some(at) = self.changes.iter().position(|change| change.key == *key) else {
                continue;
            };
            let change = self.changes.remove(at);
            if let ChangedBy::Profile(profile) = change.by {
                self.warnings.push(format!(
                    "{}: {key} = {} of profile {profile} has no effect, as {} sweeps the key; \
                     take one of them out",
                    change.place, change.value, entry.node.place
                ));
            }
        }
        for (key, own, previous) in replaced {
            let swept = format!("sweep.{key}");
            self.changes.retain(|change| change.key != swept);
            match self.changes.iter_mut().find(|change| change.key == key) {
                Some(change) => change.previous = Some(previous),
                // No layer has changed the value: it is the one below the sweep.
                None => self.changes.push(Change {
                    value: shown(&key, &own),
                    previous: Some(previous),
                    by: match own.place {
                        Place::Override(_) => ChangedBy::Set,
                        _ => self.extended(self.rank.of(&own.place)),
                    },
                    place: own.place,
                    key: key.clone(),
                }),
            }
            if let Some(TomlEntry { node, .. }) = self.table.get_mut("sweep")
                && let TomlValue::Table(swept) = &mut node.value
            {
                swept.remove(&key);
            }
        }
    }

    fn extended(&self, file: usize) -> ChangedBy {
        ChangedBy::Extends(self.rank.files[file.saturating_sub(1)].clone())
    }
}

/// The value of a key as TOML, in one spelling.
pub(super) fn shown(key: &str, node: &TomlNode) -> String {
    match table::key(key) {
        Some((_, key)) => key.kind.text(node),
        None => node.value.toml(),
    }
}
