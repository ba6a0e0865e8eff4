//! The part of an image in which experts differ most.

use super::{crop::ImageCrop, subject::CaseFigure};

/// The part's side as a share of the shown one's longer side.
const SHARE: f64 = 1.0 / 6.0;
/// The fewest columns and rows.
const LEAST_PX: usize = 10;

/// The square with the most pixels that some experts marked and others did not, within what is
/// shown; the first of several. `None` where experts agree, and where no more than that is shown.
pub fn most_disputed(figure: &CaseFigure<'_>) -> Option<ImageCrop> {
    let ImageCrop { width, height, .. } = figure.crop;
    let [across, down] = figure.extent(&figure.crop);
    let side = SHARE * across.max(down);
    let [columns, rows] = figure.pixel().map(|pixel| (side / pixel).round() as usize);
    let [columns, rows] = [columns, rows].map(|n| n.max(LEAST_PX));
    if columns >= width || rows >= height {
        return None;
    }
    let all = figure.experts.len();
    let counts = figure.counts();
    let shown = figure.crop.of(&counts, figure.case.image.width);
    let disputed = shown.map(|count| usize::from(count > 0 && count < all));
    let sums = AreaSums::of(disputed, width, height);
    let places = (0..=height - rows).flat_map(|y| (0..=width - columns).map(move |x| (x, y)));
    let found = places.map(|(x, y)| (sums.within([x, y], [columns, rows]), (x, y)));
    let (most, (x, y)) = found.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    (most > 0).then(|| ImageCrop {
        left: figure.crop.left + x,
        top: figure.crop.top + y,
        width: columns,
        height: rows,
    })
}

/// Sums over all rectangles that begin in the first corner (Crow, 1984).
struct AreaSums {
    row: usize,
    sums: Vec<usize>,
}

impl AreaSums {
    /// Of values in rows.
    fn of(values: impl Iterator<Item = usize>, width: usize, height: usize) -> Self {
        let row = width + 1;
        let mut sums = vec![0; row * (height + 1)];
        for (i, value) in values.enumerate() {
            let at = (i / width + 1) * row + i % width + 1;
            sums[at] = value + sums[at - 1] + sums[at - row] - sums[at - row - 1];
        }
        Self { row, sums }
    }

    /// The sum within a rectangle.
    fn within(&self, [x, y]: [usize; 2], [width, height]: [usize; 2]) -> usize {
        let at = |x: usize, y: usize| self.sums[y * self.row + x];
        let (right, bottom) = (x + width, y + height);
        at(right, bottom) + at(x, y) - at(x, bottom) - at(right, y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_values() {
        let values = [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0];
        let sums = AreaSums::of(values.into_iter(), 4, 3);
        assert_eq!(sums.within([0, 0], [4, 3]), 21);
        assert_eq!(sums.within([1, 1], [2, 2]), 10);
        assert_eq!(sums.within([2, 0], [1, 1]), 2);
    }
}
