//! The options for devices, engines and instruction sets.

use std::{
    ffi::OsString,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Error, anyhow};
use clap::{Args, ValueEnum};

use super::Failure;
use crate::{
    asked_engine::AskedEngine,
    engine::{
        AnyEngine, Lanes, Stock,
        cuda::{Conductor, MOST_NETWORKS, Precision},
        lanes::{Isa, Kernels, Threads},
    },
    exec::{DeviceName, DeviceRequest, Slot, Takes},
    store::MadeBy,
};

/// A number from 1, as an option's value.
pub(super) fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse::<usize>().ok().and_then(NonZeroUsize::new);
    number.ok_or_else(|| "write a whole number from 1, such as 2".to_owned())
}

/// Where stages run, and how many at once.
#[derive(Clone, Debug, Args)]
pub(super) struct ExecutionArguments {
    /// Stages to run at once [default: one per core, or up to 64 per CUDA device].
    #[arg(short, long, value_name = "N", value_parser = at_least_one)]
    pub(super) jobs: Option<NonZeroUsize>,
    /// `auto`, `cpu`, or CUDA devices like `cuda:0,cuda:1`.
    #[arg(long, default_value = "auto", value_name = "DEVICES")]
    pub(super) device: DeviceRequest,
    #[command(flatten)]
    pub(super) compute: Compute,
}

