//! Patterns of the paths of a data set's files, held against paths.

use expertgrid::manifest::PathPattern;
use itertools::Itertools;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{
    damage::{damage, noise, once_in, one},
    watch::Kind,
};

/// Patterns, each with a path.
#[derive(Clone, Copy)]
pub struct PathPatterns;

/// A pattern's text and a path.
pub struct Held {
    pattern: String,
    path: String,
}

const PIECES: [&str; 16] = [
    "{case}", "{case}", "{expert}", "{split}", "{x}", "*", "_", "-", ".png", ".nii", "seg", "case",
    "é", "1", "{", "}",
];
const TEXTS: [&str; 12] = [
    "case01",
    "a",
    "1",
    "é",
    "_",
    "-",
    ".",
    "seg",
    ".png",
    ".nii.gz",
    "aaaaaaaaaaaaaa",
    " ",
];

/// A path of a few names, each of a few pieces.
fn text(rng: &mut ChaCha8Rng, pieces: &[&str]) -> String {
    let longest = if once_in(rng, 16) { 12 } else { 3 };
    (0..rng.random_range(1..=longest))
        .map(|_| {
            (0..rng.random_range(1..=6))
                .map(|_| *one(rng, pieces))
                .collect::<String>()
        })
        .join("/")
}

/// A path for a pattern: each word is some text, each time the same, mostly.
fn filled(rng: &mut ChaCha8Rng, pattern: &str) -> String {
    let mut path = pattern.to_owned();
    for word in ["{case}", "{expert}", "{split}", "{x}"] {
        let longest = if once_in(rng, 16) { 60 } else { 3 };
        let text: String = (0..rng.random_range(1..=longest))
            .map(|_| *one(rng, &TEXTS))
            .collect();
        path = path.replace(word, &text);
        if once_in(rng, 16) {
            path = path.replacen(&text, "b", 1);
        }
    }
    let any: String = (0..rng.random_range(0..=3))
        .map(|_| *one(rng, &TEXTS))
        .collect();
    path.replace('*', &any)
}

impl Kind for PathPatterns {
    type Input = Held;
    type Output = (PathPattern, Option<Vec<(String, String)>>);

    const NAME: &'static str = "path_patterns";

    fn input(self, rng: &mut ChaCha8Rng) -> Held {
        let pieces = if once_in(rng, 4) { 16 } else { 14 };
        let mut pattern = text(rng, &PIECES[..pieces]);
        let path = match once_in(rng, 4) {
            true => text(rng, &TEXTS),
            false => filled(rng, &pattern),
        };
        if once_in(rng, 8) {
            let mut bytes = pattern.into_bytes();
            damage(rng, &mut bytes, path.as_bytes());
            pattern = String::from_utf8_lossy(&bytes).into_owned();
        }
        if once_in(rng, 32) {
            pattern = String::from_utf8_lossy(&noise(rng, 64)).into_owned();
        }
        Held { pattern, path }
    }

    fn shown(Held { pattern, path }: &Held) -> Vec<u8> {
        format!("{pattern}\n{path}").into_bytes()
    }

    fn parse(Held { pattern, path }: &Held) -> Option<Self::Output> {
        let parsed = match PathPattern::parse(pattern) {
            Ok(parsed) => parsed,
            Err(why) => {
                assert!(why.contains("write") || why.contains("name fewer"), "{why}");
                return None;
            }
        };
        let names = path.split('/').collect_vec();
        let mut parts = (names.len() == parsed.depth()).then(Vec::new);
        for (depth, name) in names.iter().enumerate() {
            parts = parts.and_then(|parts| parsed.fit(depth, name, &parts, &|_, _| true));
        }
        Some((parsed, parts))
    }

    fn check(Held { pattern, path }: &Held, (parsed, parts): Self::Output) {
        assert_eq!(parsed.text(), pattern);
        assert_eq!(parsed.filled(&Vec::new()), *pattern);
        let Some(parts) = parts else {
            return;
        };
        // Each word once, none empty, and the path again where nothing else is open.
        assert!(
            parts
                .iter()
                .all(|(word, text)| !text.is_empty() && parsed.words().contains(&word.as_str()))
        );
        assert!(parts.iter().map(|(word, _)| word).all_unique());
        assert_eq!(parts.len(), parsed.words().len());
        if !pattern.contains('*') {
            assert_eq!(parsed.filled(&parts), *path);
        }
    }

    fn bound(Held { pattern, path }: &Held) -> usize {
        FIXED + PER_BYTE * (pattern.len() + path.len())
    }
}

/// Bytes per byte of both texts: pieces of at least one byte, and the ends that are tried.
const PER_BYTE: usize = 128;
/// What the smallest pattern needs.
const FIXED: usize = 4 << 10;
