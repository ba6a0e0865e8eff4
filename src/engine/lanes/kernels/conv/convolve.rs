//! Two-dimensional convolution and its gradients, by the method that should be fastest for a shape.
//!
//! Weights keep PyTorch's layout `[C_out, C_in, K, K]`. Kernels repack them at each call, which
//! costs little beside the convolution.

use super::{
    conv_shape::Conv,
    direct::{Finish, InitialSums, SumEnds, direct_correlation, weight_sums},
    outer_products,
    packed_weights::{Taps, WeightView},
    winograd::{self, Outputs, PixelFinish, Planes, Tiling},
};
use crate::engine::{
    Activation,
    lanes::{
        kernels::{features::Features, gate, operand::check},
        machine::{ConvMethod, Kernels, LANES, Shared},
    },
};

/// The activation of `conv(x, w) + bias`. Overwrites `y` `[G, C_out, H', W', 16]`; `x` is
/// `[G, C_in, H, W, 16]`, `w` `[C_out, C_in, K, K]`, `bias` `[C_out]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn forward(
    kernels: &Kernels,
    conv: &Conv,
    x: Features,
    w: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
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
    let source = WeightView::forward(w, conv.cin, conv.kernel * conv.kernel, 0);
    // Transforms could add the bias of a layer without ReLU, too, but its last digits would change.
    let adds = bias.is_none() || activation == Activation::Relu;
    match transform(kernels, conv).filter(|_| adds) {
        Some(shape) => {
            let planes = Planes {
                half: Features::Stored(&[]),
                whole: x,
            };
            let outputs = Outputs {
                half: Shared::new(&mut []),
                whole: Shared::new(y),
                finish: PixelFinish::Activation(bias, activation),
            };
            winograd::correlate(kernels, &shape, planes, &source, Taps::Stored, outputs);
        }
        None => {
            let start = bias.map_or(InitialSums::Zero, InitialSums::Bias);
            let finish = Finish::Activation(activation);
            let ends = SumEnds { start, finish };
            direct_correlation::forward(kernels, conv, x, &source, ends, y);
        }
    }
}

/// The gradient of the input: overwrites `dx` `[G, C_in, H, W, 16]` from `dy`
/// `[G, C_out, H', W', 16]` and `w` `[C_out, C_in, K, K]`.
///
/// Where the input is the output of a ReLU, it is given as `gate`: `dx` is 0 where it is not
/// positive.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn grad_input(
    kernels: &Kernels,
    conv: &Conv,
    dy: &[f32],
    w: &[f32],
    gate: Option<&[f32]>,
    dx: &mut [f32],
) {
    conv.check();
    if let Some(gate) = gate {
        check("gate", gate.len(), conv.input_len());
    }
    check("dy", dy.len(), conv.output_len());
    check("w", w.len(), conv.weight_len());
    check("dx", dx.len(), conv.input_len());
    let source = WeightView::forward(w, conv.cin, conv.kernel * conv.kernel, 0).transposed();
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
                finish: gate.map_or(PixelFinish::SUMS, PixelFinish::Gate),
            };
            winograd::correlate(kernels, &shape, planes, &source, Taps::Rotated, dx);
        }
        None => {
            let finish = gate.map_or(Finish::SUMS, Finish::Gate);
            direct_correlation::grad_input(kernels, conv, dy, &source, finish, dx);
        }
    }
}

/// The gradient of the weight, summed over groups, lanes and pixels: overwrites `dw`
/// `[C_out, C_in, K, K]` from `x` `[G, C_in, H, W, 16]` and `dy` `[G, C_out, H', W', 16]`.
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
    let shape = conv.has_transform().then(|| winograd::weight_tiling(conv));
    let (straight, turned) = (weight_sums::cost(conv), outer_products::cost(conv));
    let tiles = shape.map_or(f64::INFINITY, |shape| winograd::weight_cost(&shape));
    let method = match kernels.method() {
        ConvMethod::Cheapest if tiles < straight.min(turned) => ConvMethod::Winograd,
        ConvMethod::Cheapest if turned < straight => ConvMethod::Turned,
        ConvMethod::Cheapest => ConvMethod::Direct,
        method => method,
    };
    match (method, shape) {
        (ConvMethod::Winograd, Some(shape)) => {
            winograd::weight_gradient(kernels, &shape, x, dy, dw)
        }
        (ConvMethod::Turned, _) => outer_products::weight_gradient(kernels, conv, x, dy, dw),
        _ => weight_sums::weight_gradient(kernels, conv, x, dy, dw),
    }
}

/// The transform a correlation goes through, if it does.
fn transform(kernels: &Kernels, conv: &Conv) -> Option<Tiling> {
    let tiling = conv.has_transform().then(|| Tiling::new(conv))?;
    tiling.if_chosen(kernels)
}

/// The gradient of the bias, summed over groups, lanes and pixels: overwrites `db` `[C_out]`. Where
/// the `output` of a ReLU is given and is not positive, `dy` is first set to 0.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn grad_bias(
    kernels: &Kernels,
    conv: &Conv,
    output: Option<&[f32]>,
    dy: &mut [f32],
    db: &mut [f32],
) {
    conv.check();
    check("dy", dy.len(), conv.output_len());
    check("db", db.len(), conv.cout);
    gate::close_and_sum(kernels, conv.groups, output, dy, db);
}
