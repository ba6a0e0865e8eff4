//! Fused masks, against SimpleITK's STAPLE filter and against the rules they follow.
//!
//! The expected values are in `tests/fixtures/staple.json`; `tests/reference/staple.py` writes
//! them.

use expertgrid::{
    data::Mask,
    fusion::{BOX_MARGIN_PX, FusionError, Performance, Rule, fuse},
    method::FusionRegion,
};
use proptest::prelude::*;
use serde::Deserialize;

const STAPLE: Rule = Rule::Staple(FusionRegion::Slice);

#[derive(Deserialize)]
struct Reference {
    height: usize,
    width: usize,
    cases: Vec<ReferenceCase>,
}

#[derive(Deserialize)]
struct ReferenceCase {
    name: String,
    masks: Vec<String>,
    inside: String,
    rounds: usize,
    sensitivity: Vec<f64>,
    specificity: Vec<f64>,
}

fn unpacked(text: &str, height: usize, width: usize) -> Mask {
    let bits = text.chars().flat_map(|digit| {
        let digit = digit.to_digit(16).unwrap();
        (0..4).rev().map(move |bit| digit >> bit & 1 == 1)
    });
    Mask {
        height,
        width,
        pixels: bits.take(height * width).collect(),
    }
}

/// A mask of rows of `#` and `.`.
fn drawn(rows: &[&str]) -> Mask {
    Mask {
        height: rows.len(),
        width: rows[0].len(),
        pixels: rows.concat().chars().map(|c| c == '#').collect(),
    }
}

fn borrowed(masks: &[Mask]) -> Vec<&Mask> {
    masks.iter().collect()
}

#[test]
fn staple_agrees_with_simpleitk() {
    let text = include_str!("../../fixtures/staple.json");
    let reference: Reference = serde_json::from_str(text).unwrap();
    assert_eq!(reference.cases.len(), 216);
    for case in &reference.cases {
        let read = |text: &String| unpacked(text, reference.height, reference.width);
        let masks: Vec<Mask> = case.masks.iter().map(read).collect();
        let fused = fuse(&borrowed(&masks), STAPLE).unwrap();
        assert_eq!(fused.mask, read(&case.inside), "{}", case.name);
        // The last digits of a sum decide when a course of thousands of rounds ends.
        let rounds = fused.rounds.unwrap();
        let off = rounds.abs_diff(case.rounds);
        assert!(off * 1000 <= case.rounds, "{}: {rounds} rounds", case.name);
        for (expert, found) in fused.performances.iter().enumerate() {
            let expected = [case.sensitivity[expert], case.specificity[expert]];
            let found = [found.sensitivity.unwrap(), found.specificity.unwrap()];
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-9, "{}: {found}", case.name);
            }
        }
    }
}

#[test]
fn a_majority_is_more_than_half_of_the_votes() {
    // One pixel for each number of votes from none to all.
    for experts in 1..=6 {
        let mask = |expert: usize| Mask {
            height: 1,
            width: experts + 1,
            pixels: (0..=experts).map(|votes| expert < votes).collect(),
        };
        let masks: Vec<Mask> = (0..experts).map(mask).collect();
        let fused = fuse(&borrowed(&masks), Rule::Majority).unwrap();
        let expected: Vec<bool> = (0..=experts).map(|votes| 2 * votes > experts).collect();
        assert_eq!(fused.mask.pixels, expected, "{experts} experts");
        assert_eq!(fused.rounds, None);
    }
}

#[test]
fn the_performance_by_majority_is_that_of_the_pixels() {
    let masks = [
        drawn(&["####", "#..."]),
        drawn(&["##..", "...."]),
        drawn(&["###.", "...#"]),
    ];
    let fused = fuse(&borrowed(&masks), Rule::Majority).unwrap();
    assert_eq!(fused.mask, drawn(&["###.", "...."]));
    let shares = [(1.0, 3.0 / 5.0), (2.0 / 3.0, 1.0), (1.0, 4.0 / 5.0)];
    let expected = shares.map(|(sensitivity, specificity)| Performance {
        sensitivity: Some(sensitivity),
        specificity: Some(specificity),
    });
    assert_eq!(fused.performances, expected);
}

