//! Rectified Adam (Liu et al. 2020), step for step as `torch.optim.RAdam` without weight decay.
//!
//! The rule: a parameter without a gradient does not change, not even by its momentum, and its own
//! count of steps does not advance.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var};

use crate::{
    manifest::TrainingSpec,
    net::{Parameter, Part},
};

/// The optimiser with its moments.
#[derive(Debug)]
pub struct RAdam {
    beta1: f64,
    beta2: f64,
    eps: f64,
    states: Vec<ParameterState>,
}

#[derive(Debug)]
struct ParameterState {
    var: Var,
    moments: Moments,
    steps: i32,
    /// Factor of the learning rate.
    factor: f64,
}

/// First and second moment, on the parameter's device.
#[derive(Debug)]
enum Moments {
    /// Before the first gradient.
    None,
    F32(Vec<f32>, Vec<f32>),
    F64(Vec<f64>, Vec<f64>),
    /// On another device, as `[2, N]`.
    Device(Tensor),
}

impl Moments {
    fn zeros(var: &Var) -> Result<Self> {
        let n = var.elem_count();
        Ok(match (var.device().is_cpu(), var.dtype()) {
            (true, candle_core::DType::F32) => Self::F32(vec![0.0; n], vec![0.0; n]),
            (true, candle_core::DType::F64) => Self::F64(vec![0.0; n], vec![0.0; n]),
            (_, dtype) => Self::Device(Tensor::zeros((2, n), dtype, var.device())?),
        })
    }
}

impl RAdam {
    /// An optimiser of these parameters, in this order.
    pub fn new(parameters: &[Parameter], spec: &TrainingSpec) -> Self {
        let state = |parameter: &Parameter| ParameterState {
            var: parameter.var.clone(),
            moments: Moments::None,
            steps: 0,
            factor: 1.0,
        };
        Self {
            beta1: spec.beta1,
            beta2: spec.beta2,
            eps: spec.eps,
            states: parameters.iter().map(state).collect(),
        }
    }

    /// The same, with another learning rate for the expert-specific ones among its parameters.
    pub fn with_expert_factor(mut self, parameters: &[Parameter], factor: f64) -> Self {
        for (state, parameter) in self.states.iter_mut().zip(parameters) {
            if let Part::Expert(_) = parameter.part {
                state.factor = factor;
            }
        }
        self
    }

    /// Updates every parameter that has a gradient; they come in the parameters' order.
    ///
    /// # Errors
    /// Where a tensor operation fails.
    pub fn step(&mut self, gradients: &[Option<Tensor>], lr: f64) -> Result<()> {
        debug_assert_eq!(gradients.len(), self.states.len());
        for (place, gradient) in gradients.iter().enumerate() {
            if let Some(gradient) = gradient {
                self.update(place, gradient, lr)?;
            }
        }
        Ok(())
    }

    /// Updates the parameter at a place.
    ///
    /// # Errors
    /// Where a tensor operation fails.
    pub fn update(&mut self, place: usize, gradient: &Tensor, lr: f64) -> Result<()> {
        let state = &mut self.states[place];
        state.steps += 1;
        if matches!(state.moments, Moments::None) {
            state.moments = Moments::zeros(&state.var)?;
        }
        let lr = lr * state.factor;
        let update = Update::new(self.beta1, self.beta2, self.eps, state.steps, lr);
        if let Moments::Device(moments) = &mut state.moments {
            *moments = update.with_tensors(&state.var, moments, gradient)?;
            return Ok(());
        }
        let fused = Fused {
            update,
            moments: RefCell::new(&mut state.moments),
        };
        state.var.inplace_op2(&gradient.contiguous()?, &fused)
    }
}

/// The factor of a parameter's change in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rate {
    /// Of the first moment, while the variance is not tractable.
    Plain(f32),
    /// Of the first moment over the root of the second.
    Adaptive(f32),
}

/// For an optimiser whose arithmetic is done elsewhere: the numbers of its next steps.
impl RAdam {
    /// Both decays, and the term against division by zero.
    pub(super) fn numbers(&self) -> (f64, f64, f64) {
        (self.beta1, self.beta2, self.eps)
    }

    /// The rate of the next update of the parameter at a place.
    pub(super) fn rate(&self, place: usize, lr: f64) -> Rate {
        let state = &self.states[place];
        let (steps, lr) = (state.steps + 1, lr * state.factor);
        let update = Update::new(self.beta1, self.beta2, self.eps, steps, lr);
        match update.adaptive {
            Some(factor) => Rate::Adaptive((update.rate * factor) as f32),
            None => Rate::Plain(update.rate as f32),
        }
    }

