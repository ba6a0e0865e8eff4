//! The devices of this machine, and their division into slots for workers.

use std::{collections::BTreeSet, fmt, num::NonZeroUsize, str::FromStr, sync::Arc, thread};

use candle_core::Device;

use super::cuda;
use crate::{
    card_check::{distance_over_a_network, tolerance},
    engine::{
        self,
        cuda::{Cards, Conductor, Cuda, Precision},
    },
    plan::Kind,
};

/// The name of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// A CUDA device by its number.
    Cuda(usize),
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("cuda:").map(str::parse);
        match (text, number) {
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(0)),
            (_, Some(Ok(number))) => Ok(Self::Cuda(number)),
            _ => Err(format!(
                "`{text}` is no device; devices are `cpu` and `cuda:0`, `cuda:1`, ..."
            )),
        }
    }
}

/// Why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The program was built without candle's support for CUDA devices.
    #[error(
        "candle's operations on {0} need a program built with `--features cuda`; leave `--engine` \
         out"
    )]
    NotBuilt(DeviceName),
    /// The driver cannot open it.
    #[error("{device} cannot be used: {reason}; `--device cpu` takes the processor")]
    Unusable {
        /// The device.
        device: DeviceName,
        /// Why.
        reason: String,
    },
    /// The driver gives no name or compute capability.
    #[error("{device}: {reason}")]
    Unidentified {
        /// The device.
        device: DeviceName,
        /// The driver's error.
        reason: String,
    },
}

impl DeviceName {
    /// Opens the device for candle's own operations.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`] and [`DeviceError::Unusable`], for a CUDA device.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(DeviceError::NotBuilt(self)),
            Self::Cuda(number) => Device::new_cuda(number).map_err(|error| DeviceError::Unusable {
                device: self,
                reason: engine::plain(&error),
            }),
        }
    }

    /// Checks that the device is there.
    ///
    /// # Errors
    /// [`DeviceError::Unusable`], for a CUDA device.
    pub fn check(self) -> Result<(), DeviceError> {
        match self {
            Self::Cpu => Ok(()),
            Self::Cuda(number) => Cards::find()
                .and_then(|cards| cards.card(number)?.check())
                .map_err(|error| self.unusable(&error)),
        }
    }

    /// The engine of a card.
    ///
    /// # Errors
    /// [`DeviceError::Unusable`].
    pub fn engine(number: usize, precision: Precision) -> Result<Cuda, DeviceError> {
        let device = Cards::find().and_then(|cards| cards.open(number));
        device
            .map(|device| Cuda::new(device, precision))
            .map_err(|error| Self::Cuda(number).unusable(&error))
    }

    /// The engine of a card, beside others of this process that train there.
    ///
    /// # Errors
    /// [`DeviceError::Unusable`].
    pub fn engine_beside(
        number: usize,
        precision: Precision,
        conductor: Arc<Conductor>,
    ) -> Result<Cuda, DeviceError> {
        let device = Cards::find().and_then(|cards| cards.open(number));
        device
            .map(|device| Cuda::beside(device, precision, conductor))
            .map_err(|error| Self::Cuda(number).unusable(&error))
    }

    /// The engine of a card that computes what the processor does, for a small network: a card that
    /// does not would give results that nobody doubts.
    ///
    /// # Errors
    /// [`DeviceError::Unusable`].
    pub fn checked_engine(number: usize, precision: Precision) -> Result<Cuda, DeviceError> {
        let cuda = Self::engine(number, precision)?;
        let unusable = |reason| DeviceError::Unusable {
            device: Self::Cuda(number),
            reason,
        };
        let off =
            distance_over_a_network(&cuda).map_err(|error| unusable(engine::plain(&error)))?;
        match off < tolerance(precision) {
            true => Ok(cuda),
            false => Err(unusable(format!(
                "it computes other numbers than the processor, by {off:.1e} of the largest; \
                 `expertgrid doctor --device cuda:{number}` lists where"
            ))),
        }
    }

    fn unusable(self, reason: &engine::cuda::CudaError) -> DeviceError {
        DeviceError::Unusable {
            device: self,
            reason: reason.to_string(),
        }
    }

    /// The device as artefacts record it: `cpu`, or a card's name and compute capability.
    ///
    /// # Errors
    /// [`DeviceError::Unidentified`], for a CUDA device.
    pub fn identity(self) -> Result<String, DeviceError> {
        match self {
            Self::Cpu => Ok("cpu".to_owned()),
            Self::Cuda(number) => {
                cuda::identity(number).map_err(|reason| DeviceError::Unidentified {
                    device: self,
                    reason,
                })
            }
        }
    }

    /// Bytes of a card's own memory that are in use, by this process and all others; `None` for the
    /// processor, and where the driver gives no number.
    pub fn memory_in_use(self) -> Option<usize> {
        match self {
            Self::Cpu => None,
            Self::Cuda(number) => cuda::memory_in_use(number),
        }
    }
}

