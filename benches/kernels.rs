//! The kernels of a training step at the network's own shapes, beside the core's peak: one item is
//! one floating-point operation, so items per second are FLOP/s. One thread, the machine's best
//! instruction set.

use std::{fmt, time::Duration};

use divan::{
    Bencher, Divan,
    counter::{BytesCount, ItemsCount},
};
use expertgrid::engine::Activation;
use expertgrid::engine::lanes::{
    Features, Kernels, Threads,
    conv::{self, Conv},
    joint::{self, Joint},
    norm::{self, AffineTables, Gate, Gradients, Norm, PlaneStatistics, Saved},
    peak,
    pool::{self, Pool},
};

fn main() {
    // Long enough that a neighbour's burst on the same core, some tenths of a second, does not
    // decide what one kernel gets beside another or beside the peak.
    Divan::default()
        .min_time(Duration::from_secs(1))
        .config_with_args()
        .main();
}

fn kernels() -> Kernels {
    Kernels::new(Threads::Caller)
}

/// The ceiling: multiply-adds on registers.
#[divan::bench]
fn peak(bencher: Bencher) {
    const FLOPS: u64 = 100_000_000;
    let kernels = kernels();
    bencher
        .counter(ItemsCount::new(FLOPS))
        .bench_local(|| peak::multiply_adds(&kernels, FLOPS));
}

/// A convolution of the network, padded by half its kernel.
#[derive(Clone, Copy)]
struct Layer {
    cin: usize,
    cout: usize,
    size: usize,
    kernel: usize,
    stride: usize,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cin,
            cout,
            size,
            kernel,
            stride,
        } = self;
        write!(
            f,
            "{cin:>3} -> {cout:<3} @ {size:<3} {kernel}x{kernel}/{stride}"
        )
    }
}

impl Layer {
    fn conv(&self) -> Conv {
        Conv {
            groups: 1,
            cin: self.cin,
            cout: self.cout,
            height: self.size,
            width: self.size,
            kernel: self.kernel,
            stride: self.stride,
            padding: self.kernel / 2,
        }
    }

    /// Of the plain sums, those that fall on padding too: what a faster way saves shows as more
    /// FLOP/s.
    fn flops(&self) -> ItemsCount {
        let conv = self.conv();
        let pixels = conv.out_height() * conv.out_width() * 16;
        ItemsCount::new(2 * conv.weight_len() * pixels)
    }
}

/// Every kind of convolution of the network, but the decoder's joints, at three of its sizes: the
/// phantom profile's, a middle one, the paper's.
fn layers() -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for (width, size) in [(8, 64), (32, 96), (64, 192)] {
        let w = width;
        for (cin, cout, shrink, kernel, stride) in [
            (1, w, 1, 7, 2),
            (w, w, 4, 3, 1),
            (w, 2 * w, 4, 3, 2),
            (w, 2 * w, 4, 1, 2),
            (2 * w, 2 * w, 8, 3, 1),
            (2 * w, 4 * w, 8, 3, 2),
            (4 * w, 4 * w, 16, 3, 1),
            (4 * w, 8 * w, 16, 3, 2),
            (8 * w, 8 * w, 32, 3, 1),
            (w / 2, w / 2, 2, 3, 1),
            (w / 4, w / 4, 1, 3, 1),
            (w / 4, 1, 1, 3, 1),
        ] {
            layers.push(Layer {
                cin,
                cout,
                size: size / shrink,
                kernel,
                stride,
            });
        }
    }
    layers
}

/// Numbers that are neither zero nor denormal.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.7).sin()).collect()
}

#[divan::bench(args = layers())]
fn conv_forward(bencher: Bencher, layer: &Layer) {
    let (kernels, conv) = (kernels(), layer.conv());
    let (x, w) = (numbers(conv.input_len()), numbers(conv.weight_len()));
    let mut y = vec![0.0; conv.output_len()];
    bencher.counter(layer.flops()).bench_local(|| {
        conv::forward(
            &kernels,
            &conv,
            Features::Stored(&x),
            &w,
            None,
            Activation::Linear,
            &mut y,
        )
    });
}

#[divan::bench(args = layers())]
fn conv_grad_input(bencher: Bencher, layer: &Layer) {
    let (kernels, conv) = (kernels(), layer.conv());
    let (dy, w) = (numbers(conv.output_len()), numbers(conv.weight_len()));
    let mut dx = vec![0.0; conv.input_len()];
    bencher
        .counter(layer.flops())
        .bench_local(|| conv::grad_input(&kernels, &conv, &dy, &w, None, &mut dx));
}

#[divan::bench(args = layers())]
fn conv_grad_weight(bencher: Bencher, layer: &Layer) {
    let (kernels, conv) = (kernels(), layer.conv());
    let (x, dy) = (numbers(conv.input_len()), numbers(conv.output_len()));
    let mut dw = vec![0.0; conv.weight_len()];
    bencher
        .counter(layer.flops())
        .bench_local(|| conv::grad_weight(&kernels, &conv, Features::Stored(&x), &dy, &mut dw));
}

/// A joint of the decoder: upsampled and skip's channels, output channels, the output's side.
#[derive(Clone, Copy)]
struct Decoded {
    up: usize,
    skip: usize,
    cout: usize,
    size: usize,
}

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            up,
            skip,
            cout,
            size,
        } = self;
        write!(f, "{up:>3} + {skip:<3} -> {cout:<3} @ {size:<3}")
    }
}

impl Decoded {
    fn joint(&self) -> Joint {
        Joint {
            groups: 1,
            up: self.up,
            skip: self.skip,
            cout: self.cout,
            height: self.size / 2,
            width: self.size / 2,
        }
    }

