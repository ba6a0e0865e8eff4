//! The engines that a worker can compute with, as one type.

use super::{
    cuda::{Cuda, Precision},
    lanes::{Lanes, Threads},
    operations::Engine,
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

    /// Whether the device reports an error that stays, so that only another process can use it.
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Stock(stock) => stock.device().synchronize().is_err(),
            Self::Lanes(_) => false,
            Self::Cuda(cuda) => cuda.is_broken(),
        }
    }

    /// Gives back the memory of a card that only values of earlier computations needed.
    pub fn release_memory(&self) {
        if let Self::Cuda(cuda) = self {
            cuda.release_memory();
        }
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
