//! Two-dimensional convolution and its gradients. Weights keep PyTorch's layout `[C_out, C_in, K, K]`;
//! kernels repack them at each call, which costs little beside the convolution.

mod direct;
pub mod joint;
mod outer;
mod pack;
mod weight;
mod winograd;

use super::features::Features;
use super::isa::{Kernels, Method};
use super::threads::Shared;
use super::{LANES, check};
use direct::Start;
use pack::{Source, Taps};
use winograd::{Outputs, Planes};

/// A convolution's shape: square kernel, the same stride and zero padding both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Groups of sixteen samples.
    pub groups: usize,
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Input height in pixels.
    pub height: usize,
    /// Input width in pixels.
    pub width: usize,
    /// Kernel height and width, at most 7.
    pub kernel: usize,
    /// Stride, 1 or 2.
    pub stride: usize,
    /// Rows and columns of zeros around the input, less than the kernel.
    pub padding: usize,
}

impl Conv {
    /// Output height in pixels.
    #[must_use]
    pub fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Output width in pixels.
    #[must_use]
    pub fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Floats in the input `[G, C_in, H, W, 16]`.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.groups * self.cin * self.height * self.width * LANES
    }

    /// Floats in the output `[G, C_out, H', W', 16]`.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.groups * self.cout * self.out_height() * self.out_width() * LANES
    }

    /// Floats in the weight `[C_out, C_in, K, K]`.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.cout * self.cin * self.kernel * self.kernel
    }

    /// Whether Winograd's transforms know it.
    fn has_transform(&self) -> bool {
        (self.kernel, self.stride, self.padding) == (3, 1, 1)
    }

    /// The correlation that computes the gradient of the input.
    fn transposed(&self) -> Self {
        Self {
            cin: self.cout,
            cout: self.cin,
            ..*self
        }
    }

    /// Panics unless the shape is one the kernels know.
    fn check(&self) {
        assert!(
            (1..=7).contains(&self.kernel)
                && (1..=2).contains(&self.stride)
                && self.padding < self.kernel,
            "{self:?}"
        );
        assert!(
            self.height + 2 * self.padding >= self.kernel
                && self.width + 2 * self.padding >= self.kernel,
            "{self:?}"
        );
        assert!(
            self.groups > 0 && self.cin > 0 && self.cout > 0 && self.height > 0 && self.width > 0,
            "{self:?}"
        );
    }
}

/// `y = conv(x, w) + bias`. Overwrites `y` `[G, C_out, H', W', 16]`; `x` is `[G, C_in, H, W, 16]`, `w` `[C_out, C_in, K, K]`,
/// `bias` `[C_out]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn forward(
    kernels: &Kernels,
    conv: &Conv,
    x: Features,
    w: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    conv.check();
    x.check(
        "x",
        conv.groups * conv.cin,
        conv.height * conv.width * LANES,
    );
    check("w", w.len(), conv.weight_len());
    check("y", y.len(), conv.output_len());
    if let Some(bias) = bias {
        check("bias", bias.len(), conv.cout);
    }
    let source = Source::forward(w, conv.cin, conv.kernel * conv.kernel, 0);
    match transform(kernels, conv).filter(|_| bias.is_none()) {
        Some(shape) => {
            let planes = Planes {
                half: Features::Stored(&[]),
                whole: x,
            };
            let y = Outputs {
                half: Shared::new(&mut []),
                whole: Shared::new(y),
            };
            winograd::correlate(kernels, &shape, planes, &source, Taps::Stored, y);
        }
        None => {
            let start = bias.map_or(Start::Zero, Start::Bias);
            direct::forward(kernels, conv, x, &source, start, y);
        }
    }
}

/// The gradient of the input: overwrites `dx` `[G, C_in, H, W, 16]` from `dy` `[G, C_out, H', W', 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn grad_input(kernels: &Kernels, conv: &Conv, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    conv.check();
    check("dy", dy.len(), conv.output_len());
    check("w", w.len(), conv.weight_len());
    check("dx", dx.len(), conv.input_len());
    let source = Source::forward(w, conv.cin, conv.kernel * conv.kernel, 0).transposed();
    let dy = Features::Stored(dy);
    match transform(kernels, &conv.transposed()) {
        Some(shape) => {
            let planes = Planes {
                half: Features::Stored(&[]),
                whole: dy,
            };
            let dx = Outputs {
                half: Shared::new(&mut []),
                whole: Shared::new(dx),
            };
            winograd::correlate(kernels, &shape, planes, &source, Taps::Rotated, dx);
        }
        None => direct::grad_input(kernels, conv, dy, &source, dx),
    }
}

/// The gradient of the weight, summed over groups, lanes and pixels: overwrites `dw` `[C_out, C_in, K, K]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn grad_weight(kernels: &Kernels, conv: &Conv, x: Features, dy: &[f32], dw: &mut [f32]) {
    conv.check();
    x.check(
        "x",
        conv.groups * conv.cin,
        conv.height * conv.width * LANES,
    );
    check("dy", dy.len(), conv.output_len());
    check("dw", dw.len(), conv.weight_len());
    let shape = conv
        .has_transform()
        .then(|| winograd::Shape::of_weight(conv, kernels.isa()));
    let (straight, turned) = (weight::cost(conv), outer::cost(conv, kernels.isa()));
    let tiles = shape.map_or(f64::INFINITY, |shape| {
        winograd::weight::cost(&shape, kernels.isa())
    });
    let method = match kernels.method() {
        Method::Cheapest if tiles < straight.min(turned) => Method::Winograd,
        Method::Cheapest if turned < straight => Method::Turned,
        Method::Cheapest => Method::Direct,
        method => method,
    };
    match (method, shape) {
        (Method::Winograd, Some(shape)) => winograd::weight::gradient(kernels, &shape, x, dy, dw),
        (Method::Turned, _) => outer::direct(kernels, conv, x, dy, dw),
        _ => weight::direct(kernels, conv, x, dy, dw),
    }
}

/// The transform a correlation goes through, if it does.
fn transform(kernels: &Kernels, conv: &Conv) -> Option<winograd::Shape> {
    let shape = conv.has_transform().then(|| winograd::Shape::new(conv))?;
    let chosen = match kernels.method() {
        Method::Cheapest => shape.pays(),
        Method::Winograd => true,
        Method::Direct | Method::Turned => false,
    };
    chosen.then_some(shape)
}

/// Floats from one matrix to the next, of a point or a tap: whole cache lines, an odd number of them, since places a power of two
/// apart would fight for the same few places of the cache.
fn spread(len: usize) -> usize {
    (len.div_ceil(LANES) | 1) * LANES
}

/// The gradient of the bias, summed over groups, lanes and pixels: overwrites `db` `[C_out]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn grad_bias(kernels: &Kernels, conv: &Conv, dy: &[f32], db: &mut [f32]) {
    conv.check();
    check("dy", dy.len(), conv.output_len());
    check("db", db.len(), conv.cout);
    weight::bias(kernels, conv, dy, db);
}
