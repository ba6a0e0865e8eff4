//! What the end-to-end tests share: the real binary, folders, a small manifest.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use expertgrid::{
    data::{
        Image,
        nifti::{Header, write_image},
    },
    grid::{Axis, Chosen},
    key::Digest,
    manifest::Recipe,
    method::{Method, NetworkForm},
    metric::{Compared, Definition, MaskError, MaskView, Measure, Score, Spacing},
    net::{About, NetworkOrigin},
    plan::{Kind, Run},
    report::Position,
};
use nifti::NiftiHeader;

/// The program, to be run in a folder.
pub fn expertgrid(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_expertgrid"));
    command.current_dir(folder).args(arguments);
    // Cards of this machine would give other last bits.
    command.env("CUDA_VISIBLE_DEVICES", "");
    command
}

/// Runs it and expects an exit code.
pub fn run(folder: &Path, arguments: &[&str], code: i32) -> Said {
    let output = expertgrid(folder, arguments)
        .output()
        .expect("the program starts");
    let said = Said::of(&output);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?} said {said:#?}"
    );
    said
}

/// What a command printed.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: &Output) -> Self {
        Self {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The line of progress that counts stages: `(done, cached)`.
    pub fn counts(&self) -> Option<(usize, usize)> {
        let line = self
            .err
            .lines()
            .rev()
            .find(|line| line.contains(" done, "))?;
        let number = |word: &str| {
            let at = line.find(word)?;
            line[..at].trim_end().rsplit(' ').next()?.parse().ok()
        };
        Some((number(" done")?, number(" cached")?))
    }
}

/// What a checkpoint of a test says of itself.
pub fn about(width: usize, experts: usize) -> About {
    let mut recipe = Recipe::default();
    recipe.network.width = width;
    About {
        recipe,
        experts: (1..=experts as u8).collect(),
        network: NetworkForm::Norms,
        latent: 6,
        geometry: None,
        provenance: NetworkOrigin::Stage {
            kind: Kind::Pretrain,
            digest: Digest::of_bytes(b"a test"),
            record: None,
        },
    }
}

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A phantom, drawn once for all tests of a file.
pub fn phantom() -> &'static Path {
    static PHANTOM: OnceLock<tempfile::TempDir> = OnceLock::new();
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let folder = PHANTOM.get_or_init(|| tempfile::tempdir().unwrap());
        run(folder.path(), &["data", "phantom", "--out", "phantom"], 0);
        folder.path().join("phantom")
    })
}

/// A grid of five runs on one pretraining, trained for a few steps.
pub const TINY: &str = r#"
title = "a tiny grid"
seed = 3

[grid]
new_experts = [6]
arms = ["w/", "w/o"]
annotators = { from = [1, 2], choose = 2 }
samples = [5]
starts = [1, 28]

[image]
reduce = 6

[network]
width = 4

[training]
batch = 2
lr = 1e-2

[pretrain]
steps = 4

[finetune]
steps = 2

[scratch]
steps = 4
"#;

/// A folder with the tiny manifest.
pub fn tiny() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    folder
}

/// Arguments of a run of the tiny manifest.
pub fn tiny_run<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let dataset = phantom().to_str().unwrap();
    let mut arguments = vec!["run", "tiny.toml", "--dataset", dataset];
    arguments.extend(more);
    arguments
}

/// Every file below a folder with its bytes, by relative path.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The folder of a table's results whose name begins so.
pub fn results_of(folder: &Path, table: &str, beginning: &str) -> PathBuf {
    let table = folder.join("results").join(table);
    let entries = fs::read_dir(&table).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: Vec<String> = names.filter(|name| name.starts_with(beginning)).collect();
    assert_eq!(found.len(), 1, "{found:?} of {}", table.display());
    table.join(&found[0])
}

