//! The inner loops of the direct convolution: which taps are inside the image, and the register tiles.

use super::super::super::LANES;
use super::super::super::isa::multiversion;
use super::super::super::threads::Shared;
use super::super::super::vector::Vector;
use super::Correlation;

/// Taps of the largest kernel.
const MAX_TAPS: usize = 49;

/// Some rows of one block of output channels of one group.
pub(super) struct Task<'a> {
    pub(super) shape: &'a Correlation,
    /// From the group's first channel on.
    pub(super) x: &'a [f32],
    pub(super) weights: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    pub(super) y: Shared<'a>,
    /// The block's first plane in `y`.
    pub(super) plane: usize,
    pub(super) channels: usize,
    pub(super) rows: std::ops::Range<usize>,
}

multiversion! {
    /// # Safety
    /// No other task writes the same rows and channels.
    pub(super) fn correlate = correlate_body(task: &Task)
}

#[inline(always)]
unsafe fn correlate_body<V: Vector>(task: &Task) {
    let shape = task.shape;
    // Every address below is a pixel inside `in_size` or `out_size`: `taps_at` drops the others.
    assert!(task.x.len() >= shape.cin * shape.in_size[0] * shape.in_size[1] * LANES);
    assert!(task.weights.len() == shape.cin * shape.taps.len() * task.channels);
    assert!(
        shape.taps.len() <= MAX_TAPS && task.bias.is_none_or(|bias| bias.len() == task.channels)
    );
    // SAFETY: the parts stay inside `y`, which this checks.
    unsafe {
        task.y.part(
            task.plane * plane_len(shape),
            task.channels * plane_len(shape),
        )
    };
    // SAFETY: asserted above; the caller promises the rest.
    unsafe {
        match (task.channels, shape.in_step) {
            (8, 1) => rows::<V, 8, 1>(task),
            (8, _) => rows::<V, 8, 2>(task),
            (4, 1) => rows::<V, 4, 1>(task),
            (4, _) => rows::<V, 4, 2>(task),
            (2, 1) => rows::<V, 2, 1>(task),
            (2, _) => rows::<V, 2, 2>(task),
            (_, 1) => rows::<V, 1, 1>(task),
            _ => rows::<V, 1, 2>(task),
        }
    }
}

/// Floats of one output plane.
#[inline(always)]
fn plane_len(shape: &Correlation) -> usize {
    shape.out_size[0] * shape.out_size[1] * LANES
}

/// One tap: where its pixel and its weights are, in floats from the tile's.
#[derive(Clone, Copy)]
struct Tap {
    x: isize,
    w: usize,
}

/// The taps that fall inside the image for output (row, column).
#[inline(always)]
fn taps_at(
    shape: &Correlation,
    co: usize,
    row: usize,
    column: usize,
    taps: &mut [Tap; MAX_TAPS],
) -> usize {
    let [height, width] = shape.in_size.map(|size| size as isize);
    let (y, x) = (
        (row * shape.in_step) as isize,
        (column * shape.in_step) as isize,
    );
    let columns = shape.offsets[1].len();
    let mut count = 0;
    for (ty, &oy) in shape.offsets[0].iter().enumerate() {
        for (tx, &ox) in shape.offsets[1].iter().enumerate() {
            if y + oy >= 0 && y + oy < height && x + ox >= 0 && x + ox < width {
                taps[count] = Tap {
                    x: ((y + oy) * width + x + ox) * LANES as isize,
                    w: (ty * columns + tx) * co,
                };
                count += 1;
            }
        }
    }
    count
}

/// The columns for which every tap is inside the image.
#[inline(always)]
fn interior(shape: &Correlation) -> std::ops::Range<usize> {
    let (step, columns) = (shape.in_step as isize, shape.count[1]);
    let least = shape.offsets[1].iter().copied().min().unwrap_or(0);
    let most = shape.offsets[1].iter().copied().max().unwrap_or(0);
    let from = (-least)
        .max(0)
        .unsigned_abs()
        .div_ceil(shape.in_step)
        .min(columns);
    let last = (shape.in_size[1] as isize - 1 - most).div_euclid(step) + 1;
    from..(last.max(0).unsigned_abs()).clamp(from, columns)
}

