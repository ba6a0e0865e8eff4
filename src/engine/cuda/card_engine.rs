//! The engine of a card: what its operations share.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    str::FromStr,
};

use candle_core::Result;

use super::{
    arena::{Arena, CardBlock},
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
    pub(super) device: Rc<Device>,
    precision: Precision,
    pub(super) arena: Arena,
    pub(super) record: RefCell<LaunchRecord>,
    pub(super) memory: RefCell<CardMemory>,
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
        Self {
            device: Rc::new(device),
            precision,
            arena: Arena::default(),
            record: RefCell::default(),
            memory: RefCell::default(),
            held: RefCell::default(),
            made: Cell::new(0),
            timed: Cell::new(None),
        }
    }

    /// The card.
    pub fn card(&self) -> &Card {
        &self.device.card
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
        self.device.wait()
    }

    /// Does what is recorded.
    fn run(&self) -> std::result::Result<(), CudaError> {
        let record = self.record.take();
        if record.launches.is_empty() {
            return Ok(());
        }
        let mut memory = self.memory.borrow_mut();
        let Some(before) = self.timed.get() else {
            return memory.run(&self.device, &record, self.arena.len());
        };
        // Memory is there, so that launches and one copy are all that is timed.
        memory.arena(&self.device, self.arena.len())?;
        let begin = self.device.event()?;
        memory.run(&self.device, &record, self.arena.len())?;
        let ms = self.device.event()?.since(&begin)?;
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
        self.run()?;
        self.memory.borrow().read(at, values)
    }

    /// Writes numbers, once all before is done.
    pub(super) fn write(&self, at: u64, values: &[f32]) -> std::result::Result<(), CudaError> {
        self.run()?;
        let mut memory = self.memory.borrow_mut();
        memory.arena(&self.device, self.arena.len())?;
        memory.write(at, values)
    }

    /// Whether the card gives a block so many bytes of shared memory.
    pub(super) fn fits(&self, shared: usize) -> bool {
        shared <= self.device.card.shared_memory
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
