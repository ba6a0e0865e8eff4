//! From TOML files to validated experiments.
//!
//! The rule: this module knows no file system beyond the manifests themselves; every mistake in
//! every file is reported in one go, each as `file:line:column: what; remedy`.

mod choices;
mod document;
mod experiment;
mod problem;
mod reader;
mod recipe;
mod resolved;
mod schema;

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Read},
    path::Path,
};

use itertools::Itertools;

use document::{Table, Value};
use reader::Section;

pub use choices::*;
pub use experiment::*;
pub use problem::{Place, Problem, Problems};
pub use reader::Range;
pub use recipe::*;
pub use resolved::resolved;

/// The longest manifest that is read. The paper's are a fifteenth of it; what is checked value by
/// value, profile by profile, stays a matter of seconds.
pub const MAX_BYTES: usize = 64 << 10;
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
    let (top, mut problems) = layered(overrides);
    let mut experiments = Vec::new();
    for path in paths {
        match read_one(path.as_ref(), profile, &top) {
            Ok(experiment) => experiments.push(Experiment {
                overrides: overrides.to_vec(),
                ..experiment
            }),
            Err(more) => problems.extend(more),
        }
    }
    for name in experiments.iter().map(|e| &e.name).duplicates() {
        problems.push(
            &Place::Whole(name.as_str().into()),
            format!("two manifests are called {name}.toml; their results would share a folder, rename one"),
        );
    }
    problems.or(experiments)
}

/// Reads one manifest from its text, as [`read`] does from its file. Problems call it `path`,
/// which need not exist; the experiment has its name.
///
/// # Errors
/// Every problem, together.
pub fn parse(
    path: &Path,
    text: &str,
    profile: &str,
    overrides: &[String],
) -> Result<Experiment, Problems> {
    let (top, mut problems) = layered(overrides);
    match parse_one(path, text, profile, &top) {
        Ok(experiment) => problems.or(experiment),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// The overrides laid over each other, and what is wrong with them.
fn layered(overrides: &[String]) -> (Table, Problems) {
    let mut problems = Problems::default();
    let mut top = Table::new();
    for text in overrides {
        match document::parse_override(text) {
            Ok(table) => document::overlay(&mut top, table),
            Err(more) => problems.extend(more),
        }
    }
    (top, problems)
}

fn complaint(path: &Path, message: impl Into<String>) -> Problems {
    let mut problems = Problems::default();
    let place = Place::Whole(path.display().to_string().into());
    problems.push(&place, message);
    problems
}

/// The profiles of a manifest: [`PAPER`], and those it names.
///
/// # Errors
/// Where it cannot be read, or is not TOML.
pub fn profiles(path: &Path) -> Result<Vec<String>, Problems> {
    let text = existing(path)?;
    let base = document::parse(&path.display().to_string(), &text)?;
    let mut profiles = vec![PAPER.to_owned()];
    if let Some(Value::Table(named)) = base.get("profile").map(|entry| &entry.node.value) {
        profiles.extend(named.keys().cloned());
    }
    Ok(profiles)
}

fn read_one(path: &Path, profile: &str, overrides: &Table) -> Result<Experiment, Problems> {
    parse_one(path, &existing(path)?, profile, overrides)
}

/// The text of a manifest that ought to be there.
fn existing(path: &Path) -> Result<String, Problems> {
    text_of(path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => {
                "no such manifest; the paper's are experiments/table1.toml, table2.toml and table3.toml"
                    .into()
            }
            io::ErrorKind::InvalidData => "not a text file (UTF-8), so not a manifest".into(),
            io::ErrorKind::FileTooLarge => too_long(),
            _ => format!("cannot be read: {error}"),
        };
        complaint(path, why)
    })
}

/// A file's text, of which no more is read than a manifest can have.
fn text_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn too_long() -> String {
    format!("has more than {MAX_BYTES} bytes; check that it is a manifest")
}

fn parse_one(
    path: &Path,
    text: &str,
    profile: &str,
    overrides: &Table,
) -> Result<Experiment, Problems> {
    if text.len() > MAX_BYTES {
        return Err(complaint(path, too_long()));
    }
    let shown = path.display().to_string();
    let name = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let base = document::parse(&shown, text)?;
    if base.is_empty() {
        return Err(complaint(
            path,
            "the manifest is empty; copy one of experiments/*.toml and edit it",
        ));
    }
    resolve(&name, &shown, &base, profile, overrides)
}

/// Overlays the profile chosen and the overrides, and reads the result. The other profiles are
/// read too, so that a mistake in one is found before the day it is used.
fn resolve(
    name: &str,
    shown: &str,
    base: &Table,
    profile: &str,
    overrides: &Table,
) -> Result<Experiment, Problems> {
    // What is missing is missing at the top of the file.
    let top = Place::File {
        path: shown.into(),
        line: 1,
        column: 1,
    };
    let problems = RefCell::new(Problems::default());
    let no_profiles = Table::new();
    let profiles = match base.get("profile").map(|entry| &entry.node) {
        None => &no_profiles,
        Some(node) => match &node.value {
            Value::Table(profiles) => profiles,
            other => {
                problems.borrow_mut().push(
                    &node.place,
                    format!(
                        "`profile` holds one table per profile, not {}",
                        other.describe()
                    ),
                );
                &no_profiles
            }
        },
    };
    if profiles.len() > MAX_PROFILES {
        return Err(complaint(
            Path::new(shown),
            format!(
                "has {} profiles, more than {MAX_PROFILES}; take some into a manifest of their own",
                profiles.len()
            ),
        ));
    }
    if let Some(entry) = profiles.get(PAPER) {
        problems.borrow_mut().push(
            &entry.place,
            "the profile `paper` is the manifest's own keys; give this one another name",
        );
    }
    if profile != PAPER && !profiles.contains_key(profile) {
        let known = std::iter::once(PAPER).chain(profiles.keys().map(String::as_str));
        problems.borrow_mut().push(
            &Place::Whole(shown.into()),
            format!(
                "there is no profile `{profile}`; this manifest has {}",
                known.format(", ")
            ),
        );
    }
    let mut chosen = None;
    let names = std::iter::once(PAPER).chain(
        profiles
            .keys()
            .map(String::as_str)
            .filter(|name| *name != PAPER),
    );
    for candidate in names {
        let mut merged = base.clone();
        if let Some(entry) = profiles.get(candidate) {
            match &entry.node.value {
                Value::Table(overlay) => document::overlay(&mut merged, overlay.clone()),
                other => problems.borrow_mut().push(
                    &entry.node.place,
                    format!("a profile is a table, not {}", other.describe()),
                ),
            }
        }
        // An override counts for the run that was asked for; elsewhere it would only blame
        // combinations that nobody wants.
        if candidate == profile {
            document::overlay(&mut merged, overrides.clone());
        }
        let root = Section::root(&merged, top.clone(), &problems);
        let experiment = schema::experiment(root, name, candidate);
        if candidate == profile {
            chosen = Some(experiment);
        }
    }
    let problems = problems.into_inner();
    match chosen {
        Some(experiment) => problems.or(experiment),
        None => Err(problems),
    }
}
