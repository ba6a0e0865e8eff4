//! Candle's own operations: any device, single or double precision, layout `[B, C, H, W]`.
//!
//! The rule: correct before fast. What candle 0.11 lacks (padded and overlapping max-pooling, an
//! upsampling whose gradient adds up) is composed of operations whose gradients are right.

use candle_core::{D, DType, Device, Result, Tensor};
use itertools::Itertools;

use super::operations::{Activation, Affine, DiceOver, Engine, LOG_DEVIATION};

/// The stock engine.
#[derive(Clone, Debug)]
pub struct Stock {
    device: Device,
    dtype: DType,
}

impl Stock {
    /// On a device, in single precision.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            dtype: DType::F32,
        }
    }

    /// On the CPU in double precision, for tests against finite differences.
    pub fn double() -> Self {
        Self {
            device: Device::Cpu,
            dtype: DType::F64,
        }
    }
}

impl Engine for Stock {
    type Tensor = Tensor;
    type Route = Vec<usize>;

    fn device(&self) -> &Device {
        &self.device
    }

    fn batches_ahead(&self) -> usize {
        // While a GPU computes, every core of the worker draws, with one more batch queued for
        // each.
        match self.device.is_cpu() {
            true => usize::from(rayon::current_num_threads() > 1),
            false => 2 * rayon::current_num_threads(),
        }
    }

    fn pack(&self, pixels: &[f32], shape: [usize; 4]) -> Result<Tensor> {
        Tensor::from_slice(pixels, shape.as_slice(), &self.device)?.to_dtype(self.dtype)
    }

    fn unpack(&self, x: &Tensor, _batch: usize) -> Result<Tensor> {
        Ok(x.clone())
    }

    fn route(&self, experts: &[usize]) -> Vec<usize> {
        experts.to_vec()
    }

    fn conv(&self, x: &Tensor, weight: &Tensor, stride: usize) -> Result<Tensor> {
        let kernel = weight.dim(D::Minus1)?;
        x.conv2d(weight, kernel / 2, stride, 1, 1)
    }

    fn conv_bias(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Tensor> {
        let y = self.conv(x, weight, 1)?;
        activated(y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?, activation)
    }

    fn norm(
        &self,
        x: &Tensor,
        affine: Affine<'_, Self>,
        eps: f64,
        residual: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let flat = x.reshape((batch, channels, height * width))?;
        let centred = flat.broadcast_sub(&flat.mean_keepdim(2)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(2)? + eps)?.sqrt()?;
        let experts = affine.route;
        let common = experts.iter().all_equal_value();
        let per_sample = |rows: &[Tensor]| match common {
            Ok(expert) => rows[*expert].reshape((1, channels, 1)),
            Err(_) => {
                let rows: Vec<&Tensor> = experts.iter().map(|e| &rows[*e]).collect();
                Tensor::stack(&rows, 0)?.reshape((batch, channels, 1))
            }
        };
        let y = centred
            .broadcast_div(&deviation)?
            .broadcast_mul(&per_sample(affine.gamma)?)?
            .broadcast_add(&per_sample(affine.beta)?)?
            .reshape((batch, channels, height, width))?;
        let y = match residual {
            Some(residual) => (y + residual)?,
            None => y,
        };
        activated(y, activation)
    }

    fn max_pool(&self, x: &Tensor) -> Result<Tensor> {
        let rows = maximum_of_three(x, 2)?;
        maximum_of_three(&rows, 3)
    }

    fn mean_pool(&self, x: &Tensor) -> Result<Tensor> {
        x.avg_pool2d(2)
    }

    fn mean(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, ..) = x.dims4()?;
        let flat = x.reshape((batch, channels, ()))?;
        flat.mean(2)?.reshape((batch, channels, 1, 1))
    }

    fn shift(&self, x: &Tensor, by: &Tensor, activation: Activation) -> Result<Tensor> {
        activated(x.broadcast_add(by)?, activation)
    }

    fn joint_conv(&self, x: &Tensor, skip: Option<&Tensor>, weight: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        // Not `upsample_nearest2d`: its backward overwrites a gradient instead of adding to it.
        let up = x
            .reshape((batch, channels, height, 1, width, 1))?
            .broadcast_as((batch, channels, height, 2, width, 2))?
            .reshape((batch, channels, 2 * height, 2 * width))?;
        let joined = match skip {
            Some(skip) => Tensor::cat(&[&up, skip], 1)?,
            None => up,
        };
        self.conv(&joined, weight, 1)
    }

