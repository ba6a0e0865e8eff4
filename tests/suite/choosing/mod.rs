//! Rules that choose annotation experts, what experts contribute, and the tests of both.
//!
//! The expected values are in `tests/fixtures/choosing.json`; `tests/reference/choosing.py` finds
//! them by enumeration.

use std::collections::BTreeMap;

use expertgrid::{
    choosing::{Agreement, SupportMasks, contributions, pick, score},
    data::{Expert, Mask},
    key::Digest,
    manifest::SelectionRule,
    stats::{self, choices, spearman, spearman_p},
};
use itertools::Itertools;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    masks: BTreeMap<String, Vec<String>>,
    mutual: BTreeMap<String, f64>,
    bias: BTreeMap<String, f64>,
    choices: Vec<ReferenceChoice>,
    shapley: Vec<ReferenceShares>,
    permutation: Vec<ReferencePermutation>,
    ranks: Vec<ReferenceRanks>,
}

#[derive(Deserialize)]
struct ReferenceChoice {
    k: usize,
    rule: String,
    scores: BTreeMap<String, f64>,
    chosen: String,
}

#[derive(Deserialize)]
struct ReferenceShares {
    values: BTreeMap<String, f64>,
    contributions: Vec<f64>,
}

#[derive(Deserialize)]
struct ReferencePermutation {
    values: Vec<Vec<f64>>,
    chosen: Vec<usize>,
    against: Option<Vec<usize>>,
    gain: f64,
    p: f64,
}

#[derive(Deserialize)]
struct ReferenceRanks {
    first: Vec<f64>,
    second: Vec<f64>,
    rho: f64,
    p: f64,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../fixtures/choosing.json")).unwrap()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-12 * expected.abs().max(1.0)
}

fn mask(text: &str) -> Mask {
    Mask {
        height: 1,
        width: text.len(),
        pixels: text.chars().map(|pixel| pixel == '1').collect(),
    }
}

/// The agreement of masks, one text for each case, of experts 1, 2 and so on with a new expert.
fn agreement(candidates: &[Vec<Mask>], new: &[Mask], combinations: &[Vec<Expert>]) -> Agreement {
    let of_case = |case: usize| candidates.iter().map(|masks| &masks[case]).collect_vec();
    let support = new.iter().enumerate().map(|(case, new)| SupportMasks {
        image: Digest::of_bytes(&[case as u8]),
        new,
        candidates: of_case(case),
    });
    let training = (0..new.len()).map(of_case).collect_vec();
    let numbers = (1..=candidates.len() as Expert).collect_vec();
    Agreement::of(&numbers, &support.collect_vec(), &training, combinations).unwrap()
}

#[test]
fn scores_and_choices_are_those_of_their_definitions() {
    let reference = reference();
    let masks = |who: &str| {
        reference.masks[who]
            .iter()
            .map(|text| mask(text))
            .collect_vec()
    };
    let candidates = ["1", "2", "3", "4"].map(masks);
    let combinations = (1..=3).flat_map(|k| (1..=4).combinations(k)).collect_vec();
    let agreement = agreement(&candidates, &masks("new"), &combinations);
    for pair in &agreement.mutual {
        let expected = reference.mutual[&pair.experts.iter().join("+")];
        assert!(close(pair.mean_dice, expected), "{pair:?}");
    }
    for candidate in &agreement.candidates {
        let expected = reference.bias[&candidate.expert.to_string()];
        assert!(close(agreement.bias(candidate), expected), "{candidate:?}");
    }
    assert!(close(agreement.new_bias(), reference.bias["new"]));
    assert_eq!(reference.choices.len(), 15);
    for choice in &reference.choices {
        let words = SelectionRule::ALL.iter();
        let (_, rule) = words
            .clone()
            .find(|(word, _)| *word == choice.rule)
            .unwrap();
        assert!(rule.is_applicable());
        let combinations = (1..=4).combinations(choice.k).collect_vec();
        let scores = combinations
            .iter()
            .map(|experts| score(*rule, &agreement, experts).unwrap());
        let scores = scores.collect_vec();
        for (experts, score) in combinations.iter().zip(&scores) {
            let expected = choice.scores[&experts.iter().join("+")];
            assert!(
                close(*score, expected),
                "{} {experts:?}: {score}",
                choice.rule
            );
        }
        let chosen = combinations[pick(&scores).unwrap()].iter().join("+");
        assert_eq!(chosen, choice.chosen, "{} of {}", choice.rule, choice.k);
    }
    // What is written reads back, and bounds have no score.
    assert_eq!(Agreement::parse(&agreement.to_bytes()).unwrap(), agreement);
    for rule in [
        SelectionRule::Mean,
        SelectionRule::Best,
        SelectionRule::Worst,
    ] {
        assert_eq!(score(rule, &agreement, &[1, 2]), None);
    }
    assert_eq!(score(SelectionRule::Agreement, &agreement, &[1, 9]), None);
}

