//! The mean of a network's parameters over the last steps of a training (stochastic weight
//! averaging, Izmailov et al. 2018).
//!
//! The rule: the training itself does not see the mean; it replaces the parameters at the end.

use candle_core::{DType, Result, Tensor};

use crate::{manifest::Budget, net::Parameter};

/// Parameters averaged over steps.
#[derive(Debug)]
pub(super) struct Average {
    /// Steps before the first that counts.
    after: usize,
    /// Steps that were averaged.
    pub(super) steps: usize,
    /// For each parameter its mean, flat; empty before the first step that counts.
    pub(super) means: Vec<Vec<f32>>,
}

impl Average {
    /// Over the share of the last steps that a budget names.
    pub(super) fn of(budget: &Budget) -> Self {
        let share = (budget.average * budget.steps as f64).round() as usize;
        Self {
            after: budget.steps - share.min(budget.steps),
            steps: 0,
            means: Vec::new(),
        }
    }

    /// Whether the parameters after a number of steps count.
    pub(super) fn counts(&self, completed: usize) -> bool {
        completed > self.after
    }

    /// Adds the parameters after a step that counts.
    pub(super) fn add(&mut self, parameters: &[Parameter]) -> Result<()> {
        self.steps += 1;
        let share = 1.0 / self.steps as f32;
        for (i, parameter) in parameters.iter().enumerate() {
            let values = flat(parameter)?;
            match self.means.get_mut(i) {
                None => self.means.push(values),
                Some(mean) => {
                    for (mean, value) in mean.iter_mut().zip(values) {
                        *mean += share * (value - *mean);
                    }
                }
            }
        }
        Ok(())
    }

    /// Sets the parameters to their means, where there are any.
    pub(super) fn set(self, parameters: &[Parameter]) -> Result<()> {
        for (parameter, mean) in parameters.iter().zip(self.means) {
            let var = &parameter.var;
            let mean = Tensor::from_vec(mean, var.shape(), var.device())?;
            var.set(&mean.to_dtype(var.dtype())?)?;
        }
        Ok(())
    }
}

/// The values of a parameter.
pub(super) fn flat(parameter: &Parameter) -> Result<Vec<f32>> {
    parameter.var.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
}
