//! From TOML files to validated experiments.
//!
//! The rule: this module reads no files but manifests; every mistake in every file is reported at
//! once, each as `file:line:column: what; remedy`.

mod assemble;
mod changes;
mod choices;
mod data_keys;
mod data_set;
mod data_spec;
mod declared;
mod document;
mod experiment;
mod experts;
mod grid;
mod json_schema;
mod kind;
mod layers;
mod names;
mod normal;
mod path_pattern;
mod problem;
mod reader;
mod recipe;
mod resolved;
mod sections;
mod selection;
mod shipped;
mod source;
mod sweep;
mod swept;
mod syntax;
mod table;
mod table_spec;

use std::{cell::RefCell, path::Path};

use itertools::Itertools;

use document::TomlTable;
use layers::{ChainedFile, Laid, Overrides};
use reader::Section;
use source::{complaint, existing, too_long};

use crate::suggestion::nearest_of;

pub use changes::{Change, ChangedBy};
pub use choices::*;
pub use data_keys::MOST_LABEL;
pub use data_set::data_set_keys;
pub use data_spec::{CaseSplit, Channel, DataSpec, FileLayout, FileReading, Slices};
pub use document::quoted;
pub use experiment::*;
pub use experts::refused_names;
pub use grid::{Annotators, Grid, Network};
pub use json_schema::{Json, json_schema};
pub use kind::{Fallback, Key, ValueKind, Word};
pub use layers::MAX_CHAIN;
pub use path_pattern::{EXPERT_PART, Parts, PathPattern, SPLIT_PART, glob_fits, part};
pub use problem::{Place, Problem, Problems};
pub use reader::Range;
pub use recipe::*;
pub use resolved::resolved;
pub use selection::SelectionRules;
pub use shipped::{PROFILES, shipped, shipped_names};
pub use source::{MAX_BYTES, ManifestTexts, found};
pub use sweep::{MAX_POINTS, Point};
pub use swept::{Swept, SweptValue};
pub use table::{SectionTable, sections};
pub use table_spec::TableSpec;

/// Most profiles in a manifest: each is read, chosen or not.
pub const MAX_PROFILES: usize = 32;

/// The name of the profile that overlays nothing: the manifest's own keys.
pub const PAPER: &str = "paper";

/// Reads manifests with a profile and overrides (`key=value`) laid over each.
///
/// # Errors
/// Every problem of every file, together.
pub fn read(
    paths: &[impl AsRef<Path>],
    profile: &str,
    overrides: &[String],
) -> Result<Vec<Experiment>, Problems> {
    read_with(&ManifestTexts::default(), paths, profile, overrides)
}

/// The same, with texts that stand for files.
///
/// # Errors
/// Every problem in all of them, together.
pub fn read_with(
    texts: &ManifestTexts,
    paths: &[impl AsRef<Path>],
    profile: &str,
    overrides: &[String],
) -> Result<Vec<Experiment>, Problems> {
    let (_, mut problems) = layered(overrides);
    let mut experiments = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        if let Some(why) = names::refused(path)
            && !path.is_dir()
        {
            problems.push(&Place::Whole(path.display().to_string().into()), why);
        }
        let text = existing(path, texts);
        match text.and_then(|text| parse_with(texts, path, &text, profile, overrides)) {
            Ok(experiment) => experiments.push(experiment),
            Err(more) => problems.extend(more),
        }
    }
    for name in experiments.iter().map(|e| &e.name).duplicates() {
        let of_name = experiments.iter().filter(|e| e.name == *name);
        let why = match of_name.map(|e| e.path.canonicalize().ok()).all_equal() {
            true => format!("{name}.toml is named twice; name it once"),
            false => format!(
                "two manifests are called {name}.toml; their results would share a folder; rename \
                 one"
            ),
        };
        problems.push(&Place::Whole(name.as_str().into()), why);
    }
    for (one, other) in names::alike(experiments.iter().map(|e| e.name.as_str())) {
        problems.push(
            &Place::Whole(other.into()),
            format!(
                "{one}.toml and {other}.toml differ {}; on many disks their results would share a \
                 folder; rename one",
                names::difference(one, other)
            ),
        );
    }
    problems.or(experiments)
}

/// Reads one manifest from its text. Its name and the places of its problems are those of `path`,
/// which need not exist.
///
/// # Errors
/// Every problem, together.
pub fn parse(
    path: &Path,
    text: &str,
    profile: &str,
    overrides: &[String],
) -> Result<Experiment, Problems> {
    parse_with(&ManifestTexts::default(), path, text, profile, overrides)
}

/// The same, with texts that stand for the files that it extends.
fn parse_with(
    texts: &ManifestTexts,
    path: &Path,
    text: &str,
    profile: &str,
    overrides: &[String],
) -> Result<Experiment, Problems> {
    if text.len() > MAX_BYTES {
        return Err(complaint(path, too_long()));
    }
    let (top, mut problems) = layered(overrides);
    match resolve(path, text.to_owned(), profile, &top, texts) {
        Ok(experiment) => problems.or(Experiment {
            overrides: overrides.to_vec(),
            ..experiment
        }),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// The overrides laid over each other, and what is wrong with them.
fn layered(overrides: &[String]) -> (Overrides, Problems) {
    let mut problems = Problems::default();
    let mut top = TomlTable::new();
    for text in overrides {
        match document::parse_override(text) {
            Ok(mut table) => {
                layers::misplaced(&mut table, "an override", &mut problems);
                normal::normalise(&mut table, &mut problems);
                document::overlay(&mut top, table);
            }
            Err(more) => problems.extend(more),
        }
    }
    let top = Overrides {
        table: top,
        given: overrides.to_vec(),
    };
    (top, problems)
}

/// The keys that several overrides set to different values, each with these in their order; the
/// last one counts.
pub fn repeated(overrides: &[String]) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    let one_by_one = overrides.iter().map(std::slice::from_ref);
    for (key, value) in one_by_one.flat_map(settings) {
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => all.push((key, vec![value])),
        }
    }
    all.retain(|(_, values)| !values.iter().all_equal());
    all
}

