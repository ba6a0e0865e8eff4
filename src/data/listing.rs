//! What lies in a folder of data, and what names say of files: the same for every command.
//!
//! The rule: entries come in numerical order. Hidden ones are the system's and are passed over; a
//! link is what it points to, and one that cannot be followed is told of.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::DataProblem;

/// Entries in numerical order, without hidden ones; none where the folder cannot be listed.
pub(super) fn entries(folder: &Path, problems: &mut Vec<DataProblem>) -> Option<Vec<PathBuf>> {
    let read = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        Ok((entry.path(), is_link))
    };
    let listed: io::Result<Vec<(PathBuf, bool)>> =
        fs::read_dir(folder).and_then(|all| all.map(read).collect());
    let mut listed = match listed {
        Ok(listed) => listed,
        Err(error) => {
            problems.push(unlisted(folder, &error));
            return None;
        }
    };
    listed.retain(|(path, _)| !is_hidden(path));
    listed.sort_by_cached_key(|(path, _)| natural(path));
    let mut paths = Vec::new();
    for (path, is_link) in listed {
        match is_link.then(|| odd_link(folder, &path)).flatten() {
            Some(problem) => problems.push(problem),
            None => paths.push(path),
        }
    }
    Some(paths)
}

fn unlisted(folder: &Path, error: &io::Error) -> DataProblem {
    let (what, remedy) = match error.kind() {
        io::ErrorKind::NotFound => ("does not exist".to_owned(), "check the path"),
        io::ErrorKind::NotADirectory => ("is not a folder".to_owned(), "give a folder of cases"),
        io::ErrorKind::PermissionDenied => (
            "is a folder that you may not read".to_owned(),
            "check its permissions",
        ),
        _ => (format!("cannot be listed ({error})"), "check the disk"),
    };
    DataProblem::error(folder, what, remedy)
}

/// What is odd about a link in a folder, where it cannot be followed or leads back above it.
fn odd_link(folder: &Path, link: &Path) -> Option<DataProblem> {
    let target = fs::read_link(link).unwrap_or_default();
    let target = target.display();
    if let Err(error) = fs::metadata(link) {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "does not exist",
            io::ErrorKind::PermissionDenied => "you may not read",
            _ => "leads nowhere",
        };
        return Some(DataProblem::error(
            link,
            format!("is a link to {target}, which {why}"),
            "let it point to where the data are",
        ));
    }
    let [within, above] = [folder, link].map(|path| path.canonicalize().ok());
    within?.starts_with(above?).then(|| {
        DataProblem::warning(
            link,
            format!("is a link to {target}, a folder that it lies in itself, and is left out"),
            "if a case was meant, let it point to the case's folder",
        )
    })
}

/// Whether a name begins with a dot: such files are the system's and hold no image or mask.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name();
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// The last part of a path.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// The name of a folder, `.` and `..` too.
pub(super) fn folder_name(folder: &Path) -> String {
    match folder.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => file_name(&folder.canonicalize().unwrap_or_default()),
    }
}

/// The name of a NIfTI file without its ending, in capitals or not; none for another file.
pub(super) fn nifti_stem(name: &str) -> Option<&str> {
    let without = |name: &'_ str, ending: &str| {
        let at = name.len().checked_sub(ending.len())?;
        let found = name.get(at..)?.eq_ignore_ascii_case(ending);
        found.then_some(at)
    };
    let plain = without(name, ".gz").map_or(name, |at| &name[..at]);
    without(plain, ".nii").map(|at| &name[..at])
}

/// The name of an image or mask without its ending: of a NIfTI file or a PNG.
pub(super) fn raster_stem(name: &str) -> Option<&str> {
    nifti_stem(name).or_else(|| picture_stem(name))
}

/// The name of a PNG without its ending, in capitals or not; none for another file.
pub(super) fn picture_stem(name: &str) -> Option<&str> {
    let at = name.len().checked_sub(".png".len())?;
    let found = name.get(at..)?.eq_ignore_ascii_case(".png");
    found.then_some(&name[..at])
}

/// A sort key in which `case9` precedes `case10`: runs of digits compare as numbers.
pub(super) fn natural(path: &Path) -> Vec<(String, u128, String)> {
    let text = path.to_string_lossy();
    let mut parts = Vec::new();
    let mut rest = text.as_ref();
    while !rest.is_empty() {
        let digits_at = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(digits_at);
        let end = tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (digits, tail) = tail.split_at(end);
        // The digits break ties between `1` and `01`.
        let number = digits.parse().unwrap_or(0);
        parts.push((word.to_owned(), number, digits.to_owned()));
        rest = tail;
    }
    parts
}
