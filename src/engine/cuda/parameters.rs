//! Parameters on the card: their values, and weights in the orders in which correlations read them.

use std::rc::Rc;

use candle_core::{Result, Tensor, bail};

use super::{
    arena::Block,
    cuda_engine::Cuda,
    held::ALIGNED,
    launch::{Arrangement, Fed, Launch},
};

/// An order of a weight's numbers (sums.cu).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// `[inputs][taps][outputs]`.
    Forward = 0,
    /// `[outputs][taps][inputs]`.
    Backward = 1,
    /// `[inputs][4 classes x 2 x 2 taps][outputs]`: 3 x 3 taps on squares of 2 x 2.
    JointForward = 2,
    /// `[outputs][4 x 4 taps][inputs]`: the same, from the output to the input.
    JointBackward = 3,
}

/// Numbers on the card, held as long as this is.
#[derive(Clone, Debug)]
pub(super) struct OnCard {
    at: u64,
    _held: Rc<Block>,
}

impl OnCard {
    /// Where they begin. Not a field: a closure that reads one would not hold the rest.
    pub fn at(&self) -> u64 {
        self.at
    }
}

impl From<Rc<Block>> for OnCard {
    fn from(block: Rc<Block>) -> Self {
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
pub(super) struct Rows {
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
    pub(super) fn rows(&self, tensors: &[Tensor], channels: usize) -> Result<Rows> {
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
            return Ok(Rows {
                values: first,
                stride,
            });
        }
        let mut words = Vec::new();
        for tensor in tensors {
            let values: Vec<f32> = tensor.to_vec1()?;
            words.extend(values.into_iter().map(f32::to_bits));
        }
        Ok(Rows {
            values: self.fed(words).into(),
            stride: channels,
        })
    }

    /// Words of the processor in the card's memory.
    pub(super) fn fed(&self, words: impl IntoIterator<Item = u32>) -> Rc<Block> {
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

    /// A weight in another order (of one that stays on the card, arranged anew in every step), with `taken` of its inputs from `before` on; the innermost number
    /// of channels is padded to a multiple of four.
    pub(super) fn arranged(
        &self,
        weight: &Weight,
        form: Form,
        [before, taken]: [usize; 2],
    ) -> Rc<Block> {
        let taps = weight.kernel * weight.kernel;
        let slots = match form {
            Form::Forward | Form::Backward => taps,
            Form::JointForward | Form::JointBackward => 16,
        };
        let [outer, inner] = match form {
            Form::Forward | Form::JointForward => [taken, weight.outputs],
            Form::Backward | Form::JointBackward => [weight.outputs, taken],
        };
        let length = outer * slots * inner.next_multiple_of(4);
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
