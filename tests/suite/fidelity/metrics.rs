//! Two hundred random pairs of masks against MedPy, by every definition.

use expertgrid::metric::{Assd, Definition, Hd95, MaskView, Reason, Score, Spacing};
use serde::Deserialize;

use super::reader::within;
use crate::support::common::scores;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    shape: [usize; 2],
    spacing: [f64; 2],
    prediction: String,
    reference: String,
    dice: f64,
    undefined: Option<Reason>,
    #[serde(flatten)]
    distances: Option<Distances>,
}

#[derive(Deserialize)]
struct Distances {
    assd_pooled: f64,
    assd_macro: f64,
    hd95_pooled: f64,
    hd95_max_directed: f64,
}

/// The pixels of a mask that is packed eight to a byte, the first in the highest bit.
fn unpacked(hex: &str, count: usize) -> Vec<bool> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..count)
        .map(|i| byte(i / 8 * 2) >> (7 - i % 8) & 1 == 1)
        .collect()
}

impl Case {
    fn scores(&self, assd: Assd, hd95: Hd95) -> [Score; 3] {
        let [height, width] = self.shape;
        let [prediction, reference] =
            [&self.prediction, &self.reference].map(|hex| unpacked(hex, height * width));
        let definition = Definition {
            assd,
            hd95,
            ..Definition::default()
        };
        let spacing = Spacing {
            row: self.spacing[0],
            column: self.spacing[1],
        };
        let [prediction, reference] =
            [&prediction, &reference].map(|pixels| MaskView::new(height, width, pixels).unwrap());
        let found = scores(prediction, reference, spacing, definition).unwrap();
        [found.dice, found.assd, found.hd95]
    }
}

#[test]
fn two_hundred_pairs_are_scored_as_by_medpy() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("../../fixtures/mask_pairs.json")).unwrap();
    assert_eq!(fixture.cases.len(), 200);
    let mut deviations = [0.0_f64; 3];
    let mut undefined = Vec::new();
    for (index, case) in fixture.cases.iter().enumerate() {
        let both = [
            (Assd::Pooled, Hd95::Pooled),
            (Assd::Macro, Hd95::MaxDirected),
        ];
        let found = both.map(|(assd, hd95)| case.scores(assd, hd95));
        if let Some(reason) = case.undefined {
            assert!(case.distances.is_none());
            for found in found {
                let none = Score::Undefined(reason);
                assert_eq!(found, [Score::Value(case.dice), none, none], "pair {index}");
            }
            undefined.push(reason);
            continue;
        }
        let expected = case.distances.as_ref().expect("distances");
        let expected = [
            [case.dice, expected.assd_pooled, expected.hd95_pooled],
            [case.dice, expected.assd_macro, expected.hd95_max_directed],
        ];
        for (found, expected) in found.iter().zip(expected) {
            for (metric, (found, expected)) in found.iter().zip(expected).enumerate() {
                let apart = (found.value().expect("a value") - expected).abs();
                assert!(apart <= 1e-9, "pair {index}: {found} for {expected}");
                deviations[metric] = deviations[metric].max(apart);
            }
        }
    }
    for (metric, deviation) in ["Dice", "ASSD", "95HD"].iter().zip(deviations) {
        within(1e-9, deviation, metric);
    }
    for reason in [
        Reason::EmptyPrediction,
        Reason::EmptyReference,
        Reason::BothEmpty,
    ] {
        assert!(undefined.iter().filter(|found| **found == reason).count() >= 5);
    }
}
