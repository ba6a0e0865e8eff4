//! Which folders of results cannot work on a cluster: those that other nodes do not see, and those
//! whose path Slurm reads otherwise.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders that every node has for itself.
const OF_A_NODE: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// File systems in the memory of a node.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// Why a folder of results cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitFolder {
    /// Every node has its own.
    #[error(
        "{}: every node has its own {place}, so that pilots would see no sweep there; {}",
        .folder.display(),
        ELSEWHERE
    )]
    OfANode {
        /// The folder of results.
        folder: PathBuf,
        /// The folder that is a node's own.
        place: &'static str,
    },
    /// It is in the memory of this machine.
    #[error(
        "{}: is in this machine's memory ({kind} at {mount}), which no other node sees; {}",
        .folder.display(),
        ELSEWHERE
    )]
    InMemory {
        /// The folder of results.
        folder: PathBuf,
        /// The type of the file system.
        kind: String,
        /// Where it is mounted.
        mount: String,
    },
    /// Slurm reads a part of its path otherwise.
    #[error(
        "{}: {what}, which Slurm reads otherwise in the path of a log; {}",
        .folder.display(),
        ELSEWHERE
    )]
    Path {
        /// The folder of results.
        folder: PathBuf,
        /// The part.
        what: &'static str,
    },
}

const ELSEWHERE: &str = "choose a folder that all nodes share, with `--results DIR`";

/// Whether a folder of results, which need not exist yet, can work on a cluster.
///
/// # Errors
/// [`UnfitFolder`].
pub fn check_folder(folder: &Path) -> Result<(), UnfitFolder> {
    // Only Linux tells its mounts.
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    fits(&real(folder), &mounts)
}

/// The path without symbolic links, as far as it exists.
fn real(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let real = absolute.ancestors().find_map(|existing| {
        let real = existing.canonicalize().ok()?;
        let rest = absolute.strip_prefix(existing).expect("an ancestor");
        // A path that ends in nothing would end in a slash.
        Some(match rest.as_os_str().is_empty() {
            true => real,
            false => real.join(rest),
        })
    });
    real.unwrap_or(absolute)
}

/// As above, for an absolute path without symbolic links, by the text of `/proc/mounts`.
///
/// # Errors
/// [`UnfitFolder`].
pub fn fits(folder: &Path, mounts: &str) -> Result<(), UnfitFolder> {
    if let Some(place) = OF_A_NODE
        .into_iter()
        .find(|place| folder.starts_with(place))
    {
        let folder = folder.to_owned();
        return Err(UnfitFolder::OfANode { folder, place });
    }
    if let Some((mount, kind)) = mount_of(folder, mounts)
        && IN_MEMORY.contains(&kind)
    {
        return Err(UnfitFolder::InMemory {
            folder: folder.to_owned(),
            kind: kind.to_owned(),
            mount,
        });
    }
    let what = match folder.to_str() {
        None => "has letters that are not in UTF-8",
        Some(text) if text.contains('%') => "has a `%`",
        Some(text) if text.contains('\\') => "has a `\\`",
        Some(text) if text.contains(char::is_control) => "has a line break or the like",
        Some(_) => return Ok(()),
    };
    let folder = folder.to_owned();
    Err(UnfitFolder::Path { folder, what })
}

/// Where the file system of a path is mounted, and its type.
fn mount_of<'a>(folder: &Path, mounts: &'a str) -> Option<(String, &'a str)> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((unescaped(words.next()?), words.next()?))
    });
    let above = mounts.filter(|(mount, _)| folder.starts_with(mount));
    // The last of those at one place hides the others.
    above.max_by_key(|(mount, _)| Path::new(mount).components().count())
}

/// A word of `/proc/mounts`, in which blanks and backslashes are octal numbers.
fn unescaped(word: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .into_iter()
    .fold(word.to_owned(), |word, (code, letter)| {
        word.replace(code, letter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
overlay / overlay rw,relatime 0 0
proc /proc proc rw 0 0
tmpfs /run tmpfs rw,nosuid 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
tmpfs /home/ram\\040disk tmpfs rw 0 0
tmpfs /scratch tmpfs rw 0 0
lustre@tcp:/fs /scratch lustre rw,flock 0 0
";

    #[test]
    fn a_folder_that_no_other_node_sees_is_refused() {
        let of = |folder: &str| fits(Path::new(folder), MOUNTS).map_err(|error| error.to_string());
        for right in [
            "/home/me/results",
            "/scratch/me",
            "/srv/results",
            "/tmpfiles/r",
        ] {
            assert_eq!(of(right), Ok(()), "{right}");
        }
        for (wrong, what) in [
            ("/tmp", "its own /tmp"),
            ("/tmp/me/results", "its own /tmp"),
            ("/var/tmp/r", "its own /var/tmp"),
            ("/dev/shm/r", "its own /dev/shm"),
            ("/run/user/0/r", "tmpfs at /run)"),
            ("/home/ram disk/r", "tmpfs at /home/ram disk)"),
            ("/home/me/50%", "has a `%`"),
            ("/home/me/a\\b", "has a `\\`"),
            ("/home/me/a\nb", "line break"),
        ] {
            let error = of(wrong).unwrap_err();
            assert!(
                error.contains(what) && error.ends_with("`--results DIR`"),
                "{error}"
            );
        }
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_as_far_as_a_path_exists() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        std::os::unix::fs::symlink("/tmp", at.join("link")).unwrap();
        let behind = Path::new("/tmp")
            .canonicalize()
            .unwrap()
            .join("no such/results");
        assert_eq!(real(&at.join("link/no such/results")), behind);
        assert_eq!(real(&at), at);
    }
}
