//! Reads the text of a manifest from its file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::problem::{Place, Problems};
use crate::suggestion::nearest_of;

/// The longest manifest that is read. The paper's are a fifteenth of it; what is checked value by
/// value, profile by profile, stays a matter of seconds.
pub const MAX_BYTES: usize = 64 << 10;

/// The file that is meant: a table's name stands for its manifest, in this folder or in
/// `experiments/`.
pub fn found(given: &Path) -> PathBuf {
    if given.extension().is_some() || given.exists() {
        return given.to_owned();
    }
    let file = given.with_extension("toml");
    let usual = [file.clone(), Path::new("experiments").join(file)];
    let found = usual.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| given.to_owned())
}

/// Texts that stand for files of manifests, whatever is in these files now. Without any, manifests
/// are read from their files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestTexts(BTreeMap<PathBuf, String>);

impl ManifestTexts {
    pub(super) fn add(&mut self, path: &Path, text: &str) {
        self.0.insert(path.to_owned(), text.to_owned());
    }
}

/// The text of a manifest that must exist.
pub(super) fn existing(path: &Path, texts: &ManifestTexts) -> Result<String, Problems> {
    let why = |why: &str| match (why, meant(path)) {
        (ABSENT, Some(meant)) => format!("{ABSENT}; did you mean {}?", meant.display()),
        (ABSENT, None) => format!(
            "{ABSENT}; the paper's are table1, table2 and table3, in the folder `experiments` of \
             the sources; `expertgrid new` writes one for data of your own anywhere"
        ),
        (why, _) => why.to_owned(),
    };
    existing_at(path, texts, why).map_err(|why| complaint(path, why))
}

/// A manifest whose name is as near as a typing error, in the same folder or in `experiments/`.
fn meant(given: &Path) -> Option<PathBuf> {
    let folder = given.parent().unwrap_or(Path::new(""));
    let folders = [folder.to_owned(), folder.join("experiments")];
    let listed = folders.iter().flat_map(|folder| {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        std::fs::read_dir(folder).into_iter().flatten().flatten()
    });
    let paths = listed.map(|entry| entry.path());
    let manifests = paths.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let manifests: Vec<PathBuf> = manifests.collect();
    let stem = |path: &Path| Some(path.file_stem()?.to_string_lossy().into_owned());
    let stems: Vec<String> = manifests.iter().filter_map(|path| stem(path)).collect();
    let known: Vec<&str> = stems.iter().map(String::as_str).collect();
    let likeliest = nearest_of(&stem(given)?, &known)?;
    let found = manifests
        .iter()
        .find(|path| stem(path).as_deref() == Some(likeliest))?;
    Some(found.strip_prefix(".").unwrap_or(found).to_owned())
}

const ABSENT: &str = "no such manifest";

/// Endings of files that stand beside manifests and are none.
const OTHERS: [&str; 8] = ["csv", "tsv", "json", "yaml", "yml", "md", "tex", "html"];

/// The text of a manifest; `say` makes the message of an error from its reason.
pub(super) fn existing_at(
    path: &Path,
    texts: &ManifestTexts,
    say: impl Fn(&str) -> String,
) -> Result<String, String> {
    if let Some(text) = texts.0.get(path) {
        return Ok(text.clone());
    }
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    let other = ending.filter(|ending| OTHERS.iter().any(|other| ending == *other));
    if let Some(ending) = other.filter(|_| path.is_file()) {
        let ending = ending.display();
        return Err(say(&format!(
            "a .{ending} file, not a manifest; name the TOML file"
        )));
    }
    text_of(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => say(ABSENT),
        io::ErrorKind::InvalidData => say(&error.to_string()),
        io::ErrorKind::FileTooLarge => say(&too_long()),
        io::ErrorKind::IsADirectory => say(&format!(
            "a folder, not a manifest; name the files in it, as in {}",
            path.join("*.toml").display()
        )),
        _ => say(&format!("cannot be read: {error}")),
    })
}

/// A file's text, of at most [`MAX_BYTES`].
fn text_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    match not_text(&bytes) {
        Some(why) => Err(io::Error::new(io::ErrorKind::InvalidData, why)),
        None => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Why bytes are no text in UTF-8, and what to do.
fn not_text(bytes: &[u8]) -> Option<String> {
    // Two bytes for each letter, of which one is mostly 0; with a mark of their order, or without.
    let zeros = |first: usize| {
        let every_other = bytes.iter().skip(first).step_by(2);
        every_other.filter(|byte| **byte == 0).count()
    };
    let (most, least) = (zeros(0).max(zeros(1)), zeros(0).min(zeros(1)));
    let is_marked = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if is_marked || (least == 0 && most > bytes.len() / 4) {
        return Some("is in UTF-16, and a manifest is in UTF-8; save it in UTF-8".to_owned());
    }
    if most > 0 {
        return Some("is not a text, so not a manifest; name the TOML file".to_owned());
    }
    let at = std::str::from_utf8(bytes).err()?.valid_up_to();
    let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    let control = |byte: &&u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    Some(match bytes.iter().any(|byte| control(&byte)) {
        true => "is not a text, so not a manifest; name the TOML file".to_owned(),
        false => format!("has a letter on line {line} that is not in UTF-8; save it in UTF-8"),
    })
}

pub(super) fn too_long() -> String {
    format!("has more than {MAX_BYTES} bytes; check that it is a manifest")
}

/// What is wrong with a whole manifest.
pub(super) fn complaint(path: &Path, message: impl Into<String>) -> Problems {
    let mut problems = Problems::default();
    let place = Place::Whole(path.display().to_string().into());
    problems.push(&place, message);
    problems
}
