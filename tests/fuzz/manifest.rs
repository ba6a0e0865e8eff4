//! Manifests and overrides: the paper's and edited ones, with other keys and values, nested, cut.

use std::{fmt::Write, fs, path::Path, sync::LazyLock};

use expertgrid::{
    manifest::{self, Experiment},
    plan::{self, Inventory, Summary},
};
use itertools::Itertools;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{
    damage::{EDGES, damage, noise, once_in, one},
    watch::Kind,
};

/// Manifests, each with a profile and overrides.
#[derive(Clone, Copy)]
pub struct Manifests;

/// A manifest's text and what is laid over it.
pub struct Asked {
    text: String,
    profile: &'static str,
    overrides: Vec<String>,
}

/// The paper's manifests without their comments, and four that are shorter.
static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let mut texts: Vec<String> = ["table1.toml", "table2.toml", "table3.toml"]
        .iter()
        .map(|name| {
            let text =
                fs::read_to_string(folder.join(name)).expect("the paper's manifests are there");
            text.lines()
                .map(|line| line.split('#').next().unwrap_or(line).trim_end())
                .join("\n")
        })
        .collect();
    texts.push(
        "[grid]\nnew_experts = [6, 7]\narms = [\"w/\", \"w/o\"]\n\
         annotators = { from = [1, 2, 3, 4, 5], choose = 3 }\nsamples = [5, 10]\nstarts = [1, 4]\n"
            .to_owned(),
    );
    texts.push(
        "grid = { new_experts = [1], arms = [\"single\"], train_experts = [2, 3], samples = [1], \
         starts = [1] }\n[profile.smoke]\ngrid.samples = [2]\n[dataset]\nexperts = 3\n"
            .to_owned(),
    );
    texts.push(
        "grid = { new_experts = [1], arms = [\"w/o\"], samples = [1], starts = [1] }\n[sweep]\n\
         network.width = [8, 16]\nseed = [0, 1, 2]\nimage.crop = [192]\n[profile.smoke]\n\
         sweep.seed = [3]\n"
            .to_owned(),
    );
    texts.push(
        "[grid]\nnew_experts = [\"rater-c\"]\narms = [\"w/o\"]\nsamples = [1]\nstarts = [1]\n\
         [dataset]\nexperts = [\"rater-a\", \"rater-b\", \"rater-c\"]\nimages = \"x/{case}.png\"\n\
         masks = \"y/{case}/{expert}.png\"\nlabel = 1\nsplit = { test = 0.25, seed = 0 }\n\
         spacing_mm = [1.0, 1.0]\nchannel = 0\n"
            .to_owned(),
    );
    texts
});

/// The words of all keys, those of their paths, and whole paths.
static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let paths = manifest::sections().iter().flat_map(|section| {
        let paths = section.keys.iter().map(|key| section.path(key));
        paths.collect_vec()
    });
    let words = |path: String| {
        let words = path.split('.').map(str::to_owned).collect_vec();
        words.into_iter().chain([path])
    };
    // Sections without keys of their own, and a key of older manifests.
    let more = ["profile", "paper", "sweep", "arms"].map(str::to_owned);
    paths.flat_map(words).chain(more).unique().collect()
});

const VALUES: [&str; 53] = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "34",
    "200",
    "201",
    "nan",
    "inf",
    "-inf",
    "1e308",
    "1e-308",
    "-0.0",
    "0x7f",
    "1_0",
    "99999999999999999999",
    "true",
    "\"\"",
    "\"w/\"",
    "\"single\"",
    "\"macro\"",
    "\"full\"",
    "\"smoke\"",
    "\"\u{1f9e0}\"",
    "'''\n'''",
    "1979-05-27",
    "[]",
    "[[]]",
    "[1, 1]",
    "[0]",
    "[1, \"2\"]",
    "[\"w/\", \"w/o\", \"single\"]",
    "[0.5, 1.5]",
    "[1.5, 0.5]",
    "[-1, 1e308]",
    "{}",
    "{ from = [1, 2], choose = [1, 2] }",
    "{ from = [], choose = 1 }",
    "{ from = [1, 1, 1], choose = 3 }",
    "{ x = { y = 1 } }",
    "\"pooled\"",
    "\"experts\"",
    "[4, 8, 16]",
    "[[0.5, 1.5], [1, 1]]",
    "\"{case}.png\"",
    "\"m/{case}-{expert}.png\"",
    "{ test = 0.25, seed = 1 }",
    "[\"a\", \"b\"]",
    "{ axis = \"z\", from = 1, to = 3 }",
    "\"mean\"",
    "\"rater-a\"",
];