/// The devices that the user asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceRequest {
    /// Every CUDA device that can be used, else the processor.
    Auto,
    /// The named ones.
    Named(Vec<DeviceName>),
}

impl FromStr for DeviceRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text
                .split(',')
                .map(str::parse)
                .collect::<Result<_, _>>()
                .map(Self::Named),
        }
    }
}

/// One slot: a device, and the stages that run there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The device.
    pub device: DeviceName,
    /// The stages.
    pub takes: Takes,
}

/// Which stages a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// All.
    Everything,
    /// Those that an engine computes. The processor computes metrics, so that a card never waits
    /// for them.
    Trainings,
    /// Evaluations, and what else no engine computes.
    Evaluations,
}

impl Takes {
    /// Whether a stage of this kind runs there.
    pub fn includes(self, kind: Kind) -> bool {
        match self {
            Self::Everything => true,
            Self::Trainings => kind.depends_on_engine(),
            Self::Evaluations => !kind.depends_on_engine(),
        }
    }
}

/// The slots of a run; as many stages run at once as there are slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// One entry per slot.
    pub slots: Vec<Slot>,
    /// Cores to share out to the stages that run on the processor.
    pub cores: usize,
    /// Why `auto` found no card where one may be expected.
    pub no_card: Option<String>,
}

impl Slots {
    /// Shares out devices: `on_card` slots per CUDA device and one per core of the processor, or
    /// `jobs` slots over the devices in turn. Beside cards alone, the processor has slots for
    /// evaluations.
    ///
    /// # Errors
    /// Where a named device cannot be used.
    pub fn share(
        request: &DeviceRequest,
        jobs: Option<NonZeroUsize>,
        on_card: usize,
    ) -> Result<Self, DeviceError> {
        let mut no_card = None;
        let devices = match request {
            DeviceRequest::Auto => {
                let usable = cuda::usable().unwrap_or_else(|why| {
                    no_card = Some(why);
                    Vec::new()
                });
                match usable.is_empty() {
                    true => vec![DeviceName::Cpu],
                    false => usable.into_iter().map(DeviceName::Cuda).collect(),
                }
            }
            DeviceRequest::Named(devices) => {
                for device in devices {
                    device.check()?;
                }
                devices.clone()
            }
        };
        let slots = slots(&devices, jobs, [on_card, cores()]);
        Ok(Self {
            slots,
            cores: cores(),
            no_card,
        })
    }

    /// The first of the slots that share this one's worker: those of a card do.
    pub fn worker_of(&self, slot: usize) -> usize {
        let device = self.slots[slot].device;
        let first = || self.slots.iter().position(|other| other.device == device);
        match device {
            DeviceName::Cpu => slot,
            DeviceName::Cuda(_) => first().unwrap_or(slot),
        }
    }

    /// Each training worker's share of the cores when all are busy, at least one.
    pub fn threads_each(&self) -> usize {
        let slots = self.slots.iter().enumerate();
        let training = slots.filter(|(_, slot)| slot.takes != Takes::Evaluations);
        let workers: BTreeSet<usize> = training.map(|(slot, _)| self.worker_of(slot)).collect();
        (self.cores / workers.len().max(1)).max(1)
    }
}

/// Slots for evaluations beside cards: each has the data set in memory.
const MOST_BESIDE: usize = 8;

/// The slots on some devices, so many on each card, of a machine with so many cores.
fn slots(
    devices: &[DeviceName],
    jobs: Option<NonZeroUsize>,
    [on_card, cores]: [usize; 2],
) -> Vec<Slot> {
    let natural = |device: &DeviceName| match device {
        DeviceName::Cpu => cores,
        DeviceName::Cuda(_) => on_card,
    };
    // In turn, since the first slots get the first stages.
    let most = devices.iter().map(natural).max().unwrap_or(0);
    let in_turn = (0..most).flat_map(|place| {
        let room = move |device: &&DeviceName| natural(device) > place;
        devices.iter().filter(room).copied()
    });
    let devices: Vec<DeviceName> = match jobs {
        Some(jobs) => devices.iter().copied().cycle().take(jobs.get()).collect(),
        None => in_turn.collect(),
    };
    let cards = devices.iter().filter(|d| **d != DeviceName::Cpu).count();
    let trainings = devices.iter().map(|device| Slot {
        device: *device,
        takes: match device {
            DeviceName::Cpu => Takes::Everything,
            DeviceName::Cuda(_) => Takes::Trainings,
        },
    });
    // Where the processor trains too, its slots take evaluations first. Else half of the cores
    // prepare what cards train.
    let beside = match cards == devices.len() {
        true => cards.min((cores / 2).max(1)).min(MOST_BESIDE),
        false => 0,
    };
    let evaluations = Slot {
        device: DeviceName::Cpu,
        takes: Takes::Evaluations,
    };
    trainings
        .chain(std::iter::repeat_n(evaluations, beside))
        .collect()
}

