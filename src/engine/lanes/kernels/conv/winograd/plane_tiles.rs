//! Between planes of pixels and the operands of Winograd's products. The tiles of one channel are
//! transformed, from planes of the output's size or of half of it, and the sums are transformed
//! back.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::{
    line_transforms::{Four, Three, Tile, by_tile},
    tile_transforms::{TileWindow, half_input_tile, half_output_tile, input_tile, output_tile},
    tiling::{Chunk, Tiling},
};
use crate::engine::{
    Activation,
    lanes::{
        kernels::{
            features::{AsStored, FeaturePlane, Features, Mapped, Read},
            gate,
        },
        machine::{Isa, LANES, Shared, Vector, multiversion, odd_lines},
    },
};

/// The input planes of a correlation.
#[derive(Clone, Copy)]
pub struct Planes<'a> {
    /// Channels to be upsampled, `[G, C, H/2, W/2, 16]`; they come first.
    pub half: Features<'a>,
    /// The others, `[G, C, H, W, 16]`.
    pub whole: Features<'a>,
}

/// Where the output planes of a correlation go.
#[derive(Clone, Copy)]
pub struct Outputs<'a> {
    /// Channels summed over two by two pixels, `[G, C, H/2, W/2, 16]`; they come first.
    pub half: Shared<'a>,
    /// The others, `[G, C, H, W, 16]`.
    pub whole: Shared<'a>,
    /// What becomes of the others.
    pub finish: PixelFinish<'a>,
}

/// What becomes of the sums that are transformed back.
#[derive(Clone, Copy)]
pub enum PixelFinish<'a> {
    /// The activation of the sums and the bias of their channel, if there is one.
    Activation(Option<&'a [f32]>, Activation),
    /// 0 where these, of the output's shape, are not positive: the gate of a ReLU that has this
    /// output.
    Gate(&'a [f32]),
}

impl PixelFinish<'_> {
    /// The sums themselves.
    pub const SUMS: Self = Self::Activation(None, Activation::Linear);
}

/// The same for one plane.
#[derive(Clone, Copy)]
enum PlaneFinish<'a> {
    Activation(Option<f32>, Activation),
    /// The plane.
    Gate(&'a [f32]),
}

/// Sums of products, `[points, channels, count, 16]`.
#[derive(Clone, Copy)]
pub(super) struct Sums<'a> {
    pub(super) values: Shared<'a>,
    /// The first output channel they are of.
    pub(super) first: usize,
    pub(super) channels: usize,
}

impl Sums<'_> {
    /// Floats from one point to the next.
    fn step(&self, chunk: &Chunk) -> usize {
        odd_lines(self.channels * chunk.count * LANES)
    }
}

/// Transforms channel `ci`'s tiles into `[points, C_in, count, 16]`.
///
/// # Safety
/// The machine has the instruction set, and no other task writes this channel.
pub(super) unsafe fn input(isa: Isa, chunk: &Chunk, x: Planes, ci: usize, to: Shared) {
    let Tiling { cin, half_in, .. } = *chunk.shape;
    let (plane, half) = (chunk.shape.plane(), chunk.shape.half_plane());
    // SAFETY: the caller's promise.
    unsafe {
        if ci < half_in {
            let at = (chunk.group * half_in + ci) * half;
            half_input_channel(isa, chunk, x.half.plane(at..at + half), ci, to);
        } else {
            let at = (chunk.group * (cin - half_in) + ci - half_in) * plane;
            input_channel(isa, chunk, x.whole.plane(at..at + plane), ci, to);
        }
    }
}

/// Transforms the sums of channel `co` back into pixels.
///
/// # Safety
/// The machine has the instruction set, and no other task writes these tiles.
pub(super) unsafe fn output(isa: Isa, chunk: &Chunk, sums: Sums, co: usize, y: Outputs) {
    let Tiling { cout, half_out, .. } = *chunk.shape;
    let (plane, half) = (chunk.shape.plane(), chunk.shape.half_plane());
    // SAFETY: the caller's promise.
    unsafe {
        if co < half_out {
            let at = (chunk.group * half_out + co) * half;
            half_output_channel(isa, chunk, sums, co, y.half, at);
        } else {
            let channels = cout - half_out;
            let at = (chunk.group * channels + co - half_out) * plane;
            let finish = match y.finish {
                PixelFinish::Activation(bias, activation) => {
                    let bias = bias.map(|bias| bias[co - half_out]);
                    PlaneFinish::Activation(bias, activation)
                }
                PixelFinish::Gate(output) => PlaneFinish::Gate(&output[at..at + plane]),
            };
            output_channel(isa, chunk, sums, co, y.whole, at, finish);
        }
    }
}

multiversion! {
    /// Transforms one channel's tiles into `[points, C_in, count, 16]`.
    ///
    /// # Safety
    /// No other task writes this channel.
    fn input_channel = input_channel_body(chunk: &Chunk, plane: FeaturePlane, ci: usize, to: Shared)
}

