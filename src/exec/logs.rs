//! The log of every stage: what its worker says of it, the worker's standard error, and the reason
//! where it failed.
//!
//! The rule: a log exists only where there is something in it, and writing it never fails a stage.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use crate::{key::Keyed, plan::Spec, results_dir::ResultsDir};

/// The number of a stage's last lines that are reported when it fails.
const LAST_LINES: usize = 12;

/// The logs of a folder of results.
#[derive(Debug)]
pub(super) struct Logs {
    results: ResultsDir,
}

impl Logs {
    pub fn new(results: ResultsDir) -> Self {
        Self { results }
    }

    /// The log of a stage, to be continued.
    pub fn of(&self, spec: &Spec) -> Log {
        Log {
            path: self.results.log(&spec.digest()),
            about: format!("{} {}", spec.kind(), spec.digest()),
            ..Log::default()
        }
    }
}

/// The log of one stage.
#[derive(Debug, Default)]
pub(super) struct Log {
    path: PathBuf,
    about: String,
    file: Option<File>,
    last: VecDeque<String>,
}

impl Log {
    /// Adds a line of the worker's output.
    pub fn add(&mut self, line: &str) {
        self.write(line);
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// The reason of a failure with the last lines before it and the path of the log.
    pub fn report(&mut self, reason: String) -> String {
        self.write(&reason);
        let mut text = reason;
        for line in &self.last {
            text.push_str("\n    ");
            text.push_str(line);
        }
        if self.file.is_some() {
            text.push_str(&format!("\n    log: {}", self.path.display()));
        }
        text
    }

    fn write(&mut self, line: &str) {
        if self.file.is_none() {
            // The log of an earlier attempt stays above.
            let open = || -> std::io::Result<File> {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let mut file = File::options().create(true).append(true).open(&self.path)?;
                writeln!(file, "== {}", self.about)?;
                Ok(file)
            };
            self.file = open().ok();
        }
        if let Some(file) = &mut self.file {
            let _ = writeln!(file, "{line}");
        }
    }
}