/// The number of CUDA devices that this program can use here.
///
/// # Errors
/// Why it can use none, where one may be expected.
pub fn cards() -> Result<usize, String> {
    cuda::usable().map(|usable| usable.len())
}

/// The number of cores that this process may use: those that it is bound to, and no more than Slurm
/// has given the job on this machine, which need not bind it.
pub fn cores() -> usize {
    let bound = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    bound.min(given(std::env::var("SLURM_CPUS_ON_NODE").ok().as_deref()))
}

/// The number of cores by a variable; as many as there are where it says nothing.
fn given(variable: Option<&str>) -> usize {
    let number = variable.and_then(|text| text.trim().parse().ok());
    number.filter(|cores| *cores > 0).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slurm_gives_cores_and_says_nothing_elsewhere() {
        assert_eq!(given(Some("3")), 3);
        assert_eq!(given(Some(" 16\n")), 16);
        for nothing in [None, Some(""), Some("0"), Some("-1"), Some("many")] {
            assert_eq!(given(nothing), usize::MAX);
        }
    }

    #[test]
    fn devices_are_read_from_their_names() {
        assert_eq!("auto".parse(), Ok(DeviceRequest::Auto));
        assert_eq!(
            "cuda:1,cpu".parse(),
            Ok(DeviceRequest::Named(vec![
                DeviceName::Cuda(1),
                DeviceName::Cpu
            ]))
        );
        for wrong in ["", "gpu", "cuda:x", "cpu,"] {
            assert!(wrong.parse::<DeviceRequest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn jobs_set_the_number_of_slots_and_share_the_threads() {
        let cpu = DeviceRequest::Named(vec![DeviceName::Cpu]);
        let slots = Slots::share(&cpu, None, 64).unwrap();
        assert_eq!((slots.slots.len(), slots.threads_each()), (cores(), 1));
        let one = Slots::share(&cpu, NonZeroUsize::new(1), 64).unwrap();
        assert_eq!((one.slots.len(), one.threads_each()), (1, cores()));
        let many = Slots::share(&cpu, NonZeroUsize::new(cores() + 3), 64).unwrap();
        assert_eq!((many.slots.len(), many.threads_each()), (cores() + 3, 1));
    }

    #[test]
    fn beside_cards_alone_the_processor_evaluates() {
        let (cpu, first, second) = (DeviceName::Cpu, DeviceName::Cuda(0), DeviceName::Cuda(1));
        let shared = |devices: &[DeviceName], jobs, cores| {
            let shared = slots(devices, NonZeroUsize::new(jobs), [1, cores]);
            let pairs = shared.iter().map(|slot| (slot.device, slot.takes));
            pairs.collect::<Vec<_>>()
        };
        let (card, other) = ((first, Takes::Trainings), (second, Takes::Trainings));
        let evaluations = (cpu, Takes::Evaluations);
        assert_eq!(shared(&[first], 0, 16), [card, evaluations]);
        assert_eq!(shared(&[first, second], 0, 1), [card, other, evaluations]);
        assert_eq!(shared(&[first], 3, 2), [card, card, card, evaluations]);
        assert_eq!(
            shared(&[first], 3, 6),
            [card, card, card, evaluations, evaluations, evaluations]
        );
        // Where the processor trains, it evaluates in the same slots.
        let everything = (cpu, Takes::Everything);
        assert_eq!(shared(&[first, cpu], 0, 2), [card, everything, everything]);
    }

    #[test]
    fn the_slots_of_a_card_share_a_worker() {
        let devices = [DeviceName::Cuda(0), DeviceName::Cuda(1)];
        let shared = Slots {
            slots: slots(&devices, None, [3, 8]),
            cores: 8,
            no_card: None,
        };
        let workers = (0..shared.slots.len()).map(|slot| shared.worker_of(slot));
        let workers: Vec<usize> = workers.collect();
        assert_eq!(workers, [0, 1, 0, 1, 0, 1, 6, 7, 8, 9]);
        assert_eq!(shared.threads_each(), 4);
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn candle_without_cuda_says_so() {
        let error = DeviceName::Cuda(0).open().unwrap_err();
        assert_eq!(error, DeviceError::NotBuilt(DeviceName::Cuda(0)));
        assert!(error.to_string().contains("--features cuda"), "{error}");
    }

    #[test]
    fn a_device_that_is_not_there_is_told_with_the_reason() {
        let request = DeviceRequest::Named(vec![DeviceName::Cuda(97)]);
        let error = Slots::share(&request, None, 64).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cuda:97 cannot be used: there is no"),
            "{error}"
        );
    }
}