    /// Counts an update of the parameter at a place.
    pub(super) fn count(&mut self, place: usize) {
        self.states[place].steps += 1;
    }

    /// Its state, with moments that are kept elsewhere.
    pub(super) fn with_moments(&self, moments: Vec<[Vec<f32>; 2]>) -> Vec<Moment> {
        let states = self.states.iter().zip(moments);
        let moment = |(state, [first, second]): (&ParameterState, [Vec<f32>; 2])| {
            let begun = state.steps > 0;
            Moment {
                updates: state.steps,
                first: if begun { first } else { Vec::new() },
                second: if begun { second } else { Vec::new() },
            }
        };
        states.map(moment).collect()
    }
}

/// The state of one parameter, to be saved. The moments are empty before its first gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The number of its updates.
    pub updates: i32,
    /// The first moment.
    pub first: Vec<f32>,
    /// The second moment.
    pub second: Vec<f32>,
}

impl RAdam {
    /// The state of every parameter, in single precision.
    pub(super) fn moments(&self) -> Result<Vec<Moment>> {
        let moment = |state: &ParameterState| {
            let (first, second) = match &state.moments {
                Moments::None => (Vec::new(), Vec::new()),
                Moments::F32(first, second) => (first.clone(), second.clone()),
                Moments::F64(..) => candle_core::bail!("radam: double precision is not saved"),
                Moments::Device(both) => {
                    let both = both.to_dtype(candle_core::DType::F32)?;
                    (both.get(0)?.to_vec1()?, both.get(1)?.to_vec1()?)
                }
            };
            Ok(Moment {
                updates: state.steps,
                first,
                second,
            })
        };
        self.states.iter().map(moment).collect()
    }

    /// Continues from a saved state.
    pub(super) fn restore(&mut self, moments: Vec<Moment>) -> Result<()> {
        for (state, moment) in self.states.iter_mut().zip(moments) {
            let Moment {
                updates,
                first,
                second,
            } = moment;
            state.steps = updates;
            state.moments = match Moments::zeros(&state.var)? {
                _ if first.is_empty() => Moments::None,
                Moments::Device(both) => {
                    let kept =
                        Tensor::from_vec([first, second].concat(), both.shape(), both.device())?;
                    Moments::Device(kept.to_dtype(both.dtype())?)
                }
                Moments::F32(..) => Moments::F32(first, second),
                Moments::F64(..) | Moments::None => {
                    candle_core::bail!("radam: double precision is not saved")
                }
            };
        }
        Ok(())
    }
}

/// The coefficients of one step.
#[derive(Clone, Copy, Debug)]
struct Update {
    beta1: f64,
    beta2: f64,
    eps: f64,
    /// The factor of the first moment: lr / (1 - beta1^t).
    rate: f64,
    /// The factor of 1 / (sqrt(v) + eps): rect * sqrt(1 - beta2^t). `None` while the variance is
    /// not tractable.
    adaptive: Option<f64>,
}

impl Update {
    fn new(beta1: f64, beta2: f64, eps: f64, steps: i32, lr: f64) -> Self {
        let t = f64::from(steps);
        let correction1 = 1.0 - beta1.powi(steps);
        let correction2 = 1.0 - beta2.powi(steps);
        let rho_inf = 2.0 / (1.0 - beta2) - 1.0;
        let rho = rho_inf - 2.0 * t * beta2.powi(steps) / correction2;
        let adaptive = (rho > 5.0).then(|| {
            let rectification =
                (rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho);
            rectification.sqrt() * correction2.sqrt()
        });
        Self {
            beta1,
            beta2,
            eps,
            rate: lr / correction1,
            adaptive,
        }
    }

    /// The step in whole-tensor operations, for devices without the fused one. Returns the new
    /// moments, detached from the gradient's graph, which holds the activations of a whole step.
    fn with_tensors(&self, var: &Var, moments: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let g = gradient.detach().flatten_all()?;
        let m = ((moments.get(0)? * self.beta1)? + (&g * (1.0 - self.beta1))?)?;
        let v = ((moments.get(1)? * self.beta2)? + (g.sqr()? * (1.0 - self.beta2))?)?;
        let change = match self.adaptive {
            Some(factor) => (&m * (self.rate * factor))?.div(&(v.sqrt()? + self.eps)?)?,
            None => (&m * self.rate)?,
        };
        var.set(&(var.as_tensor() - change.reshape(var.shape())?)?)?;
        Ok(Tensor::stack(&[&m, &v], 0)?.detach())
    }

