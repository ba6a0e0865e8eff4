//! Losses and the sigmoid against plain f64.

use super::plain::{L, all, close, random, same_bytes, triples};
use expertgrid::engine::lanes::{
    cross_entropy::{self, CrossEntropy},
    dice::{self, Dice, LaneLosses},
    logistic::sigmoid,
};

fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[test]
fn sigmoid_is_accurate_over_the_whole_line() {
    for kernels in all() {
        let x: Vec<f32> = (-14_400..14_400)
            .map(|i| i as f32 * 6e-3)
            .chain([0.0, -0.0, 1e-30, 40.0, 1e30, -80.0, 5e-8])
            .chain([0.0; 9])
            .collect();
        let mut y = vec![f32::NAN; x.len()];
        sigmoid(&kernels, &x, &mut y);
        let want: Vec<f64> = x.iter().map(|&x| logistic(f64::from(x))).collect();
        // Half a unit in the last place is 6e-8.
        close("sigmoid", &y, &want, &want, 3e-7);
        sigmoid(&kernels, &[f32::NEG_INFINITY; L], &mut y[..L]);
        assert!(y[..L].iter().all(|&v| (0.0..1e-37).contains(&v)));
        sigmoid(&kernels, &[f32::NAN; L], &mut y[..L]);
        assert!(
            y[..L].iter().all(|v| v.is_nan()),
            "a diverged training must not look healthy"
        );
    }
}

fn plain_dice(d: &Dice, z: &[f64], target: &[f32]) -> Vec<f64> {
    let mut losses = vec![0.0; d.planes * L];
    for (p, lane, _) in triples(d.planes, L, 1) {
        let (mut n, mut s) = (f64::from(d.smooth), f64::from(d.smooth));
        for i in 0..d.pixels {
            let at = (p * d.pixels + i) * L + lane;
            n += 2.0 * logistic(z[at]) * f64::from(target[at]);
            s += logistic(z[at]) + f64::from(target[at]);
        }
        losses[p * L + lane] = 1.0 - n / s;
    }
    losses
}

#[test]
fn dice_and_its_gradient_are_the_formula() {
    for kernels in all() {
        for (pixels, smooth) in [(1, 1e-7), (63, 1.0), (64, 1e-7), (900, 1e-7)] {
            let d = Dice {
                planes: 2,
                pixels,
                smooth,
            };
            let z: Vec<f32> = random(2 * pixels * L, 1).iter().map(|v| v * 6.0).collect();
            let target: Vec<f32> = random(2 * pixels * L, 2)
                .iter()
                .map(|&v| f32::from(u8::from(v > 0.5)))
                .collect();
            let dloss = random(2 * L, 3);
            let [mut loss, mut n, mut s] = [0; 3].map(|_| vec![f32::NAN; 2 * L]);
            let losses = LaneLosses {
                loss: &mut loss,
                numerator: &mut n,
                denominator: &mut s,
            };
            dice::forward(&kernels, &d, &z, &target, losses);
            let wide: Vec<f64> = z.iter().map(|&v| f64::from(v)).collect();
            let want = plain_dice(&d, &wide, &target);
            close("loss", &loss, &want, &[1.0; 2 * L], 1e-6);
            let mut dz = vec![f32::NAN; z.len()];
            dice::backward(&kernels, &d, &z, &target, &n, &s, &dloss, &mut dz);
            for at in (0..z.len()).step_by(23) {
                let lane = at / (pixels * L) * L + at % L;
                let (mut up, mut down) = (wide.clone(), wide.clone());
                up[at] += 1e-5;
                down[at] -= 1e-5;
                let slope = (plain_dice(&d, &up, &target)[lane]
                    - plain_dice(&d, &down, &target)[lane])
                    / 2e-5;
                let want = slope * f64::from(dloss[lane]);
                assert!(
                    (f64::from(dz[at]) - want).abs() < 1e-6 + 1e-4 * want.abs(),
                    "{at}: {} {want}",
                    dz[at]
                );
            }
        }
    }
}

fn plain_cross_entropy(z: f64, y: f64) -> f64 {
    z.max(0.0) - z * y + (-z.abs()).exp().ln_1p()
}