    fn dice_loss(
        &self,
        logits: &Tensor,
        target: &Tensor,
        batch: usize,
        smooth: f64,
        over: DiceOver,
    ) -> Result<Tensor> {
        let groups = match over {
            DiceOver::Image => batch,
            DiceOver::Batch => 1,
        };
        let s = candle_nn::ops::sigmoid(logits)?.reshape((groups, ()))?;
        let y = target.reshape((groups, ()))?;
        let numerator = (((&s * &y)?.sum(1)? * 2.0)? + smooth)?;
        let denominator = ((s.sum(1)? + y.sum(1)?)? + smooth)?;
        let overlap = numerator.div(&denominator)?.mean_all()?;
        1.0 - overlap
    }

    fn cross_entropy(&self, logits: &Tensor, target: &Tensor, _batch: usize) -> Result<Tensor> {
        // `ln(1 + exp(z))` is `z / 2 + |z| / 2 + ln(1 + exp(-|z|))`, which overflows nowhere. At 0
        // its slope is 1/2, whatever sign candle gives the slope of `|z|` there.
        let magnitude = logits.abs()?;
        let rest = ((magnitude.neg()?.exp()? + 1.0)?.log()? + (magnitude * 0.5)?)?;
        let linear = ((0.5 - target)? * logits)?;
        (linear + rest)?.mean_all()
    }

    fn draw(&self, distribution: &Tensor, noise: &[f32]) -> Result<Tensor> {
        let [mean, log_deviation] = halves(distribution)?;
        let noise = Tensor::from_slice(noise, mean.shape(), &self.device)?;
        mean + (log_deviation.exp()? * noise.to_dtype(self.dtype)?)?
    }

    fn divergence(&self, posterior: &Tensor, prior: &Tensor, batch: usize) -> Result<Tensor> {
        let [of_posterior, of_prior] = [halves(posterior)?, halves(prior)?];
        let [[mean, log], [prior_mean, prior_log]] = [&of_posterior, &of_prior];
        let log_ratio = (prior_log - log)?;
        let variances = (&log_ratio * -2.0)?.exp()?;
        let distance = ((mean - prior_mean)? * prior_log.neg()?.exp()?)?;
        let halved = (((variances + distance.sqr()?)? - 1.0)? * 0.5)?;
        (log_ratio + halved)?.sum_all()? / batch as f64
    }

    fn sum(&self, losses: &[(Tensor, f64)]) -> Result<Tensor> {
        let parts = losses.iter().map(|(loss, weight)| loss * *weight);
        let parts: Vec<Tensor> = parts.collect::<Result<_>>()?;
        Tensor::stack(&parts, 0)?.sum_all()
    }

    fn loss(&self, loss: &Tensor) -> Result<f64> {
        loss.to_dtype(DType::F64)?.to_scalar()
    }

    fn backward(
        &self,
        loss: Tensor,
        share: f64,
        parameters: &[&Tensor],
        receive: &mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut gradients = (loss * share)?.backward()?;
        for (place, parameter) in parameters.iter().enumerate() {
            if let Some(gradient) = gradients.remove(parameter) {
                receive(place, gradient)?;
            }
        }
        Ok(())
    }
}

fn activated(y: Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Linear => Ok(y),
        // Not `relu`: candle passes its gradient at 0, PyTorch does not.
        Activation::Relu => &y * y.gt(0.0)?.to_dtype(y.dtype())?,
    }
}

/// The means of a distribution, and the logarithms of its deviations within their bounds.
fn halves(distribution: &Tensor) -> Result<[Tensor; 2]> {
    let latent = distribution.dim(1)? / 2;
    let log = distribution.narrow(1, latent, latent)?;
    // The value of the bound, and the gradient of what is bounded.
    let over = (log.clamp(-LOG_DEVIATION, LOG_DEVIATION)? - &log)?;
    let bounded = (log + over.detach())?;
    Ok([distribution.narrow(1, 0, latent)?, bounded])
}

