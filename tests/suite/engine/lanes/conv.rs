//! Convolutions: the three products against f64, the same bytes on every instruction set and any
//! number of threads.

use super::plain::{
    Summed, all, close, conv_forward, conv_grad_input, conv_grad_weight, every_way, let_through,
    random, relu_output, same_bytes,
};
use expertgrid::engine::Activation;
use expertgrid::engine::lanes::conv::{self, Conv};
use expertgrid::engine::lanes::{ConvMethod, Features, Kernels};
use std::fmt::Debug;

/// Asserts that a result is right to rounding.
pub fn right(kernels: &Kernels, shape: &impl Debug, got: &[f32], want: &Summed) {
    let what = format!("{} {:?} {shape:?}", kernels.isa(), kernels.method());
    match kernels.method() {
        // Relative to the sum of the magnitudes of what was added.
        ConvMethod::Direct | ConvMethod::Turned => {
            close(&what, got, &want.value, &want.scale, 1e-6)
        }
        // A transform mixes the pixels of a tile, so the largest of them sets the scale.
        ConvMethod::Winograd | ConvMethod::Cheapest => {
            let most = want.scale.iter().copied().fold(0.0, f64::max);
            close(&what, got, &want.value, &vec![most; got.len()], 4e-6);
        }
    }
}

pub const METHODS: [ConvMethod; 4] = [
    ConvMethod::Cheapest,
    ConvMethod::Direct,
    ConvMethod::Turned,
    ConvMethod::Winograd,
];

/// Kernels on each instruction set, convolving in each way.
pub fn every_method() -> impl Iterator<Item = Kernels> {
    all()
        .into_iter()
        .flat_map(|kernels| METHODS.map(|method| kernels.clone().with_method(method)))
}

fn shape(
    groups: usize,
    cin: usize,
    cout: usize,
    size: (usize, usize),
    kernel: usize,
    stride: usize,
) -> Conv {
    Conv {
        groups,
        cin,
        cout,
        height: size.0,
        width: size.1,
        kernel,
        stride,
        padding: kernel / 2,
    }
}

/// The kernels of the network and their strides.
const KINDS: [(usize, usize); 5] = [(3, 1), (3, 2), (1, 1), (1, 2), (7, 2)];

pub fn shapes() -> Vec<Conv> {
    let mut shapes = Vec::new();
    let sizes = [
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 4),
        (5, 5),
        (6, 6),
        (7, 7),
        (8, 8),
        (5, 3),
        (3, 5),
        (1, 7),
        (12, 9),
    ];
    for (i, &size) in sizes.iter().enumerate() {
        for (kernel, stride) in KINDS {
            // Channels and groups change with the size, so that every combination of blocks
            // appears.
            let channels = [1, 2, 3, 5, 8, 12, 16, 17];
            shapes.push(shape(
                1 + i % 3,
                channels[i % 8],
                channels[(i + 3) % 8],
                size,
                kernel,
                stride,
            ));
            shapes.push(shape(
                1,
                channels[(i + 5) % 8],
                channels[(3 * i) % 8],
                size,
                kernel,
                stride,
            ));
        }
    }
    shapes.push(shape(2, 17, 12, (9, 14), 3, 1));
    shapes.push(shape(1, 1, 8, (20, 18), 7, 2));
    shapes.push(shape(2, 3, 1, (19, 21), 3, 1));
    shapes
}

/// The widest tensors of the network at width 64 are 192 columns; one such row, and channels that
/// fill several blocks.
fn large() -> Vec<Conv> {
    vec![
        shape(1, 3, 2, (3, 192), 3, 1),
        shape(1, 40, 24, (9, 10), 3, 1),
        shape(1, 24, 33, (16, 16), 3, 1),
        shape(1, 64, 96, (7, 7), 3, 1),
        shape(1, 33, 96, (7, 9), 3, 1),
    ]
}

