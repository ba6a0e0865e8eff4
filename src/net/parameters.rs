//! The parameters of a network: named, in a fixed order, each shared or one expert's.
//!
//! The rule: everything that walks over parameters (initialisation, optimiser, checkpoint) walks
//! in this order, never in that of a hash map.

use candle_core::{DType, Device, Tensor, Var};

use super::init::Initialiser;
use crate::{data::Expert, seed::Seed};

/// The owner of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All experts.
    Shared,
    /// One expert, by index of the branch.
    Expert(usize),
}

/// A parameter as its layer declares it.
#[derive(Clone, Copy, Debug)]
pub struct Declaration<'a> {
    /// The name in segmentation_models_pytorch; the branches of all experts share it.
    pub name: &'a str,
    /// Its owner.
    pub part: Part,
    /// Its shape.
    pub shape: &'a [usize],
    /// How its initial values are drawn.
    pub initialiser: Initialiser,
    /// The expert whose number they depend on; none where they do not.
    pub owner: Option<Expert>,
}

impl Declaration<'_> {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The initial values, row-major. They depend on the seed, the name, the shape and the owner
    /// alone.
    pub fn initial_values(&self, seed: &Seed) -> Vec<f32> {
        let seed = seed.fork(self.name);
        let seed = match self.owner {
            Some(expert) => seed.fork(&format!("expert {expert}")),
            None => seed,
        };
        self.initialiser.values(&seed, self.shape)
    }
}

/// A named tensor that training changes.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name in segmentation_models_pytorch; the branches of all experts share it.
    pub name: String,
    /// Its owner.
    pub part: Part,
    /// Its value.
    pub var: Var,
}

/// Gives the values of a declared parameter, row-major.
pub type ValueSource<'a, E = candle_core::Error> =
    dyn FnMut(&Declaration<'_>) -> Result<Vec<f32>, E> + 'a;

/// Makes what stands for a declared parameter.
pub(super) type Make<'a, T, E> = dyn FnMut(&Declaration<'_>) -> Result<T, E> + 'a;

/// Makes parameters and keeps them in order.
pub(super) struct Registry<'a> {
    pub parameters: Vec<Parameter>,
    device: &'a Device,
    dtype: DType,
}

impl<'a> Registry<'a> {
    /// Without parameters.
    pub fn new(device: &'a Device, dtype: DType) -> Self {
        Self {
            parameters: Vec::new(),
            device,
            dtype,
        }
    }

    /// Makes a parameter with these values. The returned tensor follows every update of it.
    pub fn make(
        &mut self,
        declared: &Declaration<'_>,
        values: Vec<f32>,
    ) -> candle_core::Result<Tensor> {
        let tensor = Tensor::from_vec(values, declared.shape, self.device)?.to_dtype(self.dtype)?;
        let var = Var::from_tensor(&tensor)?;
        let view = var.as_tensor().clone();
        self.parameters.push(Parameter {
            name: declared.name.to_owned(),
            part: declared.part,
            var,
        });
        Ok(view)
    }
}