/// The engine and its instruction set.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Compute {
    /// Engine that computes.
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) engine: EngineChoice,
    /// Instruction set of the lanes engine; all give the same results.
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) isa: IsaChoice,
    /// Precision of convolutions on cards: `f32`, or `tf32` with ten bits of mantissa.
    #[arg(long, default_value = "f32", value_name = "PRECISION")]
    pub(super) precision: Precision,
}

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum EngineChoice {
    /// `lanes` on the processor, `cuda` on cards.
    Auto,
    /// The fast kernels of NVIDIA cards; they have not met a GPU yet.
    Cuda,
    /// The fast kernels of the processor.
    Lanes,
    /// Candle's own operations, on any device.
    Stock,
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum IsaChoice {
    /// The fastest that the machine has.
    Auto,
    /// x86-64 with AVX-512.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// AArch64.
    Neon,
    /// Any machine.
    Portable,
}

impl ExecutionArguments {
    /// The devices that are asked for. An engine that works on the processor alone takes that under
    /// `auto`.
    pub(super) fn devices(&self) -> DeviceRequest {
        let on_processor = match self.compute.engine {
            EngineChoice::Lanes => true,
            EngineChoice::Stock => !cfg!(feature = "cuda"),
            EngineChoice::Auto | EngineChoice::Cuda => false,
        };
        match on_processor && self.device == DeviceRequest::Auto {
            true => DeviceRequest::Named(vec![DeviceName::Cpu]),
            false => self.device.clone(),
        }
    }
}

impl Compute {
    /// How many stages a card has at once: those that do not fit its memory wait.
    pub(super) fn stages_on_a_card(self) -> usize {
        match self.engine {
            EngineChoice::Stock => 1,
            EngineChoice::Auto | EngineChoice::Cuda | EngineChoice::Lanes => MOST_NETWORKS,
        }
    }

    /// The options that pass this choice on to a worker.
    pub(super) fn arguments(self) -> [OsString; 6] {
        let word = |value: Option<clap::builder::PossibleValue>| {
            let value = value.expect("no choice is hidden");
            OsString::from(value.get_name())
        };
        [
            "--engine".into(),
            word(self.engine.to_possible_value()),
            "--isa".into(),
            word(self.isa.to_possible_value()),
            "--precision".into(),
            self.precision.to_string().into(),
        ]
    }

    /// The engine that was asked for by name.
    pub(super) fn asked(self) -> Option<AskedEngine> {
        let chosen = self
            .engine
            .to_possible_value()
            .expect("no choice is hidden");
        (self.engine != EngineChoice::Auto).then(|| AskedEngine(chosen.get_name().to_owned()))
    }

    /// Checks that this machine has what was asked for, for the devices of these slots.
    pub(super) fn check(self, slots: &[Slot]) -> anyhow::Result<()> {
        self.kernels(Threads::new(NonZeroUsize::MIN))?;
        let trains = slots.iter().filter(|slot| slot.takes != Takes::Evaluations);
        let devices: Vec<DeviceName> = trains.map(|slot| slot.device).collect();
        if self.engine == EngineChoice::Stock {
            devices
                .iter()
                .try_for_each(|device| device.open().map(drop))?;
        }
        let mut devices = devices.into_iter();
        let wrong = |device: &DeviceName| match self.engine {
            EngineChoice::Lanes => *device != DeviceName::Cpu,
            EngineChoice::Cuda => *device == DeviceName::Cpu,
            EngineChoice::Auto | EngineChoice::Stock => false,
        };
        devices
            .find(wrong)
            .map_or(Ok(()), |device| Err(self.not_on(device)))
    }

    /// The engine on a device.
    pub(super) fn open(self, device: DeviceName, threads: Threads) -> anyhow::Result<AnyEngine> {
        match (self.engine, device) {
            (EngineChoice::Auto | EngineChoice::Lanes, DeviceName::Cpu) => Ok(AnyEngine::Lanes(
                Lanes::with_kernels(self.kernels(threads)?),
            )),
            (EngineChoice::Auto | EngineChoice::Cuda, DeviceName::Cuda(number)) => {
                Ok(AnyEngine::Cuda(Box::new(DeviceName::checked_engine(
                    number,
                    self.precision,
                )?)))
            }
            (EngineChoice::Lanes | EngineChoice::Cuda, device) => Err(self.not_on(device)),
            (EngineChoice::Stock, device) => Ok(AnyEngine::Stock(Stock::new(device.open()?))),
        }
    }

    fn not_on(self, device: DeviceName) -> Error {
        let (engine, works_on, take) = match self.engine {
            EngineChoice::Cuda => ("cuda", "cards", "cuda:0"),
            _ => ("lanes", "the processor", "cpu"),
        };
        anyhow!(
            "the {engine} engine works on {works_on}, not on {device}; leave `--engine` out, or \
             take `--device {take}`"
        )
    }

    pub(super) fn kernels(self, threads: Threads) -> anyhow::Result<Kernels> {
        let isa = match self.isa {
            IsaChoice::Auto => Isa::detect(),
            IsaChoice::Avx512 => Isa::Avx512,
            IsaChoice::Avx2 => Isa::Avx2,
            IsaChoice::Neon => Isa::Neon,
            IsaChoice::Portable => Isa::Portable,
        };
        Kernels::with_isa(isa, threads).context("--isa")
    }
}

/// The engines of one process, each for a thread of its own.
pub(super) struct Engines {
    compute: Compute,
    device: DeviceName,
    /// The threads of the processor's engine.
    threads: Threads,
    /// What trains networks on the card, once one has been opened and checked.
    conductor: Mutex<Option<Arc<Conductor>>>,
}

impl Engines {
    /// Of a device; those of the processor share the threads.
    pub(super) fn new(compute: Compute, device: DeviceName, threads: Threads) -> Self {
        Self {
            compute,
            device,
            threads,
            conductor: Mutex::default(),
        }
    }

    /// Sets the number of the threads.
    pub(super) fn set_threads(&self, count: NonZeroUsize) {
        self.threads.adjust(count);
    }

    /// Lets a network that finds a card's memory full be told so: for some that wait for each
    /// other. To be called once one has been opened.
    pub(super) fn never_wait(&self) {
        let conductor = self
            .conductor
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(conductor) = &*conductor {
            conductor.never_wait();
        }
    }

    /// Opens one.
    pub(super) fn open(&self) -> anyhow::Result<AnyEngine> {
        // Held while it is opened, so that the card is checked once.
        let mut conductor = self
            .conductor
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let (Some(conductor), DeviceName::Cuda(number)) = (&*conductor, self.device) {
            let precision = self.compute.precision;
            let cuda = DeviceName::engine_beside(number, precision, conductor.clone())?;
            return Ok(AnyEngine::Cuda(Box::new(cuda)));
        }
        let engine = self.compute.open(self.device, self.threads.clone())?;
        if let AnyEngine::Cuda(cuda) = &engine {
            *conductor = Some(cuda.conductor()?);
        }
        Ok(engine)
    }
}

/// A device for a worker.
#[derive(Clone, Debug, Args)]
pub(super) struct WorkerDevice {
    /// The device.
    #[arg(long)]
    pub(super) device: DeviceName,
    /// Its threads.
    #[arg(long)]
    pub(super) threads: NonZeroUsize,
    #[command(flatten)]
    pub(super) compute: Compute,
}

impl WorkerDevice {
    /// Its engines.
    pub(super) fn engines(&self) -> Engines {
        Engines::new(self.compute, self.device, Threads::new(self.threads))
    }
}

/// A device for a command that trains or predicts in its own process.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct OwnDevice {
    /// Threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) threads: Option<NonZeroUsize>,
    /// `cpu`, or a CUDA device like `cuda:0`.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub(super) device: DeviceName,
    #[command(flatten)]
    pub(super) compute: Compute,
}

impl OwnDevice {
    /// The engine, and the record of what computes.
    pub(super) fn open(self) -> Result<(AnyEngine, MadeBy), Failure> {
        let threads = self
            .threads
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN);
        let engine = self
            .compute
            .open(self.device, Threads::new(threads))
            .map_err(Failure::Input)?;
        let made_by = made_by(self.device, &engine).map_err(Failure::Input)?;
        Ok((engine, made_by))
    }
}

/// The record of what computes.
pub(super) fn made_by(device: DeviceName, engine: &AnyEngine) -> anyhow::Result<MadeBy> {
    Ok(MadeBy {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: device.identity()?,
        engine: engine.name().to_owned(),
    })
}
