//! The devices of this machine, and how they are shared out to workers.

use std::{fmt, num::NonZeroUsize, str::FromStr, thread};

use candle_core::Device;

/// One device.
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

impl DeviceName {
    /// Opens the device.
    ///
    /// # Errors
    /// Where it is not there, or the program was built without the means to use it.
    pub fn open(self) -> Result<Device, String> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(format!(
                "{self} needs a program built with `--features cuda`; this one has only `cpu`"
            )),
            Self::Cuda(number) => {
                Device::new_cuda(number).map_err(|error| format!("{self}: {error}"))
            }
        }
    }
}

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceRequest {
    /// Every CUDA device of a build that can use them, else the processor.
    Auto,
    /// These.
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

/// The device of every slot; as many stages run at once as there are slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// One entry per slot.
    pub devices: Vec<DeviceName>,
    /// Cores to share out to the stages that run on the processor.
    pub cores: usize,
}

impl Slots {
    /// Shares out devices: one slot per CUDA device and one per core of the processor, or `jobs`
    /// slots over the devices in turn.
    ///
    /// # Errors
    /// Where a device asked for cannot be used.
    pub fn share(request: &DeviceRequest, jobs: Option<NonZeroUsize>) -> Result<Self, String> {
        let devices = match request {
            DeviceRequest::Auto => match cuda_devices() {
                found if found.is_empty() => vec![DeviceName::Cpu],
                found => found,
            },
            DeviceRequest::Named(devices) => {
                for device in devices {
                    device.open()?;
                }
                devices.clone()
            }
        };
        let natural = || {
            let slots = |device: &DeviceName| match device {
                DeviceName::Cpu => cores(),
                DeviceName::Cuda(_) => 1,
            };
            let repeat = |device: &DeviceName| std::iter::repeat_n(*device, slots(device));
            devices.iter().flat_map(repeat).collect()
        };
        let devices: Vec<DeviceName> = match jobs {
            Some(jobs) => devices.iter().copied().cycle().take(jobs.get()).collect(),
            None => natural(),
        };
        let cores = cores();
        Ok(Self { devices, cores })
    }

    /// Each slot's share of the cores when all are busy, at least one.
    pub fn threads_each(&self) -> usize {
        (self.cores / self.devices.len()).max(1)
    }
}

/// How many cores this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(feature = "cuda")]
fn cuda_devices() -> Vec<DeviceName> {
    use candle_core::cuda_backend::cudarc::driver::CudaContext;
    let count = CudaContext::device_count().unwrap_or(0);
    (0..usize::try_from(count).unwrap_or(0))
        .map(DeviceName::Cuda)
        .collect()
}

#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> Vec<DeviceName> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let slots = Slots::share(&cpu, None).unwrap();
        assert_eq!((slots.devices.len(), slots.threads_each()), (cores(), 1));
        let one = Slots::share(&cpu, NonZeroUsize::new(1)).unwrap();
        assert_eq!((one.devices.len(), one.threads_each()), (1, cores()));
        let many = Slots::share(&cpu, NonZeroUsize::new(cores() + 3)).unwrap();
        assert_eq!((many.devices.len(), many.threads_each()), (cores() + 3, 1));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_without_cuda_says_so() {
        let request = DeviceRequest::Named(vec![DeviceName::Cuda(0)]);
        let error = Slots::share(&request, None).unwrap_err();
        assert!(error.contains("--features cuda"), "{error}");
    }
}
