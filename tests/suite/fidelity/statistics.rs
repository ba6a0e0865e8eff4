//! Two hundred random samples against SciPy: t-tests, sign flips, and Holm's correction of their
//! p-values.

use expertgrid::stats::{Pairs, TTest, Variance, holm, paired, sign_flip, student, welch};
use serde::Deserialize;

use super::reader::within;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
    holm: Vec<Family>,
}

#[derive(Deserialize)]
struct Case {
    first: Vec<f64>,
    second: Vec<f64>,
    student: Expected,
    welch: Expected,
    /// Where the groups are pairs.
    paired: Option<Expected>,
    sign_flip: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Test { t: f64, df: f64, p: f64 },
    Rule { rule: Rule, sign: Option<f64> },
}

/// What holds where a sample has no spread.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Rule {
    Identical,
    Constant,
}

#[derive(Deserialize)]
struct Family {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../fixtures/samples.json")).unwrap()
}

impl Case {
    fn pairs(&self) -> Pairs {
        let keyed = |values: &[f64]| values.iter().copied().enumerate().collect::<Vec<_>>();
        Pairs::join(&keyed(&self.first), &keyed(&self.second)).unwrap()
    }
}

/// What was compared so far, and how close it came.
#[derive(Default)]
struct Seen {
    tests: usize,
    identical: usize,
    constant: usize,
    smallest_p: Option<f64>,
    t: f64,
    p: f64,
}

impl Seen {
    fn hold(&mut self, found: TTest, expected: &Expected, what: &str) {
        match *expected {
            Expected::Test { t, df, p } => {
                assert_eq!(found.variance, Variance::Positive, "{what}");
                // Relative, but for a t that is nothing but rounding.
                let t_apart = (found.t - t).abs() / t.abs().max(1e-3);
                let p_apart = (found.p - p).abs() / p;
                assert!(t_apart <= 1e-9, "{what}: t is {} for {t}", found.t);
                assert!(
                    (found.df - df).abs() <= 1e-9 * df,
                    "{what}: df is {} for {df}",
                    found.df
                );
                assert!(p_apart <= 1e-8, "{what}: p is {:e} for {p:e}", found.p);
                self.t = self.t.max(t_apart);
                self.p = self.p.max(p_apart);
                self.smallest_p = Some(self.smallest_p.map_or(p, |smallest| smallest.min(p)));
                self.tests += 1;
            }
            Expected::Rule { rule, sign } => {
                let (t, p, variance) = match rule {
                    Rule::Identical => (0.0, 1.0, Variance::Identical),
                    Rule::Constant => {
                        let sign = sign.expect("a side");
                        (sign * f64::INFINITY, 0.0, Variance::Zero)
                    }
                };
                assert_eq!(
                    (found.t, found.p, found.variance),
                    (t, p, variance),
                    "{what}"
                );
                match rule {
                    Rule::Identical => self.identical += 1,
                    Rule::Constant => self.constant += 1,
                }
            }
        }
    }
}

#[test]
fn two_hundred_samples_are_tested_as_by_scipy() {
    let fixture = fixture();
    assert_eq!(fixture.cases.len(), 200);
    let mut seen = Seen::default();
    for (index, case) in fixture.cases.iter().enumerate() {
        let Case { first, second, .. } = case;
        let found = student(first, second).unwrap();
        seen.hold(found, &case.student, &format!("sample {index}, Student"));
        let found = welch(first, second).unwrap();
        seen.hold(found, &case.welch, &format!("sample {index}, Welch"));
        if let Some(expected) = &case.paired {
            let found = paired(&case.pairs()).unwrap();
            seen.hold(found, expected, &format!("sample {index}, paired"));
        }
    }
    within(1e-9, seen.t, "t");
    within(1e-8, seen.p, "p");
    assert!(seen.tests > 450 && seen.identical > 10 && seen.constant > 10);
    assert!(seen.smallest_p.unwrap() < 1e-30);
}

#[test]
fn sign_flips_of_the_pairs_among_them_are_counted_as_by_scipy() {
    let mut counted = 0;
    for (index, case) in fixture().cases.iter().enumerate() {
        if let Some(expected) = case.sign_flip {
            // Counts over a power of two are exact.
            assert_eq!(sign_flip(&case.pairs()), Ok(expected), "sample {index}");
            counted += 1;
        }
    }
    assert!(counted > 150);
}

#[test]
fn families_of_their_p_values_are_corrected_as_by_numpy() {
    let families = fixture().holm;
    assert!(families.len() >= 19);
    for (index, Family { p, adjusted }) in families.iter().enumerate() {
        let found = holm(p);
        assert_eq!(found.len(), adjusted.len());
        for (found, expected) in found.iter().zip(adjusted) {
            let apart = (found - expected).abs();
            assert!(
                apart <= 1e-12 * expected,
                "family {index}: {found:e} for {expected:e}"
            );
        }
    }
}