#[test]
fn cross_entropy_and_its_gradient_are_the_formula() {
    for kernels in all() {
        for pixels in [1, 63, 64, 900] {
            let shape = CrossEntropy { planes: 2, pixels };
            let far = [0.0, -0.0, 40.0, -40.0, 100.0, -100.0, 3e4, -3e4, 1e-6];
            let spread = random(2 * pixels * L, 1).into_iter();
            let mut z: Vec<f32> = spread.map(|v| v * 6.0).collect();
            z[..9].copy_from_slice(&far);
            let target = random(2 * pixels * L, 2).into_iter();
            // Soft ones, and the ends.
            let target: Vec<f32> = target
                .map(|v| v.mul_add(0.7, 0.5).clamp(0.0, 1.0))
                .collect();
            let dloss = random(2 * L, 3);
            let mut sums = vec![f32::NAN; 2 * L];
            cross_entropy::forward(&kernels, &shape, &z, &target, &mut sums);
            let [mut want, mut size] = [0; 2].map(|_| vec![0.0; 2 * L]);
            for (at, (z, y)) in z.iter().zip(&target).enumerate() {
                let lane = at / (pixels * L) * L + at % L;
                let value = plain_cross_entropy(f64::from(*z), f64::from(*y));
                want[lane] += value;
                // A large logit, right to its last place, times a target near 1.
                size[lane] += value + f64::from(z.abs());
            }
            close("sums", &sums, &want, &size, 3e-7);
            let mut dz = vec![f32::NAN; z.len()];
            cross_entropy::backward(&kernels, &shape, &z, &target, &dloss, &mut dz);
            let slope = |at: usize| {
                let lane = at / (pixels * L) * L + at % L;
                f64::from(dloss[lane]) * (logistic(f64::from(z[at])) - f64::from(target[at]))
            };
            let want: Vec<f64> = (0..z.len()).map(slope).collect();
            close("gradient", &dz, &want, &vec![1.0; z.len()], 3e-7);
        }
        // A diverged training must not look healthy.
        let one = CrossEntropy {
            planes: 1,
            pixels: 1,
        };
        let mut sums = [0.0; L];
        cross_entropy::forward(&kernels, &one, &[f32::NAN; L], &[0.5; L], &mut sums);
        assert!(sums.iter().all(|sum| sum.is_nan()));
    }
}

#[test]
fn a_lane_without_a_sample_gets_no_gradient_and_no_nan() {
    for kernels in all() {
        let d = Dice {
            planes: 1,
            pixels: 10,
            smooth: 1e-7,
        };
        let zero = vec![0.0; 10 * L];
        let [mut loss, mut n, mut s] = [0; 3].map(|_| vec![f32::NAN; L]);
        let losses = LaneLosses {
            loss: &mut loss,
            numerator: &mut n,
            denominator: &mut s,
        };
        dice::forward(&kernels, &d, &zero, &zero, losses);
        assert!(loss.iter().all(|v| v.is_finite()));
        let mut dz = vec![f32::NAN; zero.len()];
        dice::backward(&kernels, &d, &zero, &zero, &n, &s, &[0.0; L], &mut dz);
        assert!(dz.iter().all(|&v| v == 0.0));
    }
}

#[test]
fn neither_threads_nor_instruction_sets_change_a_byte() {
    let d = Dice {
        planes: 3,
        pixels: 100,
        smooth: 1e-7,
    };
    let (z, target) = (random(3 * 100 * L, 2), random(3 * 100 * L, 3));
    let dloss = random(3 * L, 4);
    same_bytes("dice", |kernels| {
        let [mut loss, mut n, mut s] = [0; 3].map(|_| vec![0.0; 3 * L]);
        let losses = LaneLosses {
            loss: &mut loss,
            numerator: &mut n,
            denominator: &mut s,
        };
        dice::forward(kernels, &d, &z, &target, losses);
        let [mut dz, mut probabilities] = [0; 2].map(|_| vec![0.0; z.len()]);
        dice::backward(kernels, &d, &z, &target, &n, &s, &dloss, &mut dz);
        sigmoid(kernels, &z, &mut probabilities);
        [loss, n, s, dz, probabilities].concat()
    });
    same_bytes("cross-entropy", |kernels| {
        let shape = CrossEntropy {
            planes: 3,
            pixels: 100,
        };
        let (mut sums, mut dz) = (vec![0.0; 3 * L], vec![0.0; z.len()]);
        cross_entropy::forward(kernels, &shape, &z, &target, &mut sums);
        cross_entropy::backward(kernels, &shape, &z, &target, &dloss, &mut dz);
        [sums, dz].concat()
    });
    // Where the exponential is clamped, where it rounds, and between whole powers of two.
    let x: Vec<f32> = (-16_000..16_000).map(|i| i as f32 * 6e-3).collect();
    same_bytes("sigmoid", |kernels| {
        let mut y = vec![0.0; x.len()];
        sigmoid(kernels, &x, &mut y);
        y
    });
}