/// Calls a function with the values in memory and with how their lanes from a place on are read.
macro_rules! read_as {
    ($vector:ident, $plane:ident, $call:ident($($argument:expr),*)) => {
        match $plane {
            FeaturePlane::Stored(_) => $call::<$vector, _>($($argument),*, |_| AsStored),
            FeaturePlane::Normed(saved, Activation::Linear) => {
                $call::<$vector, _>($($argument),*, |at| Mapped::<$vector, false>::new(&saved, at))
            }
            FeaturePlane::Normed(saved, Activation::Relu) => {
                $call::<$vector, _>($($argument),*, |at| Mapped::<$vector, true>::new(&saved, at))
            }
        }
    };
}

#[inline(always)]
unsafe fn input_channel_body<V: Vector>(chunk: &Chunk, plane: FeaturePlane, ci: usize, to: Shared) {
    assert!(plane.is_plane());
    let values = plane.values();
    // SAFETY: the plane's tables hold sixteen lanes.
    unsafe { read_as!(V, plane, input_channel_as(chunk, values, ci, to)) }
}

#[inline(always)]
unsafe fn input_channel_as<V: Vector, R: Read<V>>(
    chunk: &Chunk,
    plane: &[f32],
    ci: usize,
    to: Shared,
    read: impl Fn(usize) -> R,
) {
    let shape = chunk.shape;
    let (side, points) = (shape.tile.side(), shape.tile.points());
    let step = odd_lines(shape.cin * chunk.count * LANES);
    assert!(plane.len() == shape.plane() && ci < shape.cin && to.len() == points * step);
    for (i, (row, column)) in chunk.corners().enumerate() {
        let to = to.pointer().wrapping_add((ci * chunk.count + i) * LANES);
        let corner = plane
            .as_ptr()
            .wrapping_add((row * shape.width + column) * LANES);
        let corner = corner.wrapping_sub((shape.width + 1) * LANES);
        let at = TileWindow {
            row: shape.width * LANES,
            column: LANES,
            from: (usize::from(row == 0), usize::from(column == 0)),
            to: (
                side.min(shape.height + 1 - row),
                side.min(shape.width + 1 - column),
            ),
        };
        // The same tile of the next channel is read some hundred cycles from now, from far away.
        let next = corner.wrapping_add(shape.plane());
        for r in 0..side {
            for c in 2..side {
                V::prefetch(next.wrapping_add((r * shape.width + c) * LANES));
            }
        }
        for half in (0..LANES).step_by(V::N) {
            // SAFETY: the window's pixels inside the image are inside the plane; results are inside
            // this channel's part.
            unsafe {
                by_tile!(
                    shape.tile,
                    input_tile::<V>(
                        corner.wrapping_add(half),
                        at,
                        to.wrapping_add(half),
                        step,
                        read(half),
                    )
                )
            };
        }
    }
}

multiversion! {
    /// Transforms one channel's sums back into pixels of the plane that starts at `plane`.
    ///
    /// # Safety
    /// No other task writes these tiles.
    fn output_channel = output_channel_body(
        chunk: &Chunk,
        sums: Sums,
        co: usize,
        y: Shared,
        plane: usize,
        finish: PlaneFinish,
    )
}

#[inline(always)]
unsafe fn output_channel_body<V: Vector>(
    chunk: &Chunk,
    sums: Sums,
    co: usize,
    y: Shared,
    plane: usize,
    finish: PlaneFinish,
) {
    let shape = chunk.shape;
    let (out, points) = (shape.tile.out(), shape.tile.points());
    let (step, held) = (sums.step(chunk), co - sums.first);
    assert!(
        sums.values.len() == points * step
            && held < sums.channels
            && co < shape.cout
            && y.len() >= plane + shape.plane()
    );
    if let PlaneFinish::Gate(output) = finish {
        assert!(output.len() == shape.plane());
    }
    for (i, (row, column)) in chunk.corners().enumerate() {
        let from = sums
            .values
            .pointer()
            .wrapping_add((held * chunk.count + i) * LANES);
        let first = (row * shape.width + column) * LANES;
        let corner = y.pointer().wrapping_add(plane + first);
        let at = TileWindow {
            row: shape.width * LANES,
            column: LANES,
            from: (0, 0),
            to: (out.min(shape.height - row), out.min(shape.width - column)),
        };
        // The next tile's pixels are far away, and a store waits for its line.
        let next = corner.wrapping_add(out * LANES);
        for r in 0..out {
            for c in 0..out {
                V::prefetch(next.wrapping_add((r * shape.width + c) * LANES));
            }
        }
        for half in (0..LANES).step_by(V::N) {
            // SAFETY: sums are inside this channel's part; the window's pixels inside the image are
            // inside the plane.
            unsafe {
                by_tile!(
                    shape.tile,
                    output_tile::<V>(from.wrapping_add(half), step, corner.wrapping_add(half), at)
                )
            };
        }
        // SAFETY: the window is inside the plane, whose length the gate has.
        unsafe { finish_tile::<V>(corner, at, first, finish) };
    }
}

