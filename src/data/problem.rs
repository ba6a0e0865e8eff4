//! Problems of data files and folders.
//!
//! The rule: a problem names the file, what is wrong with it, and the remedy.

use std::{fmt, path::PathBuf};

use itertools::Itertools;

/// How bad a [`DataProblem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
#[error("{}", .0.iter().format("\n"))]
pub struct DataProblems(pub Vec<DataProblem>);
