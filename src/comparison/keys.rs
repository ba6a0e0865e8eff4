//! The keys in which two experiments differ.

use std::{collections::BTreeMap, path::Path};

use crate::{
    manifest::{self, Experiment},
    variant::Identity,
};

/// A key in which two experiments differ, with the value of each as TOML; none where one has no
/// such key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDifference {
    /// The key from the top of the manifest.
    pub key: String,
    /// Its values.
    pub values: [Option<String>; 2],
}

/// The keys in which the experiments of two folders differ, where both manifests can be read, and
/// what the results of each are of, in words.
pub(super) fn differing(folders: [&Path; 2]) -> (Option<Vec<KeyDifference>>, [String; 2]) {
    // A file of runs lies in its folder.
    let folders = folders.map(|path| match path.is_file() {
        true => path.parent().unwrap_or(path),
        false => path,
    });
    let identities = folders.map(Identity::of_folder);
    let of = |i: usize| match &identities[i] {
        None => "no variant.toml says of what".to_owned(),
        Some(identity) => {
            let Identity {
                manifest,
                profile,
                overrides,
                dataset,
                ..
            } = identity;
            let name = Path::new(manifest).file_name().unwrap_or_default();
            let set: String = overrides.iter().map(|set| format!(", {set}")).collect();
            format!(
                "{}, profile {profile}{set}, {dataset}",
                name.to_string_lossy()
            )
        }
    };
    let words = [of(0), of(1)];
    let values = |i: usize| {
        let experiment = experiment(folders[i], identities[i].as_ref()?)?;
        let resolved = manifest::resolved(&experiment);
        let table: toml::Table = resolved.parse().ok()?;
        let mut values = BTreeMap::new();
        leaves("", &table, &mut values);
        Some(values)
    };
    let (Some(first), Some(second)) = (values(0), values(1)) else {
        return (None, words);
    };
    let keys = first.keys().chain(second.keys());
    let keys: std::collections::BTreeSet<&String> = keys.collect();
    let differing = keys.into_iter().filter_map(|key| {
        let values = [first.get(key), second.get(key)].map(|value| value.cloned());
        (values[0] != values[1]).then(|| KeyDifference {
            key: key.clone(),
            values,
        })
    });
    (Some(differing.collect()), words)
}

/// The manifest of a folder of results, if it is still there and reads.
fn experiment(folder: &Path, identity: &Identity) -> Option<Experiment> {
    // The manifest is named from the results folder, two above.
    let folder = folder.canonicalize().ok()?;
    let results = folder.parent()?.parent()?;
    let path = results.join(&identity.manifest);
    let read = manifest::read(&[path], &identity.profile, &identity.overrides).ok()?;
    read.into_iter().next()
}

/// The values of a table by their keys from the top.
fn leaves(above: &str, table: &toml::Table, into: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = match above {
            "" => key.clone(),
            above => format!("{above}.{key}"),
        };
        match value {
            toml::Value::Table(table) => leaves(&path, table, into),
            value => drop(into.insert(path, value.to_string())),
        }
    }
}
