//! The inner loops of the direct convolution: register tiles of output channels by neighbouring
//! vectors of a row.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use crate::engine::{
    Activation,
    lanes::{
        kernels::{conv::packed_weights::ChannelBlock, gate},
        machine::{LANES, Shared, Vector, multiversion},
    },
};

/// Taps of the largest kernel.
pub(super) const MAX_TAPS: usize = 49;

/// Outputs between the one that is computed and the one whose cache line is prefetched.
const AHEAD: usize = 8;

/// One tap: where its pixel and its weights are, in floats from the first output's.
#[derive(Clone, Copy, Default)]
pub(super) struct Tap {
    pub(super) x: usize,
    pub(super) w: usize,
}

/// The values that sums are added to.
#[derive(Clone, Copy)]
pub enum InitialSums<'a> {
    Zero,
    /// One number for each output channel.
    Bias(&'a [f32]),
    /// Sixteen for each output channel, one for each lane.
    Lanes(&'a [f32]),
    /// The values that the output holds.
    Output,
}

/// What becomes of sums.
#[derive(Clone, Copy)]
pub enum Finish<'a> {
    /// The activation of them.
    Activation(Activation),
    /// 0 where these, of the output's shape, are not positive: the gate of a ReLU that has this
    /// output.
    Gate(&'a [f32]),
}

impl Finish<'_> {
    /// The sums themselves.
    pub const SUMS: Self = Self::Activation(Activation::Linear);
}

/// What sums begin with, and what becomes of them.
#[derive(Clone, Copy)]
pub struct SumEnds<'a> {
    pub start: InitialSums<'a>,
    pub finish: Finish<'a>,
}

impl SumEnds<'_> {
    /// Sums alone.
    pub const PLAIN: Self = Self {
        start: InitialSums::Zero,
        finish: Finish::SUMS,
    };

    /// The same for some of the output channels.
    pub(super) fn of(self, block: ChannelBlock) -> Self {
        let start = match self.start {
            InitialSums::Bias(bias) => InitialSums::Bias(&bias[block.first..][..block.channels]),
            InitialSums::Lanes(lanes) => {
                let from = block.first * LANES;
                InitialSums::Lanes(&lanes[from..from + block.channels * LANES])
            }
            other => other,
        };
        Self { start, ..self }
    }
}

/// A row of outputs of one block of output channels.
pub(super) struct OutputRow<'a> {
    /// A window or whole planes, of every input channel.
    pub(super) x: &'a [f32],
    /// Floats from one input channel to the next.
    pub(super) channel: usize,
    pub(super) cin: usize,
    /// The block's weights, from its first on.
    pub(super) weights: &'a [f32],
    /// Floats from one input channel's weights to the next's.
    pub(super) run: usize,
    /// Floats from one output channel's weights to the next's.
    pub(super) turn: usize,
    /// The taps inside the image, or in padding that is written out.
    pub(super) taps: &'a [Tap],
    pub(super) ends: SumEnds<'a>,
    pub(super) y: Shared<'a>,
    /// The first output of the block's first channel.
    pub(super) at: usize,
    /// Floats from one output channel to the next.
    pub(super) plane: usize,
    /// Floats from one output column to the next.
    pub(super) step: usize,
    pub(super) columns: usize,
    /// Output channels: 8, 6, 4, 2 or 1.
    pub(super) channels: usize,
}

multiversion! {
    /// # Safety
    /// No other task writes these outputs.
    pub(super) fn correlate = correlate_body(row: &OutputRow)
}

#[inline(always)]
unsafe fn correlate_body<V: Vector>(row: &OutputRow) {
    let most = |place: fn(&Tap) -> usize| row.taps.iter().map(place).max().unwrap_or(0);
    assert!(row.cin > 0 && row.columns > 0 && row.channels > 0);
    assert!(
        row.taps.is_empty()
            || row.x.len() >= (row.cin - 1) * row.channel + most(|tap| tap.x) + row.columns * LANES
                && row.weights.len()
                    > (row.cin - 1) * row.run + most(|tap| tap.w) + (row.channels - 1) * row.turn
    );
    match row.ends.start {
        InitialSums::Zero | InitialSums::Output => {}
        InitialSums::Bias(bias) => assert!(bias.len() == row.channels),
        InitialSums::Lanes(lanes) => assert!(lanes.len() == row.channels * LANES),
    }
    assert!(row.step >= LANES);
    let end = row.at + (row.channels - 1) * row.plane + (row.columns - 1) * row.step + LANES;
    assert!(row.y.len() >= end);
    if let Finish::Gate(output) = row.ends.finish {
        assert!(output.len() >= end);
    }
    // SAFETY: asserted above; the caller promises the rest.
    unsafe {
        match row.channels {
            8 => tiles::<V, 8>(row),
            6 => tiles::<V, 6>(row),
            4 => tiles::<V, 4>(row),
            2 => tiles::<V, 2>(row),
            _ => tiles::<V, 1>(row),
        }
    }
}