    fn apply<T: Real>(&self, p: &mut [T], m: &mut [T], v: &mut [T], g: &[T]) {
        let (b1, b2) = (T::of(self.beta1), T::of(self.beta2));
        let (a1, a2) = (T::of(1.0 - self.beta1), T::of(1.0 - self.beta2));
        let eps = T::of(self.eps);
        let moments = m.iter_mut().zip(v);
        match self.adaptive {
            Some(factor) => {
                let rate = T::of(self.rate * factor);
                for ((p, (m, v)), g) in p.iter_mut().zip(moments).zip(g) {
                    *m = *m * b1 + *g * a1;
                    *v = *v * b2 + *g * *g * a2;
                    *p = *p - rate * *m / (v.sqrt() + eps);
                }
            }
            None => {
                let rate = T::of(self.rate);
                for ((p, (m, v)), g) in p.iter_mut().zip(moments).zip(g) {
                    *m = *m * b1 + *g * a1;
                    *v = *v * b2 + *g * *g * a2;
                    *p = *p - rate * *m;
                }
            }
        }
    }
}

/// The arithmetic of the fused update.
trait Real:
    Copy
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
{
    fn of(value: f64) -> Self;
    fn sqrt(self) -> Self;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

/// Parameter, moments and gradient in one pass over memory.
struct Fused<'a> {
    update: Update,
    moments: RefCell<&'a mut Moments>,
}

