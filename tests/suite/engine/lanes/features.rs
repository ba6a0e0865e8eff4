//! The output of a norm that is nowhere in memory: whoever reads it computes the bytes that would
//! be there.

use super::conv::{every_method, shapes, shared};
use super::joint::joints;
use super::plain::{all, every_way, random};
use expertgrid::engine::Activation;
use expertgrid::engine::lanes::conv::{
    self, Conv,
    pixel_layers::{self, LayerParameters, PixelLayers},
};
use expertgrid::engine::lanes::joint;
use expertgrid::engine::lanes::norm::{self, AffineTables, Norm, PlaneStatistics, Saved};
use expertgrid::engine::lanes::pool::{self, Pool};
use expertgrid::engine::lanes::{Features, Kernels, Onto};

/// A norm that has seen its input.
struct Seen {
    norm: Norm,
    x: Vec<f32>,
    tables: [Vec<f32>; 4],
    activation: Activation,
}

impl Seen {
    fn new(kernels: &Kernels, [groups, channels, pixels]: [usize; 3], seed: u64) -> Self {
        let norm = Norm {
            groups,
            channels,
            pixels,
            eps: 1e-5,
        };
        let x = random(norm.len(), seed);
        let [gamma, beta] = [seed + 1, seed + 2].map(|seed| random(norm.tables(), seed));
        let [mut mean, mut rstd] = [(); 2].map(|()| vec![f32::NAN; norm.tables()]);
        let statistics = PlaneStatistics {
            mean: &mut mean,
            rstd: &mut rstd,
        };
        norm::statistics(kernels, &norm, &x, statistics);
        let activation = match seed % 2 {
            0 => Activation::Linear,
            _ => Activation::Relu,
        };
        Self {
            norm,
            x,
            tables: [gamma, beta, mean, rstd],
            activation,
        }
    }