#[test]
fn where_all_agree_nothing_is_estimated() {
    for (row, sensitivity, specificity) in [("..", None, Some(1.0)), ("##", Some(1.0), None)] {
        let masks = vec![drawn(&[row]); 3];
        for rule in [Rule::Majority, STAPLE, Rule::Staple(FusionRegion::Box)] {
            let fused = fuse(&borrowed(&masks), rule).unwrap();
            assert_eq!(fused.mask, masks[0]);
            assert_eq!(fused.rounds, None);
            let expected = Performance {
                sensitivity,
                specificity,
            };
            assert_eq!(fused.performances, vec![expected; 3]);
        }
    }
}

#[test]
fn disjoint_masks_fuse_to_nothing() {
    let masks = [drawn(&["##...."]), drawn(&["....##"])];
    for rule in [Rule::Majority, STAPLE, Rule::Staple(FusionRegion::Box)] {
        let fused = fuse(&borrowed(&masks), rule).unwrap();
        assert_eq!(fused.mask.area_px(), 0, "{rule:?}");
    }
}

#[test]
fn a_box_is_what_staple_finds_in_the_part_around_the_masks() {
    let text = include_str!("../../fixtures/staple.json");
    let reference: Reference = serde_json::from_str(text).unwrap();
    let case = reference.cases.iter().find(|case| case.name == "five");
    let whole: Vec<Mask> = case
        .unwrap()
        .masks
        .iter()
        .map(|text| unpacked(text, 10, 12))
        .collect();
    // The disks in the middle of a large image, and that image cut to the margin around them.
    let framed = |mask: &Mask, frame: usize| {
        let (height, width) = (mask.height + 2 * frame, mask.width + 2 * frame);
        let inside = |y: usize, x: usize| {
            let within = y >= frame && x >= frame && y < frame + 10 && x < frame + 12;
            within && mask.pixels[(y - frame) * 12 + x - frame]
        };
        let rows = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        Mask {
            height,
            width,
            pixels: rows.map(|(y, x)| inside(y, x)).collect(),
        }
    };
    let of = |frame: usize, region: FusionRegion| {
        let masks: Vec<Mask> = whole.iter().map(|mask| framed(mask, frame)).collect();
        fuse(&borrowed(&masks), Rule::Staple(region)).unwrap()
    };
    let any = |at: fn(usize) -> usize| {
        let marked = whole
            .iter()
            .flat_map(|mask| (0..120).filter(|i| mask.pixels[*i]));
        let places: Vec<usize> = marked.map(at).collect();
        (*places.iter().min().unwrap(), *places.iter().max().unwrap())
    };
    // The box around all masks, within their 10 x 12 pixels.
    let (rows, columns) = (any(|i| i / 12), any(|i| i % 12));
    let boxed = of(60, FusionRegion::Box);
    let sliced = of(60, FusionRegion::Slice);
    assert_ne!(boxed.performances, sliced.performances);
    assert!(boxed.mask.area_px() <= sliced.mask.area_px());
    let height = rows.1 - rows.0 + 1 + 2 * BOX_MARGIN_PX;
    let width = columns.1 - columns.0 + 1 + 2 * BOX_MARGIN_PX;
    let cut = |mask: &Mask| {
        let mask = framed(mask, 60);
        let (top, left) = (60 + rows.0 - BOX_MARGIN_PX, 60 + columns.0 - BOX_MARGIN_PX);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        let pixel = |(y, x): (usize, usize)| mask.pixels[(top + y) * mask.width + left + x];
        Mask {
            height,
            width,
            pixels: places.map(pixel).collect(),
        }
    };
    let masks: Vec<Mask> = whole.iter().map(cut).collect();
    let expected = fuse(&borrowed(&masks), STAPLE).unwrap();
    assert_eq!(boxed.performances, expected.performances);
    assert_eq!(boxed.mask.area_px(), expected.mask.area_px());
}

#[test]
fn masks_that_cannot_be_fused_are_refused() {
    assert_eq!(fuse(&[], STAPLE), Err(FusionError::NoMask));
    let masks = [drawn(&["##"]), drawn(&["#", "#"])];
    let expected = FusionError::Shape {
        expected: [1, 2],
        found: [2, 1],
    };
    assert_eq!(fuse(&borrowed(&masks), Rule::Majority), Err(expected));
}