#[expect(
    clippy::int_plus_one,
    reason = "one column is one of several tile widths"
)]
#[inline(always)]
unsafe fn rows<V: Vector, const CO: usize, const S: usize>(task: &Task) {
    let shape = task.shape;
    let inside = interior(shape);
    let mut taps = [Tap { x: 0, w: 0 }; MAX_TAPS];
    for half in 0..LANES / V::N {
        let mut tile = Tile {
            x: task.x.as_ptr().wrapping_add(half * V::N),
            channel: shape.in_size[0] * shape.in_size[1] * LANES,
            w: task.weights.as_ptr(),
            run: shape.taps.len() * CO,
            cin: shape.cin,
            bias: task.bias.map_or(std::ptr::null(), <[f32]>::as_ptr),
            y: std::ptr::null_mut(),
            plane: plane_len(shape),
            step: shape.out_step * LANES,
        };
        for row in task.rows.clone() {
            let y = (row * shape.out_step + shape.out_origin[0]) * shape.out_size[1]
                + shape.out_origin[1];
            let y = task
                .y
                .pointer()
                .wrapping_add(task.plane * plane_len(shape) + y * LANES + half * V::N);
            for column in (0..inside.start).chain(inside.end..shape.count[1]) {
                let count = taps_at(shape, CO, row, column, &mut taps);
                tile.y = y.wrapping_add(column * tile.step);
                // SAFETY: the taps are inside the image, the column inside the plane.
                unsafe { tile.run::<V, CO, 1, S>(&taps[..count]) };
            }
            if inside.is_empty() {
                continue;
            }
            let count = taps_at(shape, CO, row, inside.start, &mut taps);
            let mut column = inside.start;
            macro_rules! span {
                ($($columns:literal)*) => {{$(
                    while column + $columns <= inside.end {
                        let mut tile = tile;
                        tile.x = tile.x.wrapping_add((column - inside.start) * S * LANES);
                        tile.y = y.wrapping_add(column * tile.step);
                        // SAFETY: interior columns have all taps inside the image.
                        unsafe { tile.run::<V, CO, $columns, S>(&taps[..count]) };
                        column += $columns;
                    }
                )*}};
            }
            match (CO, V::WIDE) {
                (8, _) => span!(3 2 1),
                (4, true) => span!(6 3 2 1),
                (4, false) => span!(2 1),
                (2, true) => span!(8 4 2 1),
                (2, false) => span!(4 2 1),
                _ => span!(8 4 2 1),
            }
        }
    }
}

/// Operands of one register tile; distances in floats.
#[derive(Clone, Copy)]
struct Tile {
    x: *const f32,
    /// From one input channel to the next.
    channel: usize,
    w: *const f32,
    /// From one input channel's weights to the next's.
    run: usize,
    cin: usize,
    /// Null without a bias.
    bias: *const f32,
    y: *mut f32,
    /// From one output channel to the next.
    plane: usize,
    /// From one output column to the next.
    step: usize,
}

impl Tile {
    /// `CO` output channels by `PX` columns, held in registers over all input channels and taps.
    #[inline(always)]
    unsafe fn run<V: Vector, const CO: usize, const PX: usize, const S: usize>(
        &self,
        taps: &[Tap],
    ) {
        // SAFETY: the caller's taps and columns are inside the operands.
        unsafe {
            let mut sums = [[V::splat(0.0); PX]; CO];
            if !self.bias.is_null() {
                for (c, sums) in sums.iter_mut().enumerate() {
                    *sums = [V::splat(*self.bias.add(c)); PX];
                }
            }
            let (mut x, mut w) = (self.x, self.w);
            for _ in 0..self.cin {
                for tap in taps {
                    let (x, w) = (x.offset(tap.x), w.add(tap.w));
                    let mut pixels = [V::splat(0.0); PX];
                    for j in 0..PX {
                        pixels[j] = V::load(x.add(j * S * LANES));
                    }
                    for c in 0..CO {
                        let weight = V::splat(*w.add(c));
                        for j in 0..PX {
                            sums[c][j] = pixels[j].fma(weight, sums[c][j]);
                        }
                    }
                }
                x = x.wrapping_add(self.channel);
                w = w.wrapping_add(self.run);
            }
            for c in 0..CO {
                for j in 0..PX {
                    sums[c][j].store(self.y.add(c * self.plane + j * self.step));
                }
            }
        }
    }
}
