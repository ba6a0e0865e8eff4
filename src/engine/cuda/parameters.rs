//! Parameters on the card: their values, and weights in the orders in which correlations read them.

use std::rc::Rc;

use candle_core::{Result, Tensor, bail};

use super::{
    arena::CardBlock,
    card_engine::Cuda,
    forms::Form,
    held::ALIGNED,
    machine::launch::{Arrangement, Fed, Launch},
};

/// Numbers on the card, held as long as this is.
#[derive(Clone, Debug)]
pub(super) struct OnCard {
    at: u64,
    _held: Rc<CardBlock>,
}

impl OnCard {
    /// Where they begin. Not a field: a closure that reads one would not hold the rest.
    pub fn at(&self) -> u64 {
        self.at
    }
}

impl From<Rc<CardBlock>> for OnCard {
    fn from(block: Rc<CardBlock>) -> Self {
        Self {
            at: block.at(),
            _held: block,
        }
    }
}

/// A weight `[outputs, inputs, kernel, kernel]` on the card.
#[derive(Clone, Debug)]
pub(super) struct Weight {
    pub values: OnCard,
    pub outputs: usize,
    pub inputs: usize,
    pub kernel: usize,
}

/// Parameters `[C]`, one `stride` floats behind the other.
#[derive(Clone, Debug)]
pub(super) struct ExpertRows {
    pub values: OnCard,
    pub stride: usize,
}

impl Cuda {
    /// The numbers of a tensor on the card.
    pub(super) fn parameter(&self, tensor: &Tensor) -> Result<OnCard> {
        if let Some(held) = self.held_at(tensor) {
            return Ok(held);
        }
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        Ok(self.fed(values.into_iter().map(f32::to_bits)).into())
    }

    /// The values of a parameter that stays on the card.
    fn held_at(&self, tensor: &Tensor) -> Option<OnCard> {
        let held = self.held.borrow();
        let held = held.as_ref()?;
        Some(OnCard {
            at: held.by_id.get(&tensor.id())?.values,
            _held: held.values.clone(),
        })
    }

    /// A weight on the card.
    pub(super) fn weight(&self, tensor: &Tensor) -> Result<Weight> {
        let (outputs, inputs, kernel, _) = tensor.dims4()?;
        Ok(Weight {
            values: self.parameter(tensor)?,
            outputs,
            inputs,
            kernel,
        })
    }

    /// Parameters `[channels]` on the card.
    pub(super) fn rows(&self, tensors: &[Tensor], channels: usize) -> Result<ExpertRows> {
        if let Some(other) = tensors.iter().find(|tensor| tensor.dims() != [channels]) {
            bail!(
                "scales or shifts are {:?}, there are {channels} channels",
                other.dims()
            );
        }
        if let Some(first) = tensors.first().and_then(|tensor| self.held_at(tensor)) {
            let stride = channels.next_multiple_of(ALIGNED);
            for (row, tensor) in tensors.iter().enumerate() {
                let expected = first.at + (row * stride) as u64;
                if self.held_at(tensor).is_none_or(|held| held.at != expected) {
                    bail!("the scales or shifts of experts are not side by side on the card");
                }
            }
            return Ok(ExpertRows {
                values: first,
                stride,
            });
        }
        let mut words = Vec::new();
        for tensor in tensors {
            let values: Vec<f32> = tensor.to_vec1()?;
            words.extend(values.into_iter().map(f32::to_bits));
        }
        Ok(ExpertRows {
            values: self.fed(words).into(),
            stride: channels,
        })
    }

    /// Words of the processor in the card's memory.
    pub(super) fn fed(&self, words: impl IntoIterator<Item = u32>) -> Rc<CardBlock> {
        let mut record = self.record.borrow_mut();
        let from = record.feed(words);
        let length = record.feed.len() - from as usize;
        let block = self.take(length);
        let operands = Fed {
            from,
            to: block.at(),
            length: length as u64,
        };
        record
            .launches
            .push(Launch::each("from_feed", length, 1, operands));
        Rc::new(block)
    }

    /// A weight in another order, with `taken` of its inputs from `before` on; the innermost
    /// number of channels is padded to a multiple of four. One that stays on the card is arranged
    /// anew in every step.
    pub(super) fn arranged(
        &self,
        weight: &Weight,
        form: Form,
        [before, taken]: [usize; 2],
    ) -> Rc<CardBlock> {
        let taps = weight.kernel * weight.kernel;
        let length = form.length([weight.outputs, taken], taps);
        let key = (weight.values.at(), form, before);
        let mut held = self.held.borrow_mut();
        let held = held.as_mut().filter(|held| held.holds(weight.values.at()));
        if let Some((block, _)) = held.as_ref().and_then(|held| held.arranged.get(&key)) {
            let block = block.clone();
            if let Some(held) = held {
                held.in_step.arrange(key);
            }
            return block;
        }
        let block = Rc::new(self.take(length));
        let numbers = [weight.outputs, weight.inputs, taps, before, taken];
        let [outputs, inputs, taps, before, taken] = numbers.map(|number| number as u64);
        let entry = [
            weight.values.at(),
            block.at(),
            outputs,
            inputs,
            taps,
            before,
            taken,
            form as u64,
        ];
        if let Some(held) = held {
            held.arranged.insert(key, (block.clone(), entry));
            held.in_step.arrange(key);
            return block;
        }
        let mut record = self.record.borrow_mut();
        let operands = Arrangement {
            table: record.constants.len() as u64,
        };
        record.constants.extend(entry);
        record
            .launches
            .push(Launch::each("arrange", length, 1, operands));
        block
    }
}
