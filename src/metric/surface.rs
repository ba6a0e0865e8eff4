//! The surface of a mask: the mask minus its erosion.
//!
//! The rule: everything outside the image is background, so a mask that touches the border has its surface there.
//! This is what MedPy's `binary_erosion(mask, iterations=1)` leaves (SciPy's `border_value=0`).

use serde::{Deserialize, Serialize};

use super::mask::{MaskView, Pixel};

/// Which neighbours must be foreground for a pixel to survive the erosion. The surface under `Eight` is thicker: it
/// holds every pixel that touches the background, be it by a corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// Up, down, left, right: MedPy's `connectivity=1`.
    #[default]
    Four,
    /// The diagonal neighbours as well: MedPy's `connectivity=2`.
    Eight,
}

/// The surface pixels of a `[H, W]` mask, in row-major order. Empty exactly when the mask is.
pub fn surface(mask: MaskView, connectivity: Connectivity) -> Vec<Pixel> {
    let (height, width) = (mask.height(), mask.width());
    let outside = vec![false; width];
    let mut interior = vec![false; width];
    let mut found = Vec::new();
    for row in 0..height {
        let middle = mask.row(row);
        // Rows without foreground are most of an image.
        let Some(first) = middle.iter().position(|&set| set) else {
            continue;
        };
        let above = if row > 0 { mask.row(row - 1) } else { &outside };
        let below = if row + 1 < height {
            mask.row(row + 1)
        } else {
            &outside
        };
        erode_row(above, middle, below, connectivity, &mut interior);
        found.extend(
            (first..width)
                .filter(|&column| middle[column] & !interior[column])
                .map(|column| Pixel { row, column }),
        );
    }
    found
}

/// The eroded middle row. The first and last column always erode, having the outside next to them.
fn erode_row(
    above: &[bool],
    middle: &[bool],
    below: &[bool],
    connectivity: Connectivity,
    interior: &mut [bool],
) {
    let width = middle.len();
    interior[0] = false;
    interior[width - 1] = false;
    for column in 1..width.saturating_sub(1) {
        let (left, right) = (column - 1, column + 1);
        let cross = above[column] & below[column] & middle[left] & middle[column] & middle[right];
        interior[column] = match connectivity {
            Connectivity::Four => cross,
            Connectivity::Eight => cross & above[left] & above[right] & below[left] & below[right],
        };
    }
}
