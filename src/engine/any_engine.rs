//! The engines that a worker can compute with, as one type.

use super::{
    cuda::{Cuda, Precision},
    lanes::{Lanes, Threads},
    stock::Stock,
};

/// The engine of a worker, chosen when it starts.
#[derive(Debug)]
pub enum AnyEngine {
    /// Candle's own operations.
    Stock(Stock),
    /// The fast kernels of the processor.
    Lanes(Lanes),
    /// The fast kernels of a card.
    Cuda(Box<Cuda>),
}

impl AnyEngine {
    /// Its name, as artefacts record it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stock(_) => "stock",
            Self::Lanes(_) => "lanes",
            Self::Cuda(cuda) => match cuda.precision() {
                Precision::F32 => "cuda",
                Precision::Tf32 => "cuda, tf32",
            },
        }
    }

    /// Whether an error may stay, so that only another process can use the device again.
    pub fn errors_stay(&self) -> bool {
        matches!(self, Self::Cuda(_))
    }

    /// The threads it uses, which may be adjusted meanwhile. `None` where their
    /// number is fixed.
    pub fn threads(&self) -> Option<Threads> {
        match self {
            Self::Stock(_) | Self::Cuda(_) => None,
            Self::Lanes(lanes) => Some(lanes.threads()),
        }
    }
}
