//! The surface of a mask: the mask minus its erosion.
//!
//! The rule: everything outside the image is background, so a mask that touches the border has its
//! surface there. A pixel survives the erosion where the four pixels above, below, left and right
//! of it are set. This is what MedPy's `binary_erosion(mask, iterations=1)` leaves, with
//! `connectivity=1` and SciPy's `border_value=0`.

use super::mask::{MaskView, Pixel};

/// The surface pixels of a `[H, W]` mask, in row-major order. Empty exactly when the mask is.
pub fn surface(mask: MaskView) -> Vec<Pixel> {
    let (height, width) = (mask.height(), mask.width());
    let outside = vec![false; width];
    let mut interior = vec![false; width];
    let mut found = Vec::new();
    for row in 0..height {
        let middle = mask.row(row);
        // Most rows of an image have no foreground.
        let Some(first) = middle.iter().position(|&set| set) else {
            continue;
        };
        let above = if row > 0 { mask.row(row - 1) } else { &outside };
        let below = if row + 1 < height {
            mask.row(row + 1)
        } else {
            &outside
        };
        erode_row(above, middle, below, &mut interior);
        found.extend(
            (first..width)
                .filter(|&column| middle[column] & !interior[column])
                .map(|column| Pixel { row, column }),
        );
    }
    found
}

/// The eroded middle row. The first and last column always erode, having the outside next to them.
fn erode_row(above: &[bool], middle: &[bool], below: &[bool], interior: &mut [bool]) {
    let width = middle.len();
    interior[0] = false;
    interior[width - 1] = false;
    for column in 1..width.saturating_sub(1) {
        let (left, right) = (column - 1, column + 1);
        interior[column] =
            above[column] & below[column] & middle[left] & middle[column] & middle[right];
    }
}
