//! The normalised surface Dice: against DeepMind's package, and what holds for any two masks.
//!
//! The expected values are in `tests/fixtures/surface_dice.json`; `tests/reference/surface_dice.py`
//! wrote them.

use expertgrid::metric::{Compared, Definition, MaskView, Measure, Reason, Score, Spacing};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    tolerances: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    shape: [usize; 2],
    spacing: [f64; 2],
    pred: Vec<[usize; 3]>,
    #[serde(rename = "ref")]
    reference: Vec<[usize; 3]>,
    dice: Vec<f64>,
}

fn mask([height, width]: [usize; 2], runs: &[[usize; 3]]) -> Vec<bool> {
    let mut pixels = vec![false; height * width];
    for &[row, first, end] in runs {
        pixels[row * width + first..row * width + end].fill(true);
    }
    pixels
}

fn nsd(masks: [&[bool]; 2], shape: [usize; 2], spacing: Spacing, nsd_tolerance: f64) -> Score {
    let view = |pixels| MaskView::new(shape[0], shape[1], pixels).unwrap();
    let definition = Definition {
        nsd_tolerance,
        ..Definition::default()
    };
    let [prediction, reference] = masks.map(view);
    let pair = Compared::new(prediction, reference, spacing, definition).unwrap();
    Measure::named("nsd").unwrap().of(&pair)
}

#[test]
fn it_is_that_of_deepminds_package() {
    let Fixture { tolerances, cases } =
        serde_json::from_str(include_str!("../../fixtures/surface_dice.json")).unwrap();
    let mut between = 0;
    for case in &cases {
        let [prediction, reference] = [&case.pred, &case.reference].map(|r| mask(case.shape, r));
        let [row, column] = case.spacing;
        assert_eq!(case.dice.len(), tolerances.len());
        for (tolerance, expected) in std::iter::zip(&tolerances, &case.dice) {
            let spacing = Spacing { row, column };
            let found = nsd([&prediction, &reference], case.shape, spacing, *tolerance);
            let found = found.value().unwrap();
            let id = &case.id;
            assert!(
                (found - expected).abs() <= 1e-12,
                "{id} at {tolerance}: {found} is not {expected}"
            );
            between += usize::from(0.0 < found && found < 1.0);
        }
    }
    assert_eq!(cases.len(), 25);
    assert!(between > 80, "{between}");
}

const SHAPE: [usize; 2] = [11, 9];

fn any_mask() -> impl Strategy<Value = Vec<bool>> {
    // Sparse, middling and dense masks, empty ones among them.
    (0u8..=10).prop_flat_map(|density| {
        prop::collection::vec(
            (0u8..10).prop_map(move |x| x < density),
            SHAPE[0] * SHAPE[1],
        )
    })
}

fn any_spacing() -> impl Strategy<Value = Spacing> {
    (0.1..5.0, 0.1..5.0).prop_map(|(row, column)| Spacing { row, column })
}

proptest! {
    #[test]
    fn it_is_a_share_the_same_from_either_side(
        a in any_mask(), b in any_mask(), spacing in any_spacing(), tolerance in 0.0..20.0,
    ) {
        let there = nsd([&a, &b], SHAPE, spacing, tolerance);
        let back = nsd([&b, &a], SHAPE, spacing, tolerance);
        prop_assert_eq!(there, back);
        match there {
            Score::Value(value) => prop_assert!((0.0..=1.0).contains(&value)),
            Score::Undefined(reason) => {
                prop_assert_eq!(reason, Reason::BothEmpty);
                prop_assert!(!a.contains(&true) && !b.contains(&true));
            }
        }
    }

    #[test]
    fn it_is_one_for_equal_masks(
        a in any_mask(), spacing in any_spacing(), tolerance in 0.0..20.0,
    ) {
        let expected = match a.contains(&true) {
            true => Score::Value(1.0),
            false => Score::Undefined(Reason::BothEmpty),
        };
        prop_assert_eq!(nsd([&a, &a], SHAPE, spacing, tolerance), expected);
    }

    #[test]
    fn it_does_not_fall_as_the_tolerance_grows(
        a in any_mask(), b in any_mask(), spacing in any_spacing(),
        tolerance in 0.0..5.0, more in 0.0..20.0,
    ) {
        let strict = nsd([&a, &b], SHAPE, spacing, tolerance);
        let loose = nsd([&a, &b], SHAPE, spacing, tolerance + more);
        prop_assert!(strict.value() <= loose.value());
        // Farther than any two corners of the image.
        let both = a.contains(&true) && b.contains(&true);
        let largest = spacing.diagonal(SHAPE[0], SHAPE[1]);
        let all = nsd([&a, &b], SHAPE, spacing, largest).value();
        prop_assert!(!both || all == Some(1.0));
    }
}
