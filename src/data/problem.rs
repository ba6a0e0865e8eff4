//! Problems of data files and folders.
//!
//! The rule: a problem names the file, what is wrong with it, and the remedy. Files with the same
//! problem share a line.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    path::{Path, PathBuf},
};

use itertools::Itertools;

use super::nifti::Fault;

/// How bad a [`DataProblem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The data set cannot be used.
    Error,
    /// To be checked; the data set can be used.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// What is wrong with a file or folder, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataProblem {
    /// Whether it prevents the use of the data set.
    pub severity: Severity,
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl DataProblem {
    /// A problem that prevents the use of the data set.
    pub fn error(
        path: impl Into<PathBuf>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            path: path.into(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A problem to be checked.
    pub fn warning(
        path: impl Into<PathBuf>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(path, what, remedy)
        }
    }

    /// The warnings of a file that is read in spite of its faults.
    pub fn remarks(path: &Path, faults: impl IntoIterator<Item = Fault>) -> Vec<Self> {
        let faults = faults.into_iter();
        faults
            .map(|fault| Self::warning(path, fault.what, fault.remedy))
            .collect()
    }
}

impl fmt::Display for DataProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            path,
            what,
            remedy,
        } = self;
        write!(f, "{severity}: {}: {what}; {remedy}", path.display())
    }
}

/// Everything that is wrong with a data set: errors first, then warnings, each by path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", grouped(.0).iter().format("\n"))]
pub struct DataProblems(pub Vec<DataProblem>);

/// Most files with the same problem that have a line each.
const SINGLE: usize = 3;

/// The lines of these problems, in their order. More than a few files with the same problem are one
/// line, in the place of the first.
pub fn grouped(problems: &[DataProblem]) -> Vec<String> {
    let cause = |problem: &DataProblem| {
        let DataProblem {
            severity,
            path: _,
            what,
            remedy,
        } = problem;
        (*severity, what.clone(), remedy.clone())
    };
    let mut like = problems.iter().into_group_map_by(|problem| cause(problem));
    let line = |problem: &DataProblem| match like.get(&cause(problem)).map_or(0, Vec::len) {
        0 => None,
        1..=SINGLE => Some(problem.to_string()),
        n => {
            let group = like.remove(&cause(problem))?;
            let DataProblem {
                severity,
                path: _,
                what,
                remedy,
            } = problem;
            let paths = some_of(group.iter().map(|problem| problem.path.display()));
            Some(format!(
                "{severity}: {n} files have the same problem: each {what}; {remedy}: {paths}"
            ))
        }
    };
    problems.iter().filter_map(line).collect()
}

/// `a, b, c and 28 more`.
pub(super) fn some_of<T: Display>(items: impl ExactSizeIterator<Item = T>) -> String {
    let all = items.len();
    let shown = items.take(SINGLE).format(", ").to_string();
    match all.saturating_sub(SINGLE) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Lines of what is wrong with named things, `name: cause`; more than a few of one cause share a
/// line.
pub fn by_cause<T: Display>(found: impl IntoIterator<Item = (T, String)>) -> Vec<String> {
    let mut causes: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (name, cause) in found {
        causes.entry(cause).or_default().push(name);
    }
    let lines = causes
        .into_iter()
        .flat_map(|(cause, names)| match names.len() {
            0..=SINGLE => names
                .iter()
                .map(|name| format!("{name}: {cause}"))
                .collect(),
            n => vec![format!("{n} cases ({}): {cause}", some_of(names.iter()))],
        });
    lines.collect()
}
