//! The engine of a card: what its operations share.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    fmt,
    rc::Rc,
    str::FromStr,
    sync::Arc,
};

use candle_core::Result;

use super::{
    arena::{Arena, CardBlock},
    conductor::{Conductor, Permit},
    held::Held,
    machine::{Card, CudaError, Device, launch::Launch},
    record::{CardMemory, LaunchRecord},
};
use crate::engine::lanes::LANES;

/// How factors of convolutions go into tensor cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In two parts each, three products: single precision.
    #[default]
    F32,
    /// Rounded to ten bits of mantissa.
    Tf32,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "f32" => Ok(Self::F32),
            "tf32" => Ok(Self::Tf32),
            _ => Err(format!("`{text}` is no precision: `f32` or `tf32`")),
        }
    }
}

/// The engine of a card. Parameters stay with the processor; what is computed stays on the card
/// until it is read.
#[derive(Debug)]
pub struct Cuda {
    card: Card,
    /// The card; none where operations are recorded only.
    device: Option<Rc<Device>>,
    /// What trains networks on the card.
    conductor: OnceCell<Arc<Conductor>>,
    precision: Precision,
    pub(super) arena: Arena,
    pub(super) record: RefCell<LaunchRecord>,
    memory: RefCell<CardMemory>,
    /// Where trainings are on the card too: held as long as there is memory.
    permit: RefCell<Option<Permit>>,
    /// Where operations are recorded only: numbers of the last step, by where they are.
    pub(super) outputs: RefCell<HashMap<u64, Vec<f32>>>,
    /// Parameters that stay on the card.
    pub(super) held: RefCell<Option<Held>>,
    /// Values made.
    pub(super) made: Cell<u64>,
    /// Milliseconds of launches, where they are timed.
    timed: Cell<Option<f64>>,
}

impl Cuda {
    /// On an open card.
    pub fn new(device: Device, precision: Precision) -> Self {
        Self::of(device.card.clone(), Some(Rc::new(device)), precision)
    }

    /// On an open card, with trainings by a conductor that other threads use too.
    pub fn beside(device: Device, precision: Precision, conductor: Arc<Conductor>) -> Self {
        let cuda = Self::new(device, precision);
        cuda.conductor.get_or_init(|| conductor);
        cuda
    }

    /// The same, to record operations and compute nothing.
    pub(crate) fn tracer(&self) -> Self {
        Self::of(self.card.clone(), None, self.precision)
    }

    /// What trains networks on the card, begun where there is none.
    ///
    /// # Errors
    /// The card cannot be opened once more.
    pub fn conductor(&self) -> std::result::Result<Arc<Conductor>, CudaError> {
        if let Some(conductor) = self.conductor.get() {
            return Ok(conductor.clone());
        }
        let cards = self.device()?.cards();
        let conductor = Arc::new(Conductor::new(cards, self.card.number)?);
        Ok(self.conductor.get_or_init(|| conductor).clone())
    }

    /// The networks that are trained on the card in this process, at least one.
    pub(super) fn company(&self) -> usize {
        let networks = self
            .conductor
            .get()
            .map_or(1, |conductor| conductor.networks());
        networks.max(1)
    }

    fn device(&self) -> std::result::Result<&Rc<Device>, CudaError> {
        self.device.as_ref().ok_or(CudaError::Driver {
            doing: "recording a step",
            text: "nothing is computed".to_owned(),
        })
    }

    fn of(card: Card, device: Option<Rc<Device>>, precision: Precision) -> Self {
        Self {
            card,
            device,
            conductor: OnceCell::new(),
            precision,
            arena: Arena::default(),
            record: RefCell::default(),
            memory: RefCell::default(),
            permit: RefCell::default(),
            outputs: RefCell::default(),
            held: RefCell::default(),
            made: Cell::new(0),
            timed: Cell::new(None),
        }
    }

    /// The card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The precision of convolutions.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Waits until all that was asked for is done.
    ///
    /// # Errors
    /// The card reports one.
    pub fn finish(&self) -> std::result::Result<(), CudaError> {
        self.run()?;
        self.device()?.wait()
    }

    /// Gives the card's memory back where no value is kept in it.
    pub fn release_memory(&self) {
        if self.arena.is_free() {
            self.record.take();
            self.memory.take();
            self.permit.take();
        }
    }

    /// Whether the card reports an error that stays, or its trainings have ended with one.
    pub fn is_broken(&self) -> bool {
        let conductor = self.conductor.get();
        self.finish().is_err() || conductor.is_some_and(|conductor| !conductor.is_alive())
    }

    /// Does what is recorded.
    fn run(&self) -> std::result::Result<(), CudaError> {
        let record = self.record.take();
        if record.launches.is_empty() {
            return Ok(());
        }
        let device = self.device()?;
        if let Some(conductor) = self.conductor.get() {
            let mut permit = self.permit.borrow_mut();
            permit.get_or_insert_with(|| conductor.permit());
        }
        let mut memory = self.memory.borrow_mut();
        let Some(before) = self.timed.get() else {
            return memory.run(device, &record, self.arena.len());
        };
        // Memory is there, so that launches and one copy are all that is timed.
        memory.arena(device, self.arena.len())?;
        let begin = device.event()?;
        memory.run(device, &record, self.arena.len())?;
        let ms = device.event()?.since(&begin)?;
        self.timed.set(Some(before + f64::from(ms)));
        Ok(())
    }

    /// The milliseconds that a card takes for what `work` asks for.
    ///
    /// # Errors
    /// Those of `work`, and where the driver reports one.
    pub fn time(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        self.finish()?;
        self.timed.set(Some(0.0));
        let done = work().and_then(|()| Ok(self.run()?));
        let ms = self.timed.take();
        done.map(|()| ms.unwrap_or(0.0))
    }

    /// Reads numbers, once all before is done.
    pub(super) fn read(&self, at: u64, values: &mut [f32]) -> std::result::Result<(), CudaError> {
        if let Some(output) = self.outputs.borrow().get(&at) {
            values.copy_from_slice(output);
            return Ok(());
        }
        self.run()?;
        self.memory.borrow().read(at, values)
    }

    /// Whether the card gives a block so many bytes of shared memory.
    pub(super) fn fits(&self, shared: usize) -> bool {
        shared <= self.card.shared_memory
    }

    /// Floats of a value.
    pub(super) fn len(&self, dims: [usize; 4]) -> usize {
        dims.iter().product::<usize>() * LANES
    }

    pub(super) fn take(&self, len: usize) -> CardBlock {
        self.arena.take(len)
    }

    pub(super) fn launch(&self, launch: Launch) {
        self.record.borrow_mut().launches.push(launch);
    }
}
