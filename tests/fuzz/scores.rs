//! The metrics of test images as JSON, with damaged values and damaged bytes.

use expertgrid::{
    artefact::{CaseScores, Scores},
    metric::{Reason, Score},
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{
    damage::{damage, noise, once_in, one},
    watch::Kind,
};

/// Scores of test images.
#[derive(Clone, Copy)]
pub struct AllScores;

const REASONS: [Reason; 3] = [
    Reason::EmptyPrediction,
    Reason::EmptyReference,
    Reason::BothEmpty,
];

/// What may stand in a value's place.
const TOKENS: [&str; 14] = [
    "0",
    "-0.0",
    "1e308",
    "1e309",
    "-1",
    "null",
    "\"x\"",
    "[]",
    "{}",
    "{\"value\": 1}",
    "{\"value\": null}",
    "{\"undefined\": \"both_empty\"}",
    "{\"undefined\": \"bored\"}",
    "1e-400",
];

fn sound(rng: &mut ChaCha8Rng) -> Scores {
    let score = |rng: &mut ChaCha8Rng| match once_in(rng, 4) {
        true => Score::Undefined(*one(rng, &REASONS)),
        false => Score::Value(rng.random_range(0.0..100.0)),
    };
    let cases = (0..rng.random_range(0..5))
        .map(|i| CaseScores {
            case: format!("case {i}"),
            scores: ["dice", "assd", "hd95"]
                .map(|word| (word.to_owned(), score(rng)))
                .into(),
            diagonal: rng.random_range(1.0..500.0),
        })
        .collect();
    Scores { cases }
}

impl Kind for AllScores {
    type Input = Vec<u8>;
    type Output = Scores;

    const NAME: &'static str = "scores";

    fn input(self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        if once_in(rng, 16) {
            return noise(rng, 512);
        }
        let mut bytes = sound(rng).to_bytes();
        if once_in(rng, 4) {
            return bytes;
        }
        if once_in(rng, 64) {
            let depth = rng.random_range(1..20_000);
            return [b"{\"cases\": ".to_vec(), b"[".repeat(depth)].concat();
        }
        if rng.random() {
            let text = String::from_utf8(bytes).expect("JSON is text");
            let mut lines: Vec<&str> = text.lines().collect();
            let at = rng.random_range(0..lines.len());
            let changed = match lines[at].split_once(": ") {
                Some((key, _)) => format!("{key}: {},", one(rng, &TOKENS)),
                None => (*one(rng, &TOKENS)).to_owned(),
            };
            lines[at] = &changed;
            bytes = lines.join("\n").into_bytes();
        } else {
            let other = sound(rng).to_bytes();
            damage(rng, &mut bytes, &other);
        }
        bytes
    }

    fn shown(input: &Vec<u8>) -> Vec<u8> {
        input.clone()
    }

    fn parse(input: &Vec<u8>) -> Option<Scores> {
        Scores::parse(input).ok()
    }

    fn check(_: &Vec<u8>, scores: Scores) {
        assert_eq!(Scores::parse(&scores.to_bytes()), Ok(scores));
    }

    fn bound(input: &Vec<u8>) -> usize {
        // A case is 112 bytes and can be told in 100; the list of them doubles.
        (1 << 10) + 8 * input.len()
    }
}
