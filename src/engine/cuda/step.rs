//! A whole training step as a plan: recorded once, done any number of times.

use candle_core::{Result, bail};

use super::{
    arena::CardBlock,
    card_engine::Cuda,
    held::{ALIGNED, InStep},
    machine::launch::{Arrangement, Launch, Scaled, Update},
    plan::StepPlan,
    tape::{CudaBackward, CudaTensor},
};

/// The numbers of Rectified Adam that stay the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CardOptimiser {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// The term against division by zero.
    pub eps: f64,
}

/// The rates of one parameter in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepRate {
    /// It has no gradient, and stays.
    Absent,
    /// The factor of the first moment, while the variance is not tractable.
    Plain(f32),
    /// The factor of the first moment over the root of the second.
    Adaptive(f32),
}

/// A step that is being recorded.
pub struct Recording<'a> {
    cuda: &'a Cuda,
    /// A float for each pass: its share of the loss.
    losses: CardBlock,
    passes: usize,
}

impl Recording<'_> {
    /// The backward pass from a loss, which is the next one's share of the step's.
    pub fn backward(&mut self, loss: CudaTensor, share: f64) {
        let operands = Scaled {
            from: loss.at(),
            to: self.losses.at() + self.passes as u64,
            length: 1,
            factor: share as f32,
            onto: 0,
        };
        self.cuda.launch(Launch::each("scale", 1, 1, operands));
        self.passes += 1;
        CudaBackward::onto_held(self.cuda).run(loss, share as f32);
    }
}

impl Cuda {
    /// Records a step of a training whose parameters are [held](Self::hold): the passes that
    /// `build` makes, and the update of the parameters. What `build` returns is what the step gives
    /// beside its loss. It is called twice: arranged weights are written at the step's beginning,
    /// so they must have places of their own before anything else of the step has, and the first
    /// call tells which there are.
    ///
    /// # Errors
    /// Those of `build`, and where no parameters are held.
    pub fn record_step(
        &self,
        optimiser: &CardOptimiser,
        most_passes: usize,
        mut build: impl FnMut(&mut Recording<'_>) -> Result<Vec<CudaTensor>>,
    ) -> Result<(StepPlan, Vec<CudaTensor>)> {
        if let Some(held) = self.held.borrow_mut().as_mut() {
            held.in_step = InStep::default();
        }
        let mut recorded = || {
            let mut recording = Recording {
                cuda: self,
                losses: self.take(most_passes),
                passes: 0,
            };
            let built = build(&mut recording);
            let Recording { losses, passes, .. } = recording;
            let record = self.record.take();
            built.map(|outputs| (losses, passes, record, outputs))
        };
        drop(recorded()?);
        if let Some(held) = self.held.borrow_mut().as_mut() {
            held.settle(&self.arena);
        }
        let (losses, passes, mut record, others) = recorded()?;
        let mut held = self.held.borrow_mut();
        let Some(held) = held.as_mut() else {
            bail!("no parameters are on the card")
        };
        let in_step = std::mem::take(&mut held.in_step);
        let (arranged, longest) = held.table(&in_step);
        let arrangement = Launch {
            grid: [longest.div_ceil(256), arranged.len()],
            ..Launch::each(
                "arrange",
                1,
                1,
                Arrangement {
                    table: record.constants.len() as u64,
                },
            )
        };
        record.constants.extend(arranged.iter().flatten());
        record.launches.insert(0, arrangement);
        let table = record.constants.len() as u64;
        for (place, parameter) in held.trained.iter().enumerate() {
            let blocks = parameter.len.div_ceil(ALIGNED);
            record
                .constants
                .extend(std::iter::repeat_n(place as u64, blocks));
        }
        let operands = Update {
            parameters: held.values.at(),
            gradients: held.gradients.at(),
            first: held.moments[0].at(),
            second: held.moments[1].at(),
            length: held.length as u64,
            rates: record.feed.len() as u64,
            table,
            losses: losses.at(),
            passes: passes as i32,
            unused: 0,
            beta1: optimiser.beta1 as f32,
            beta2: optimiser.beta2 as f32,
            rest1: (1.0 - optimiser.beta1) as f32,
            rest2: (1.0 - optimiser.beta2) as f32,
            eps: optimiser.eps as f32,
            unused2: 0,
        };
        let blocks = [held.length.div_ceil(ALIGNED), 1];
        record
            .launches
            .push(Launch::new("radam", blocks, ALIGNED, 0, 1, operands));
        let feed = record.feed.len() + 2 * held.trained.len();
        let mut written: Vec<usize> = in_step.written.into_iter().collect();
        written.sort_unstable();
        let of_others = others.iter().flat_map(CudaTensor::places);
        let plan = StepPlan {
            launches: record.launches,
            constants: record.constants,
            feed,
            outputs: (losses.at()..).take(passes).chain(of_others).collect(),
            passes,
            floats: self.arena.len(),
            written,
        };
        Ok((plan, others))
    }

    /// Makes the numbers that a step gave readable: those of its plan, of which the first are the
    /// shares of the loss. Returns the loss.
    pub fn given(&self, plan: &StepPlan, others: &[CudaTensor], numbers: &[f32]) -> f32 {
        let (shares, mut rest) = numbers.split_at(plan.passes);
        let mut outputs = self.outputs.borrow_mut();
        outputs.clear();
        for other in others {
            let (own, more) = rest.split_at(other.places().count());
            outputs.insert(other.at(), own.to_vec());
            rest = more;
        }
        shares.iter().sum()
    }
}

/// The words that a step reads: what its passes read, then the rate of each trained parameter.
pub fn with_rates(mut words: Vec<u32>, rates: &[StepRate]) -> Vec<u32> {
    let pair = |rate: &StepRate| match *rate {
        StepRate::Absent => [-1.0, 0.0],
        StepRate::Plain(rate) => [rate, 0.0],
        StepRate::Adaptive(rate) => [0.0, rate],
    };
    words.extend(rates.iter().flat_map(pair).map(f32::to_bits));
    words
}