/// Kernels and paddings that the network does not have.
fn foreign() -> Vec<Conv> {
    vec![
        shape(1, 7, 4, (9, 8), 2, 1),
        shape(2, 3, 6, (8, 9), 5, 1),
        Conv {
            padding: 0,
            ..shape(2, 3, 5, (9, 7), 3, 1)
        },
        Conv {
            padding: 2,
            ..shape(1, 4, 4, (6, 5), 3, 1)
        },
        Conv {
            padding: 6,
            ..shape(1, 2, 4, (9, 11), 7, 2)
        },
    ]
}

/// Small images of one group, whose many channels are taken in shares; how they are cut depends on
/// the threads.
pub fn shared() -> Vec<Conv> {
    vec![
        shape(1, 64, 96, (7, 7), 3, 1),
        shape(1, 33, 96, (7, 9), 3, 1),
        shape(1, 90, 21, (3, 2), 3, 1),
    ]
}

#[test]
fn forward_is_the_convolution() {
    for kernels in every_method() {
        for c in shapes().into_iter().chain(large()).chain(foreign()) {
            let (x, w, bias) = (
                random(c.input_len(), 1),
                random(c.weight_len(), 2),
                random(c.cout, 3),
            );
            for bias in [None, Some(&bias[..])] {
                let x_in = Features::Stored(&x);
                let mut y = vec![f32::NAN; c.output_len()];
                conv::forward(&kernels, &c, x_in, &w, bias, Activation::Linear, &mut y);
                let mut want = conv_forward(&c, &x, &w, bias);
                right(&kernels, &c, &y, &want);
                conv::forward(&kernels, &c, x_in, &w, bias, Activation::Relu, &mut y);
                want.value
                    .iter_mut()
                    .for_each(|value| *value = value.max(0.0));
                right(&kernels, &c, &y, &want);
            }
        }
    }
}

#[test]
fn grad_input_is_the_transposed_product() {
    // Without padding, some inputs of the last row and column have no output.
    let unpadded = [(3, (4, 4)), (2, (5, 7)), (1, (6, 5))].map(|(kernel, size)| Conv {
        padding: 0,
        ..shape(1, 2, 3, size, kernel, 2)
    });
    for kernels in every_method() {
        for c in shapes().into_iter().chain(large()).chain(unpadded) {
            let (dy, w) = (random(c.output_len(), 1), random(c.weight_len(), 2));
            let mut dx = vec![f32::NAN; c.input_len()];
            conv::grad_input(&kernels, &c, &dy, &w, None, &mut dx);
            let want = conv_grad_input(&c, &dy, &w);
            right(&kernels, &c, &dx, &want);
        }
    }
}

#[test]
fn grad_weight_sums_over_lanes_and_pixels() {
    for kernels in every_method() {
        for c in shapes().into_iter().chain(large()).chain(foreign()) {
            let (x, dy) = (random(c.input_len(), 1), random(c.output_len(), 2));
            let mut dw = vec![f32::NAN; c.weight_len()];
            conv::grad_weight(&kernels, &c, Features::Stored(&x), &dy, &mut dw);
            let want = conv_grad_weight(&c, &x, &dy);
            right(&kernels, &c, &dw, &want);
        }
    }
}

/// The gradient of the weight adds one product after the other, lane by lane: groups, rows and
/// columns in order, padding with the rest.
#[test]
fn grad_weight_by_straight_sums_has_the_bytes_of_a_plain_loop() {
    let few = [
        (2, 6, 12, (40, 100), 3, 1),
        (1, 5, 9, (70, 96), 3, 2),
        (1, 9, 3, (30, 64), 1, 1),
        (1, 1, 8, (20, 18), 7, 2),
        (2, 3, 2, (19, 21), 3, 1),
        (1, 7, 4, (9, 8), 2, 1),
    ];
    for (groups, cin, cout, size, kernel, stride) in few {
        let c = shape(groups, cin, cout, size, kernel, stride);
        let (x, dy) = (random(c.input_len(), 1), random(c.output_len(), 2));
        for kernels in all() {
            let kernels = kernels.with_method(ConvMethod::Direct);
            let mut dw = vec![f32::NAN; c.weight_len()];
            conv::grad_weight(&kernels, &c, Features::Stored(&x), &dy, &mut dw);
            let step = (c.weight_len() / 100).max(1);
            for place in (0..c.weight_len()).step_by(step) {
                let want = plain_sum(&c, &x, &dy, place);
                assert_eq!(
                    dw[place].to_bits(),
                    want.to_bits(),
                    "{} {c:?}",
                    kernels.isa()
                );
            }
        }
    }
}

