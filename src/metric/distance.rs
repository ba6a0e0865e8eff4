//! The exact Euclidean distance transform, evaluated where it is asked for.
//!
//! The rule: results are exact in f64, also with anisotropic spacing; only the final sum and square
//! root round. Nothing outside the bounding box of the given pixels is read.
//!
//! Two passes, as in Meijster, Roerdink and Hesselink (2000). The vertical pass counts rows. The
//! horizontal pass takes, in each row, the minimum over columns: the search goes outwards and stops
//! where the column offset alone is larger than the best distance. For surfaces that are close to
//! each other that is after a few columns, which costs less than a lower envelope over every column
//! of every row.

use super::mask::{Pixel, Spacing};

/// More rows than any image has, and small enough to be counted up from without overflow.
const FAR: u32 = u32::MAX / 2;

/// For each pixel of `from`, the Euclidean distance to the closest pixel of `to`, in the unit of
/// `spacing`.
///
/// # Panics
/// `to` is empty.
pub fn nearest(from: &[Pixel], to: &[Pixel], spacing: Spacing) -> Vec<f64> {
    assert!(!to.is_empty(), "a distance needs a pixel to measure to");
    let steps = RowSteps::to(to, from);
    from.iter()
        .map(|pixel| {
            let column = pixel.column as isize - steps.first_column as isize;
            closest_square(steps.row(pixel.row), column, spacing).sqrt()
        })
        .collect()
}

/// For each row of the joint bounding box and each column of the targets' bounding box: the number
/// of rows to the closest target in the same column, or at least `FAR` where there is none.
struct RowSteps {
    first_row: usize,
    first_column: usize,
    width: usize,
    steps: Vec<u32>,
}

impl RowSteps {
    fn to(targets: &[Pixel], queries: &[Pixel]) -> Self {
        let columns = bounds(targets.iter().map(|pixel| pixel.column));
        let rows = bounds(targets.iter().chain(queries).map(|pixel| pixel.row));
        let width = columns.1 - columns.0 + 1;
        let mut grid = Self {
            first_row: rows.0,
            first_column: columns.0,
            width,
            steps: vec![FAR; width * (rows.1 - rows.0 + 1)],
        };
        for pixel in targets {
            let place = (pixel.row - rows.0) * width + pixel.column - columns.0;
            grid.steps[place] = 0;
        }
        grid.sweep();
        grid
    }

    /// Propagates the counts once downwards and once upwards.
    fn sweep(&mut self) {
        let rows = self.steps.len() / self.width;
        for row in 1..rows {
            let (before, after) = self.steps.split_at_mut(row * self.width);
            step(&before[(row - 1) * self.width..], &mut after[..self.width]);
        }
        for row in (1..rows).rev() {
            let (before, after) = self.steps.split_at_mut(row * self.width);
            step(&after[..self.width], &mut before[(row - 1) * self.width..]);
        }
    }

    fn row(&self, row: usize) -> &[u32] {
        let start = (row - self.first_row) * self.width;
        &self.steps[start..start + self.width]
    }
}

fn step(from: &[u32], to: &mut [u32]) {
    for (here, &there) in to.iter_mut().zip(from) {
        *here = (*here).min(there + 1);
    }
}

fn bounds(values: impl Iterator<Item = usize>) -> (usize, usize) {
    values.fold((usize::MAX, 0), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// The squared distance from `column` of a row to the targets. `steps` holds, for each column, the
/// number of rows to its closest target.
fn closest_square(steps: &[u32], column: isize, spacing: Spacing) -> f64 {
    let last = steps.len() as isize - 1;
    let mut best = f64::INFINITY;
    // A query may lie outside the columns that targets span.
    for there in (0..=column.min(last)).rev() {
        if !closer(steps, there, column, spacing, &mut best) {
            break;
        }
    }
    for there in (column + 1).max(0)..=last {
        if !closer(steps, there, column, spacing, &mut best) {
            break;
        }
    }
    best
}

/// Lowers `best` to the squared distance to column `there`. False where that column and all beyond
/// it are too far by their offset alone.
fn closer(steps: &[u32], there: isize, column: isize, spacing: Spacing, best: &mut f64) -> bool {
    let across = ((there - column) as f64 * spacing.column).powi(2);
    let rows = steps[there as usize];
    if rows < FAR {
        let along = (f64::from(rows) * spacing.row).powi(2);
        *best = best.min(across + along);
    }
    across < *best
}
