//! Page's test against SciPy, and for what it cannot test.
//!
//! The expected values are in `tests/fixtures/trends.json`; `tests/reference/trends.py` finds them.

use expertgrid::stats::{Undefined, page};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    blocks: Vec<Vec<f64>>,
    l: f64,
    p_rise: f64,
    p_fall: f64,
}

#[test]
fn a_trend_is_scipys() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("../../fixtures/trends.json")).unwrap();
    assert_eq!(fixture.cases.len(), 11);
    for case in fixture.cases {
        let found = page(&case.blocks).unwrap();
        assert_eq!(found.l, case.l);
        for (found, expected) in [(found.p_rise, case.p_rise), (found.p_fall, case.p_fall)] {
            let off = (found - expected).abs();
            assert!(off < 1e-9, "{found}, not {expected}: {:?}", case.blocks);
        }
    }
}

#[test]
fn what_is_alike_has_no_trend_and_what_is_missing_no_test() {
    let alike = page(&[vec![1.0; 4], vec![2.0; 4]]).unwrap();
    assert!((alike.p_rise - 1.0).abs() < 1e-12 && (alike.p_fall - 1.0).abs() < 1e-12);
    let rising: Vec<f64> = (0..8).map(f64::from).collect();
    for (blocks, why) in [
        (vec![], Undefined::TooFew),
        (vec![rising[..3].to_vec()], Undefined::TooFew),
        (vec![vec![1.0], vec![2.0]], Undefined::TooFew),
        (
            vec![rising[..3].to_vec(), rising[..4].to_vec()],
            Undefined::TooFew,
        ),
        (vec![rising.clone(), rising.clone()], Undefined::TooMany),
        (
            vec![vec![1.0, f64::NAN], vec![1.0, 2.0]],
            Undefined::UndefinedValue,
        ),
    ] {
        assert_eq!(page(&blocks), Err(why), "{blocks:?}");
    }
}
