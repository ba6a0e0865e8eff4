//! The program with `tests/faults/faults.c` loaded into it: every step that it takes on disk is
//! written down, and chosen ones fail. The program itself knows nothing of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use expertgrid::plan::Kind;

use crate::support::common::*;

/// What becomes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// An error of the operating system's.
    Error(i32),
    /// Half is written; where nothing is written, the disk is full.
    Half,
    /// The process is killed just before; only one, of all that could be.
    Kill,
}

pub const EIO: Fate = Fate::Error(5);
pub const ENOENT: Fate = Fate::Error(2);
pub const ENOSPC: Fate = Fate::Error(28);
pub const EROFS: Fate = Fate::Error(30);
pub const ESTALE: Fate = Fate::Error(116);

/// Which steps of which processes are disturbed.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The subcommand: `run` or `worker`.
    pub role: &'static str,
    /// The first one, from 1, counted in each process.
    pub first: usize,
    /// The last one.
    pub last: usize,
    pub fate: Fate,
}

impl Fault {
    /// One step.
    pub fn at(role: &'static str, step: usize, fate: Fate) -> Self {
        let (first, last) = (step, step);
        Self {
            role,
            first,
            last,
            fate,
        }
    }

    /// This step and all that come after it.
    pub fn from(role: &'static str, step: usize, fate: Fate) -> Self {
        Self {
            last: usize::MAX >> 1,
            ..Self::at(role, step, fate)
        }
    }
}

/// The steps of a program and its workers below a folder.
pub struct Watched {
    under: PathBuf,
    log: PathBuf,
}

impl Watched {
    /// Below this folder, which need not be there yet; the steps are written into `log`.
    pub fn new(under: &Path, log: &Path) -> Self {
        let whole = |path: &Path| {
            let parent = path.parent().unwrap();
            fs::create_dir_all(parent).unwrap();
            // The folders are named as the operating system names them.
            parent
                .canonicalize()
                .unwrap()
                .join(path.file_name().unwrap())
        };
        Self {
            under: whole(under),
            log: whole(log),
        }
    }

    /// Watches a command, and disturbs it where there is a fault.
    pub fn watch(&self, command: &mut Command, fault: Option<Fault>) {
        command
            .env("LD_PRELOAD", library())
            .env("FAULTS_UNDER", &self.under)
            .env("FAULTS_LOG", &self.log);
        let Some(fault) = fault else { return };
        let fate = match fault.fate {
            Fate::Error(number) => number.to_string(),
            Fate::Half => "half".to_owned(),
            Fate::Kill => "kill".to_owned(),
        };
        command
            .env("FAULTS_ROLE", fault.role)
            .env("FAULTS_FIRST", fault.first.to_string())
            .env("FAULTS_LAST", fault.last.to_string())
            .env("FAULTS_FATE", fate);
    }

    /// The steps so far, in their order.
    pub fn steps(&self) -> Vec<Step> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let below = |path: &str| {
            let path = Path::new(path).strip_prefix(&self.under);
            path.map_or_else(|_| PathBuf::from("outside"), Path::to_owned)
        };
        let step = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [role, process, number, call, place, path, to, fate] = fields[..] else {
                panic!("a line of steps has eight fields: {line}");
            };
            Step {
                role: role.to_owned(),
                process: process.parse().unwrap(),
                number: number.parse().unwrap(),
                call: call.to_owned(),
                there: place == "there",
                path: below(path),
                to: below(to),
                disturbed: fate != "0",
            }
        };
        log.lines().map(step).collect()
    }

    /// How many steps a process of this role has taken, at most.
    pub fn count(&self, role: &str) -> usize {
        let steps = self.steps();
        let of_role = steps.iter().filter(|step| step.role == role);
        of_role.map(|step| step.number).max().unwrap_or(0)
    }
}

/// A call that touched a path below the folder, written down before it was made.
#[derive(Clone, Debug)]
pub struct Step {
    /// The subcommand that made it.
    pub role: String,
    pub process: u32,
    /// Its number within its process.
    pub number: usize,
    /// `open`, `create`, `read`, `write`, `fsync`, `flock`, `mkdir`, `rename`, `unlink`.
    pub call: String,
    /// Whether there was anything where it led to.
    pub there: bool,
    /// Relative to the folder.
    pub path: PathBuf,
    /// Where a rename led to.
    pub to: PathBuf,
    /// Whether it was made to fail.
    pub disturbed: bool,
}

impl Step {
    /// The stage that this step publishes in a store, if it is the step that does.
    pub fn publishes(&self) -> Option<&Path> {
        (self.call == "rename" && is_artefact(&self.to)).then_some(&*self.to)
    }

    /// The stage whose artefact is moved away from its place, if this step does that.
    pub fn moves_away(&self) -> Option<&Path> {
        (matches!(&*self.call, "rename" | "unlink") && is_artefact(&self.path))
            .then_some(&*self.path)
    }

    /// The stage that has been computed, `kind-digits`: the folder for its artefact is made when
    /// all is ready.
    pub fn prepares(&self) -> Option<String> {
        let name = self.path.file_name()?.to_str()?;
        let (number, stage) = name.split_once('-')?;
        let in_scratch = self.call == "mkdir" && self.path.starts_with("tmp");
        (in_scratch && number.parse::<u64>().is_ok() && stage.contains('-')).then(|| stage.into())
    }
}