#[test]
fn scores_that_differ_by_rounding_are_equal_and_the_first_is_chosen() {
    assert_eq!(pick(&[0.1 + 0.2, 0.3]), Some(0));
    assert_eq!(pick(&[0.3, 0.1 + 0.2]), Some(0));
    assert_eq!(pick(&[-0.0, 0.0]), Some(0));
    assert_eq!(pick(&[0.3, 0.4, 0.4]), Some(1));
    assert_eq!(pick(&[]), None);
}

#[test]
fn masks_of_several_shapes_and_masks_without_foreground() {
    let wide = [mask("0110"), mask("0000")];
    let candidates = [wide.to_vec(), vec![mask("0110"), mask("0000")]];
    let found = agreement(&candidates, &wide, &[vec![1, 2]]);
    // Two empty masks agree.
    assert_eq!(found.candidates[0].dice, [1.0, 1.0]);
    assert_eq!(found.areas, [2, 0]);
    assert_eq!(found.majorities[0].mean_dice, 1.0);
    let support = SupportMasks {
        image: Digest::of_bytes(b"image"),
        new: &wide[0],
        candidates: vec![&candidates[0][0]],
    };
    let narrow = mask("01");
    let other = SupportMasks {
        candidates: vec![&narrow],
        ..support
    };
    let refused = Agreement::of(&[1], &[other], &[], &[])
        .unwrap_err()
        .to_string();
    let why = "the prediction is 1x2 pixels but the reference is 1x4";
    assert_eq!(refused, why);
}

#[test]
fn contributions_are_the_mean_gains_over_all_orders() {
    for ReferenceShares {
        values,
        contributions: expected,
    } in reference().shapley
    {
        let found = contributions(&[1, 2, 3, 4, 5], |experts| {
            values.get(&experts.iter().join("+")).copied()
        });
        for (found, expected) in found.unwrap().iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-11, "{found} {expected}");
        }
        let missing = contributions(&[1, 2, 3, 4, 5], |experts| {
            let value = values.get(&experts.iter().join("+")).copied();
            value.filter(|_| experts != [2, 4])
        });
        assert_eq!(missing, None);
    }
}

#[derive(Deserialize)]
struct Game {
    values: BTreeMap<String, f64>,
    shapley: Vec<f64>,
    weights_by_size: Vec<f64>,
    variance: f64,
}

#[test]
fn contributions_weigh_a_gain_by_who_came_before() {
    let game: Game = serde_json::from_str(include_str!("../../fixtures/shapley.json")).unwrap();
    let players = [1, 2, 3, 4, 5];
    let found = contributions(&players, |who| {
        game.values.get(&who.iter().join("+")).copied()
    });
    for (found, expected) in found.unwrap().iter().zip(&game.shapley) {
        assert!((found - expected).abs() < 1e-11, "{found} {expected}");
    }
    // What the first player has of a game in which one coalition alone is worth something.
    let mut variance = 0.0;
    for coalition in players.into_iter().powerset() {
        let worth = |who: &[Expert]| Some(f64::from(u8::from(*who == *coalition)));
        let found = contributions(&players, worth).unwrap()[0];
        let (before, sign) = match coalition.contains(&1) {
            true => (coalition.len() - 1, 1.0),
            false => (coalition.len(), -1.0),
        };
        let expected = sign * game.weights_by_size[before];
        assert!((found - expected).abs() < 1e-12, "{coalition:?}: {found}");
        variance += found * found;
    }
    assert!((variance - game.variance).abs() < 1e-12, "{variance}");
}

