//! The fused norm against the formula in f64 and its finite differences.

use super::plain::{L, all, close, random, same_bytes, triples};
use expertgrid::engine::Activation;
use expertgrid::engine::lanes::Kernels;
use expertgrid::engine::lanes::norm::{
    self, AffineTables, Gate, Gradients, Norm, PlaneStatistics, Saved,
};

/// `y[p][i] = act(gamma (x - mu) / sqrt(var + eps) + beta + residual)`, plane and lane at a time.
struct PlainNorm {
    y: Vec<f64>,
    mean: Vec<f64>,
    rstd: Vec<f64>,
}

fn plain_norm(
    n: &Norm,
    x: &[f64],
    gamma: &[f64],
    beta: &[f64],
    residual: Option<&[f64]>,
    relu: bool,
) -> PlainNorm {
    let mut out = PlainNorm {
        y: vec![0.0; x.len()],
        mean: vec![0.0; gamma.len()],
        rstd: vec![0.0; gamma.len()],
    };
    for (p, lane, _) in triples(n.groups * n.channels, L, 1) {
        let at = |i: usize| (p * n.pixels + i) * L + lane;
        let count = n.pixels as f64;
        let mean = (0..n.pixels).map(|i| x[at(i)]).sum::<f64>() / count;
        let variance = (0..n.pixels)
            .map(|i| (x[at(i)] - mean).powi(2))
            .sum::<f64>()
            / count;
        let rstd = 1.0 / (variance + f64::from(n.eps)).sqrt();
        (out.mean[p * L + lane], out.rstd[p * L + lane]) = (mean, rstd);
        for i in 0..n.pixels {
            let y = gamma[p * L + lane] * (x[at(i)] - mean) * rstd
                + beta[p * L + lane]
                + residual.map_or(0.0, |r| r[at(i)]);
            out.y[at(i)] = if relu { y.max(0.0) } else { y };
        }
    }
    out
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn ones(len: usize) -> Vec<f64> {
    vec![1.0; len]
}

/// Runs the kernel into buffers of NaN.
fn run(
    kernels: &Kernels,
    n: &Norm,
    x: &[f32],
    affine: AffineTables,
    residual: Option<&[f32]>,
    activation: Activation,
) -> [Vec<f32>; 3] {
    let mut y = vec![f32::NAN; n.len()];
    let (mut mean, mut rstd) = (vec![f32::NAN; n.tables()], vec![f32::NAN; n.tables()]);
    let statistics = PlaneStatistics {
        mean: &mut mean,
        rstd: &mut rstd,
    };
    norm::forward(
        kernels, n, x, affine, residual, activation, &mut y, statistics,
    );
    [y, mean, rstd]
}

const SIZES: [usize; 8] = [1, 2, 15, 36, 63, 64, 65, 400];

#[test]
fn norm_is_the_formula() {
    for kernels in all() {
        for (i, pixels) in SIZES.into_iter().enumerate() {
            let n = Norm {
                groups: 1 + i % 3,
                channels: [1, 3, 8][i % 3],
                pixels,
                eps: 1e-5,
            };
            let (x, residual) = (random(n.len(), 1), random(n.len(), 2));
            let (gamma, beta) = (random(n.tables(), 3), random(n.tables(), 4));
            for (residual, activation) in [
                (None, Activation::Linear),
                (None, Activation::Relu),
                (Some(&residual[..]), Activation::Linear),
                (Some(&residual[..]), Activation::Relu),
            ] {
                let affine = AffineTables {
                    gamma: &gamma,
                    beta: &beta,
                };
                let [y, mean, rstd] = run(&kernels, &n, &x, affine, residual, activation);
                let wide_residual = residual.map(wide);
                let relu = activation == Activation::Relu;
                let want = plain_norm(
                    &n,
                    &wide(&x),
                    &wide(&gamma),
                    &wide(&beta),
                    wide_residual.as_deref(),
                    relu,
                );
                let what = format!("{} {n:?} {activation:?}", kernels.isa());
                // A plane of one or two pixels divides by little more than eps: rounding of x grows
                // by rstd.
                let scale: Vec<f64> = (0..n.len())
                    .map(|i| 1.0 + want.rstd[i / pixels / L * L + i % L])
                    .collect();
                close(&what, &y, &want.y, &scale, 1e-6);
                close(&what, &mean, &want.mean, &ones(mean.len()), 1e-6);
                close(
                    &what,
                    &rstd,
                    &want.rstd,
                    &want.rstd,
                    if pixels < 3 { 1e-3 } else { 2e-6 },
                );
            }
        }
    }
}

/// The mean a thousand standard deviations away, and planes that start with outliers.
#[test]
fn variance_keeps_its_digits_far_from_zero() {
    for kernels in all() {
        for pixels in [36, 65, 2304] {
            let n = Norm {
                groups: 1,
                channels: 2,
                pixels,
                eps: 0.0,
            };
            // Multiples of 2^-9 near 1000: exact in f32, so the reference sees the same numbers.
            let mut x: Vec<f32> = random(n.len(), 1)
                .iter()
                .map(|v| 1000.0 + (v * 512.0).round() / 512.0)
                .collect();
            x[..L].fill(900.0);
            let one = vec![1.0; n.tables()];
            let zero = vec![0.0; n.tables()];
            let [_, mean, rstd] = run(
                &kernels,
                &n,
                &x,
                AffineTables {
                    gamma: &one,
                    beta: &zero,
                },
                None,
                Activation::Linear,
            );
            let want = plain_norm(&n, &wide(&x), &wide(&one), &wide(&zero), None, false);
            let variance: Vec<f32> = rstd.iter().map(|r| 1.0 / (r * r)).collect();
            let wanted: Vec<f64> = want.rstd.iter().map(|r| 1.0 / (r * r)).collect();
            close("variance", &variance, &wanted, &wanted, 1e-6);
            close("mean", &mean, &want.mean, &want.mean, 1e-7);
        }
    }
}

/// A lane without a sample: zeros, and a table of zeros.
#[test]
fn norm_of_a_zero_lane_is_finite() {
    for kernels in all() {
        let n = Norm {
            groups: 1,
            channels: 1,
            pixels: 9,
            eps: 1e-5,
        };
        let (x, zero) = (vec![0.0; n.len()], vec![0.0; n.tables()]);
        let affine = AffineTables {
            gamma: &zero,
            beta: &zero,
        };
        let [y, mean, rstd] = run(&kernels, &n, &x, affine, None, Activation::Relu);
        assert!(y.iter().all(|&v| v == 0.0));
        // Written over the output's gradient, which need not be zero.
        let mut dx = vec![1.0; n.len()];
        let (mut dgamma, mut dbeta) = (vec![f32::NAN; L], vec![f32::NAN; L]);
        let saved = Saved {
            x: &x,
            mean: &mean,
            rstd: &rstd,
            affine,
        };
        let gradients = Gradients {
            dy: &mut dx,
            dx: None,
            dgamma: &mut dgamma,
            dbeta: &mut dbeta,
        };
        norm::backward(&kernels, &n, saved, Gate::Input, gradients);
        assert!(dx.iter().chain(&dgamma).chain(&dbeta).all(|&v| v == 0.0));
    }
}

/// Central differences of the plain formula through every operand.
#[test]
fn norm_gradients_are_the_slopes() {
    for kernels in all() {
        for (i, pixels) in [3, 16, 65].into_iter().enumerate() {
            let n = Norm {
                groups: 1 + i % 2,
                channels: 1 + i,
                pixels,
                eps: 1e-3,
            };
            let (x, residual, dy) = (random(n.len(), 1), random(n.len(), 2), random(n.len(), 5));
            let (gamma, beta) = (random(n.tables(), 3), random(n.tables(), 4));
            let affine = AffineTables {
                gamma: &gamma,
                beta: &beta,
            };
            for (residual, activation) in [
                (None, Activation::Linear),
                (None, Activation::Relu),
                (Some(&residual[..]), Activation::Linear),
                (Some(&residual[..]), Activation::Relu),
            ] {
                let [y, mean, rstd] = run(&kernels, &n, &x, affine, residual, activation);
                let relu = activation == Activation::Relu;
                let gate = match (activation, residual) {
                    (Activation::Linear, _) => Gate::Open,
                    (_, None) => Gate::Input,
                    (_, Some(_)) => Gate::Output(&y),
                };
                let saved = Saved {
                    x: &x,
                    mean: &mean,
                    rstd: &rstd,
                    affine,
                };
                let mut gradient = dy.clone();
                let [mut dx, mut dgamma, mut dbeta] =
                    [n.len(), n.tables(), n.tables()].map(|len| vec![f32::NAN; len]);
                let gradients = Gradients {
                    dy: &mut gradient,
                    dx: residual.is_some().then_some(&mut dx),
                    dgamma: &mut dgamma,
                    dbeta: &mut dbeta,
                };
                norm::backward(&kernels, &n, saved, gate, gradients);
                let found = match residual {
                    Some(_) => [dx, dgamma, dbeta, gradient],
                    None => [gradient, dgamma, dbeta, Vec::new()],
                };

                let operands = [
                    wide(&x),
                    wide(&gamma),
                    wide(&beta),
                    residual.map_or(Vec::new(), wide),
                ];
                let loss = |o: &[Vec<f64>; 4]| -> f64 {
                    let residual = residual.is_some().then_some(&o[3][..]);
                    let out = plain_norm(&n, &o[0], &o[1], &o[2], residual, relu);
                    out.y
                        .iter()
                        .zip(&dy)
                        .map(|(y, &dy)| y * f64::from(dy))
                        .sum()
                };
                for (which, gradient) in found.iter().enumerate() {
                    for at in (0..operands[which].len()).step_by(29) {
                        // Moving by h does not cross the ReLU's corner unless the output is that
                        // near to it.
                        let h = 1e-6;
                        let (mut up, mut down) = (operands.clone(), operands.clone());
                        up[which][at] += h;
                        down[which][at] -= h;
                        let slope = (loss(&up) - loss(&down)) / (2.0 * h);
                        let error = (slope - f64::from(gradient[at])).abs();
                        assert!(
                            error < 2e-4 * (1.0 + slope.abs()),
                            "{} {n:?} {activation:?} operand {which}[{at}]: {} for {slope}",
                            kernels.isa(),
                            gradient[at]
                        );
                    }
                }
            }
        }
    }
}

/// The way back reads it in place of the first: a mask and a product must not differ by a bit.
#[test]
fn the_output_computed_once_more_is_the_same() {
    for kernels in all() {
        for (i, pixels) in SIZES.into_iter().enumerate() {
            let n = Norm {
                groups: 1 + i % 2,
                channels: 1 + i % 3,
                pixels,
                eps: 1e-5,
            };
            let x = random(n.len(), 1);
            let (gamma, beta) = (random(n.tables(), 3), random(n.tables(), 4));
            let affine = AffineTables {
                gamma: &gamma,
                beta: &beta,
            };
            for activation in [Activation::Linear, Activation::Relu] {
                let [y, mean, rstd] = run(&kernels, &n, &x, affine, None, activation);
                let saved = Saved {
                    x: &x,
                    mean: &mean,
                    rstd: &rstd,
                    affine,
                };
                let mut again = vec![f32::NAN; n.len()];
                norm::apply(&kernels, &n, saved, activation, &mut again);
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert!(
                    bits(&again) == bits(&y),
                    "{} {n:?} {activation:?}",
                    kernels.isa()
                );
            }
        }
    }
}

#[test]
fn neither_threads_nor_instruction_sets_change_a_byte() {
    let n = Norm {
        groups: 2,
        channels: 7,
        pixels: 130,
        eps: 1e-5,
    };
    let (x, dy, gamma) = (
        random(n.len(), 1),
        random(n.len(), 2),
        random(n.tables(), 3),
    );
    same_bytes("norm", |kernels| {
        let affine = AffineTables {
            gamma: &gamma,
            beta: &gamma,
        };
        let [y, mean, rstd] = run(kernels, &n, &x, affine, Some(&dy), Activation::Relu);
        let saved = Saved {
            x: &x,
            mean: &mean,
            rstd: &rstd,
            affine,
        };
        let mut again = vec![0.0; n.len()];
        norm::apply(kernels, &n, saved, Activation::Relu, &mut again);
        let mut gradient = dy.clone();
        let mut out = [n.len(), n.tables(), n.tables()].map(|len| vec![0.0; len]);
        let [dx, dgamma, dbeta] = &mut out;
        let gradients = Gradients {
            dy: &mut gradient,
            dx: Some(dx),
            dgamma,
            dbeta,
        };
        norm::backward(kernels, &n, saved, Gate::Output(&y), gradients);
        let mut alone = dy.clone();
        let mut tables = [n.tables(), n.tables()].map(|len| vec![0.0; len]);
        let [dgamma, dbeta] = &mut tables;
        let gradients = Gradients {
            dy: &mut alone,
            dx: None,
            dgamma,
            dbeta,
        };
        norm::backward(kernels, &n, saved, Gate::Input, gradients);
        [
            vec![y, mean.clone(), rstd.clone(), again, gradient, alone],
            out.into(),
            tables.into(),
        ]
        .concat()
        .concat()
    });
}