impl InplaceOp2 for Fused<'_> {
    fn name(&self) -> &'static str {
        "radam"
    }

    fn cpu_fwd(
        &self,
        p: &mut CpuStorage,
        p_layout: &Layout,
        g: &CpuStorage,
        g_layout: &Layout,
    ) -> Result<()> {
        let (Some(p_range), Some(g_range)) =
            (p_layout.contiguous_offsets(), g_layout.contiguous_offsets())
        else {
            candle_core::bail!("radam: parameter and gradient must be contiguous")
        };
        let (p_range, g_range) = (p_range.0..p_range.1, g_range.0..g_range.1);
        match (p, g, &mut **self.moments.borrow_mut()) {
            (CpuStorage::F32(p), CpuStorage::F32(g), Moments::F32(m, v)) => {
                self.update.apply(&mut p[p_range], m, v, &g[g_range]);
            }
            (CpuStorage::F64(p), CpuStorage::F64(g), Moments::F64(m, v)) => {
                self.update.apply(&mut p[p_range], m, v, &g[g_range]);
            }
            _ => candle_core::bail!("radam: parameter, gradient and moments must be of one type"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use serde_json::Value;

    use super::*;
    use crate::net::Part;

    fn vectors() -> Value {
        let text = include_str!("../../tests/fixtures/training.json");
        serde_json::from_str(text).unwrap()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect()
    }

    fn parameter(name: &str) -> Parameter {
        let one = Tensor::ones(1, DType::F64, &Device::Cpu).unwrap();
        Parameter {
            name: name.into(),
            part: Part::Shared,
            var: Var::from_tensor(&one).unwrap(),
        }
    }

    /// Steps along given gradients.
    fn trajectory(gradients: &[f64], lr: impl Fn(usize) -> f64) -> Vec<f64> {
        trajectory_of(&TrainingSpec::default(), gradients, lr)
    }

    fn trajectory_of(
        spec: &TrainingSpec,
        gradients: &[f64],
        lr: impl Fn(usize) -> f64,
    ) -> Vec<f64> {
        let parameter = parameter("p");
        let mut optimiser = RAdam::new(std::slice::from_ref(&parameter), spec);
        let step = |(t, g): (usize, &f64)| {
            let gradient = Tensor::new(&[*g], &Device::Cpu).unwrap();
            optimiser.step(&[Some(gradient)], lr(t)).unwrap();
            parameter.var.to_vec1::<f64>().unwrap()[0]
        };
        gradients.iter().enumerate().map(step).collect()
    }

    #[test]
    fn a_loss_over_its_pixels_takes_the_course_of_the_summed_one_with_eps_over_pixels() {
        let text = include_str!("../../tests/fixtures/methods.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let vector = &vectors["scaled_optimiser"];
        let [lr, eps, pixels] = ["lr", "eps", "pixels"].map(|of| vector[of].as_f64().unwrap());
        let course = |over: f64| {
            let gradients = numbers(&vector["gradients_of_sum"]);
            let gradients: Vec<f64> = gradients.iter().map(|gradient| gradient / over).collect();
            let spec = TrainingSpec {
                eps: eps / over,
                ..TrainingSpec::default()
            };
            // The parameter starts at 1.
            let course = trajectory_of(&spec, &gradients, |_| lr).into_iter();
            course.map(|p| p - 1.0).collect::<Vec<f64>>()
        };
        let (summed, over_pixels) = (course(1.0), course(pixels));
        for (found, name) in [(&summed, "summed"), (&over_pixels, "over_pixels")] {
            let expected = numbers(&vector[name]);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                let error = (found - expected).abs();
                assert!(error < 1e-12, "{name}: {found} {expected}");
            }
        }
        assert!((summed[0] / over_pixels[0] - pixels).abs() < 1e-6 * pixels);
        // From the sixth update on, the steps are the same.
        let steps = |course: &[f64]| -> Vec<f64> {
            course
                .windows(2)
                .skip(4)
                .map(|two| two[1] - two[0])
                .collect()
        };
        for (summed, mean) in steps(&summed).into_iter().zip(steps(&over_pixels)) {
            assert!((summed - mean).abs() < 1e-12);
        }
    }

    #[test]
    fn a_trajectory_agrees_with_pytorch() {
        let vectors = &vectors()["optimizer"];
        let expected = vectors["torch_eps1e-8"].as_array().unwrap();
        let found = trajectory(&numbers(&vectors["gradients"]), |_| 1e-3);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected["p"].as_f64().unwrap()).abs() < 1e-12);
        }
    }

    #[test]
    fn a_trajectory_with_the_polynomial_schedule_agrees_with_pytorch() {
        let vectors = &vectors()["optimizer"];
        let expected = vectors["torch_with_poly_T12"].as_array().unwrap();
        let found = trajectory(&numbers(&vectors["gradients"]), |t| {
            crate::train::learning_rate(1e-3, &TrainingSpec::default(), t, 12)
        });
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected["p"].as_f64().unwrap()).abs() < 1e-12);
        }
    }

    #[test]
    fn small_gradients_show_where_eps_stands() {
        let vectors = &vectors()["optimizer"];
        let tiny: Vec<f64> = numbers(&vectors["gradients"])
            .iter()
            .map(|g| g * 1e-6)
            .collect();
        let expected = vectors["small_grad_scale_1e-6"]["torch_eps1e-8"]["p"]
            .as_f64()
            .unwrap();
        let found = *trajectory(&tiny, |_| 1e-3).last().unwrap();
        assert!((found - expected).abs() < 1e-12);
    }

    #[test]
    fn whole_tensor_operations_agree_with_the_fused_step() {
        let vectors = vectors();
        let gradients = numbers(&vectors["optimizer"]["gradients"]);
        let fused = trajectory(&gradients, |_| 1e-3);
        let var = parameter("p").var;
        let mut moments = Tensor::zeros((2, 1), DType::F64, &Device::Cpu).unwrap();
        for (t, (g, expected)) in gradients.iter().zip(fused).enumerate() {
            let update = Update::new(0.9, 0.999, 1e-8, t as i32 + 1, 1e-3);
            let gradient = Tensor::new(&[*g], &Device::Cpu).unwrap();
            moments = update.with_tensors(&var, &moments, &gradient).unwrap();
            assert!((var.to_vec1::<f64>().unwrap()[0] - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn moments_keep_no_graph_alive() {
        let var = parameter("p").var;
        let mut moments = Tensor::zeros((2, 1), DType::F64, &Device::Cpu).unwrap();
        for t in 1..=7 {
            // A gradient as candle hands it out: an operation on tensors that are parts of a graph.
            let gradient = ((var.as_tensor() * 2.0).unwrap() + 1.0).unwrap();
            assert!(gradient.track_op());
            let update = Update::new(0.9, 0.999, 1e-8, t, 1e-3);
            moments = update.with_tensors(&var, &moments, &gradient).unwrap();
            assert!(!moments.track_op(), "after step {t}");
        }
    }

    #[test]
    fn a_parameter_without_a_gradient_stands_still() {
        let (used, absent) = (parameter("used"), parameter("absent"));
        let mut optimiser = RAdam::new(&[used.clone(), absent.clone()], &TrainingSpec::default());
        let one = Some(Tensor::ones(1, DType::F64, &Device::Cpu).unwrap());
        optimiser.step(&[one.clone(), one.clone()], 1e-3).unwrap();
        let before = absent.var.to_vec1::<f64>().unwrap();
        for _ in 0..3 {
            optimiser.step(&[one.clone(), None], 1e-3).unwrap();
        }
        assert_eq!(absent.var.to_vec1::<f64>().unwrap(), before);
        assert_ne!(used.var.to_vec1::<f64>().unwrap(), before);
    }
}
