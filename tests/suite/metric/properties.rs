//! What holds for the metrics of any two masks.

use expertgrid::metric::{Assd, Definition, Hd95, MaskView, Pixel, Spacing, nearest};
use proptest::prelude::*;

use crate::support::common::{PairScores, scores};

const HEIGHT: usize = 11;
const WIDTH: usize = 9;

fn mask() -> impl Strategy<Value = Vec<bool>> {
    // Sparse, middling and dense masks, empty ones among them.
    (0u8..=10).prop_flat_map(|density| {
        prop::collection::vec((0u8..10).prop_map(move |x| x < density), HEIGHT * WIDTH)
    })
}

fn spacing() -> impl Strategy<Value = Spacing> {
    (0.1..5.0, 0.1..5.0).prop_map(|(row, column)| Spacing { row, column })
}

fn definition() -> impl Strategy<Value = Definition> {
    let assd = prop_oneof![Just(Assd::Pooled), Just(Assd::Macro)];
    let hd95 = prop_oneof![Just(Hd95::Pooled), Just(Hd95::MaxDirected)];
    (assd, hd95).prop_map(|(assd, hd95)| Definition {
        assd,
        hd95,
        ..Definition::default()
    })
}

fn foreground(pixels: &[bool]) -> Vec<Pixel> {
    let places = (0..pixels.len()).filter(|&place| pixels[place]);
    places
        .map(|place| Pixel {
            row: place / WIDTH,
            column: place % WIDTH,
        })
        .collect()
}

fn score(a: &[bool], b: &[bool], spacing: Spacing, definition: Definition) -> PairScores {
    let [a, b] = [a, b].map(|pixels| MaskView::new(HEIGHT, WIDTH, pixels).expect("the shape fits"));
    scores(a, b, spacing, definition).expect("comparable")
}

/// The mask inside a larger, empty frame.
fn placed(pixels: &[bool], top: usize, left: usize, height: usize, width: usize) -> Vec<bool> {
    let mut frame = vec![false; height * width];
    for pixel in foreground(pixels) {
        frame[(pixel.row + top) * width + pixel.column + left] = true;
    }
    frame
}

proptest! {
    #[test]
    fn distances_equal_brute_force(a in mask(), b in mask(), spacing in spacing()) {
        let (from, to) = (foreground(&a), foreground(&b));
        prop_assume!(!to.is_empty());
        let found = nearest(&from, &to, spacing);
        for (pixel, found) in from.iter().zip(found) {
            let squares = to.iter().map(|target| {
                let rows = (pixel.row as f64 - target.row as f64) * spacing.row;
                let columns = (pixel.column as f64 - target.column as f64) * spacing.column;
                rows * rows + columns * columns
            });
            let expected = squares.fold(f64::INFINITY, f64::min).sqrt();
            prop_assert!(
                (found - expected).abs() <= 1e-12 * (1.0 + expected),
                "{found} is not {expected}"
            );
        }
    }

    #[test]
    fn metrics_are_symmetric(
        a in mask(),
        b in mask(),
        spacing in spacing(),
        definition in definition(),
    ) {
        let there = score(&a, &b, spacing, definition);
        let back = score(&b, &a, spacing, definition);
        prop_assert_eq!(there.dice, back.dice);
        prop_assert_eq!(there.assd.value(), back.assd.value());
        prop_assert_eq!(there.hd95.value(), back.hd95.value());
    }

    #[test]
    fn metrics_of_a_mask_with_itself_are_perfect(
        a in mask(),
        spacing in spacing(),
        definition in definition(),
    ) {
        let found = score(&a, &a, spacing, definition);
        prop_assert_eq!(found.dice.value(), Some(1.0));
        let zero = a.contains(&true).then_some(0.0);
        prop_assert_eq!((found.assd.value(), found.hd95.value()), (zero, zero));
    }

    #[test]
    fn metrics_stay_in_range(
        a in mask(),
        b in mask(),
        spacing in spacing(),
        definition in definition(),
    ) {
        let found = score(&a, &b, spacing, definition);
        let dice = found.dice.value().expect("Dice is always a value");
        prop_assert!((0.0..=1.0).contains(&dice));
        let both = a.contains(&true) && b.contains(&true);
        for distance in [found.assd, found.hd95] {
            prop_assert_eq!(distance.value().is_some(), both);
            let limit = 0.0..spacing.diagonal(HEIGHT, WIDTH);
            prop_assert!(distance.value().is_none_or(|value| limit.contains(&value)));
        }
    }

    #[test]
    fn metrics_do_not_depend_on_the_frame(
        a in mask(), b in mask(), spacing in spacing(), definition in definition(),
        top in 0usize..5, left in 0usize..5,
    ) {
        let (height, width) = (HEIGHT + 4, WIDTH + 4);
        let [far_a, far_b] = [&a, &b].map(|pixels| placed(pixels, top, left, height, width));
        let view = |pixels| MaskView::new(height, width, pixels).expect("the shape fits");
        let [far_a, far_b] = [&far_a, &far_b].map(|pixels| view(pixels));
        let moved = scores(far_a, far_b, spacing, definition).expect("comparable");
        let still = score(&a, &b, spacing, definition);
        prop_assert_eq!(moved.dice, still.dice);
        for (moved, still) in [(moved.assd, still.assd), (moved.hd95, still.hd95)] {
            match (moved.value(), still.value()) {
                (Some(moved), Some(still)) => {
                    prop_assert!((moved - still).abs() <= 1e-12 * (1.0 + still));
                }
                _ => prop_assert_eq!(moved, still),
            }
        }
    }

    #[test]
    fn distances_scale_with_the_spacing(a in mask(), b in mask(), definition in definition()) {
        let unit = score(&a, &b, Spacing::default(), definition);
        let twice = score(&a, &b, Spacing { row: 2.0, column: 2.0 }, definition);
        prop_assert_eq!(twice.assd.value(), unit.assd.value().map(|value| 2.0 * value));
        prop_assert_eq!(twice.hd95.value(), unit.hd95.value().map(|value| 2.0 * value));
    }
}