/// Finishes the pixels of a tile, which are in the cache. The `first` of them is at `corner`.
///
/// # Safety
/// The window's pixels are inside the plane, and inside that of the gate.
#[inline(always)]
unsafe fn finish_tile<V: Vector>(
    corner: *mut f32,
    at: TileWindow,
    first: usize,
    finish: PlaneFinish,
) {
    if let PlaneFinish::Activation(None, Activation::Linear) = finish {
        return;
    }
    for r in 0..at.to.0 {
        let row = r * at.row;
        for i in (row..row + at.to.1 * at.column).step_by(V::N) {
            // SAFETY: the caller's promise.
            unsafe {
                let pixel = corner.add(i);
                let sum = V::load(pixel);
                let value = match finish {
                    PlaneFinish::Activation(bias, activation) => {
                        let sum = bias.map_or(sum, |bias| sum.add(V::splat(bias)));
                        gate::activated(activation, sum)
                    }
                    PlaneFinish::Gate(output) => {
                        gate::through(V::load(output.as_ptr().add(first + i)), sum)
                    }
                };
                value.store(pixel);
            }
        }
    }
}

multiversion! {
    /// As [`input_channel`], from a plane of half the size.
    ///
    /// # Safety
    /// No other task writes this channel.
    fn half_input_channel = half_input_channel_body(
        chunk: &Chunk,
        plane: FeaturePlane,
        ci: usize,
        to: Shared,
    )
}

#[inline(always)]
unsafe fn half_input_channel_body<V: Vector>(
    chunk: &Chunk,
    plane: FeaturePlane,
    ci: usize,
    to: Shared,
) {
    assert!(plane.is_plane());
    let values = plane.values();
    // SAFETY: the plane's tables hold sixteen lanes.
    unsafe { read_as!(V, plane, half_input_channel_as(chunk, values, ci, to)) }
}

#[inline(always)]
unsafe fn half_input_channel_as<V: Vector, R: Read<V>>(
    chunk: &Chunk,
    plane: &[f32],
    ci: usize,
    to: Shared,
    read: impl Fn(usize) -> R,
) {
    let shape = chunk.shape;
    let step = odd_lines(shape.cin * chunk.count * LANES);
    let (height, width) = (shape.height / 2, shape.width / 2);
    assert!(shape.tile == Tile::Four && plane.len() == shape.half_plane() && ci < shape.cin);
    assert!(to.len() == shape.tile.points() * step);
    for (i, (row, column)) in chunk.corners().enumerate() {
        let (row, column) = (row / 2, column / 2);
        let to = to.pointer().wrapping_add((ci * chunk.count + i) * LANES);
        let corner = plane.as_ptr().wrapping_add((row * width + column) * LANES);
        let corner = corner.wrapping_sub((width + 1) * LANES);
        let at = TileWindow {
            row: width * LANES,
            column: LANES,
            from: (usize::from(row == 0), usize::from(column == 0)),
            to: (4.min(height + 1 - row), 4.min(width + 1 - column)),
        };
        for half in (0..LANES).step_by(V::N) {
            // SAFETY: the window's pixels inside the image are inside the plane; results are inside
            // this channel's part.
            unsafe {
                half_input_tile::<V>(
                    corner.wrapping_add(half),
                    at,
                    to.wrapping_add(half),
                    step,
                    read(half),
                )
            };
        }
    }
}

multiversion! {
    /// As [`output_channel`], into the plane of half the size that starts at `plane`.
    ///
    /// # Safety
    /// No other task writes these tiles.
    fn half_output_channel = half_output_channel_body(
        chunk: &Chunk,
        sums: Sums,
        co: usize,
        y: Shared,
        plane: usize,
    )
}

#[inline(always)]
unsafe fn half_output_channel_body<V: Vector>(
    chunk: &Chunk,
    sums: Sums,
    co: usize,
    y: Shared,
    plane: usize,
) {
    let shape = chunk.shape;
    let (step, held) = (sums.step(chunk), co - sums.first);
    let (height, width) = (shape.height / 2, shape.width / 2);
    assert!(shape.tile == Tile::Four && sums.values.len() == shape.tile.points() * step);
    assert!(held < sums.channels && co < shape.cout && y.len() >= plane + shape.half_plane());
    for (i, (row, column)) in chunk.corners().enumerate() {
        let (row, column) = (row / 2, column / 2);
        let from = sums
            .values
            .pointer()
            .wrapping_add((held * chunk.count + i) * LANES);
        let corner = y
            .pointer()
            .wrapping_add(plane + (row * width + column) * LANES);
        let at = TileWindow {
            row: width * LANES,
            column: LANES,
            from: (0, 0),
            to: (2.min(height - row), 2.min(width - column)),
        };
        for half in (0..LANES).step_by(V::N) {
            // SAFETY: sums are inside this channel's part; the window's pixels inside the image are
            // inside the plane.
            unsafe {
                half_output_tile::<V>(from.wrapping_add(half), step, corner.wrapping_add(half), at)
            };
        }
    }
}
