//! The parameters of a network: named, in a fixed order, each shared or one expert's.
//!
//! The rule: everything that walks over parameters (initialisation, optimiser, checkpoint) walks
//! in this order, never in that of a hash map.

use candle_core::{DType, Device, Result, Tensor, Var};

/// Whose a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All experts'.
    Shared,
    /// One expert's, by index of the branch.
    Expert(usize),
}

/// A named tensor that training changes.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name in segmentation_models_pytorch; the branches of all experts share it.
    pub name: String,
    /// Whose it is.
    pub part: Part,
    /// Its value.
    pub var: Var,
}

/// Gives a parameter's values by its name, part and shape.
pub type Values<'a> = dyn FnMut(&str, Part, &[usize]) -> Result<Vec<f32>> + 'a;

/// Makes parameters and remembers them in order.
pub(super) struct Registry<'a> {
    pub parameters: Vec<Parameter>,
    device: &'a Device,
    dtype: DType,
    values: &'a mut Values<'a>,
}

impl<'a> Registry<'a> {
    /// With `values` to begin with.
    pub fn new(device: &'a Device, dtype: DType, values: &'a mut Values<'a>) -> Self {
        Self {
            parameters: Vec::new(),
            device,
            dtype,
            values,
        }
    }

    /// A parameter; what is returned is a view that follows every update.
    pub fn make(&mut self, name: &str, part: Part, shape: &[usize]) -> Result<Tensor> {
        let values = (self.values)(name, part, shape)?;
        let tensor = Tensor::from_vec(values, shape, self.device)?.to_dtype(self.dtype)?;
        let var = Var::from_tensor(&tensor)?;
        let view = var.as_tensor().clone();
        self.parameters.push(Parameter {
            name: name.to_owned(),
            part,
            var,
        });
        Ok(view)
    }
}
