//! The relative area difference: how much larger the predicted area is than the reference's.

use super::{Compared, Reason, Score};

/// (|P| - |R|) / |R| of two `[H, W]` masks, a signed fraction: -1 where nothing was predicted, 0 for
/// equal areas wherever they lie, positive where too much was predicted (the relative volume
/// difference of Heimann et al. 2009, in two dimensions). Undefined where the reference is empty.
pub(super) fn relative_area_difference(pair: &Compared<'_>) -> Score {
    let area = |mask: super::MaskView<'_>| -> usize {
        let rows = (0..mask.height()).map(|row| mask.row(row));
        rows.map(|row| row.iter().filter(|set| **set).count()).sum()
    };
    match (area(pair.prediction), area(pair.reference)) {
        (0, 0) => Score::Undefined(Reason::BothEmpty),
        (_, 0) => Score::Undefined(Reason::EmptyReference),
        (found, expected) => Score::Value((found as f64 - expected as f64) / expected as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Definition, MaskView, Measure, Spacing};

    fn rad(prediction: &[bool; 4], reference: &[bool; 4]) -> Score {
        let view = |pixels| MaskView::new(1, 4, pixels).unwrap();
        let (spacing, definition) = (Spacing::default(), Definition::default());
        let pair = Compared::new(view(prediction), view(reference), spacing, definition).unwrap();
        Measure::named("rad").unwrap().of(&pair)
    }

    #[test]
    fn it_is_signed_and_relative_to_the_reference() {
        let (two, three) = ([true, true, false, false], [false, true, true, true]);
        let (none, all) = ([false; 4], [true; 4]);
        assert_eq!(rad(&three, &two), Score::Value(0.5));
        assert_eq!(rad(&two, &all), Score::Value(-0.5));
        assert_eq!(rad(&all, &all), Score::Value(0.0));
        assert_eq!(rad(&none, &two), Score::Value(-1.0));
        assert_eq!(rad(&two, &none), Score::Undefined(Reason::EmptyReference));
        assert_eq!(rad(&none, &none), Score::Undefined(Reason::BothEmpty));
    }

    #[test]
    fn the_best_mean_is_the_one_nearest_to_zero() {
        let rad = Measure::named("rad").unwrap();
        assert_eq!(rad.heading(), "RAD (%) → 0");
        assert!(rad.is_better(-2.0, 5.0) && rad.is_better(2.0, -5.0));
        assert!(!rad.is_better(-5.0, 2.0));
        assert_eq!(rad.gain(-2.0, 5.0), 3.0);
        assert_eq!(rad.in_table(Score::Value(-0.25)), Score::Value(-25.0));
    }
}
