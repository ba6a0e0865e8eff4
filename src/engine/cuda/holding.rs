//! Parameters brought to the card for a training, and back.

use std::{collections::HashMap, rc::Rc};

use candle_core::{Result, Tensor};

use super::{
    card_engine::Cuda,
    conductor::Seat,
    held::{ALIGNED, Held, HeldParameter, InStep},
};

/// First and second moments of a parameter; empty before its first gradient.
pub type CardMoments = [Vec<f32>; 2];

impl Cuda {
    /// Gives parameters places on the card, for a step to be recorded: those to be trained, with
    /// their moments, and others. Returns what is to be written there, with the offsets.
    ///
    /// # Errors
    /// A parameter is not in single precision on the processor.
    pub fn hold(
        &self,
        trained: &[&Tensor],
        others: &[&Tensor],
        moments: &[CardMoments],
    ) -> Result<Vec<(u64, Vec<f32>)>> {
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
        let moments = both.iter().zip(first_and_second);
        let moments = moments.map(|(block, moments)| (block.at(), moments));
        // The space between parameters is read with them.
        let zeros = (gradients.at(), vec![0.0; length]);
        let written = [(values.at(), floats), zeros].into_iter();
        let written = written.chain(moments).collect();
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
        Ok(written)
    }

    /// The values of the trained parameters of a network at a seat, in their order.
    ///
    /// # Errors
    /// Nothing is held, or the driver reports an error.
    pub fn held_values(&self, seat: &Seat) -> Result<Vec<Vec<f32>>> {
        let held = self.held.borrow();
        let held = held.as_ref().ok_or_else(nothing_held)?;
        trained_parts(held, seat, held.values.at())
    }

    /// The moments of the trained parameters of a network at a seat, in their order.
    ///
    /// # Errors
    /// Nothing is held, or the driver reports an error.
    pub fn held_moments(&self, seat: &Seat) -> Result<Vec<CardMoments>> {
        let held = self.held.borrow();
        let held = held.as_ref().ok_or_else(nothing_held)?;
        let [first, second] = &held.moments;
        let [first, second] = [first, second].map(|block| trained_parts(held, seat, block.at()));
        let pairs = first?.into_iter().zip(second?);
        Ok(pairs.map(|(first, second)| [first, second]).collect())
    }
}

fn nothing_held() -> candle_core::Error {
    candle_core::Error::Msg("no parameters are on the card".to_owned())
}

/// The part of each trained parameter in an array.
fn trained_parts(held: &Held, seat: &Seat, array: u64) -> Result<Vec<Vec<f32>>> {
    let all = seat.read(array, held.length)?;
    let base = held.values.at();
    let part = |parameter: &HeldParameter| {
        let at = (parameter.values - base) as usize;
        all[at..at + parameter.len].to_vec()
    };
    Ok(held.trained.iter().map(part).collect())
}

fn aligned(tensor: &Tensor) -> usize {
    tensor.elem_count().next_multiple_of(ALIGNED)
}
