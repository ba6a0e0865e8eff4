//! The normalised surface Dice: the share of two masks' borders within a tolerance of each other.

use super::{Compared, MaskView, Pixel, Reason, Score, Spacing, nearest};

/// The length of both masks' borders that lies within the tolerance of the other's, over the length
/// of both (Nikolov et al. 2018, in two dimensions as their package `surface-distance` computes
/// it). 0 where one mask is empty, undefined where both are.
pub(super) fn normalised_surface_dice(pair: &Compared<'_>) -> Score {
    let [found, expected] = [pair.prediction, pair.reference].map(|mask| {
        let border = Border::of(mask, pair.spacing);
        (!border.corners.is_empty()).then_some(border)
    });
    let (found, expected) = match (found, expected) {
        (None, None) => return Score::Undefined(Reason::BothEmpty),
        (Some(found), Some(expected)) => (found, expected),
        _ => return Score::Value(0.0),
    };
    let within = |border: &Border, other: &Border| {
        border.within(other, pair.spacing, pair.definition.nsd_tolerance)
    };
    let close = within(&found, &expected) + within(&expected, &found);
    Score::Value(close / (found.length() + expected.length()))
}

/// The border of a mask: corners of pixels, each with the length of border that it stands for.
struct Border {
    /// Corner `(row, column)` is the upper left one of that pixel.
    corners: Vec<Pixel>,
    lengths: Vec<f64>,
}

impl Border {
    /// A corner is on the border where the four pixels around it are not all alike. What lies
    /// outside the image is background.
    fn of(mask: MaskView<'_>, spacing: Spacing) -> Self {
        let table = lengths(spacing);
        let mut border = Self {
            corners: Vec::new(),
            lengths: Vec::new(),
        };
        let outside = vec![false; mask.width()];
        for row in 0..=mask.height() {
            let above = row.checked_sub(1).map_or(&*outside, |row| mask.row(row));
            let below = match row < mask.height() {
                true => mask.row(row),
                false => &outside,
            };
            let mut code = 0;
            for column in 0..=mask.width() {
                let set = |pixels: &[bool]| usize::from(pixels.get(column) == Some(&true));
                // The pixels right of the last corner are left of this one.
                code = ((code & 0b0101) << 1) | (set(above) << 2) | set(below);
                if let Some(length) = table[code] {
                    border.corners.push(Pixel { row, column });
                    border.lengths.push(length);
                }
            }
        }
        border
    }

    fn length(&self) -> f64 {
        self.lengths.iter().sum()
    }

    /// The length of it that lies within a tolerance of the other's corners.
    fn within(&self, other: &Self, spacing: Spacing, tolerance: f64) -> f64 {
        let distances = nearest(&self.corners, &other.corners, spacing);
        let near = std::iter::zip(distances, &self.lengths)
            .filter(|(distance, _)| *distance <= tolerance)
            .map(|(_, length)| length);
        near.sum()
    }
}

/// The length of border at a corner, by the four pixels around it: bits from the highest for upper
/// left, upper right, lower left, lower right. `None` where all are alike.
fn lengths(spacing: Spacing) -> [Option<f64>; 16] {
    let across = 0.5 * (spacing.row.powi(2) + spacing.column.powi(2)).sqrt();
    std::array::from_fn(|code| match code {
        0b0000 | 0b1111 => None,
        0b0011 | 0b1100 => Some(spacing.column),
        0b0101 | 0b1010 => Some(spacing.row),
        // Two opposite pixels: the border passes twice.
        0b0110 | 0b1001 => Some(2.0 * across),
        _ => Some(across),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Definition;

    fn nsd(prediction: &[bool; 8], reference: &[bool; 8], nsd_tolerance: f64) -> Score {
        let view = |pixels| MaskView::new(1, 8, pixels).unwrap();
        let definition = Definition {
            nsd_tolerance,
            ..Definition::default()
        };
        let spacing = Spacing::default();
        let pair = Compared::new(view(prediction), view(reference), spacing, definition).unwrap();
        normalised_surface_dice(&pair)
    }

    /// Some pixels of eight in a row.
    fn row(set: std::ops::Range<usize>) -> [bool; 8] {
        std::array::from_fn(|column| set.contains(&column))
    }

    #[test]
    fn it_is_the_share_of_border_within_the_tolerance() {
        // Two pixels: two straight corners of length 1 and a diagonal one at each end, above and
        // below.
        let end = 0.5f64.sqrt();
        let whole = 2.0 * (1.0 + 2.0 * end);
        // Moved by one, two of the three columns of corners are those of the other.
        let common = 2.0 * (1.0 + end);
        let moved = nsd(&row(1..3), &row(2..4), 0.0).value().unwrap();
        assert!((moved - common / whole).abs() < 1e-15, "{moved}");
        assert_eq!(nsd(&row(1..3), &row(2..4), 1.0), Score::Value(1.0));
        assert_eq!(nsd(&row(0..2), &row(6..8), 1.0), Score::Value(0.0));
    }

    #[test]
    fn it_is_nothing_against_an_empty_mask_and_undefined_for_two() {
        let (none, some) = (row(0..0), row(2..5));
        assert_eq!(nsd(&some, &none, 1000.0), Score::Value(0.0));
        assert_eq!(nsd(&none, &some, 1000.0), Score::Value(0.0));
        let both = Score::Undefined(Reason::BothEmpty);
        assert_eq!(nsd(&none, &none, 1.0), both);
    }
}
