//! The decoder's joint: a 3x3 convolution, stride 1 and padding 1, of features upsampled by two to
//! the nearest with a skip's channels appended. Neither the upsampled features nor the joined ones
//! are ever in memory.
//!
//! Winograd's transform reads planes of half the size directly. Without it, upsampling and
//! convolution are one transposed convolution of stride 2. Its 4x4 kernel is the 3x3 kernel spread
//! out: output rows 2i - 1 to 2i + 2 take input row i with the taps 2, 1 + 2, 0 + 1 and 0.

use super::{
    conv::{
        self, Conv,
        direct::{Finish, InitialSums, SumEnds, direct_correlation, weight_sums},
        outer_products,
        packed_weights::{Taps, WeightView},
        winograd::{self, Outputs, PixelFinish, Planes, Tiling},
    },
    features::Features,
    operand::check,
};
use crate::engine::lanes::machine::{ConvMethod, Kernels, LANES, Shared, scratch};

/// A joint's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joint {
    /// Groups of sixteen samples.
    pub groups: usize,
    /// Channels to upsample; the weight has them first.
    pub up: usize,
    /// Channels of the skip, 0 without one.
    pub skip: usize,
    /// Output channels.
    pub cout: usize,
    /// Height before upsampling, in pixels.
    pub height: usize,
    /// Width before upsampling, in pixels.
    pub width: usize,
}

impl Joint {
    /// Floats in what is upsampled, `[G, up, H, W, 16]`.
    #[must_use]
    pub fn up_len(&self) -> usize {
        self.groups * self.up * self.height * self.width * LANES
    }

    /// Floats in the skip, `[G, skip, 2H, 2W, 16]`.
    #[must_use]
    pub fn skip_len(&self) -> usize {
        4 * self.groups * self.skip * self.height * self.width * LANES
    }

    /// Floats in the output, `[G, C_out, 2H, 2W, 16]`.
    #[must_use]
    pub fn output_len(&self) -> usize {
        4 * self.groups * self.cout * self.height * self.width * LANES
    }

    /// Floats in the weight, `[C_out, up + skip, 3, 3]`.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.cout * (self.up + self.skip) * 9
    }

    fn check(&self) {
        assert!(
            self.groups > 0 && self.up > 0 && self.cout > 0 && self.height > 0 && self.width > 0,
            "{self:?}"
        );
    }

    fn check_inputs(&self, up: Features, skip: Features) {
        let plane = self.height * self.width * LANES;
        up.check("up", self.groups * self.up, plane);
        skip.check("skip", self.groups * self.skip, 4 * plane);
    }

    /// The convolution of what is joined.
    fn whole(&self) -> Conv {
        Conv {
            cin: self.up + self.skip,
            ..self.of_skip()
        }
    }

    /// How Winograd's transform takes the forward product.
    fn tiling(&self) -> Tiling {
        Tiling::of_halves(&self.whole(), self.up)
    }

    /// The skip's part as a convolution of its own.
    fn of_skip(&self) -> Conv {
        Conv {
            groups: self.groups,
            cin: self.skip,
            cout: self.cout,
            height: 2 * self.height,
            width: 2 * self.width,
            kernel: 3,
            stride: 1,
            padding: 1,
        }
    }

    /// The convolution whose transpose is the upsampled part: from the output's channels and size
    /// to the input's.
    fn spread(&self) -> Conv {
        Conv {
            groups: self.groups,
            cin: self.cout,
            cout: self.up,
            height: 2 * self.height,
            width: 2 * self.width,
            kernel: 4,
            stride: 2,
            padding: 1,
        }
    }

    /// The weights of the skip's channels.
    fn skip_weights<'a>(&self, w: &'a [f32]) -> WeightView<'a> {
        WeightView::forward(w, self.up + self.skip, 9, self.up)
    }

    /// Calls a function with the upsampled part's weights as 4x4 kernels, `[up, C_out, 4, 4]`.
    fn with_spread_weights(&self, w: &[f32], work: impl FnOnce(&[f32])) {
        scratch(self.up * self.cout * 16, |spread| {
            for (i, to) in spread.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                let (up, co) = (i / self.cout, i % self.cout);
                let from = w[(co * (self.up + self.skip) + up) * 9..]
                    .as_chunks::<3>()
                    .0;
                let columns = transposed([0, 1, 2].map(|row| spread_taps(from[row])));
                let rows = transposed(columns.map(spread_taps));
                to.copy_from_slice(rows.as_flattened());
            }
            work(spread);
        });
    }
}

/// Three taps on upsampled pixels as four on the pixels before.
fn spread_taps([a, b, c]: [f32; 3]) -> [f32; 4] {
    [c, b + c, a + b, a]
}

/// The adjoint of [`spread_taps`].
fn folded_taps([a, b, c, d]: [f32; 4]) -> [f32; 3] {
    [c + d, b + c, a + b]
}

fn transposed<const R: usize, const C: usize>(rows: [[f32; C]; R]) -> [[f32; R]; C] {
    std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
}

