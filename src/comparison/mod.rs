//! Two experiments side by side: the keys in which they differ, and the differences of their
//! results, cell by cell, with paired tests.
//!
//! The rule: results are read from `runs.csv`, so that those of another machine, or of an earlier
//! version, can be compared; nothing is run. Runs are paired by everything but the keys in which
//! the experiments differ. Combinations of annotators are averaged first, as tables do, since
//! those of one way of sampling are no results of their own.

mod cells;
mod csv_rows;
mod document;
mod error;
mod keys;
mod page;
mod rows;

pub use cells::{ComparedCell, SideBySide, compare};
pub use error::ComparisonError;
pub use keys::KeyDifference;