fn value(rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..12) {
        0..3 => one(rng, &EDGES).to_string(),
        3 => format!("-{}", one(rng, &EDGES)),
        4 => {
            let count = rng.random_range(0..60);
            let first = rng.random_range(0..40);
            format!("[{}]", (first..first + count).join(", "))
        }
        5 => {
            let last = rng.random_range(1..100);
            format!(
                "{{ from = [{}], choose = {} }}",
                (1..=last).join(", "),
                rng.random_range(0..=last)
            )
        }
        6 => nested(rng),
        _ => (*one(rng, &VALUES)).to_owned(),
    }
}

/// A value within lists and tables, whose keys are dotted: TOML may be nested much deeper than any
/// one of its bounds says.
fn nested(rng: &mut ChaCha8Rng) -> String {
    let levels = if once_in(rng, 8) { 90 } else { 4 };
    let dots = if once_in(rng, 4) { 78 } else { 2 };
    let (mut open, mut close) = (String::new(), String::new());
    for _ in 0..rng.random_range(1..=levels) {
        match rng.random() {
            true => {
                open.push('[');
                close.insert(0, ']');
            }
            false => {
                let key = ["a"].repeat(rng.random_range(1..=dots)).join(".");
                let _ = write!(open, "{{ {key} = ");
                close.insert_str(0, " }");
            }
        }
    }
    format!("{open}1{close}")
}

fn key(rng: &mut ChaCha8Rng) -> String {
    let longest = if once_in(rng, 32) { 100 } else { 3 };
    (0..rng.random_range(1..=longest))
        .map(|_| one(rng, &KEYS).as_str())
        .join(".")
}

fn line(rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..8) {
        0 => format!("[{}]", key(rng)),
        1 => format!("[profile.{}]", one(rng, &KEYS)),
        2 => format!("[[{}]]", key(rng)),
        _ => format!("{} = {}", key(rng), value(rng)),
    }
}

/// Changes lines: other values, other keys, other places.
fn edit(rng: &mut ChaCha8Rng, text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..rng.random_range(1..=3) {
        if lines.is_empty() {
            break;
        }
        let at = rng.random_range(0..lines.len());
        match rng.random_range(0..10) {
            0..4 => {
                if let Some((key, _)) = lines[at].split_once('=') {
                    lines[at] = format!("{key}= {}", value(rng));
                }
            }
            4 => {
                let key = key(rng);
                if let Some((_, value)) = lines[at].split_once('=') {
                    lines[at] = format!("{key} ={value}");
                }
            }
            5 => {
                let line = line(rng);
                lines.insert(at, line);
            }
            6 => drop(lines.remove(at)),
            7 => {
                let to = rng.random_range(0..lines.len());
                lines.swap(at, to);
            }
            8 => {
                let copy = lines[at].clone();
                lines.insert(at, copy);
            }
            _ => {
                // Many at once, within what a table of the paper has a thousand times.
                let line = line(rng);
                let many = if once_in(rng, 64) { 2000 } else { 20 };
                let numbered =
                    (0..rng.random_range(0..many)).map(|i| line.replacen(' ', &format!("{i} "), 1));
                lines.splice(at..at, numbered.collect_vec());
            }
        }
    }
    lines.join("\n")
}

