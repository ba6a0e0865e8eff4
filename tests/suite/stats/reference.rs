//! The tests against SciPy, far tails against mpmath, summaries against NumPy.
//!
//! The expected values are in `tests/fixtures/stats.json`; `tests/reference/extract_metrics.py`
//! wrote them. Where a case has an entry `ours`, SciPy answers with NaN or with the size of a
//! rounding error, and the entry says what holds instead.

use std::collections::BTreeMap;

use expertgrid::stats::{
    PairError, Pairs, TTest, Undefined, Variance, holm, mean, paired, sd, sign_flip, student,
    t_distribution, welch,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    tolerance_t_rel: f64,
    tolerance_p_rel: f64,
    cases: Vec<Case>,
    t_grid: Vec<Tail>,
    far_tails: Vec<Tail>,
    t_crit_two_sided_0_05: BTreeMap<String, f64>,
    t_crit_one_sided_0_05: BTreeMap<String, f64>,
    holm: Holm,
    sign_flip: Vec<SignFlip>,
    intervals: Vec<Interval>,
    summaries: Vec<Summary>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    a: Vec<Number>,
    b: Vec<Number>,
    #[serde(default)]
    scipy: BTreeMap<String, Test>,
    #[serde(default)]
    ours: BTreeMap<String, String>,
    omit: Option<Test>,
}

#[derive(Deserialize)]
struct Test {
    t: Number,
    df: Number,
    p: Number,
}