fn plain_sum(c: &Conv, x: &[f32], dy: &[f32], place: usize) -> f32 {
    let (taps, pad) = (c.kernel * c.kernel, c.padding);
    let (co, ci, tap) = (place / taps / c.cin, place / taps % c.cin, place % taps);
    let mut lanes = [0.0f32; 16];
    for group in 0..c.groups {
        for row in 0..c.out_height() {
            for column in 0..c.out_width() {
                let inside = |at: usize, tap: usize, size: usize| {
                    (at * c.stride + tap)
                        .checked_sub(pad)
                        .filter(|at| *at < size)
                };
                let from = inside(row, tap / c.kernel, c.height).zip(inside(
                    column,
                    tap % c.kernel,
                    c.width,
                ));
                let plane = (group * c.cout + co) * c.out_height() + row;
                for (lane, sum) in lanes.iter_mut().enumerate() {
                    let x = from.map_or(0.0, |(y, z)| {
                        x[(((group * c.cin + ci) * c.height + y) * c.width + z) * 16 + lane]
                    });
                    let dy = dy[(plane * c.out_width() + column) * 16 + lane];
                    *sum = x.mul_add(dy, *sum);
                }
            }
        }
    }
    halves(&lanes)
}

/// Neighbours first, as the engine's sums over lanes: by pairs at growing distances.
fn halves(lanes: &[f32]) -> f32 {
    match lanes {
        [one] => *one,
        _ => {
            let (low, high) = lanes.split_at(lanes.len() / 2);
            let sums: Vec<f32> = low.iter().zip(high).map(|(a, b)| a + b).collect();
            halves(&sums)
        }
    }
}

#[test]
fn grad_bias_sums_over_lanes_and_pixels() {
    for kernels in all() {
        for c in [shape(2, 1, 3, (5, 4), 3, 1), shape(1, 2, 1, (64, 64), 3, 1)] {
            let dy = random(c.output_len(), 4);
            let mut db = vec![f32::NAN; c.cout];
            conv::grad_bias(&kernels, &c, None, &mut dy.clone(), &mut db);
            let plane = c.output_len() / c.groups / c.cout;
            let (mut want, mut scale) = (vec![0.0; c.cout], vec![0.0; c.cout]);
            for (i, &value) in dy.iter().enumerate() {
                want[i / plane % c.cout] += f64::from(value);
                scale[i / plane % c.cout] += f64::from(value).abs();
            }
            close("bias", &db, &want, &scale, 1e-6);
        }
    }
}

#[test]
fn the_gradient_of_a_relu_s_output_is_gated_by_it() {
    for kernels in every_method() {
        for c in shapes().into_iter().chain(large()).chain(foreign()) {
            let (dy, w) = (random(c.output_len(), 1), random(c.weight_len(), 2));
            let output = relu_output(c.input_len(), 3);
            let [mut all, mut gated] = [(); 2].map(|()| vec![f32::NAN; c.input_len()]);
            conv::grad_input(&kernels, &c, &dy, &w, None, &mut all);
            conv::grad_input(&kernels, &c, &dy, &w, Some(&output), &mut gated);
            let gated: Vec<u32> = gated.iter().map(|dx| dx.to_bits()).collect();
            let want = let_through(&output, &all);
            assert!(gated == want, "{:?} {c:?}", kernels.method());
        }
    }
}