    /// Of the plain sums over what is joined.
    fn flops(&self) -> ItemsCount {
        ItemsCount::new(2 * self.joint().weight_len() * self.size * self.size * 16)
    }
}

/// The joints at the same three sizes.
fn joints() -> Vec<Decoded> {
    let mut joints = Vec::new();
    for (w, size) in [(8, 64), (32, 96), (64, 192)] {
        for (up, skip, cout, shrink) in [
            (8 * w, 4 * w, 4 * w, 16),
            (4 * w, 2 * w, 2 * w, 8),
            (2 * w, w, w, 4),
            (w, w, w / 2, 2),
            (w / 2, 0, w / 4, 1),
        ] {
            joints.push(Decoded {
                up,
                skip,
                cout,
                size: size / shrink,
            });
        }
    }
    joints
}

#[divan::bench(args = joints())]
fn joint_forward(bencher: Bencher, decoded: &Decoded) {
    let (kernels, joint) = (kernels(), decoded.joint());
    let (up, skip) = (numbers(joint.up_len()), numbers(joint.skip_len()));
    let w = numbers(joint.weight_len());
    let mut y = vec![0.0; joint.output_len()];
    bencher.counter(decoded.flops()).bench_local(|| {
        joint::forward(
            &kernels,
            &joint,
            Features::Stored(&up),
            Features::Stored(&skip),
            &w,
            &mut y,
        )
    });
}

#[divan::bench(args = joints())]
fn joint_grad_input(bencher: Bencher, decoded: &Decoded) {
    let (kernels, joint) = (kernels(), decoded.joint());
    let (dy, w) = (numbers(joint.output_len()), numbers(joint.weight_len()));
    let (mut dup, mut dskip) = (vec![0.0; joint.up_len()], vec![0.0; joint.skip_len()]);
    bencher
        .counter(decoded.flops())
        .bench_local(|| joint::grad_input(&kernels, &joint, &dy, &w, &mut dup, &mut dskip));
}

#[divan::bench(args = joints())]
fn joint_grad_weight(bencher: Bencher, decoded: &Decoded) {
    let (kernels, joint) = (kernels(), decoded.joint());
    let (up, skip) = (numbers(joint.up_len()), numbers(joint.skip_len()));
    let dy = numbers(joint.output_len());
    let mut dw = vec![0.0; joint.weight_len()];
    bencher.counter(decoded.flops()).bench_local(|| {
        joint::grad_weight(
            &kernels,
            &joint,
            Features::Stored(&up),
            Features::Stored(&skip),
            &dy,
            &mut dw,
        )
    });
}

/// Norms of the network: channels and the side of their planes; bytes are those of the operands.
const NORMS: [(usize, usize); 4] = [(8, 32), (2, 64), (32, 24), (16, 192)];

#[divan::bench(args = NORMS)]
fn norm_forward(bencher: Bencher, (channels, side): (usize, usize)) {
    let (kernels, norm) = (kernels(), shape(channels, side));
    let (x, table) = (numbers(norm.len()), numbers(norm.tables()));
    let mut y = vec![0.0; norm.len()];
    let [mut mean, mut rstd] = [(); 2].map(|()| vec![0.0; norm.tables()]);
    bencher
        .counter(BytesCount::new(8 * norm.len()))
        .bench_local(|| {
            let affine = AffineTables {
                gamma: &table,
                beta: &table,
            };
            let statistics = PlaneStatistics {
                mean: &mut mean,
                rstd: &mut rstd,
            };
            norm::forward(
                &kernels,
                &norm,
                &x,
                affine,
                None,
                Activation::Relu,
                &mut y,
                statistics,
            );
        });
}

#[divan::bench(args = NORMS)]
fn norm_backward(bencher: Bencher, (channels, side): (usize, usize)) {
    let (kernels, norm) = (kernels(), shape(channels, side));
    let (x, dy, table) = (
        numbers(norm.len()),
        numbers(norm.len()),
        numbers(norm.tables()),
    );
    let [mut dgamma, mut dbeta] = [(); 2].map(|()| vec![0.0; norm.tables()]);
    // Gradients are written where they were read: each run needs its own, or they would shrink to
    // denormal numbers.
    bencher
        .counter(BytesCount::new(12 * norm.len()))
        .with_inputs(|| dy.clone())
        .bench_local_refs(|dy| {
            let affine = AffineTables {
                gamma: &table,
                beta: &table,
            };
            let gradients = Gradients {
                dy,
                dx: None,
                dgamma: &mut dgamma,
                dbeta: &mut dbeta,
            };
            let saved = Saved {
                x: &x,
                mean: &table,
                rstd: &table,
                affine,
            };
            norm::backward(&kernels, &norm, saved, Gate::Input, gradients);
        });
}

fn shape(channels: usize, side: usize) -> Norm {
    Norm {
        groups: 1,
        channels,
        pixels: side * side,
        eps: 1e-5,
    }
}

/// The network's one pooling, at widths and sizes of the layers above.
#[divan::bench(args = [(8, 32), (32, 48), (64, 96)])]
fn pool_forward(bencher: Bencher, (planes, side): (usize, usize)) {
    let (kernels, pool) = (
        kernels(),
        Pool {
            planes,
            height: side,
            width: side,
        },
    );
    let x = numbers(planes * side * side * 16);
    let mut y = vec![0.0; x.len() / 4];
    bencher
        .counter(BytesCount::new(5 * x.len()))
        .bench_local(|| pool::forward(&kernels, &pool, Features::Stored(&x), &mut y));
}