#[test]
fn choices_are_tested_by_all_permutations_of_the_items() {
    for row in reference().permutation {
        let found = choices(&row.values, &row.chosen, row.against.as_deref()).unwrap();
        assert!(
            (found.gain - row.gain).abs() < 1e-11,
            "{found:?} {}",
            row.gain
        );
        assert!(close(found.p, row.p), "{found:?} {}", row.p);
    }
    // A choice that is always the same can be as good by luck as it has items to be.
    let values = vec![vec![90.0, 80.0, 80.0, 80.0, 80.0]; 10];
    assert_eq!(choices(&values, &[0; 10], None).unwrap().p, 0.2);
    let too_few = Err(stats::Undefined::TooFew);
    assert_eq!(choices(&[], &[], None), too_few);
    assert_eq!(choices(&[vec![1.0]], &[0], None), too_few);
    assert_eq!(choices(&values, &[0; 9], None), too_few);
    let undefined = Err(stats::Undefined::UndefinedValue);
    assert_eq!(choices(&[vec![1.0, f64::NAN]], &[0], None), undefined);
}

#[test]
fn where_permutations_are_too_many_they_are_drawn_and_always_the_same() {
    // Ten choices of as many items: 3,628,800 permutations, of which a share of 1/10! is as good.
    let items = 10;
    let row = |result: usize| {
        (0..items)
            .map(|item| f64::from(u8::from(item == result)))
            .collect()
    };
    let values = (0..items).map(row).collect_vec();
    let chosen = (0..items).collect_vec();
    let found = choices(&values, &chosen, None).unwrap();
    assert!((found.gain - 0.9).abs() < 1e-12);
    assert!(found.p < 0.001 && found.p > 0.0, "{found:?}");
    assert_eq!(choices(&values, &chosen, None).unwrap(), found);
    // Values that say nothing of the choices: about all permutations are as good.
    let alike = vec![vec![1.0; items]; items];
    assert_eq!(choices(&alike, &chosen, None).unwrap().p, 1.0);
}

#[test]
fn rank_correlations_are_scipys() {
    for row in reference().ranks {
        let found = spearman(&row.first, &row.second).unwrap();
        assert!(close(found, row.rho), "{found} {}", row.rho);
        let p = spearman_p(&row.first, &row.second).unwrap();
        assert!(close(p, row.p), "{p} {}", row.p);
    }
    assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).is_err());
    assert!(spearman(&[1.0], &[1.0]).is_err());
    let many = (0..10).map(f64::from).collect_vec();
    assert_eq!(spearman_p(&many, &many), Err(stats::Undefined::TooMany));
}

proptest! {
    #[test]
    fn contributions_add_up_to_what_all_gain(
        values in proptest::collection::vec(-5.0..5.0f64, 16),
    ) {
        let place = |experts: &[Expert]| experts.iter().map(|e| 1 << (e - 1)).sum::<usize>();
        let found = contributions(&[1, 2, 3, 4], |experts| Some(values[place(experts)])).unwrap();
        prop_assert!((found.iter().sum::<f64>() - (values[15] - values[0])).abs() < 1e-9);
        // An order of the experts changes nothing but theirs.
        let turned = contributions(&[3, 1, 4, 2], |experts| Some(values[place(experts)])).unwrap();
        for (expert, share) in [3, 1, 4, 2].into_iter().zip(turned) {
            prop_assert!((share - found[expert - 1]).abs() < 1e-9);
        }
    }

    #[test]
    fn a_test_of_choices_is_two_sided(
        values in proptest::collection::vec(proptest::collection::vec(-5.0..5.0f64, 4), 3),
        chosen in proptest::collection::vec(0..4usize, 3),
    ) {
        let found = choices(&values, &chosen, None).unwrap();
        let negated = values.iter().map(|row| row.iter().map(|v| -v).collect_vec()).collect_vec();
        let other = choices(&negated, &chosen, None).unwrap();
        prop_assert!((found.gain + other.gain).abs() < 1e-9);
        prop_assert_eq!(found.p, other.p);
        prop_assert!(found.p > 0.0 && found.p <= 1.0);
    }
}
