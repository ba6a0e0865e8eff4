//! Tests of results whose trainings share cases, and the differences that a test can see.
//!
//! Expected values: SciPy 1.17.1, `stats.t` with a standard error of `s sqrt(1/n + q)`, and the
//! difference at which `stats.nct.sf` of the critical value is 0.8.

use expertgrid::stats::{self, POWER, Pairs, t_distribution::critical};

const FIRST: [f64; 10] = [88.1, 87.4, 89.0, 88.6, 87.9, 88.3, 88.8, 87.7, 88.2, 88.9];
const SECOND: [f64; 10] = [86.9, 87.6, 88.1, 87.2, 87.5, 86.8, 88.4, 87.9, 87.0, 87.7];

fn pairs() -> Pairs {
    let keyed = |values: [f64; 10]| values.into_iter().enumerate().collect::<Vec<_>>();
    Pairs::join(&keyed(FIRST), &keyed(SECOND)).unwrap()
}

#[test]
fn the_variance_for_overlapping_trainings_is_nadeau_and_bengios() {
    // Five test cases, ten and thirty-four training cases.
    for (ratio, t, p, low, high) in [
        (
            0.0,
            3.8700160296854054,
            0.0037886758847895086,
            0.3240632355401289,
            1.2359367644598704,
        ),
        (
            5.0 / 10.0,
            1.5799274281868132,
            0.14858093941139824,
            -0.3368124279022037,
            1.8968124279022032,
        ),
        (
            5.0 / 34.0,
            2.462139068015248,
            0.036031979298025804,
            0.06335380811573543,
            1.496646191884264,
        ),
    ] {
        let test = stats::paired_overlapping(&pairs(), ratio).unwrap();
        let found = [test.t, test.p, test.ci95.0, test.ci95.1];
        for (found, expected) in found.into_iter().zip([t, p, low, high]) {
            assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        }
        assert_eq!(test.df, 9.0);
    }
    let plain = stats::paired(&pairs()).unwrap();
    assert_eq!(stats::paired_overlapping(&pairs(), 0.0).unwrap(), plain);
}

#[test]
fn a_detectable_difference_is_near_the_noncentral_distributions() {
    assert_eq!(POWER, 0.8);
    for (df, alpha, exact, less) in [
        (9.0, 0.05, 3.14963567827222, 0.002),
        (19.0, 0.05, 2.95358824715659, 0.002),
        (9.0, 0.01, 4.212255382434693, 0.02),
        (4.0, 0.05, 3.7610602610043067, 0.02),
        (1.0, 0.05, 16.33400886992101, 0.15),
    ] {
        // A standard error of 1.
        let half = critical(0.05, df);
        let found = stats::detectable((0.7 - half, 0.7 + half), df, alpha);
        let off = 1.0 - found / exact;
        assert!((-0.001..less).contains(&off), "{found} for {exact}");
    }
    let test = stats::paired(&pairs()).unwrap();
    let found = stats::detectable(test.ci95, test.df, 0.05);
    assert!((found - 3.1455610224837396 * test.difference / test.t).abs() < 1e-9);
}
