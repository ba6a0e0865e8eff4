//! Why two experiments cannot be compared.

use std::path::PathBuf;

/// Why two experiments cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// A file cannot be read.
    #[error("{}: {why}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Their runs differ in more than values.
    #[error(
        "{} has runs by {}, {} by {}; experiments are compared that have the same axes",
        .folders[0].display(),
        .axes[0].join(", "),
        .folders[1].display(),
        .axes[1].join(", ")
    )]
    OtherAxes {
        /// The folders.
        folders: [PathBuf; 2],
        /// The axes of each.
        axes: [Vec<String>; 2],
    },
    /// No run is in both.
    #[error("no run of {} is in {}, by {axes}", .folders[0].display(), .folders[1].display())]
    NothingShared {
        /// The folders.
        folders: [PathBuf; 2],
        /// The axes.
        axes: String,
    },
    /// Distances in different units.
    #[error(
        "distances are in {} in the first and in {} in the second; set `metrics.spacing` alike in \
         both",
        .0[0],
        .0[1]
    )]
    OtherUnits([String; 2]),
}