#[expect(
    clippy::int_plus_one,
    reason = "one vector is one of several tile widths"
)]
#[inline(always)]
unsafe fn tiles<V: Vector, const CO: usize>(row: &OutputRow) {
    let (mut i, count) = (0, row.columns * (LANES / V::N));
    macro_rules! span {
        ($($vectors:literal)*) => {{$(
            while i + $vectors <= count {
                // Four are two and two: three and one would starve the multipliers.
                if $vectors == 3 && count - i == 4 {
                    break;
                }
                // SAFETY: vectors i to i + $vectors exist; the caller asserted lengths.
                unsafe { tile::<V, CO, $vectors>(row, i) };
                i += $vectors;
            }
        )*}};
    }
    match (CO, V::WIDE) {
        (8, _) => span!(3 2 1),
        (6, true) => span!(4 2 1),
        (6, false) => span!(2 1),
        (4, true) => span!(6 3 2 1),
        (4, false) => span!(2 1),
        (2, true) => span!(8 4 2 1),
        (2, false) => span!(4 2 1),
        _ => span!(8 4 2 1),
    }
}

/// `CO` output channels by `NV` vectors from the `first` on, held in registers over all input
/// channels and taps.
#[inline(always)]
unsafe fn tile<V: Vector, const CO: usize, const NV: usize>(row: &OutputRow, first: usize) {
    // SAFETY: the caller asserted that taps and columns are inside the operands.
    unsafe {
        let mut sums = [[V::splat(0.0); NV]; CO];
        let y = row.y.pointer().add(row.at);
        let offset = |c: usize, j: usize| {
            let lane = (first + j) * V::N;
            lane / LANES * row.step + lane % LANES + c * row.plane
        };
        let place = |c: usize, j: usize| y.add(offset(c, j));
        // A store waits for its cache line, which is far away: it is prefetched while the sums
        // before it are computed. So is what the gate reads.
        for c in 0..CO {
            for j in (0..NV).step_by(LANES / V::N) {
                V::prefetch(place(c, j).wrapping_add(AHEAD * row.step));
                if let Finish::Gate(output) = row.ends.finish {
                    let far = row.at + offset(c, j) + AHEAD * row.step;
                    V::prefetch(output.as_ptr().wrapping_add(far));
                }
            }
        }
        match row.ends.start {
            InitialSums::Zero => {}
            InitialSums::Bias(bias) => {
                for c in 0..CO {
                    sums[c] = [V::splat(*bias.get_unchecked(c)); NV];
                }
            }
            InitialSums::Lanes(lanes) => {
                for c in 0..CO {
                    for j in 0..NV {
                        let lane = (first + j) * V::N % LANES;
                        sums[c][j] = V::load(lanes.as_ptr().add(c * LANES + lane));
                    }
                }
            }
            InitialSums::Output => {
                for c in 0..CO {
                    for j in 0..NV {
                        sums[c][j] = V::load(place(c, j));
                    }
                }
            }
        }
        let mut x = row.x.as_ptr().wrapping_add(first * V::N);
        let mut weights = [row.weights.as_ptr(); CO];
        for c in 0..CO {
            weights[c] = weights[c].wrapping_add(c * row.turn);
        }
        let mut run = 0;
        for _ in 0..row.cin {
            // Weights read as the network stores them come in short runs: those of the next block
            // are prefetched now.
            if row.turn > 1 {
                for c in 0..CO {
                    V::prefetch(weights[c].wrapping_add(run + CO * row.turn));
                }
            }
            for tap in row.taps {
                let (x, w) = (x.add(tap.x), run + tap.w);
                let mut pixels = [V::splat(0.0); NV];
                for j in 0..NV {
                    pixels[j] = V::load(x.add(j * V::N));
                }
                for c in 0..CO {
                    let weight = V::splat(*weights[c].add(w));
                    for j in 0..NV {
                        sums[c][j] = pixels[j].fma(weight, sums[c][j]);
                    }
                }
            }
            x = x.wrapping_add(row.channel);
            run += row.run;
        }
        for j in 0..NV {
            for c in 0..CO {
                let finished = match row.ends.finish {
                    Finish::Activation(activation) => gate::activated(activation, sums[c][j]),
                    Finish::Gate(output) => {
                        let output = V::load(output.as_ptr().add(row.at + offset(c, j)));
                        gate::through(output, sums[c][j])
                    }
                };
                finished.store(place(c, j));
            }
        }
    }
}
