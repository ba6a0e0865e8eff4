//! Values on a card, and the backward pass from a loss to the gradients of parameters.
//!
//! The rule: an operation says next to its launch how its gradients are computed, as a closure that
//! holds what it reads. Once it has run it is dropped, and the memory that it read with it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    fmt,
    rc::Rc,
};

use candle_core::{Result, Tensor, TensorId};

use super::{
    arena::CardBlock,
    card_engine::Cuda,
    machine::launch::{Launch, NOTHING, Scaled},
    moments::MomentParts,
};

/// A value `[G, C, H, W, 16]` on a card, or a loss.
#[derive(Clone, Debug)]
pub struct CudaTensor {
    node: Rc<CudaNode>,
    block: Rc<CardBlock>,
}

/// A value in the graph of the computation.
pub(super) struct CudaNode {
    /// Values are numbered as they are made: each number is above those of its inputs.
    pub number: u64,
    /// Groups, channels, height, width.
    pub dims: [usize; 4],
    pub back: Back,
    /// The moments of its parts, until a norm takes them.
    pub moments: RefCell<Option<MomentParts>>,
}

impl fmt::Debug for CudaNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "value {} of {:?}", self.number, self.dims)
    }
}

/// What goes on from the gradient of a value, and from the weight of a loss.
pub(super) type LayerBack = dyn Fn(&mut CudaBackward<'_>, &CardBlock);
pub(super) type LossBack = dyn Fn(&mut CudaBackward<'_>, f32);

/// How a value's gradient goes on to its inputs.
pub(super) enum Back {
    /// An input of the network: it does not.
    Given,
    /// From the gradient of all its numbers, which it may overwrite.
    Layer(Box<LayerBack>),
    /// From the weight of a loss.
    Loss(Box<LossBack>),
}

impl CudaTensor {
    pub(super) fn new(node: CudaNode, block: Rc<CardBlock>) -> Self {
        Self {
            node: Rc::new(node),
            block,
        }
    }

    // Methods, not fields: a closure that reads one field would not hold the other.

    pub(super) fn at(&self) -> u64 {
        self.block.at()
    }

    pub(super) fn node(&self) -> &Rc<CudaNode> {
        &self.node
    }

    pub(super) fn dims(&self) -> [usize; 4] {
        self.node.dims
    }

    /// Where each of its numbers is.
    pub(super) fn places(&self) -> impl Iterator<Item = u64> + use<> {
        (self.at()..).take(self.block.len())
    }
}

impl Cuda {
    /// A value in a block, with the way of its gradient.
    pub(super) fn value(&self, dims: [usize; 4], block: Rc<CardBlock>, back: Back) -> CudaTensor {
        let number = self.made.get();
        self.made.set(number + 1);
        let node = CudaNode {
            number,
            dims,
            back,
            moments: RefCell::default(),
        };
        CudaTensor::new(node, block)
    }

    /// One number: a loss.
    pub(super) fn number(
        &self,
        block: CardBlock,
        back: impl Fn(&mut CudaBackward<'_>, f32) + 'static,
    ) -> CudaTensor {
        self.value([1; 4], Rc::new(block), Back::Loss(Box::new(back)))
    }
}

/// What is known of a value's gradient.
enum KnownGradient {
    Numbers(CardBlock),
    Weight(f32),
}

/// The backward pass.
pub(super) struct CudaBackward<'a> {
    pub cuda: &'a Cuda,
    /// Values whose gradient is known in part or whole, by number.
    pending: BTreeMap<u64, (Rc<CudaNode>, KnownGradient)>,
    wanted: Wanted,
    parts: Vec<GradientPart>,
}

/// The parameters whose gradients are asked for.
enum Wanted {
    /// By their places.
    Places(HashMap<TensorId, usize>),
    /// Those that are trained on the card, in their own places.
    Held,
}

/// One part of a parameter's gradient.
pub(super) struct GradientPart {
    /// The parameter's place.
    pub place: usize,
    pub block: Rc<CardBlock>,
    /// Where it begins in the block.
    pub offset: usize,
    pub shape: candle_core::Shape,
}

impl<'a> CudaBackward<'a> {
    pub fn new(cuda: &'a Cuda, parameters: &[&Tensor]) -> Self {
        let wanted = parameters.iter().enumerate();
        let wanted = wanted.map(|(place, tensor)| (tensor.id(), place));
        Self::towards(cuda, Wanted::Places(wanted.collect()))
    }

    /// To the gradients of the parameters that are trained on the card.
    pub fn onto_held(cuda: &'a Cuda) -> Self {
        Self::towards(cuda, Wanted::Held)
    }

    fn towards(cuda: &'a Cuda, wanted: Wanted) -> Self {
        Self {
            cuda,
            pending: BTreeMap::new(),
            wanted,
            parts: Vec::new(),
        }
    }

    /// Runs it from `share` times a loss; the parts of all gradients.
    pub fn run(mut self, loss: CudaTensor, share: f32) -> Vec<GradientPart> {
        self.weight(loss.node(), share);
        drop(loss);
        // The highest number first: by then, all that was computed from a value has been handled.
        while let Some((_, (node, known))) = self.pending.pop_last() {
            match (&node.back, known) {
                (Back::Layer(back), KnownGradient::Numbers(gradient)) => back(&mut self, &gradient),
                (Back::Loss(back), KnownGradient::Weight(weight)) => back(&mut self, weight),
                (Back::Given, _) => {}
                (Back::Layer(_), KnownGradient::Weight(_))
                | (Back::Loss(_), KnownGradient::Numbers(_)) => {
                    unreachable!("a loss has a weight, any other value has numbers")
                }
            }
        }
        self.parts
    }

    /// Whether a value has a gradient that something depends on.
    pub fn passes(node: &CudaNode) -> bool {
        !matches!(node.back, Back::Given)
    }

    /// Where a value's gradient is, and 1 where some of it is there already, to be added to. The
    /// caller writes it.
    pub fn target(&mut self, node: &Rc<CudaNode>) -> (u64, i32) {
        match self.pending.get(&node.number) {
            Some((_, KnownGradient::Numbers(block))) => (block.at(), 1),
            Some((_, KnownGradient::Weight(_))) => unreachable!("a loss has a weight"),
            None => {
                let block = self.cuda.take(self.cuda.len(node.dims));
                let at = block.at();
                let known = KnownGradient::Numbers(block);
                self.pending.insert(node.number, (node.clone(), known));
                (at, 0)
            }
        }
    }

    /// Adds to a value's gradient, if it has one: `write` launches what writes it, or what adds to
    /// it where some is there.
    pub fn add(&mut self, node: &Rc<CudaNode>, write: impl FnOnce(&Cuda, u64, i32)) {
        if Self::passes(node) {
            let (to, onto) = self.target(node);
            write(self.cuda, to, onto);
        }
    }

    /// Adds to a value's gradient what another one's is.
    pub fn pass_on(&mut self, node: &Rc<CudaNode>, gradient: &CardBlock) {
        let operands = |to, onto| Scaled {
            from: gradient.at(),
            to,
            length: gradient.len() as u64,
            factor: 1.0,
            onto,
        };
        self.add(node, |cuda, to, onto| {
            cuda.launch(Launch::each("scale", gradient.len(), 1, operands(to, onto)));
        });
    }

    /// Adds to the weight of a loss.
    pub fn weight(&mut self, node: &Rc<CudaNode>, weight: f32) {
        let known = self.pending.entry(node.number);
        let (_, known) = known.or_insert_with(|| (node.clone(), KnownGradient::Weight(0.0)));
        if let KnownGradient::Weight(sum) = known {
            *sum += weight;
        }
    }

    /// Where the gradient of a parameter is to be written, and 1 where it is to be added; `None`
    /// where it is not asked for.
    pub fn parameter(&mut self, tensor: &Tensor) -> Option<(u64, i32)> {
        let places = match &self.wanted {
            Wanted::Places(places) => places,
            Wanted::Held => return self.cuda.held.borrow_mut().as_mut()?.gradient(tensor),
        };
        let place = *places.get(&tensor.id())?;
        let block = Rc::new(self.cuda.take(tensor.elem_count()));
        let at = block.at();
        self.parts.push(GradientPart {
            place,
            block,
            offset: 0,
            shape: tensor.shape().clone(),
        });
        Some((at, 0))
    }

    /// The same of parameters of one shape, one `stride` floats behind the other; [`NOTHING`] where
    /// none is asked for. Those not `present` have a gradient of zeros, which is not handed out.
    pub fn rows(&mut self, tensors: &[Tensor], present: &[usize], stride: usize) -> (u64, i32) {
        let places = match &self.wanted {
            Wanted::Places(places) => places,
            Wanted::Held => {
                let mut held = self.cuda.held.borrow_mut();
                let of = |tensor| held.as_mut().and_then(|held| held.gradient(tensor));
                // All in a row, so the first one's place is that of all.
                let first = tensors.iter().map(of).collect::<Vec<_>>().swap_remove(0);
                return first.unwrap_or((NOTHING, 0));
            }
        };
        let wanted = |row: &usize| {
            let place = places.get(&tensors[*row].id())?;
            Some((*row, *place))
        };
        let wanted: Vec<(usize, usize)> = present.iter().filter_map(wanted).collect();
        if wanted.is_empty() {
            return (NOTHING, 0);
        }
        let block = Rc::new(self.cuda.take(tensors.len() * stride));
        let at = block.at();
        for (row, place) in wanted {
            self.parts.push(GradientPart {
                place,
                block: block.clone(),
                offset: row * stride,
                shape: tensors[row].shape().clone(),
            });
        }
        (at, 0)
    }
}

/// The gradients of parts, by their places.
pub(super) fn gradients(
    cuda: &Cuda,
    parts: Vec<GradientPart>,
    receive: &mut dyn FnMut(usize, Tensor) -> Result<()>,
) -> Result<()> {
    let mut sums: BTreeMap<usize, Tensor> = BTreeMap::new();
    for GradientPart {
        place,
        block,
        offset,
        shape,
    } in parts
    {
        let mut values = vec![0.0; shape.elem_count()];
        cuda.read(block.at() + offset as u64, &mut values)?;
        let values = Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?;
        let sum = match sums.remove(&place) {
            Some(sum) => (sum + values)?,
            None => values,
        };
        sums.insert(place, sum);
    }
    sums.into_iter()
        .try_for_each(|(place, gradient)| receive(place, gradient))
}
