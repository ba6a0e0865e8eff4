//! Which folder the results of an experiment go to, so that none replaces another's.
//!
//! ```text
//! <name>/<profile>[+<key>=<value>...][@<data set>-<digest>][~<manifest's folder>-<digest>]
//! ```
//!
//! The rule: the folder follows from the name, the profile, the overrides and the data set. The
//! plain one is the manifest's own keys on the phantom that is drawn where no data set is named.
//! `variant.toml` in each folder says what the results are of. Only where that is another manifest
//! of the same name, the manifest's own folder is part of the name too.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Component, Path, PathBuf},
};

use itertools::Itertools;
use serde::{Deserialize, Serialize};

use crate::{
    data::{Dataset, phantom},
    file_name::folded,
    key::Digest,
    manifest::{Experiment, settings},
    results_dir::{IDENTITY, ResultsDir, VariantDir},
    store::{StoreError, replace_file},
};

/// Most bytes of a profile's name, without the digest that replaces the rest.
const PROFILE_BYTES: usize = 60;
/// The same of all overrides.
const OVERRIDES_BYTES: usize = 80;
/// The same of a data set's label.
const LABEL_BYTES: usize = 40;
/// The same of the name of a manifest's folder.
const MANIFEST_BYTES: usize = 30;

/// The folders of the experiments of a plan.
#[derive(Clone, Debug)]
pub struct Folders {
    dir: ResultsDir,
    each: Vec<Folder>,
}

#[derive(Clone, Debug)]
struct Folder {
    dir: VariantDir,
    variant: String,
    identity: Identity,
    /// The folder of the plain name and its owner, where that is another manifest.
    taken_by: Option<(VariantDir, Identity)>,
}

/// What the results in a folder are of, as its `variant.toml` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The manifest's path from the results folder, with `/`.
    pub manifest: String,
    /// The profile.
    pub profile: String,
    /// What was set on the command line: `key = value`.
    pub overrides: Vec<String>,
    /// The data set's label.
    pub dataset: String,
    /// Of the data set's content.
    pub dataset_digest: Option<Digest>,
}

impl Folders {
    /// Those of experiments on a data set, or on the default one; nothing is written.
    pub fn find(experiments: &[Experiment], dataset: Option<&Dataset>, dir: &ResultsDir) -> Self {
        let each = experiments.iter();
        Self {
            each: each.map(|spec| Folder::find(spec, dataset, dir)).collect(),
            dir: dir.clone(),
        }
    }

    /// The same, marked as taken, so that a later manifest of the same name gets another folder.
    /// A mark that cannot be written now is left to [`Folders::write_identity`].
    pub fn claim(experiments: &[Experiment], dataset: &Dataset, dir: &ResultsDir) -> Self {
        let taken = || {
            let folders = Self::find(experiments, Some(dataset), dir);
            for folder in &folders.each {
                let _ = folder.identity.create(&folder.dir);
            }
            folders
        };
        // Another process may have been faster; then the second search finds its file.
        taken();
        taken()
    }

    /// The results folder.
    pub fn dir(&self) -> &ResultsDir {
        &self.dir
    }

    /// That of an experiment, by its index in the plan.
    pub fn of(&self, experiment: usize) -> &VariantDir {
        &self.each[experiment].dir
    }

    /// All, in the plan's order.
    pub fn each(&self) -> impl Iterator<Item = &VariantDir> {
        self.each.iter().map(|folder| &folder.dir)
    }

    /// The experiments' pages, and the one over all of them where there are several.
    pub fn pages(&self) -> Vec<PathBuf> {
        let own = self.each().map(VariantDir::page);
        let over = (self.each.len() > 1).then(|| self.dir.overview(&self.overview()));
        own.chain(over).collect()
    }

    /// The variant that all experiments share, or else a name made of their variants.
    fn overview(&self) -> String {
        let variants = self.each.iter().map(|folder| folder.variant.as_str());
        match variants.unique().exactly_one() {
            Ok(one) => one.to_owned(),
            Err(several) => {
                let several = several.collect_vec();
                word(&several.join("~"), "", PROFILE_BYTES)
            }
        }
    }

    /// Notes for the user on folders that another manifest has.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.each.iter().filter_map(|folder| {
            let (taken, theirs) = folder.taken_by.as_ref()?;
            Some(format!(
                "{} holds the results of {}; those of {} go to {}",
                taken.path().display(),
                theirs.manifest,
                folder.identity.manifest,
                folder.dir.path().display()
            ))
        })
    }

    /// Writes the `variant.toml` of an experiment's folder, unless it would not change.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn write_identity(&self, experiment: usize) -> Result<(), StoreError> {
        let folder = &self.each[experiment];
        replace_file(&folder.dir.identity(), &folder.identity.to_bytes())
    }
}

impl Folder {
    fn find(spec: &Experiment, dataset: Option<&Dataset>, dir: &ResultsDir) -> Self {
        let identity = Identity::of(spec, dataset, dir);
        let plain = [
            word(&spec.profile, "", PROFILE_BYTES),
            overridden(&spec.overrides),
            of_data(dataset),
        ]
        .concat();
        let named = format!("{plain}~{}", identity.folder());
        let [plain_dir, named_dir] = [&plain, &named].map(|text| dir.variant(&spec.name, text));
        let owner = Identity::read(&plain_dir);
        let taken_by = owner.filter(|owner| owner.manifest != identity.manifest);
        // A manifest with a folder of its own keeps it, even if the other's is deleted.
        let (dir, variant) = match taken_by.is_some() || named_dir.path().exists() {
            true => (named_dir, named),
            false => (plain_dir.clone(), plain),
        };
        Self {
            dir,
            variant,
            identity,
            taken_by: taken_by.map(|owner| (plain_dir, owner)),
        }
    }
}