    fn saved(&self) -> Saved<'_> {
        let [gamma, beta, mean, rstd] = &self.tables;
        let affine = AffineTables { gamma, beta };
        Saved {
            x: &self.x,
            mean,
            rstd,
            affine,
        }
    }

    fn features(&self) -> Features<'_> {
        Features::Normed {
            norm: self.norm,
            saved: self.saved(),
            activation: self.activation,
        }
    }

    fn in_memory(&self, kernels: &Kernels) -> Vec<f32> {
        let mut y = vec![f32::NAN; self.norm.len()];
        norm::apply(kernels, &self.norm, self.saved(), self.activation, &mut y);
        y
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Asserts that an operation writes the same bytes, over NaN, from both kinds of features.
fn same<const N: usize>(
    what: &str,
    len: usize,
    seen: [&Seen; N],
    kernels: &Kernels,
    operation: impl Fn([Features; N], &mut [f32]),
) {
    let in_memory = seen.map(|seen| seen.in_memory(kernels));
    let of_memory = in_memory.each_ref().map(|values| Features::Stored(values));
    let [got, want] = [seen.map(Seen::features), of_memory].map(|features| {
        let mut out = vec![f32::NAN; len];
        operation(features, &mut out);
        bits(&out)
    });
    assert!(
        got == want,
        "{} {:?} {what}",
        kernels.isa(),
        kernels.method()
    );
}

#[test]
fn statistics_alone_are_those_of_the_norm() {
    for kernels in all() {
        for pixels in [1, 5, 64, 130] {
            let seen = Seen::new(&kernels, [2, 3, pixels], 1);
            let [mut mean, mut rstd] = [(); 2].map(|()| vec![f32::NAN; seen.norm.tables()]);
            let mut y = vec![f32::NAN; seen.norm.len()];
            let statistics = PlaneStatistics {
                mean: &mut mean,
                rstd: &mut rstd,
            };
            let affine = seen.saved().affine;
            norm::forward(
                &kernels,
                &seen.norm,
                &seen.x,
                affine,
                None,
                seen.activation,
                &mut y,
                statistics,
            );
            assert_eq!(bits(&mean), bits(seen.saved().mean));
            assert_eq!(bits(&rstd), bits(seen.saved().rstd));
            assert_eq!(bits(&y), bits(&seen.in_memory(&kernels)));
        }
    }
}

#[test]
fn a_convolution_reads_what_would_be_in_memory() {
    for kernels in every_method().chain(every_way()) {
        // Rows for the weight's gradient are computed in several windows.
        let wide = Conv {
            groups: 2,
            cin: 5,
            cout: 3,
            height: 40,
            width: 100,
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        let of = |size: (usize, usize), kernel, stride| Conv {
            height: size.0,
            width: size.1,
            kernel,
            stride,
            padding: kernel / 2,
            ..wide
        };
        let windows = [
            wide,
            of((70, 96), 3, 2),
            of((50, 80), 7, 2),
            // Rows between the windows are not read.
            of((80, 200), 1, 2),
            of((60, 100), 2, 1),
        ];
        for (i, c) in shapes()
            .into_iter()
            .chain(shared())
            .chain(windows)
            .enumerate()
        {
            let seen = Seen::new(
                &kernels,
                [c.groups, c.cin, c.height * c.width],
                5 + i as u64,
            );
            let (w, dy) = (random(c.weight_len(), 2), random(c.output_len(), 3));
            let what = format!("{c:?}");
            same(&what, c.output_len(), [&seen], &kernels, |[x], y| {
                conv::forward(&kernels, &c, x, &w, None, Activation::Linear, y);
            });
            same(&what, c.weight_len(), [&seen], &kernels, |[x], dw| {
                conv::grad_weight(&kernels, &c, x, &dy, dw);
            });
        }
    }
}

#[test]
fn layers_of_pixels_read_what_would_be_in_memory() {
    let shape = PixelLayers {
        groups: 2,
        pixels: 300,
        channels: vec![3, 9, 2],
    };
    let (first, last) = ((random(27, 1), random(9, 2)), (random(18, 3), random(2, 4)));
    let parameters = LayerParameters {
        shift: None,
        layers: &[(&first.0, &first.1), (&last.0, &last.1)],
    };
    let dy = random(shape.output_len(), 5);
    for kernels in every_way() {
        let seen = Seen::new(&kernels, [2, 3, 300], 6);
        same("layers", shape.output_len(), [&seen], &kernels, |[x], y| {
            pixel_layers::forward(&kernels, &shape, x, &parameters, y);
        });
        same("layers", 27 + 9, [&seen], &kernels, |[x], gradients| {
            let found = pixel_layers::backward(&kernels, &shape, x, &parameters, &dy, None);
            let (weight, bias) = &found.layers[0];
            gradients[..27].copy_from_slice(weight);
            gradients[27..].copy_from_slice(bias);
        });
    }
}

#[test]
fn a_joint_reads_what_would_be_in_memory() {
    for kernels in every_method() {
        for (i, joint) in joints().into_iter().enumerate() {
            let pixels = joint.height * joint.width;
            let up = Seen::new(&kernels, [joint.groups, joint.up, pixels], 5 + i as u64);
            let skip = Seen::new(
                &kernels,
                [joint.groups, joint.skip, 4 * pixels],
                6 + i as u64,
            );
            let (w, dy) = (random(joint.weight_len(), 2), random(joint.output_len(), 3));
            let (what, seen) = (format!("{joint:?}"), [&up, &skip]);
            same(
                &what,
                joint.output_len(),
                seen,
                &kernels,
                |[up, skip], y| {
                    joint::forward(&kernels, &joint, up, skip, &w, y);
                },
            );
            same(
                &what,
                joint.weight_len(),
                seen,
                &kernels,
                |[up, skip], dw| {
                    joint::grad_weight(&kernels, &joint, up, skip, &dy, dw);
                },
            );
        }
    }
}

#[test]
fn pooling_reads_what_would_be_in_memory() {
    for kernels in every_way() {
        for (height, width) in [(1, 1), (2, 2), (5, 3), (8, 8)] {
            let pool = Pool {
                planes: 6,
                height,
                width,
            };
            let outputs = 6 * pool.out_height() * pool.out_width() * 16;
            let dy = random(outputs, 9);
            for seed in [4, 5] {
                let seen = Seen::new(&kernels, [2, 3, height * width], seed);
                same("pool", outputs, [&seen], &kernels, |[x], y| {
                    pool::forward(&kernels, &pool, x, y);
                });
                same("pool", seen.norm.len(), [&seen], &kernels, |[x], dx| {
                    pool::backward(&kernels, &pool, x, &dy, dx, Onto::Nothing);
                });
                same("pool", seen.norm.len(), [&seen], &kernels, |[x], dx| {
                    dx.fill(0.5);
                    pool::backward(&kernels, &pool, x, &dy, dx, Onto::Sums);
                });
            }
        }
    }
}