fn overriding(rng: &mut ChaCha8Rng) -> String {
    let text = match rng.random_range(0..6) {
        0 => line(rng),
        1 => value(rng),
        2 => format!("#{}={}", key(rng), value(rng)),
        _ => format!("{}={}", key(rng), value(rng)),
    };
    if !once_in(rng, 4) {
        return text;
    }
    let mut bytes = text.into_bytes();
    damage(rng, &mut bytes, b"a.b=1\n[c]");
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Kind for Manifests {
    type Input = Asked;
    type Output = Experiment;

    const NAME: &'static str = "manifest";

    fn input(self, rng: &mut ChaCha8Rng) -> Asked {
        let mut text = match once_in(rng, 16) {
            true => String::from_utf8_lossy(&noise(rng, 512)).into_owned(),
            false => one(rng, &TEXTS).clone(),
        };
        if !once_in(rng, 3) {
            text = edit(rng, &text);
        }
        if once_in(rng, 8) {
            let mut bytes = text.into_bytes();
            let other = one(rng, &TEXTS);
            damage(rng, &mut bytes, other.as_bytes());
            // A file that is not text is refused before it is parsed.
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        let overrides = match once_in(rng, 4) {
            true => (0..rng.random_range(1..=3))
                .map(|_| overriding(rng))
                .collect(),
            false => Vec::new(),
        };
        let profile = *one(rng, &["paper", "paper", "paper", "smoke", "phantom", ""]);
        Asked {
            text,
            profile,
            overrides,
        }
    }

    fn shown(asked: &Asked) -> Vec<u8> {
        let Asked {
            text,
            profile,
            overrides,
        } = asked;
        format!("# --profile {profile:?} --set {overrides:?}\n{text}").into_bytes()
    }

    fn parse(asked: &Asked) -> Option<Experiment> {
        let Asked {
            text,
            profile,
            overrides,
        } = asked;
        match manifest::parse(Path::new("m.toml"), text, profile, overrides) {
            Ok(experiment) => Some(experiment),
            Err(problems) => {
                let said = problems.to_string();
                assert!(said.contains(": "), "refused without a reason");
                None
            }
        }
    }

    fn check(asked: &Asked, experiment: Experiment) {
        assert_eq!(experiment.profile, asked.profile);
        let grid = &experiment.grid;
        assert!(
            !grid.methods.is_empty() && !grid.new_experts.is_empty(),
            "nothing to run"
        );
        assert!(
            !grid.samples.is_empty() && !grid.starts.is_empty(),
            "nothing to run"
        );
        let single = grid
            .methods
            .iter()
            .any(|chosen| chosen.method.name == "single");
        let with = grid.pretrains();
        assert_eq!(
            with,
            !grid.annotators.from.is_empty() && !grid.annotators.choose.is_empty()
        );
        assert_eq!(single, !grid.train_experts.is_empty());
        let experts = grid
            .new_experts
            .iter()
            .chain(&grid.annotators.from)
            .chain(&grid.train_experts);
        for expert in experts {
            assert!((1..=experiment.cohort.experts).contains(expert));
        }
        for many in &grid.annotators.choose {
            assert!((1..=grid.annotators.from.len()).contains(many));
        }
        for number in grid.samples.iter().chain(&grid.starts) {
            assert!((1..=experiment.cohort.training).contains(number));
        }
        let points: usize = experiment
            .sweep
            .iter()
            .map(|swept| swept.values.len())
            .product();
        assert!((1..=manifest::MAX_POINTS).contains(&points));
        let runs = grid.runs();
        assert!((1.0..=2e7).contains(&runs), "{runs} runs");
        // A larger plan or cohort takes its time, and no other way through the code.
        let cohort = experiment.cohort;
        if runs * points as f64 <= 64.0 && cohort.training.max(cohort.test) <= 100 {
            let inventory = Inventory::assumed(&cohort);
            let all = experiment.points();
            let runs: f64 = all.iter().map(|point| point.experiment.grid.runs()).sum();
            let plan = plan::build(vec![experiment], &inventory);
            assert_eq!(Summary::of(&plan, |_| true, |_| false).runs as f64, runs);
        }
    }

    fn bound(asked: &Asked) -> usize {
        let bytes = asked.text.len() + asked.overrides.iter().map(String::len).sum::<usize>();
        FIXED + PER_BYTE * bytes
    }
}

/// Bytes per byte of text: TOML's tables have room for eleven entries each, and two characters
/// make one.
const PER_BYTE: usize = 1024;
/// What the smallest manifest needs: a whole experiment.
const FIXED: usize = 64 << 10;