/// The journals in a folder of results.
pub fn journals_in(results: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(results.join("journal"));
    let entries = entries.into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Files without what was measured while they were made: journals, and what pages tell of times.
pub fn timeless(mut files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.retain(|name, _| !name.ends_with(".jsonl"));
    for (_, page) in files.iter_mut().filter(|(name, _)| name.ends_with(".html")) {
        let text = String::from_utf8_lossy(page);
        let parts = text.split("<!--measured-->").enumerate();
        let kept = parts.map(|(i, part)| match (i, part.split_once("<!--/measured-->")) {
            (1.., Some((_, after))) => after,
            _ => part,
        });
        *page = kept.collect::<String>().into_bytes();
    }
    files
}

/// Asserts that two folders hold the same files, and names those that differ.
pub fn assert_same_files(a: &Path, b: &Path) {
    let (a, b) = (timeless(files(a)), timeless(files(b)));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    let differing: Vec<_> = a
        .iter()
        .filter(|(name, bytes)| b[*name] != **bytes)
        .map(|(n, _)| n)
        .collect();
    assert!(differing.is_empty(), "these differ: {differing:?}");
}

/// A CSV file as rows by column name.
pub fn csv(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// Waits for something that comes sooner or later.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a process a signal.
pub fn signal(process: u32, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// The workers of a run.
pub fn workers(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    children
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

/// Compares bytes with a file below `tests/fixtures/`, which `UPDATE_SNAPSHOTS=1` writes first.
///
/// # Errors
/// The first line that differs.
pub fn compare_with_fixture(name: &str, found: &[u8]) -> Result<(), String> {
    let path = repository().join("tests/fixtures").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if found == expected {
        return Ok(());
    }
    let [found, expected] = [found, &expected].map(String::from_utf8_lossy);
    let (mut found, mut expected) = (found.split('\n'), expected.split('\n'));
    let mut line = 1;
    loop {
        let [was, is] = [expected.next(), found.next()];
        if was != is {
            let shown =
                |text: Option<&str>| text.map_or("nothing".to_owned(), |t| format!("{t:?}"));
            let (was, is) = (shown(was), shown(is));
            return Err(format!("{name}, line {line}: was {was}, is {is}"));
        }
        line += 1;
    }
}

/// The paper's measures, for tests that made scores for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Dice,
    Assd,
    Hd95,
}

impl Metric {
    pub const ALL: [Self; 3] = [Self::Dice, Self::Assd, Self::Hd95];

    pub fn measure(self) -> Measure {
        let word = match self {
            Self::Dice => "dice",
            Self::Assd => "assd",
            Self::Hd95 => "hd95",
        };
        Measure::named(word).unwrap()
    }
}

impl PartialEq<Metric> for Measure {
    fn eq(&self, other: &Metric) -> bool {
        *self == other.measure()
    }
}

/// The scores of one pair of masks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairScores {
    pub dice: Score,
    pub assd: Score,
    pub hd95: Score,
}

/// Scores a pair of masks by the paper's measures.
pub fn scores(
    prediction: MaskView<'_>,
    reference: MaskView<'_>,
    spacing: Spacing,
    definition: Definition,
) -> Result<PairScores, MaskError> {
    let pair = Compared::new(prediction, reference, spacing, definition)?;
    let [dice, assd, hd95] = Metric::ALL.map(|metric| metric.measure().of(&pair));
    Ok(PairScores { dice, assd, hd95 })
}

/// The sform affine (rows x, y, z) of a file written with an image's header; `None` without one.
pub fn written_affine(image: &Image, header: &Header) -> Option<Vec<f64>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.nii");
    write_image(&path, image, header).unwrap();
    let header = NiftiHeader::from_file(&path).unwrap();
    let rows = [header.srow_x, header.srow_y, header.srow_z];
    let rows = rows.into_iter().flatten().map(f64::from);
    (header.sform_code > 0).then(|| rows.collect())
}

/// Methods as a grid has them, each under its own name.
pub fn chosen(methods: &[Method]) -> Vec<Arc<Chosen>> {
    let methods = methods.iter().enumerate().map(|(rank, method)| Chosen {
        rank,
        word: method.name.as_ref().into(),
        method: method.clone(),
    });
    methods.map(Arc::new).collect()
}

/// The position of a run in a table that averages over the combinations of annotators.
pub fn position(run: &Run) -> Position {
    let axes = [
        Axis::NEW_EXPERT,
        Axis::TRAIN_EXPERT,
        Axis::SAMPLES,
        Axis::EXPERTS,
        Axis::METHOD,
    ];
    Position::of(&run.at, &axes)
}

/// The word of the method that a position stands on.
pub fn word(position: &Position) -> String {
    position
        .chosen()
        .map_or_else(String::new, |chosen| chosen.word.to_string())
}