/// The maximum of positions 2i - 1, 2i and 2i + 1 of one axis, which halves it. Candle's
/// `max_pool2d` has no padding and returns an error for the gradient of overlapping windows.
fn maximum_of_three(x: &Tensor, axis: usize) -> Result<Tensor> {
    let half = x.dim(axis)? / 2;
    let mut split = x.dims().to_vec();
    split[axis] = half;
    split.insert(axis + 1, 2);
    let pairs = x.reshape(split)?;
    let even = pairs.narrow(axis + 1, 0, 1)?.squeeze(axis + 1)?;
    let odd = pairs.narrow(axis + 1, 1, 1)?.squeeze(axis + 1)?;
    let before = odd.pad_with_zeros(axis, 1, 0)?.narrow(axis, 0, half)?;
    even.maximum(&odd)?.maximum(&before)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::seed::Seed;

    fn random(name: &str, shape: &[usize]) -> Var {
        use rand::RngExt;
        let mut rng = Seed::new(1).fork(name).rng();
        let count = shape.iter().product();
        let values: Vec<f64> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
    }

    /// Compares every gradient of a weighted sum of `f`'s output with central differences.
    fn check_gradients(inputs: &[Var], f: impl Fn(&[Tensor]) -> Tensor) {
        let weighted = |inputs: &[Tensor]| {
            let y = f(inputs);
            let weights = random("weights of the sum", y.dims());
            (y * weights.as_tensor()).unwrap().sum_all().unwrap()
        };
        let tensors: Vec<Tensor> = inputs.iter().map(|v| v.as_tensor().clone()).collect();
        let gradients = weighted(&tensors).backward().unwrap();
        for (i, input) in inputs.iter().enumerate() {
            let gradient = gradients.get(input.as_tensor()).expect("a gradient");
            let gradient = gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let values = input.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for j in 0..values.len() {
                let at = |h: f64| {
                    let mut moved = values.clone();
                    moved[j] += h;
                    let mut tensors = tensors.clone();
                    tensors[i] = Tensor::from_vec(moved, input.dims(), &Device::Cpu).unwrap();
                    weighted(&tensors).to_scalar::<f64>().unwrap()
                };
                let h = 1e-6;
                let numeric = (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (numeric - gradient[j]).abs() < 1e-6 * (1.0 + numeric.abs()),
                    "input {i}, element {j}: {} against {numeric}",
                    gradient[j]
                );
            }
        }
    }

    #[test]
    fn convolutions_have_the_right_gradients() {
        let engine = Stock::double();
        for (kernel, stride, size) in [
            (3, 1, 5),
            (3, 2, 6),
            (1, 2, 4),
            (7, 2, 8),
            (3, 1, 1),
            (3, 2, 2),
        ] {
            let x = random("x", &[2, 2, size, size]);
            let w = random("w", &[3, 2, kernel, kernel]);
            check_gradients(&[x, w], |t| engine.conv(&t[0], &t[1], stride).unwrap());
        }
        let inputs = [
            random("x", &[2, 2, 4, 4]),
            random("w", &[1, 2, 3, 3]),
            random("b", &[1]),
        ];
        for activation in [Activation::Linear, Activation::Relu] {
            check_gradients(&inputs, |t| {
                let convolved = engine.conv_bias(&t[0], &t[1], &t[2], activation);
                convolved.unwrap()
            });
        }
    }

    #[test]
    fn conditional_instance_norm_has_the_right_gradients() {
        let engine = Stock::double();
        for experts in [[0, 0, 0], [1, 0, 1]] {
            for activation in [Activation::Linear, Activation::Relu] {
                let inputs = [
                    random("x", &[3, 2, 3, 4]),
                    random("residual", &[3, 2, 3, 4]),
                    random("gamma 0", &[2]),
                    random("beta 0", &[2]),
                    random("gamma 1", &[2]),
                    random("beta 1", &[2]),
                ];
                // An expert that no sample has must get no gradient at all.
                let used = if experts == [0, 0, 0] { 4 } else { 6 };
                check_gradients(&inputs[..used], |t| {
                    let (gamma, beta) = if used == 4 {
                        (vec![t[2].clone()], vec![t[3].clone()])
                    } else {
                        (
                            vec![t[2].clone(), t[4].clone()],
                            vec![t[3].clone(), t[5].clone()],
                        )
                    };
                    let affine = Affine {
                        gamma: &gamma,
                        beta: &beta,
                        route: &engine.route(&experts),
                    };
                    engine
                        .norm(&t[0], affine, 1e-5, Some(&t[1]), activation)
                        .unwrap()
                });
            }
        }
    }

    #[test]
    fn pooling_takes_the_maximum_of_padded_overlapping_windows() {
        let engine = Stock::double();
        let x = random("x", &[1, 2, 6, 4]);
        let values = x.abs().unwrap();
        let pooled = engine.max_pool(&values).unwrap();
        assert_eq!(pooled.dims(), [1, 2, 3, 2]);
        let input: Vec<Vec<Vec<f64>>> = values.squeeze(0).unwrap().to_vec3().unwrap();
        let output: Vec<Vec<Vec<f64>>> = pooled.squeeze(0).unwrap().to_vec3().unwrap();
        for c in 0..2 {
            for (i, row) in output[c].iter().enumerate() {
                for (j, found) in row.iter().enumerate() {
                    let near = |k: usize, n: usize| (2 * k).saturating_sub(1)..(2 * k + 2).min(n);
                    let expected = near(i, 6)
                        .flat_map(|y| near(j, 4).map(move |x| (y, x)))
                        .map(|(y, x)| input[c][y][x])
                        .fold(0.0, f64::max);
                    assert_eq!(*found, expected);
                }
            }
        }
        check_gradients(&[x], |t| engine.max_pool(&t[0].abs().unwrap()).unwrap());
    }

    #[test]
    fn upsampling_and_concatenation_have_the_right_gradients() {
        let engine = Stock::double();
        let x = random("x", &[2, 1, 2, 3]);
        // The input is used twice: its gradients must add up.
        let weights = [random("v", &[2, 1, 3, 3]), random("w", &[1, 3, 3, 3])];
        check_gradients(&[&[x], &weights[..]].concat(), |t| {
            let up = engine.joint_conv(&t[0], None, &t[1]).unwrap();
            engine.joint_conv(&t[0], Some(&up), &t[2]).unwrap()
        });
    }

    #[test]
    fn a_sum_of_losses_has_the_right_gradients() {
        let engine = Stock::double();
        let target = |name| {
            let mask = random(name, &[2, 1, 3, 3]).ge(0.0).unwrap();
            mask.to_dtype(DType::F64).unwrap()
        };
        let targets = ["y", "z"].map(target);
        // Two masks of the same logits.
        check_gradients(&[random("x", &[2, 1, 3, 3])], |t| {
            let [a, b] = targets.each_ref().map(|target| {
                let over = DiceOver::Image;
                engine.dice_loss(&t[0], target, 2, 1e-7, over).unwrap()
            });
            engine.sum(&[(a, 0.25), (b, 0.75)]).unwrap()
        });
    }

    #[test]
    fn means_and_shifts_have_the_right_gradients() {
        let engine = Stock::double();
        let x = random("x", &[2, 3, 4, 6]);
        check_gradients(std::slice::from_ref(&x), |t| {
            engine.mean_pool(&t[0]).unwrap()
        });
        check_gradients(std::slice::from_ref(&x), |t| engine.mean(&t[0]).unwrap());
        let by = random("by", &[2, 3, 1, 1]);
        for activation in [Activation::Linear, Activation::Relu] {
            check_gradients(&[x.clone(), by.clone()], |t| {
                engine.shift(&t[0], &t[1], activation).unwrap()
            });
        }
    }

    #[test]
    fn draws_and_divergences_have_the_right_gradients() {
        let engine = Stock::double();
        let [posterior, prior] = ["q", "p"].map(|name| random(name, &[2, 6, 1, 1]));
        let noise = [0.7, -1.3, 0.0, 0.2, 1.1, -0.4];
        check_gradients(std::slice::from_ref(&posterior), |t| {
            engine.draw(&t[0], &noise).unwrap()
        });
        check_gradients(&[posterior, prior], |t| {
            engine.divergence(&t[0], &t[1], 2).unwrap()
        });
    }

    #[test]
    fn the_cross_entropy_has_the_right_gradients() {
        let engine = Stock::double();
        // Targets between 0 and 1, logits with zeros among them.
        let target = ((random("y", &[2, 1, 3, 3]).as_tensor() + 1.0).unwrap() * 0.5).unwrap();
        let z = random("x", &[2, 1, 3, 3]);
        let some = random("zeros", &[2, 1, 3, 3]).ge(0.0).unwrap();
        let z = ((z.as_tensor() * some.to_dtype(DType::F64).unwrap()).unwrap() * 3.0).unwrap();
        check_gradients(&[Var::from_tensor(&z).unwrap()], |t| {
            engine.cross_entropy(&t[0], &target, 2).unwrap()
        });
    }

    #[test]
    fn the_dice_loss_has_the_right_gradients() {
        let engine = Stock::double();
        let target = random("y", &[2, 1, 3, 3])
            .ge(0.0)
            .unwrap()
            .to_dtype(DType::F64)
            .unwrap();
        for over in [DiceOver::Image, DiceOver::Batch] {
            check_gradients(&[random("x", &[2, 1, 3, 3])], |t| {
                engine.dice_loss(&t[0], &target, 2, 1e-7, over).unwrap()
            });
        }
    }
}
