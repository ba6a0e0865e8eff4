//! A whole training step as a list of launches: recorded once, done any number of times.

use std::cell::RefCell;

use candle_core::{Result, bail};

use super::{
    arena::CardBlock,
    card_engine::Cuda,
    held::ALIGNED,
    machine::launch::{Arrangement, FEED_HEAD, Launch, Networks, Scaled, Update},
    machine::{CudaError, Graph, Memory, Pinned},
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

/// A recorded step.
#[derive(Debug)]
pub struct RecordedStep {
    launches: Vec<Launch>,
    constants: Memory,
    /// Words of the feed: what the passes read, then two rates for each trained parameter.
    feed: usize,
    losses: CardBlock,
    passes: usize,
    /// The places of the trained parameters with a gradient.
    written: Vec<usize>,
    pinned: RefCell<Pinned>,
    on_card: Memory,
    /// By the arena's address.
    graph: RefCell<Option<(u64, Graph)>>,
}

impl RecordedStep {
    /// Whether the step gives a trained parameter a gradient.
    pub fn changes(&self, place: usize) -> bool {
        self.written.contains(&place)
    }

    /// Launches of one step.
    pub fn launches(&self) -> usize {
        self.launches.len()
    }
}

impl Cuda {
    /// Records a step of a training whose parameters are [held](Self::hold): the passes that
    /// `build` makes, and the update of the parameters. `build` is called twice. Arranged weights
    /// are written at the step's beginning, so they must have places of their own before anything
    /// else of the step has: the first call tells which there are.
    ///
    /// # Errors
    /// Those of `build`; nothing is held; the card's memory is full.
    pub fn record_step(
        &self,
        optimiser: &CardOptimiser,
        most_passes: usize,
        mut build: impl FnMut(&mut Recording<'_>) -> Result<()>,
    ) -> Result<RecordedStep> {
        // What was asked for before is no part of it.
        self.finish()?;
        let mut recorded = || {
            let mut recording = Recording {
                cuda: self,
                losses: self.take(most_passes),
                passes: 0,
            };
            let built = build(&mut recording);
            let Recording { losses, passes, .. } = recording;
            let record = self.record.take();
            built.map(|()| (losses, passes, record))
        };
        drop(recorded()?);
        if let Some(held) = self.held.borrow_mut().as_mut() {
            held.settle(&self.arena);
        }
        let (losses, passes, mut record) = recorded()?;
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
        let bytes = (FEED_HEAD + feed) * size_of::<u32>();
        let constants = self
            .device
            .allocate(record.constants.len() * size_of::<u64>())?;
        constants.write(0, &record.constants)?;
        let mut written: Vec<usize> = in_step.written.into_iter().collect();
        written.sort_unstable();
        Ok(RecordedStep {
            launches: record.launches,
            constants,
            feed,
            losses,
            passes,
            written,
            pinned: RefCell::new(Pinned::new(&self.device, bytes)?),
            on_card: self.device.allocate(bytes)?,
            graph: RefCell::new(None),
        })
    }

    /// Does a recorded step with what the processor gives: the words that its passes read, in their
    /// order, and the rate of each trained parameter. Returns the loss.
    ///
    /// # Errors
    /// The words are not as many as the step reads, or the driver reports an error.
    pub fn run_step(&self, step: &RecordedStep, words: &[u32], rates: &[StepRate]) -> Result<f32> {
        if words.len() + 2 * rates.len() != step.feed {
            bail!(
                "{} words and {} rates for a step that reads {} words",
                words.len(),
                rates.len(),
                step.feed
            );
        }
        let mut pinned = step.pinned.borrow_mut();
        let to: &mut [u32] = bytemuck::cast_slice_mut(pinned.floats());
        to[..FEED_HEAD].fill(u32::MAX);
        to[0] = 0;
        to[FEED_HEAD..][..words.len()].copy_from_slice(words);
        let of_rates = to[FEED_HEAD + words.len()..].chunks_exact_mut(2);
        for (to, rate) in of_rates.zip(rates) {
            let pair = match *rate {
                StepRate::Absent => [-1.0, 0.0],
                StepRate::Plain(rate) => [rate, 0.0],
                StepRate::Adaptive(rate) => [0.0, rate],
            };
            to.copy_from_slice(&pair.map(f32::to_bits));
        }
        let bytes = (FEED_HEAD + step.feed) * size_of::<u32>();
        step.on_card.write_pinned(&pinned, bytes)?;
        self.launch_step(step)?;
        let mut losses = vec![0.0; step.passes];
        self.read(step.losses.at(), &mut losses)?;
        Ok(losses.iter().sum())
    }

    /// Launches a step, as a graph where the card's memory has not moved since it was recorded.
    fn launch_step(&self, step: &RecordedStep) -> std::result::Result<(), CudaError> {
        let arena = self
            .memory
            .borrow_mut()
            .arena(&self.device, self.arena.len())?;
        let mut graph = step.graph.borrow_mut();
        if graph.as_ref().is_none_or(|(address, _)| *address != arena) {
            let networks = Networks {
                arena,
                feed: step.on_card.address(),
                constants: step.constants.address(),
                stride: 0,
                feed_stride: 0,
                groups: 1,
                unused: 0,
            };
            // Functions are looked up before the capture, in which nothing else may be done.
            for launch in &step.launches {
                self.device.prepare(launch)?;
            }
            let recorded = self.device.graph(|| {
                let mut launches = step.launches.iter();
                launches.try_for_each(|launch| self.device.launch(launch, networks, 1))
            })?;
            *graph = Some((arena, recorded));
        }
        match graph.as_ref() {
            Some((_, graph)) => graph.launch(),
            None => unreachable!("it was recorded above"),
        }
    }
}
