//! Parameters that stay on the card while a network is trained, with gradients and moments.
//!
//! Four arrays in one order: values, gradients, first and second moments. A parameter begins at a
//! multiple of [`ALIGNED`] floats, so that a block of the optimiser's kernel has one parameter.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use candle_core::{Tensor, TensorId};

use super::{
    arena::{Arena, CardBlock},
    forms::Form,
};

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
    pub values: Rc<CardBlock>,
    pub gradients: CardBlock,
    pub moments: [CardBlock; 2],
    /// Floats of the trained ones.
    pub length: usize,
    /// Weights in other orders, with their entries in the kernel's table.
    pub arranged: HashMap<ArrangedKey, (Rc<CardBlock>, [u64; 8])>,
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
    pub fn settle(&mut self, arena: &Arena) {
        let keys = std::mem::take(&mut self.in_step).keys;
        let entry = |key| {
            self.arranged
                .remove(key)
                .map(|(block, entry)| (block.len(), entry))
        };
        let entries: Vec<_> = keys.iter().map(entry).collect();
        for (key, (length, mut entry)) in keys.into_iter().zip(entries.into_iter().flatten()) {
            let block = Rc::new(arena.take(length));
            entry[1] = block.at();
            self.arranged.insert(key, (block, entry));
        }
    }

    /// The table of the weights that the step arranges, and the numbers of the longest.
    pub fn table(&self, step: &InStep) -> (Vec<[u64; 8]>, usize) {
        let arranged = step.keys.iter().map(|key| &self.arranged[key]);
        let longest = arranged.clone().map(|(block, _)| block.len()).max();
        let table = arranged.map(|(_, entry)| *entry).collect();
        (table, longest.unwrap_or(1))
    }

    /// Where the gradient of a trained parameter is, and 1 where some of it is there already.
    pub fn gradient(&mut self, tensor: &Tensor) -> Option<(u64, i32)> {
        let (place, at) = self.by_id.get(&tensor.id())?.trained?;
        Some((at, i32::from(!self.in_step.written.insert(place))))
    }
}