/// JSON has no NaN and no infinity, so the fixture spells them.
#[derive(Clone, Copy, Deserialize)]
#[serde(from = "Spelled")]
struct Number(f64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Spelled {
    Plain(f64),
    Word(String),
}

impl From<Spelled> for Number {
    fn from(spelled: Spelled) -> Self {
        Self(match spelled {
            Spelled::Plain(value) => value,
            Spelled::Word(word) => word.parse().expect("nan, inf or -inf"),
        })
    }
}

#[derive(Deserialize)]
struct Tail {
    df: f64,
    t: f64,
    p_two_sided: f64,
}

#[derive(Deserialize)]
struct Holm {
    p: Vec<f64>,
    holm_adjusted: Vec<f64>,
    reject_at_0_05: Vec<bool>,
}

#[derive(Deserialize)]
struct SignFlip {
    id: String,
    p: f64,
}

#[derive(Deserialize)]
struct Interval {
    id: String,
    kind: String,
    difference: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Summary {
    values: Vec<f64>,
    mean: f64,
    sd: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../fixtures/stats.json"))
        .expect("the fixture is well formed")
}

#[track_caller]
fn close(found: f64, expected: f64, relative: f64, what: &str) {
    let near = (found - expected).abs() <= relative * expected.abs();
    assert!(
        found == expected || near,
        "{what}: {found:e} is not {expected:e}"
    );
}

fn pairs(a: &[f64], b: &[f64]) -> Pairs {
    let keyed = |values: &[f64]| values.iter().copied().enumerate().collect::<Vec<_>>();
    Pairs::join(&keyed(a), &keyed(b)).expect("the same keys")
}

fn test(kind: &str, a: &[f64], b: &[f64]) -> Result<TTest, Undefined> {
    match kind {
        "paired" => paired(&pairs(a, b)),
        "student" => student(a, b),
        "welch" => welch(a, b),
        other => panic!("unknown test {other}"),
    }
}

impl Case {
    fn groups(&self) -> (Vec<f64>, Vec<f64>) {
        let plain = |group: &[Number]| group.iter().map(|number| number.0).collect();
        (plain(&self.a), plain(&self.b))
    }

    fn run(&self, kind: &str) -> Result<TTest, Undefined> {
        let (a, b) = self.groups();
        test(kind, &a, &b)
    }
}

#[test]
fn every_test_is_that_of_scipy() {
    let fixture = fixture();
    let (mut same, mut departed) = (0, 0);
    for case in &fixture.cases {
        // The fixture has one-sided tests too, which this program does not make.
        for (key, expected) in &case.scipy {
            let (kind, alternative) = key.split_once('_').expect("kind_alternative");
            if alternative != "two-sided" {
                continue;
            }
            let found = case.run(kind);
            let what = format!("{} {key}", case.id);
            if let Some(ours) = case.ours.get(kind).or_else(|| case.ours.get("all")) {
                departs(found, ours, expected, &what);
                departed += 1;
                continue;
            }
            let found = found.expect(&what);
            assert_eq!(found.variance, Variance::Positive, "{what}");
            close(found.t, expected.t.0, fixture.tolerance_t_rel, &what);
            close(found.df, expected.df.0, fixture.tolerance_t_rel, &what);
            close(found.p, expected.p.0, fixture.tolerance_p_rel, &what);
            same += 1;
        }
    }
    // 12 cases with 3 tests each, less the paired ones of two cases with unequal groups.
    assert_eq!((same, departed), (20, 14));
}

/// Holds a result to what the case prescribes where SciPy's answer is not followed.
#[track_caller]
fn departs(found: Result<TTest, Undefined>, ours: &str, scipy: &Test, what: &str) {
    if ours.contains("undefined") {
        assert_eq!(found, Err(Undefined::TooFew), "{what}");
        return;
    }
    let found = found.expect(what);
    if ours.contains("identical") {
        assert_eq!((found.t, found.p), (0.0, 1.0), "{what}");
        assert_eq!(found.variance, Variance::Identical, "{what}");
        return;
    }
    assert!(ours.contains("zero_variance"), "{what}: {ours}");
    assert_eq!(found.variance, Variance::Zero, "{what}");
    assert_eq!(found.t, scipy.t.0.signum() * f64::INFINITY, "{what}");
    assert_eq!(found.df, scipy.df.0, "{what}");
    assert_eq!(found.p, 0.0, "{what}");
    assert_eq!(found.ci95, (found.difference, found.difference), "{what}");
}

#[test]
fn an_undefined_value_makes_the_test_undefined() {
    let fixture = fixture();
    let case = fixture.cases.iter().find(|case| case.omit.is_some());
    let case = case.expect("one case holds a NaN");
    assert!(case.ours["all"].contains("undefined_missing"));
    for kind in ["paired", "student", "welch"] {
        let found = case.run(kind);
        assert_eq!(found, Err(Undefined::UndefinedValue), "{kind}");
    }
    let (mut a, mut b) = case.groups();
    assert_eq!(sign_flip(&pairs(&a, &b)), Err(Undefined::UndefinedValue));
    // Dropping the pair is the caller's to do, and then gives SciPy's result for it.
    let lost = a.iter().position(|value| value.is_nan()).expect("a NaN");
    a.remove(lost);
    b.remove(lost);
    let found = test("paired", &a, &b).expect("three pairs");
    let expected = case.omit.as_ref().expect("checked above");
    close(found.t, expected.t.0, fixture.tolerance_t_rel, "omit");
    close(found.df, expected.df.0, 0.0, "omit");
    close(found.p, expected.p.0, fixture.tolerance_p_rel, "omit");
}

#[test]
fn intervals_are_those_of_scipy() {
    let fixture = fixture();
    for expected in &fixture.intervals {
        let case = fixture.cases.iter().find(|case| case.id == expected.id);
        let case = case.expect("the interval's case");
        let what = format!("{} {}", expected.id, expected.kind);
        let found = case.run(&expected.kind).expect(&what);
        let near = |found: f64, expected: f64| {
            let difference = (found - expected).abs();
            assert!(difference <= 1e-9, "{what}: {found} is not {expected}");
        };
        near(found.difference, expected.difference);
        near(found.ci95.0, expected.low);
        near(found.ci95.1, expected.high);
    }
    // Ten cases have two values in each group; one of them cannot be paired.
    assert_eq!(fixture.intervals.len(), 10 * 3 - 1);
}

#[test]
fn tails_keep_their_digits() {
    let fixture = fixture();
    let tails = fixture.t_grid.iter().chain(&fixture.far_tails);
    for Tail { df, t, p_two_sided } in tails {
        let what = format!("df {df}, t {t}");
        let found = t_distribution::two_sided(*t, *df);
        close(found, *p_two_sided, fixture.tolerance_p_rel, &what);
    }
    let smallest = fixture.far_tails.iter().map(|tail| tail.p_two_sided);
    assert!(smallest.fold(1.0, f64::min) < 1e-100);
    assert_eq!(t_distribution::two_sided(f64::INFINITY, 9.0), 0.0);
}

#[test]
fn critical_values_are_those_of_scipy() {
    let fixture = fixture();
    for (crossed, alpha) in [
        (&fixture.t_crit_two_sided_0_05, 0.05),
        (&fixture.t_crit_one_sided_0_05, 0.10),
    ] {
        assert_eq!(crossed.len(), 5);
        for (df, expected) in crossed {
            let found = t_distribution::critical(alpha, df.parse().expect("a number"));
            close(found, *expected, fixture.tolerance_t_rel, df);
        }
    }
}

#[test]
fn holm_is_that_of_the_reference() {
    let Holm {
        p,
        holm_adjusted,
        reject_at_0_05,
    } = fixture().holm;
    let found = holm(&p);
    for (found, expected) in found.iter().zip(&holm_adjusted) {
        close(*found, *expected, 1e-12, "Holm");
    }
    let rejected: Vec<bool> = found.iter().map(|p| *p <= 0.05).collect();
    assert_eq!(rejected, reject_at_0_05);
    assert_eq!(holm(&[]), Vec::<f64>::new());
    assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
}

#[test]
fn sign_flips_are_those_of_scipy() {
    let fixture = fixture();
    for expected in &fixture.sign_flip {
        let case = fixture.cases.iter().find(|case| case.id == expected.id);
        let (a, b) = case.expect("the test's case").groups();
        // Counts over a power of two are exact.
        assert_eq!(sign_flip(&pairs(&a, &b)), Ok(expected.p), "{}", expected.id);
    }
    assert_eq!(fixture.sign_flip.len(), 9);
}

#[test]
fn sign_flips_are_bounded() {
    let zeros = [0.0; 21];
    let ones = [1.0; 21];
    let of = |n: usize| sign_flip(&pairs(&ones[..n], &zeros[..n]));
    assert_eq!(of(1), Err(Undefined::TooFew));
    assert_eq!(of(0), Err(Undefined::TooFew));
    assert_eq!(of(20), Ok(2.0_f64.powi(-19)));
    assert_eq!(of(21), Err(Undefined::TooMany));
}

#[test]
fn summaries_are_those_of_numpy() {
    for Summary {
        values,
        mean: expected_mean,
        sd: expected_sd,
    } in fixture().summaries
    {
        let found = mean(&values).expect("there are values");
        close(found, expected_mean, 1e-14, "mean");
        let found = sd(&values).expect("two values");
        close(found, expected_sd, 1e-12, "sd");
    }
    assert_eq!((mean(&[]), sd(&[1.0])), (None, None));
    // A constant that binary cannot hold stays constant.
    let constant = [0.1; 10];
    assert_eq!((mean(&constant), sd(&constant)), (Some(0.1), Some(0.0)));
}

#[test]
fn pairs_are_joined_by_key_or_not_at_all() {
    let first = [("c", 3.0), ("a", 1.0), ("b", 2.0)];
    let second = [("b", 20.0), ("c", 30.0), ("a", 10.0)];
    let joined = Pairs::join(&first, &second).expect("the same keys");
    assert_eq!(joined.first(), [1.0, 2.0, 3.0]);
    assert_eq!(joined.second(), [10.0, 20.0, 30.0]);
    assert_eq!(joined.differences(), [-9.0, -18.0, -27.0]);

    let twice = [second.as_slice(), &second[..1]].concat();
    let error = Pairs::join(&first, &twice).expect_err("b comes twice");
    assert_eq!(error.twice, ["b"]);
    assert!(error.only_first.is_empty() && error.only_second.is_empty());

    let error = Pairs::join(&first, &[("a", 0.0), ("d", 0.0), ("d", 1.0)]);
    let expected = PairError {
        only_first: vec!["b", "c"],
        only_second: vec!["d"],
        twice: vec!["d"],
    };
    assert_eq!(error, Err(expected.clone()));
    assert_eq!(
        expected.to_string(),
        "the results cannot be paired: b, c only in the first group; d only in the second group; \
         d more than once in a group"
    );
}

/// Sums that are equal on paper and differ in their last digits are no difference.
#[test]
fn rounding_is_no_difference() {
    let sums = [0.1 + 0.2, 0.3 + 0.6, 0.7 + 0.1];
    let plain = [0.3, 0.9, 0.8];
    assert_ne!(sums, plain);
    let found = paired(&pairs(&sums, &plain)).expect("three pairs");
    assert_eq!((found.t, found.p), (0.0, 1.0));
    assert_eq!(sign_flip(&pairs(&sums, &plain)), Ok(1.0));
}
