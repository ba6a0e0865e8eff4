//! The journals of an experiment: everything that happened, one JSON value a line, to be read from
//! another terminal or after a crash.
//!
//! ```text
//! results/<name>/<variant>/journal/<run>.jsonl
//! ```
//!
//! The rule: a journal never slows or fails a run, and no result depends on it. Each run of stages
//! has one of its own, since the lines of several machines in one file tear each other; a line that
//! a crash cut short is skipped.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use crate::{
    event::{Listener, Record},
    key::Digest,
    plan::Plan,
    variant::Folders,
};

/// The longest time that the end of a run waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The journals of a plan's experiments, written from a thread of their own.
pub struct Journals {
    records: Option<Sender<Record>>,
    written: Receiver<()>,
}

impl Journals {
    /// Opens the journal of a run of stages in every experiment of a plan. A journal that cannot be
    /// opened is not written, and the second part says why.
    pub fn open(plan: &Plan, folders: &Folders, run: &str) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let mut files: Vec<(Appended, HashSet<Digest>)> = Vec::new();
        for (index, folder) in folders.each().enumerate() {
            let path = folder.journal(run);
            match open(&path) {
                Ok(file) => {
                    let runs = plan.runs.iter().filter(|run| run.experiment == index);
                    let stages = runs.flat_map(|run| plan.needed(run));
                    let digests = stages.map(|id| plan.stage(id).digest).collect();
                    let torn = false;
                    files.push((Appended { file, torn }, digests));
                }
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
        let (records, inbox) = mpsc::channel::<Record>();
        let (done, written) = mpsc::channel();
        thread::spawn(move || {
            for record in inbox {
                let mut line = serde_json::to_vec(&record).expect("a record is plain data");
                line.push(b'\n');
                let stage = record.event.stage();
                for (journal, stages) in &mut files {
                    if stage.is_none_or(|stage| stages.contains(&stage)) {
                        journal.add(&line);
                    }
                }
            }
            let _ = done.send(());
        });
        let records = Some(records);
        (Self { records, written }, problems)
    }
}

impl Listener for Journals {
    /// Queues a record for writing.
    fn on(&mut self, record: &Record) {
        if let Some(records) = &self.records {
            let _ = records.send(record.clone());
        }
    }
}

impl Drop for Journals {
    fn drop(&mut self) {
        self.records = None;
        // A disk that hangs must not keep the run from ending.
        let _ = self.written.recv_timeout(LAST_LINES);
    }
}

/// A journal that is written to.
struct Appended {
    file: File,
    /// Whether its last line may lack its end.
    torn: bool,
}

impl Appended {
    /// Appends a line. Where the disk is full it is lost, and the run goes on.
    fn add(&mut self, line: &[u8]) {
        let written = match self.torn {
            // In one write, as every line.
            true => self.file.write_all(&[b"\n", line].concat()),
            false => self.file.write_all(line),
        };
        self.torn = written.is_err();
    }
}

/// Opens a journal to append to.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Reads a journal, as far as it can be read; nothing where there is none.
pub fn read(path: &Path, each: &mut dyn FnMut(Record)) {
    read_lines(path, &|_| true, each);
}

/// Reads a journal without the steps of trainings, which are most of its lines.
pub fn read_turns(path: &Path, each: &mut dyn FnMut(Record)) {
    const PROGRESS: &[u8] = br#""event":{"progress":"#;
    let is_turn = |line: &[u8]| !line.windows(PROGRESS.len()).any(|part| part == PROGRESS);
    read_lines(path, &is_turn, each);
}

fn read_lines(path: &Path, wanted: &dyn Fn(&[u8]) -> bool, each: &mut dyn FnMut(Record)) {
    let Ok(file) = File::open(path) else {
        return;
    };
    let mut lines = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if wanted(&line) => {
                if let Ok(record) = serde_json::from_slice(&line) {
                    each(record);
                }
            }
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_after_one_that_was_cut_short_is_a_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        fs::write(&path, "whole\n").unwrap();
        let mut journal = Appended {
            // It cannot be written to.
            file: File::open(&path).unwrap(),
            torn: false,
        };
        journal.add(b"lost\n");
        fs::write(&path, "whole\nha").unwrap();
        journal.file = File::options().append(true).open(&path).unwrap();
        journal.add(b"next\n");
        journal.add(b"last\n");
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "whole\nha\nnext\nlast\n"
        );
    }
}