/// `y = conv([upsample(up), skip], w)`. Overwrites `y` `[G, C_out, 2H, 2W, 16]`; `up` is
/// `[G, up, H, W, 16]`, `skip` `[G, skip, 2H, 2W, 16]`, `w` `[C_out, up + skip, 3, 3]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn forward(
    kernels: &Kernels,
    joint: &Joint,
    up: Features,
    skip: Features,
    w: &[f32],
    y: &mut [f32],
) {
    joint.check();
    joint.check_inputs(up, skip);
    check("w", w.len(), joint.weight_len());
    check("y", y.len(), joint.output_len());
    if let Some(shape) = joint.tiling().if_chosen(kernels) {
        let source = WeightView::forward(w, joint.up + joint.skip, 9, 0);
        let x = Planes {
            half: up,
            whole: skip,
        };
        let y = Outputs {
            half: Shared::new(&mut []),
            whole: Shared::new(y),
            finish: PixelFinish::SUMS,
        };
        winograd::correlate(kernels, &shape, x, &source, Taps::Stored, y);
        return;
    }
    joint.with_spread_weights(w, |spread| {
        let source = WeightView::forward(spread, joint.cout, 16, 0).transposed();
        direct_correlation::grad_input(kernels, &joint.spread(), up, &source, Finish::SUMS, y);
    });
    if joint.skip > 0 {
        let source = joint.skip_weights(w);
        direct_correlation::forward(
            kernels,
            &joint.of_skip(),
            skip,
            &source,
            SumEnds {
                start: InitialSums::Output,
                ..SumEnds::PLAIN
            },
            y,
        );
    }
}

/// The gradients of both inputs: overwrites `dup` `[G, up, H, W, 16]` and `dskip`
/// `[G, skip, 2H, 2W, 16]` from `dy` `[G, C_out, 2H, 2W, 16]` and `w` `[C_out, up + skip, 3, 3]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn grad_input(
    kernels: &Kernels,
    joint: &Joint,
    dy: &[f32],
    w: &[f32],
    dup: &mut [f32],
    dskip: &mut [f32],
) {
    joint.check();
    check("dy", dy.len(), joint.output_len());
    check("w", w.len(), joint.weight_len());
    check("dup", dup.len(), joint.up_len());
    check("dskip", dskip.len(), joint.skip_len());
    let dy = Features::Stored(dy);
    if let Some(shape) = joint.tiling().transposed().if_chosen(kernels) {
        let source = WeightView::forward(w, joint.up + joint.skip, 9, 0).transposed();
        let x = Planes {
            half: Features::Stored(&[]),
            whole: dy,
        };
        let dx = Outputs {
            half: Shared::new(dup),
            whole: Shared::new(dskip),
            finish: PixelFinish::SUMS,
        };
        winograd::correlate(kernels, &shape, x, &source, Taps::Rotated, dx);
        return;
    }
    joint.with_spread_weights(w, |spread| {
        let source = WeightView::forward(spread, joint.cout, 16, 0);
        direct_correlation::forward(kernels, &joint.spread(), dy, &source, SumEnds::PLAIN, dup);
    });
    if joint.skip > 0 {
        let source = joint.skip_weights(w).transposed();
        direct_correlation::grad_input(kernels, &joint.of_skip(), dy, &source, Finish::SUMS, dskip);
    }
}

/// The gradient of the weight: overwrites `dw` `[C_out, up + skip, 3, 3]` from both inputs and `dy`
/// `[G, C_out, 2H, 2W, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn grad_weight(
    kernels: &Kernels,
    joint: &Joint,
    up: Features,
    skip: Features,
    dy: &[f32],
    dw: &mut [f32],
) {
    joint.check();
    joint.check_inputs(up, skip);
    check("dy", dy.len(), joint.output_len());
    check("dw", dw.len(), joint.weight_len());
    let channels = joint.up + joint.skip;
    scratch(joint.cout * joint.up * 9, |part| {
        upsampled_grad_weight(kernels, joint, up, dy, part);
        put(part, joint.up, dw, 0, channels);
    });
    if joint.skip > 0 {
        scratch(joint.cout * joint.skip * 9, |part| {
            conv::grad_weight(kernels, &joint.of_skip(), skip, dy, part);
            put(part, joint.skip, dw, joint.up, channels);
        });
    }
}

/// The gradient of the weights of what is upsampled: overwrites `dw` `[C_out, up, 3, 3]`.
fn upsampled_grad_weight(
    kernels: &Kernels,
    joint: &Joint,
    up: Features,
    dy: &[f32],
    dw: &mut [f32],
) {
    let spread = joint.spread();
    let shape = joint.tiling().half_alone();
    let transformed = match kernels.method() {
        ConvMethod::Cheapest => {
            let direct = weight_sums::cost(&spread).min(outer_products::cost(&spread));
            winograd::weight_cost(&shape) < direct
        }
        ConvMethod::Winograd => true,
        ConvMethod::Direct | ConvMethod::Turned => false,
    };
    if transformed {
        winograd::weight_gradient(kernels, &shape, up, dy, dw);
        return;
    }
    scratch(spread.weight_len(), |gradient| {
        up.with_all(kernels, |up| {
            conv::grad_weight(kernels, &spread, Features::Stored(dy), up, gradient);
        });
        for (i, from) in gradient.as_chunks::<16>().0.iter().enumerate() {
            let (up, co) = (i / joint.cout, i % joint.cout);
            let from = from.as_chunks::<4>().0;
            let columns = transposed([0, 1, 2, 3].map(|row| folded_taps(from[row])));
            let rows = transposed(columns.map(folded_taps));
            dw[(co * joint.up + up) * 9..][..9].copy_from_slice(rows.as_flattened());
        }
    });
}

/// Copies `[C_out, part, 3, 3]` to the input channels from `first` on of `[C_out, channels, 3, 3]`.
fn put(from: &[f32], part: usize, to: &mut [f32], first: usize, channels: usize) {
    let rows = to.chunks_exact_mut(channels * 9);
    for (from, to) in from.chunks_exact(part * 9).zip(rows) {
        to[first * 9..][..part * 9].copy_from_slice(from);
    }
}