#[test]
fn a_nan_survives_a_relu() {
    for kernels in every_method() {
        for c in shapes().into_iter().chain(large()).chain(foreign()) {
            let (mut x, w) = (random(c.input_len(), 1), random(c.weight_len(), 2));
            x[0] = f32::NAN;
            let bias = random(c.cout, 3);
            let places = |bias: Option<&[f32]>, activation| -> Vec<usize> {
                let mut y = vec![0.0; c.output_len()];
                conv::forward(
                    &kernels,
                    &c,
                    Features::Stored(&x),
                    &w,
                    bias,
                    activation,
                    &mut y,
                );
                (0..y.len()).filter(|i| y[*i].is_nan()).collect()
            };
            let before = places(None, Activation::Linear);
            assert!(!before.is_empty());
            for bias in [None, Some(&bias[..])] {
                let survive = places(bias, Activation::Relu) == before;
                assert!(survive, "a diverged training must not look healthy: {c:?}");
            }
        }
    }
}

#[test]
fn grad_bias_behind_a_relu_sums_what_the_relu_let_through() {
    for kernels in all() {
        // More than one piece of a plane.
        let c = shape(2, 1, 3, (20, 30), 3, 1);
        let (dy, output) = (random(c.output_len(), 4), relu_output(c.output_len(), 5));
        let (mut closed, mut db) = (dy.clone(), vec![f32::NAN; c.cout]);
        conv::grad_bias(&kernels, &c, Some(&output), &mut closed, &mut db);
        let bits: Vec<u32> = closed.iter().map(|dy| dy.to_bits()).collect();
        assert_eq!(bits, let_through(&output, &dy));
        let mut sums = vec![f32::NAN; c.cout];
        conv::grad_bias(&kernels, &c, None, &mut closed, &mut sums);
        assert_eq!(db, sums);
    }
}

/// The plain gradients are themselves checked: the loss sum(y * dy) moved along one operand.
#[test]
fn plain_gradients_agree_with_finite_differences() {
    for (kernel, stride) in KINDS {
        let c = shape(1, 2, 2, (4, 5), kernel, stride);
        let (x, w, dy) = (
            random(c.input_len(), 1),
            random(c.weight_len(), 2),
            random(c.output_len(), 3),
        );
        let loss = |x: &[f32], w: &[f32]| -> f64 {
            conv_forward(&c, x, w, None)
                .value
                .iter()
                .zip(&dy)
                .map(|(y, dy)| y * f64::from(*dy))
                .sum()
        };
        let moved = |of: &[f32], i: usize, by: f32| {
            let mut of = of.to_vec();
            of[i] += by;
            of
        };
        let (dx, dw) = (
            conv_grad_input(&c, &dy, &w).value,
            conv_grad_weight(&c, &x, &dy).value,
        );
        // The loss is linear in each operand, so a large step loses nothing.
        for i in (0..x.len()).step_by(7) {
            let (up, down) = (moved(&x, i, 0.5), moved(&x, i, -0.5));
            let slope = (loss(&up, &w) - loss(&down, &w)) / f64::from(up[i] - down[i]);
            assert!(
                (slope - dx[i]).abs() < 1e-6,
                "{c:?} dx[{i}]: {slope} {}",
                dx[i]
            );
        }
        for i in 0..w.len() {
            let (up, down) = (moved(&w, i, 0.5), moved(&w, i, -0.5));
            let slope = (loss(&x, &up) - loss(&x, &down)) / f64::from(up[i] - down[i]);
            assert!(
                (slope - dw[i]).abs() < 1e-5,
                "{c:?} dw[{i}]: {slope} {}",
                dw[i]
            );
        }
    }
}

