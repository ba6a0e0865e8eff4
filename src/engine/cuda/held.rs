//! Parameters that stay on the card while a network is trained, with gradients and moments.
//!
//! Four arrays in one order: values, gradients, first and second moments. A parameter begins at a
//! multiple of [`ALIGNED`] floats, so that a block of the optimiser's kernel has one parameter.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use candle_core::{Result, Tensor, TensorId, bail};

use super::{arena::Block, cuda_engine::Cuda, parameters::Form};

/// Floats of a block of the optimiser's kernel (radam.cu).
pub(super) const ALIGNED: usize = 128;

/// One parameter on the card.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldParameter {
    /// Where its values begin.
    pub values: u64,
    pub len: usize,
    /// Its place among the trained ones, and where its gradient begins.
    pub trained: Option<(usize, u64)>,
}

/// The parameters of a network.
#[derive(Debug)]
pub(super) struct Held {
    pub by_id: HashMap<TensorId, HeldParameter>,
    /// The trained ones in their order.
    pub trained: Vec<HeldParameter>,
    /// All values, those of the trained ones first.
    pub values: Rc<Block>,
    pub gradients: Block,
    pub moments: [Block; 2],
    /// Floats of the trained ones.
    pub length: usize,
    /// Weights in other orders, with their entries in the kernel's table.
    pub arranged: HashMap<ArrangedKey, (Rc<Block>, [u64; 8])>,
    /// Of the step that is being recorded: arranged weights, and gradients that have been written.
    pub in_step: InStep,
}

/// A weight in another order: where its values begin, the order, and the first input taken.
pub(super) type ArrangedKey = (u64, Form, usize);

/// What a step under record has used.
#[derive(Debug, Default)]
pub(super) struct InStep {
    /// Arranged weights, in the order of their first use.
    keys: Vec<ArrangedKey>,
    known: HashSet<ArrangedKey>,
    /// The trained parameters whose gradient has been written.
    pub written: HashSet<usize>,
}

impl InStep {
    /// Notes that the step reads a weight in another order.
    pub fn arrange(&mut self, key: ArrangedKey) {
        if self.known.insert(key) {
            self.keys.push(key);
        }
    }
}

impl Held {
    /// Whether values that begin there are among these.
    pub fn holds(&self, at: u64) -> bool {
        (self.values.at()..self.values.at() + self.values.len() as u64).contains(&at)
    }

    /// Gives the weights that a step arranges places without gaps, and forgets the step.
    pub fn settle(&mut self, cuda: &Cuda) {
        let keys = std::mem::take(&mut self.in_step).keys;
        let entry = |key| {
            self.arranged
                .remove(key)
                .map(|(block, entry)| (block.len(), entry))
        };
        let entries: Vec<_> = keys.iter().map(entry).collect();
        for (key, (length, mut entry)) in keys.into_iter().zip(entries.into_iter().flatten()) {
            let block = Rc::new(cuda.take(length));
            entry[1] = block.at();
            self.arranged.insert(key, (block, entry));
        }
    }

    /// The table of the weights that the step arranges.
    pub fn table(&self, step: &InStep) -> Vec<[u64; 8]> {
        step.keys.iter().map(|key| self.arranged[key].1).collect()
    }

    /// Where the gradient of a trained parameter is, and 1 where some of it is there already.
    pub fn gradient(&mut self, tensor: &Tensor) -> Option<(u64, i32)> {
        let (place, at) = self.by_id.get(&tensor.id())?.trained?;
        Some((at, i32::from(!self.in_step.written.insert(place))))
    }
}

/// First and second moments of a parameter; empty before its first gradient.
pub type CardMoments = [Vec<f32>; 2];

impl Cuda {
    /// Copies parameters to the card, to stay there until [`Self::release`]: those to be trained,
    /// with their moments, and others.
    ///
    /// # Errors
    /// The card's memory is full, or the driver reports an error.
    pub fn hold(
        &self,
        trained: &[&Tensor],
        others: &[&Tensor],
        moments: &[CardMoments],
    ) -> Result<()> {
        let length: usize = trained.iter().map(|t| aligned(t)).sum();
        let whole = length + others.iter().map(|t| aligned(t)).sum::<usize>();
        let values = Rc::new(self.take(whole));
        let gradients = self.take(length);
        let both = [self.take(length), self.take(length)];
        let mut at = 0;
        let mut by_id = HashMap::new();
        let mut of_trained = Vec::new();
        let mut floats = vec![0.0; whole];
        let mut first_and_second = [vec![0.0; length], vec![0.0; length]];
        for (place, tensor) in trained.iter().chain(others).enumerate() {
            let numbers: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
            floats[at..at + numbers.len()].copy_from_slice(&numbers);
            let is_trained = place < trained.len();
            let parameter = HeldParameter {
                values: values.at() + at as u64,
                len: numbers.len(),
                trained: is_trained.then_some((place, gradients.at() + at as u64)),
            };
            by_id.insert(tensor.id(), parameter);
            if is_trained {
                of_trained.push(parameter);
                for (all, one) in first_and_second.iter_mut().zip(&moments[place]) {
                    all[at..at + one.len()].copy_from_slice(one);
                }
            }
            at += aligned(tensor);
        }
        self.write(values.at(), &floats)?;
        for (block, moments) in both.iter().zip(&first_and_second) {
            self.write(block.at(), moments)?;
        }
        *self.held.borrow_mut() = Some(Held {
            by_id,
            trained: of_trained,
            values,
            gradients,
            moments: both,
            length,
            arranged: HashMap::new(),
            in_step: InStep::default(),
        });
        Ok(())
    }

    /// Frees what [`Self::hold`] took.
    pub fn release(&self) {
        *self.held.borrow_mut() = None;
    }

    /// The values of the trained parameters, in their order.
    ///
    /// # Errors
    /// Nothing is held, or the driver reports an error.
    pub fn held_values(&self) -> Result<Vec<Vec<f32>>> {
        let held = self.held.borrow();
        let Some(held) = held.as_ref() else {
            bail!("no parameters are on the card")
        };
        self.trained_parts(held, held.values.at())
    }

    /// The moments of the trained parameters, in their order.
    ///
    /// # Errors
    /// Nothing is held, or the driver reports an error.
    pub fn held_moments(&self) -> Result<Vec<CardMoments>> {
        let held = self.held.borrow();
        let Some(held) = held.as_ref() else {
            bail!("no parameters are on the card")
        };
        let [first, second] = &held.moments;
        let [first, second] = [first, second].map(|block| self.trained_parts(held, block.at()));
        Ok(first?
            .into_iter()
            .zip(second?)
            .map(|(m, v)| [m, v])
            .collect())
    }

    /// The part of each trained parameter in an array.
    fn trained_parts(&self, held: &Held, array: u64) -> Result<Vec<Vec<f32>>> {
        let mut all = vec![0.0; held.length];
        self.read(array, &mut all)?;
        let base = held.values.at();
        let part = |parameter: &HeldParameter| {
            let at = (parameter.values - base) as usize;
            all[at..at + parameter.len].to_vec()
        };
        Ok(held.trained.iter().map(part).collect())
    }
}

fn aligned(tensor: &Tensor) -> usize {
    tensor.elem_count().next_multiple_of(ALIGNED)
}