/// What overrides set: every key once, sorted, with its effective value as TOML in one spelling. An
/// override that cannot be read sets nothing.
pub fn settings(overrides: &[String]) -> Vec<(String, String)> {
    let (Overrides { table, .. }, _) = layered(overrides);
    let leaves = document::leaves(&table).into_iter();
    let settings = leaves.map(|(path, node)| {
        let key = path.join(".");
        let value = layers::shown(&key, node);
        (key, value)
    });
    settings.sorted().collect()
}

/// The profiles of a manifest: [`PAPER`], and those that it and the manifests it extends name.
///
/// # Errors
/// Where one cannot be read, or is not TOML.
pub fn profiles(path: &Path) -> Result<Vec<String>, Problems> {
    let disk = ManifestTexts::default();
    let files = layers::chain(path, existing(path, &disk)?, &disk)?;
    Ok(named(&files).into_iter().map(str::to_owned).collect())
}

/// The texts of manifests and of all files that they extend.
///
/// # Errors
/// Where one cannot be read, or is not TOML.
pub fn texts(paths: &[impl AsRef<Path>]) -> Result<ManifestTexts, Problems> {
    let disk = ManifestTexts::default();
    let mut texts = ManifestTexts::default();
    for path in paths.iter().map(AsRef::as_ref) {
        for file in layers::chain(path, existing(path, &disk)?, &disk)? {
            texts.add(&file.path, &file.text);
        }
    }
    Ok(texts)
}

/// [`PAPER`], then every profile of a chain.
fn named(files: &[ChainedFile]) -> Vec<&str> {
    let names = files.iter().flat_map(|file| file.profiles.keys());
    let names = names.map(String::as_str).filter(|name| *name != PAPER);
    std::iter::once(PAPER)
        .chain(names.sorted().dedup())
        .collect()
}

/// Lays the profile chosen and the overrides over the manifest and what it extends, and reads the
/// result. The other profiles are read too, so that a mistake in one is found before it is used.
fn resolve(
    path: &Path,
    text: String,
    profile: &str,
    overrides: &Overrides,
    texts: &ManifestTexts,
) -> Result<Experiment, Problems> {
    let shown = path.display().to_string();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy());
    let name = stem.unwrap_or_default();
    let files = layers::chain(path, text, texts)?;
    let profiles = named(&files);
    if profiles.len() > MAX_PROFILES + 1 {
        return Err(complaint(
            path,
            format!(
                "has {} profiles, more than {MAX_PROFILES}; take some into a manifest of their own",
                profiles.len() - 1
            ),
        ));
    }
    let mut problems = Problems::default();
    for entry in files.iter().filter_map(|file| file.profiles.get(PAPER)) {
        problems.push(
            &entry.place,
            "the profile `paper` is the manifest's own keys; give this one another name",
        );
    }
    for (one, other) in names::alike(profiles.iter().copied()) {
        let entry = files.iter().find_map(|file| file.profiles.get(other));
        let whole = Place::Whole(shown.as_str().into());
        problems.push(
            entry.map_or(&whole, |entry| &entry.place),
            format!(
                "the profiles `{one}` and `{other}` differ {}; on many disks their results would \
                 share a folder, rename one",
                names::difference(one, other)
            ),
        );
    }
    if !profiles.contains(&profile) {
        problems.push(
            &Place::Whole(shown.as_str().into()),
            format!(
                "there is no profile `{profile}`; this manifest has {}{}",
                profiles.iter().format(", "),
                match nearest_of(profile, &profiles) {
                    Some(meant) => format!("; did you mean `{meant}`?"),
                    None => String::new(),
                }
            ),
        );
    }
    // A missing key is reported at the top of the file.
    let top = Place::File {
        path: shown.into(),
        line: 1,
        column: 1,
    };
    let problems = RefCell::new(problems);
    let mut found = None;
    let nothing = Overrides::default();
    for candidate in profiles {
        let chosen = candidate == profile;
        // Overrides are for the chosen profile only: in another one they could be refused for a
        // combination that is not run.
        let laid = layers::lay(&files, candidate, if chosen { overrides } else { &nothing });
        let experiment = read_layers(laid, &name, candidate, chosen, &top, &problems);
        if chosen {
            found = Some(experiment);
        }
    }
    let problems = problems.into_inner();
    match found {
        Some(experiment) => problems.or(Experiment {
            path: path.to_owned(),
            ..experiment
        }),
        None => Err(problems),
    }
}

/// The experiment of one profile, with every point of its sweep checked.
fn read_layers(
    laid: Laid,
    name: &str,
    profile: &str,
    chosen: bool,
    top: &Place,
    problems: &RefCell<Problems>,
) -> Experiment {
    let Laid {
        mut table,
        changes,
        mut warnings,
        rank,
    } = laid;
    let swept = sweep::take(&mut table, &rank, problems);
    let mut read = |table: &TomlTable| {
        let root = Section::root(table, top.clone(), problems);
        assemble::experiment(root, name, profile, &swept)
    };
    let experiment = read(&table);
    let document = sweep::check(table, &swept, chosen, &mut read, problems);
    warnings.extend(experiment.warnings.iter().cloned());
    Experiment {
        changes,
        warnings,
        sweep: swept,
        document,
        ..experiment
    }
}