#[test]
fn an_expert_who_takes_inside_for_outside_is_known() {
    let right = drawn(&["..###...", ".####...", "..##...."]);
    let wrong = Mask {
        pixels: right.pixels.iter().map(|inside| !inside).collect(),
        ..right.clone()
    };
    let fused = fuse(&[&right, &right, &wrong], STAPLE).unwrap();
    let suspects = fused
        .performances
        .iter()
        .map(Performance::is_no_better_than_chance);
    assert_eq!(suspects.collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(fused.mask, right);
}

/// Two to five masks of one small image.
fn masks() -> impl Strategy<Value = Vec<Mask>> {
    let mask = prop::collection::vec(any::<bool>(), 24).prop_map(|pixels| Mask {
        height: 4,
        width: 6,
        pixels,
    });
    prop::collection::vec(mask, 2..6)
}

/// STAPLE pixel by pixel.
fn by_pixel(masks: &[Mask]) -> Option<(Vec<f64>, Vec<f64>, Vec<f64>)> {
    let (experts, pixels) = (masks.len(), masks[0].pixels.len());
    let vote = |expert: usize, i: usize| f64::from(u8::from(masks[expert].pixels[i]));
    let share = |i| (0..experts).map(|expert| vote(expert, i)).sum::<f64>() / experts as f64;
    let mut w: Vec<f64> = (0..pixels).map(share).collect();
    let prior = w.iter().sum::<f64>() / pixels as f64;
    if prior == 0.0 || prior == 1.0 {
        return None;
    }
    let mut last: Option<(Vec<f64>, Vec<f64>)> = None;
    loop {
        let inside: f64 = w.iter().sum();
        let outside: f64 = w.iter().map(|w| 1.0 - w).sum();
        let sum = |of: &dyn Fn(usize) -> f64| (0..pixels).map(of).sum::<f64>();
        let p: Vec<f64> = (0..experts)
            .map(|expert| sum(&|i| w[i] * vote(expert, i)) / inside)
            .collect();
        let q: Vec<f64> = (0..experts)
            .map(|expert| sum(&|i| (1.0 - w[i]) * (1.0 - vote(expert, i))) / outside)
            .collect();
        for (i, w) in w.iter_mut().enumerate() {
            let (mut a, mut b) = (prior, 1.0 - prior);
            for expert in 0..experts {
                let inside = vote(expert, i) == 1.0;
                a *= if inside { p[expert] } else { 1.0 - p[expert] };
                b *= if inside { 1.0 - q[expert] } else { q[expert] };
            }
            *w = a / (a + b);
        }
        if let Some((old_p, old_q)) = &last {
            let pairs = p.iter().zip(old_p).chain(q.iter().zip(old_q));
            if pairs
                .into_iter()
                .all(|(new, old)| (new - old).powi(2) <= 1e-14)
            {
                return Some((w, p, q));
            }
        }
        last = Some((p, q));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn staple_is_what_it_is_pixel_by_pixel(masks in masks()) {
        // Masks that agree by chance alone may not settle.
        let Ok(fused) = fuse(&borrowed(&masks), STAPLE) else {
            return Ok(());
        };
        let Some((w, p, q)) = by_pixel(&masks) else {
            prop_assert!(fused.rounds.is_none());
            return Ok(());
        };
        for (i, w) in w.iter().enumerate() {
            // Nearer than this the order of a sum decides.
            if (w - 0.5).abs() > 1e-6 {
                prop_assert_eq!(fused.mask.pixels[i], *w > 0.5);
            }
        }
        for (expert, performance) in fused.performances.iter().enumerate() {
            prop_assert!((performance.sensitivity.unwrap() - p[expert]).abs() < 1e-5);
            prop_assert!((performance.specificity.unwrap() - q[expert]).abs() < 1e-5);
        }
    }

    #[test]
    fn the_order_of_the_experts_makes_no_difference(masks in masks(), by in 1usize..5) {
        let mut turned = masks.clone();
        turned.rotate_left(by % masks.len());
        let majority = |masks: &[Mask]| fuse(&borrowed(masks), Rule::Majority).unwrap().mask;
        prop_assert_eq!(majority(&masks), majority(&turned));
        let here = fuse(&borrowed(&masks), STAPLE);
        let there = fuse(&borrowed(&turned), STAPLE);
        prop_assert_eq!(here.map(|fused| fused.mask), there.map(|fused| fused.mask));
    }

    #[test]
    fn the_masks_of_one_expert_stay_as_they_are(masks in masks()) {
        for rule in [Rule::Majority, STAPLE, Rule::Staple(FusionRegion::Box)] {
            let fused = fuse(&[&masks[0]], rule).unwrap();
            prop_assert_eq!(&fused.mask, &masks[0]);
        }
    }
}
