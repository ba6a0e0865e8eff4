//! The relative area difference: how much larger the predicted area is than the reference's.

use super::{Compared, MaskView, Reason, Score};

/// (|P| - |R|) / |R| of two `[H, W]` masks, a signed fraction: -1 where nothing was predicted, 0
/// for equal areas wherever they lie, positive where too much was predicted (the relative volume
/// difference of Heimann et al. 2009, in two dimensions). Undefined where the reference is empty.
pub(super) fn relative_area_difference(pair: &Compared<'_>) -> Score {
    let area = |mask: MaskView<'_>| -> usize {
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
    use crate::metric::{Definition, Spacing};

    fn rad(prediction: &[bool; 4], reference: &[bool; 4]) -> Score {
        let view = |pixels| MaskView::new(1, 4, pixels).unwrap();
        let (spacing, definition) = (Spacing::default(), Definition::default());
        let pair = Compared::new(view(prediction), view(reference), spacing, definition).unwrap();
        relative_area_difference(&pair)
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
}
