//! Mean and standard deviation of a group of results.
//!
//! The rule: two passes in the order given. The second pass corrects the rounding of the first, so
//! a constant group has exactly its constant as mean and zero as deviation. (Chan, Golub and
//! LeVeque, 1983.)

/// The arithmetic mean; `None` for no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let rough = values.iter().sum::<f64>() / n;
    Some(rough + values.iter().map(|value| value - rough).sum::<f64>() / n)
}

/// The sample standard deviation (n - 1); `None` for fewer than two values.
pub fn sd(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let mean = mean(values)?;
    let (mut squares, mut rest) = (0.0, 0.0);
    for value in values {
        let deviation = value - mean;
        squares += deviation * deviation;
        rest += deviation;
    }
    // The deviations would sum to zero were the mean exact.
    let squares = (squares - rest * rest / n).max(0.0);
    Some((squares / (n - 1.0)).sqrt())
}
