//! RAdam in one pass over a parameter (Liu et al., arXiv 1908.03265), as torch.optim.RAdam without weight decay.

use super::isa::{Kernels, multiversion};
use super::threads::Shared;
use super::vector::Vector;
use super::{LANES, check};

/// Floats a task updates.
const CHUNK: usize = 1 << 14;

/// The optimiser's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RAdam {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

impl Default for RAdam {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }
}

/// The coefficients of one step, the same for every parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Weight of the gradient in the first moment, `1 - beta1`.
    pub gain1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Weight of the squared gradient in the second moment, `1 - beta2`, rounded after the subtraction.
    pub gain2: f32,
    /// How the first moment moves the parameter.
    pub rule: Rule,
}

/// Whether the second moment is known well enough to divide by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `p -= rate m`, while rho_t <= 5.
    Momentum {
        /// `lr / (1 - beta1^t)`.
        rate: f32,
    },
    /// `p -= rate m / (sqrt(v) + eps)`.
    Adaptive {
        /// `lr r_t sqrt(1 - beta2^t) / (1 - beta1^t)`.
        rate: f32,
        /// The optimiser's.
        eps: f32,
    },
}

impl RAdam {
    /// The coefficients of update `t`, counted from 1, at learning rate `lr`.
    #[must_use]
    pub fn step(&self, t: u64, lr: f64) -> Step {
        let t = t as f64;
        let (correction1, correction2) = (1.0 - self.beta1.powf(t), 1.0 - self.beta2.powf(t));
        let rho_inf = 2.0 / (1.0 - self.beta2) - 1.0;
        let rho = rho_inf - 2.0 * t * self.beta2.powf(t) / correction2;
        let rule = if rho > 5.0 {
            let rectification = ((rho - 4.0) * (rho - 2.0) * rho_inf
                / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho))
                .sqrt();
            Rule::Adaptive {
                rate: (lr * rectification * correction2.sqrt() / correction1) as f32,
                eps: self.eps as f32,
            }
        } else {
            Rule::Momentum {
                rate: (lr / correction1) as f32,
            }
        };
        Step {
            gain1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            gain2: (1.0 - self.beta2) as f32,
            rule,
        }
    }
}

/// Updates a parameter and its moments `m` and `v` in place from its gradient.
///
/// # Panics
/// When lengths differ.
pub fn update(
    kernels: &Kernels,
    step: &Step,
    parameter: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    gradient: &[f32],
) {
    let len = gradient.len();
    check("parameter", parameter.len(), len);
    check("m", m.len(), len);
    check("v", v.len(), len);
    let [parameter, m, v] = [parameter, m, v].map(Shared::new);
    kernels.threads().run(len.div_ceil(CHUNK), |chunk| {
        let (start, count) = (chunk * CHUNK, CHUNK.min(len - chunk * CHUNK));
        // SAFETY: chunks are disjoint; the instruction set is the kernels'.
        unsafe {
            let (p, m, v) = (
                parameter.part(start, count),
                m.part(start, count),
                v.part(start, count),
            );
            update_chunk(
                kernels.isa(),
                step,
                p,
                m,
                v,
                &gradient[start..start + count],
            );
        }
    });
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn update_chunk = update_chunk_body(step: &Step, p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32])
}

#[inline(always)]
unsafe fn update_chunk_body<V: Vector>(
    step: &Step,
    p: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    g: &[f32],
) {
    let len = g.len();
    assert!(p.len() == len && m.len() == len && v.len() == len);
    let whole = len / LANES * LANES;
    // SAFETY: lengths asserted; the tail goes through sixteen floats of its own.
    unsafe {
        run::<V>(
            step,
            whole,
            p.as_mut_ptr(),
            m.as_mut_ptr(),
            v.as_mut_ptr(),
            g.as_ptr(),
        );
        if whole < len {
            let mut tail = [[0.0f32; LANES]; 4];
            for (tail, from) in tail.iter_mut().zip([&*p, &*m, &*v, g]) {
                tail[..len - whole].copy_from_slice(&from[whole..]);
            }
            let [tp, tm, tv, tg] = &mut tail;
            run::<V>(
                step,
                LANES,
                tp.as_mut_ptr(),
                tm.as_mut_ptr(),
                tv.as_mut_ptr(),
                tg.as_ptr(),
            );
            for (to, tail) in [p, m, v].into_iter().zip(&tail) {
                to[whole..].copy_from_slice(&tail[..len - whole]);
            }
        }
    }
}

#[inline(always)]
unsafe fn run<V: Vector>(
    step: &Step,
    len: usize,
    p: *mut f32,
    m: *mut f32,
    v: *mut f32,
    g: *const f32,
) {
    // SAFETY: the caller's pointers are valid for `len` floats, a multiple of sixteen.
    unsafe {
        let (gain1, beta2) = (V::splat(step.gain1), V::splat(step.beta2));
        let gain2 = V::splat(step.gain2);
        for i in (0..len).step_by(V::N) {
            let (gradient, parameter) = (V::load(g.add(i)), V::load(p.add(i)));
            let first = V::load(m.add(i));
            let first = gradient.sub(first).fma(gain1, first);
            let second = V::load(v.add(i)).mul(beta2);
            let second = gradient.mul(gradient).fma(gain2, second);
            first.store(m.add(i));
            second.store(v.add(i));
            let parameter = match step.rule {
                Rule::Momentum { rate } => first.fnma(V::splat(rate), parameter),
                Rule::Adaptive { rate, eps } => first
                    .div(second.sqrt().add(V::splat(eps)))
                    .fnma(V::splat(rate), parameter),
            };
            parameter.store(p.add(i));
        }
    }
}