impl Identity {
    fn of(spec: &Experiment, dataset: Option<&Dataset>, dir: &ResultsDir) -> Self {
        let settings = settings(&spec.overrides).into_iter();
        Self {
            manifest: relative(&full(dir.path()), &full(&spec.path)),
            profile: spec.profile.clone(),
            overrides: settings
                .map(|(key, value)| format!("{key} = {value}"))
                .collect(),
            dataset: match dataset {
                Some(dataset) => dataset.label.clone(),
                None => phantom::label(phantom::DEFAULT_SEED),
            },
            dataset_digest: dataset.map(|dataset| dataset.digest),
        }
    }

    /// That of a folder; none where it holds no such file, or one that cannot be read.
    pub fn of_folder(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(IDENTITY)).ok()?;
        toml::from_str(&text).ok()
    }

    fn read(folder: &VariantDir) -> Option<Self> {
        Self::of_folder(folder.path())
    }

    /// Writes it where there is none. It is written in place: a process that is killed would leave
    /// a temporary file behind, whereas half of this file cannot be parsed and is written again.
    fn create(&self, folder: &VariantDir) -> io::Result<()> {
        if Self::read(folder).is_some() {
            return Ok(());
        }
        fs::create_dir_all(folder.path())?;
        let mut options = File::options();
        let mut file = options.create(true).append(true).open(folder.identity())?;
        // A second process comes here after the first has written.
        file.lock()?;
        if Self::read(folder).is_none() {
            file.set_len(0)?;
            file.write_all(&self.to_bytes())?;
        }
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let text = toml::to_string(self).expect("an identity is plain data");
        format!("# What the results in this folder are of.\n{text}").into_bytes()
    }

    /// The folder of the manifest, as a part of a name.
    fn folder(&self) -> String {
        let path = Path::new(&self.manifest).parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let digest = Digest::of_bytes(path.to_string_lossy().as_bytes());
        let (name, _) = plain(&name, "", MANIFEST_BYTES);
        format!("{name}-{}", brief(&digest))
    }
}

/// The overrides as a part of a name: `+finetune.steps=80`.
fn overridden(overrides: &[String]) -> String {
    if overrides.is_empty() {
        return String::new();
    }
    let each = settings(overrides).into_iter();
    let each = each.map(|(key, value)| format!("{key}={}", bare(&value)));
    let text = each.format("+").to_string();
    let word = match plain(&text, "+=,", OVERRIDES_BYTES) {
        // Some disks take it for another that differs in case.
        (word, true) if folded(&word) == word => word,
        (word, _) => digested(&word, &text),
    };
    format!("+{word}")
}

/// A text without its quotes, a list without its brackets: no two values of a key differ in those
/// alone.
fn bare(value: &str) -> String {
    let inner = |open: char, close: char| value.strip_prefix(open)?.strip_suffix(close);
    match (inner('"', '"'), inner('[', ']')) {
        (Some(text), _) if !text.contains(['"', '+']) => text.to_owned(),
        (_, Some(list)) if !list.contains(['"', '[', '{']) => list.replace(", ", ","),
        _ => value.to_owned(),
    }
}

/// The data set as a part of a name: nothing for the default one.
fn of_data(dataset: Option<&Dataset>) -> String {
    match dataset {
        Some(dataset) if !dataset.is_default() => {
            // Without the explanation in brackets.
            let label = dataset.label.split(" (").next().unwrap_or_default();
            let (label, _) = plain(label, "", LABEL_BYTES);
            format!("@{label}-{}", brief(&dataset.digest))
        }
        _ => String::new(),
    }
}

/// A text as a part of a name, with a digest where something of it is lost.
fn word(text: &str, also: &str, most: usize) -> String {
    match plain(text, also, most) {
        (word, true) => word,
        (word, false) => digested(&word, text),
    }
}

/// What is kept of a text, and the digest of all of it.
fn digested(word: &str, text: &str) -> String {
    format!("{word}-{}", brief(&Digest::of_bytes(text.as_bytes())))
}

/// At most `most` bytes of a text, with hyphens for characters that are special to some file system
/// or shell; and whether nothing of the text is lost.
fn plain(text: &str, also: &str, most: usize) -> (String, bool) {
    let keeps = |c: char| c.is_alphanumeric() || "._-".contains(c) || also.contains(c);
    let mut word = String::new();
    for c in text.chars().map(|c| if keeps(c) { c } else { '-' }) {
        if word.len() + c.len_utf8() > most {
            break;
        }
        word.push(c);
    }
    // Some file systems drop a dot at the end, and two dots are the parent folder.
    let word = word.trim_end_matches(['.', '-', '+', ',']);
    (word.to_owned(), word == text && !text.is_empty())
}

fn brief(digest: &Digest) -> String {
    digest.to_string()[..8].to_owned()
}

/// An absolute path without links and `..`, as far as it exists.
fn full(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut full = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                full.pop();
            }
            component => full.push(component),
        }
        full = full.canonicalize().unwrap_or(full);
    }
    full
}

/// The way from a folder to a file, with `/`.
fn relative(folder: &Path, file: &Path) -> String {
    let common = std::iter::zip(folder.components(), file.components());
    let common = common.take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(common).map(|_| "..".to_owned());
    let down = file.components().skip(common);
    let down = down.map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).join("/")
}
