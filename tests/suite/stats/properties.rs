//! What holds for the tests of any results.

use expertgrid::stats::{Pairs, TTest, holm, paired, sign_flip, student, welch};
use proptest::prelude::*;

fn values(length: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-100.0..100.0, length)
}

/// Two groups of equal size, some of coarse values so that ties and zero differences occur.
fn couples() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let coarse = |n| prop::collection::vec((-3i8..3).prop_map(f64::from), n);
    (2usize..13).prop_flat_map(move |n| {
        prop_oneof![
            (values(n), values(n)).boxed(),
            (coarse(n), coarse(n)).boxed()
        ]
    })
}

fn pairs(a: &[f64], b: &[f64]) -> Pairs {
    let keyed = |values: &[f64]| values.iter().copied().enumerate().collect::<Vec<_>>();
    Pairs::join(&keyed(a), &keyed(b)).expect("the same keys")
}

fn opposite(there: TTest, back: TTest) -> bool {
    there.t == -back.t
        && there.p == back.p
        && there.df == back.df
        && there.difference == -back.difference
        && there.ci95 == (-back.ci95.1, -back.ci95.0)
}

/// The same test by counting on, over all sign vectors as bits.
fn flips_by_bits(differences: &[f64]) -> f64 {
    let n = differences.len();
    let observed = differences.iter().sum::<f64>().abs();
    let extreme = (0u32..1 << n).filter(|bits| {
        let signed = (0..n).map(|i| {
            if bits >> i & 1 == 1 {
                -differences[i]
            } else {
                differences[i]
            }
        });
        signed.sum::<f64>().abs() >= observed - 1e-9
    });
    extreme.count() as f64 / f64::from(1u32 << n)
}

proptest! {
    #[test]
    fn exchanging_the_groups_turns_the_paired_test_round((a, b) in couples()) {
        let there = paired(&pairs(&a, &b)).expect("two pairs");
        let back = paired(&pairs(&b, &a)).expect("two pairs");
        prop_assert!(opposite(there, back), "{there:?} against {back:?}");
    }

    #[test]
    fn exchanging_the_groups_turns_the_unpaired_tests_round(
        a in values(2..12),
        b in values(2..12),
    ) {
        for test in [student, welch] {
            let there = test(&a, &b).expect("two values");
            let back = test(&b, &a).expect("two values");
            prop_assert!((there.t + back.t).abs() <= 1e-9 * there.t.abs());
            prop_assert!((there.p - back.p).abs() <= 1e-9 * there.p);
        }
    }

    #[test]
    fn p_is_a_probability((a, b) in couples()) {
        let found = [
            paired(&pairs(&a, &b)),
            student(&a, &b),
            welch(&a, &b),
        ];
        for test in found {
            let test = test.expect("two values");
            prop_assert!((0.0..=1.0).contains(&test.p), "{test:?}");
            prop_assert!(!test.t.is_nan() && test.df > 0.0);
        }
    }

    /// The interval excludes zero exactly when the two-sided test rejects at 5 %.
    #[test]
    fn the_interval_agrees_with_the_test((a, b) in couples()) {
        let found = paired(&pairs(&a, &b)).expect("two pairs");
        prop_assume!((found.p - 0.05).abs() > 1e-6);
        let (low, high) = found.ci95;
        prop_assert_eq!(low > 0.0 || high < 0.0, found.p < 0.05);
    }

    #[test]
    fn sign_flips_count_every_assignment((a, b) in couples()) {
        let pairs = pairs(&a, &b);
        let found = sign_flip(&pairs).expect("2 to 12 pairs");
        prop_assert_eq!(found, flips_by_bits(&pairs.differences()));
    }

    #[test]
    fn the_order_of_pairs_does_not_matter((a, b) in couples()) {
        let keyed = |values: &[f64]| values.iter().copied().enumerate().collect::<Vec<_>>();
        let (first, mut second) = (keyed(&a), keyed(&b));
        second.reverse();
        prop_assert_eq!(Pairs::join(&first, &second), Ok(pairs(&a, &b)));
    }

    #[test]
    fn holm_keeps_the_order_and_never_lowers(p in prop::collection::vec(0.0..=1.0, 0..12)) {
        let adjusted = holm(&p);
        for i in 0..p.len() {
            prop_assert!((p[i]..=1.0).contains(&adjusted[i]));
            prop_assert!(adjusted[i] <= p[i] * p.len() as f64 + 1e-15, "Bonferroni is never less");
            for j in 0..p.len() {
                prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
            }
        }
    }
}
