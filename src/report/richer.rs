//! Tables on disk that have more results than those that would replace them.

use std::{fs, path::PathBuf};

use super::csv_files;
use crate::{results::Results, variant::Folders};

/// A table on disk that has more results than the one that would replace it.
#[derive(Clone, Debug)]
pub struct RicherTable {
    /// Its folder.
    pub folder: PathBuf,
    /// How many of its runs have scores.
    pub there: usize,
    /// How many of the other one's have.
    pub here: usize,
}

impl RicherTable {
    /// Those on disk that have more results than these. A table of all its runs replaces any: it is
    /// what its manifest asks for.
    pub fn find(results: &Results<'_>, folders: &Folders) -> Vec<Self> {
        let richer = folders.each().enumerate().filter_map(|(i, folder)| {
            let tally = results.tally(i);
            let here = tally.ok + tally.undefined;
            let there = fs::read(folder.runs()).map_or(0, |runs| csv_files::scored(&runs));
            let folder = folder.path().to_owned();
            (here < tally.runs() && here < there).then_some(Self {
                folder,
                there,
                here,
            })
        });
        richer.collect()
    }
}