/// Whether a path in a store is the place of an artefact: `<kind>/<two digits>/<digest>`.
fn is_artefact(path: &Path) -> bool {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let is_kind = |word: &str| Kind::ALL.iter().any(|kind| kind.word() == word);
    matches!(parts[..], [kind, _, digest] if is_kind(kind) && digest.len() == 64)
}

/// The compiled faults, made once. A C compiler is there: the program cannot be built without one.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = repository().join("tests/faults/faults.c");
        let made = folder.join(format!("faults-{}.so", std::process::id()));
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let output = Command::new(&compiler)
            .args([
                "-std=gnu11",
                "-shared",
                "-fPIC",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-o",
            ])
            .args([&made, &source])
            .arg("-ldl")
            .output()
            .unwrap_or_else(|error| panic!("{compiler}: {error}; name a C compiler by CC"));
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        // Two runs of the suite side by side make the same.
        let library = folder.join("faults.so");
        fs::rename(made, &library).unwrap();
        library
    })
}

/// A temporary folder in memory, where there is such a thing: these tests run the program hundreds
/// of times, and wait for no disk.
fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// Three cases to train on and one to test on, taken from the phantom: a stage of theirs takes
/// milliseconds.
pub fn few() -> &'static Path {
    static FEW: OnceLock<tempfile::TempDir> = OnceLock::new();
    let few = FEW.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let part = "{\"label\": \"part of the phantom\", \"synthetic\": true}";
        fs::write(folder.path().join("dataset.json"), part).unwrap();
        for case in [
            "Training/case01",
            "Training/case02",
            "Training/case03",
            "Validation/case35",
        ] {
            let to = folder.path().join(case);
            fs::create_dir_all(&to).unwrap();
            for (name, bytes) in files(&phantom().join(case)) {
                fs::write(to.join(name), bytes).unwrap();
            }
        }
        folder
    });
    few.path()
}

/// A folder with a manifest for these few cases: a pretraining, two fine-tunings and two trainings
/// from scratch, with four evaluations.
pub fn small() -> tempfile::TempDir {
    small_in(in_memory())
}

/// The same in a folder of one's own, for what stays to the end of the tests: nobody removes that
/// from memory.
pub fn small_in(folder: tempfile::TempDir) -> tempfile::TempDir {
    fs::write(folder.path().join("small.toml"), small_manifest()).unwrap();
    folder
}

/// The manifest in it.
pub fn small_manifest() -> String {
    let few_cases = TINY
        .replace("samples = [5]", "samples = [1, 2]")
        .replace("starts = [1, 28]", "starts = [1]");
    format!("{few_cases}\n[dataset]\ntraining = 3\ntest = 1\n")
}

/// Small grids with every kind of stage and every form of network. `small.toml`: norms, each image
/// with all masks or with one, heads, fused masks, the mean of masks, a mask and a map, a latent;
/// as they are, chosen from, adapted as a whole or in part. `chosen.toml`: a rule that chooses
/// among annotators, which is for one method, and two pretrainings to choose from.
pub fn every_form() -> tempfile::TempDir {
    let folder = small();
    let methods = [
        "w/",
        "w/o",
        "original",
        "customised-frozen",
        "heads",
        "pool",
        "staple",
        "uncertainty",
        "uncertainty-map",
        "probabilistic",
        "probabilistic-full",
    ];
    let text = small_manifest()
        .replace(
            "arms = [\"w/\", \"w/o\"]",
            &format!("methods = {methods:?}"),
        )
        .replace("samples = [1, 2]", "samples = [0, 1]");
    assert!(text.contains("probabilistic") && text.contains("[0, 1]"));
    fs::write(folder.path().join("small.toml"), text).unwrap();
    let chosen = small_manifest()
        .replace("samples = [1, 2]", "samples = [1]")
        .replace("choose = 2", "choose = 1");
    let chosen = format!("{chosen}\n[selection]\nrules = [\"agreement\"]\n");
    fs::write(folder.path().join("chosen.toml"), chosen).unwrap();
    folder
}

/// One fine-tuning on one pretraining, and its evaluation: every kind of publication there is.
pub const THREE_STAGES: &str = "method=\"w/\" and n=1";

/// Arguments of a run of the small manifest.
pub fn small_run<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let dataset = few().to_str().unwrap();
    let mut arguments = vec!["run", "small.toml", "--dataset", dataset];
    arguments.extend(more);
    arguments
}

/// The finished work in a results folder: the store's artefacts and the tables, not what is on
/// its way, nor what tells of times.
pub fn finished(results: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut all = files(results);
    all.retain(|name, _| {
        let on_its_way = ["store/tmp/", "store/claims/", "store/partial/", "logs/"];
        !on_its_way.iter().any(|folder| name.starts_with(folder))
    });
    timeless(all)
}

/// Asserts that two results folders hold the same finished work.
pub fn assert_same_work(results: &Path, expected: &Path, after: &str) {
    let (work, expected) = (finished(results), finished(expected));
    let names = |work: &std::collections::BTreeMap<String, Vec<u8>>| {
        work.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&work), names(&expected), "after {after}");
    let differing: Vec<&String> = (work.iter())
        .filter(|(name, bytes)| expected[*name] != **bytes)
        .map(|(name, _)| name)
        .collect();
    assert!(
        differing.is_empty(),
        "after {after} these differ: {differing:?}"
    );
}
