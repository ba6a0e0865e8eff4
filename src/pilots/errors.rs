//! The errors with which pilots of a sweep have ended, for whoever looks at the sweep.

use std::fs;

use serde::{Deserialize, Serialize};

use super::folder::SweepFolder;
use crate::{host, store::replace_file};

/// Why a pilot has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PilotError {
    /// The pilot, as its log is named.
    pub pilot: String,
    /// Its machine.
    pub host: String,
    /// The error, with the remedy.
    pub reason: String,
}

/// Notes why this pilot ends. If that cannot be written, its log alone has it.
pub fn note_error(folder: &SweepFolder, pilot: &str, reason: &str) {
    let error = PilotError {
        pilot: pilot.to_owned(),
        host: host::name(),
        reason: reason.to_owned(),
    };
    let json = serde_json::to_vec(&error).expect("an error is plain data");
    let _ = replace_file(&folder.errors().join(format!("{pilot}.json")), &json);
}

/// Why pilots have ended since the sweep was submitted, by their names.
pub fn pilot_errors(folder: &SweepFolder) -> Vec<PilotError> {
    let entries = fs::read_dir(folder.errors()).into_iter().flatten();
    let read = |entry: fs::DirEntry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok();
    let mut errors: Vec<PilotError> = entries.flatten().filter_map(read).collect();
    errors.sort_by(|a, b| a.pilot.cmp(&b.pilot));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_pilots_ended_is_known_until_the_sweep_is_submitted_again() {
        let folder = tempfile::tempdir().unwrap();
        let sweep = SweepFolder::at(folder.path());
        sweep.prepare().unwrap();
        note_error(&sweep, "7_1", "no such data set");
        note_error(&sweep, "7_0", "locks");
        let told = pilot_errors(&sweep);
        assert_eq!(
            told.iter()
                .map(|error| error.pilot.as_str())
                .collect::<Vec<_>>(),
            ["7_0", "7_1"]
        );
        assert_eq!(told[1].reason, "no such data set");
        assert_eq!(told[1].host, host::name());
        sweep.prepare().unwrap();
        assert_eq!(pilot_errors(&sweep), []);
    }
}