#[test]
fn neither_threads_nor_instruction_sets_change_a_byte() {
    let more = [
        shape(2, 12, 17, (13, 9), 3, 1),
        shape(1, 24, 40, (16, 16), 3, 1),
        shape(3, 5, 8, (8, 8), 3, 2),
        shape(1, 1, 20, (9, 9), 7, 2),
        // Many rows, and every number of input channels taken together.
        shape(2, 6, 12, (40, 100), 3, 1),
        shape(1, 5, 9, (70, 96), 3, 2),
        shape(1, 5, 8, (50, 80), 7, 2),
        shape(1, 7, 2, (19, 21), 3, 1),
    ];
    let all = shapes().into_iter().chain(more).chain(shared());
    for c in all.chain(foreign()) {
        let (x, w, dy, bias) = (
            random(c.input_len(), 1),
            random(c.weight_len(), 2),
            random(c.output_len(), 3),
            random(c.cout, 4),
        );
        let gate = random(c.input_len(), 5);
        for method in METHODS {
            same_bytes(&format!("{method:?} {c:?}"), |kernels| {
                let kernels = &kernels.clone().with_method(method);
                let x = Features::Stored(&x);
                let mut y = vec![0.0; c.output_len()];
                let mut dx = vec![0.0; c.input_len()];
                let mut dw = vec![0.0; c.weight_len()];
                let mut db = vec![0.0; c.cout];
                let mut closed = dy.clone();
                conv::forward(kernels, &c, x, &w, Some(&bias), Activation::Relu, &mut y);
                conv::grad_input(kernels, &c, &dy, &w, Some(&gate), &mut dx);
                conv::grad_weight(kernels, &c, x, &dy, &mut dw);
                conv::grad_bias(kernels, &c, Some(&y), &mut closed, &mut db);
                [y, dx, dw, db, closed].concat()
            });
        }
    }
}

/// One group's channels are taken in shares, with two groups all weights are transformed first:
/// pixel by pixel the same sums.
#[test]
fn a_group_alone_gets_the_bytes_it_gets_beside_another() {
    for kernels in every_way() {
        let kernels = kernels.with_method(ConvMethod::Winograd);
        for c in shared() {
            let two = Conv { groups: 2, ..c };
            let (x, w, dy) = (
                random(c.input_len(), 1),
                random(c.weight_len(), 2),
                random(c.output_len(), 3),
            );
            let run = |c: &Conv, x: &[f32], dy: &[f32]| {
                let mut y = vec![f32::NAN; c.output_len()];
                let mut dx = vec![f32::NAN; c.input_len()];
                let x = Features::Stored(x);
                conv::forward(&kernels, c, x, &w, None, Activation::Linear, &mut y);
                conv::grad_input(&kernels, c, dy, &w, None, &mut dx);
                [y, dx].map(|out| out.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
            };
            let alone = run(&c, &x, &dy);
            let beside = run(&two, &x.repeat(2), &dy.repeat(2));
            for (alone, beside) in alone.iter().zip(&beside) {
                let halves = beside.split_at(alone.len());
                assert!(
                    halves == (&alone[..], &alone[..]),
                    "{} {c:?}",
                    kernels.isa()
                );
            }
        }
    }
}

/// Padded lanes hold zeros, and must come out as zeros.
#[test]
fn a_lane_of_zeros_stays_zero() {
    for kernels in every_method() {
        for c in [shape(1, 8, 16, (9, 9), 3, 1), shape(1, 3, 5, (7, 6), 3, 2)] {
            let mut x = random(c.input_len(), 1);
            x.iter_mut()
                .skip(11)
                .step_by(16)
                .for_each(|value| *value = 0.0);
            let mut y = vec![f32::NAN; c.output_len()];
            conv::forward(
                &kernels,
                &c,
                Features::Stored(&x),
                &random(c.weight_len(), 2),
                None,
                Activation::Linear,
                &mut y,
            );
            assert!(
                y.iter().skip(11).step_by(16).all(|&value| value == 0.0),
                "{} {c:?}",
                kernels.isa()
            );
        }
    }
}
