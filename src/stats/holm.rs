//! Holm's correction for many tests on one table.
//!
//! The rule: the caller decides which tests make a family; undefined tests are not among them.

/// Holm's step-down adjusted p-values, in the order given. Rejecting where the adjusted p is at
/// most alpha keeps the chance of any false rejection at most alpha (Holm, 1979).
///
/// # Panics
/// A p-value is outside [0, 1].
pub fn holm(p: &[f64]) -> Vec<f64> {
    for value in p {
        assert!((0.0..=1.0).contains(value), "{value} is no p-value");
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (rank, &test) in order.iter().enumerate() {
        let remaining = (p.len() - rank) as f64;
        largest = largest.max(remaining * p[test]).min(1.0);
        adjusted[test] = largest;
    }
    adjusted
}
