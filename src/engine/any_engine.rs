//! The engines that a worker can compute with, as one type.

use super::{
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
}

impl AnyEngine {
    /// Its name, as artefacts record it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stock(_) => "stock",
            Self::Lanes(_) => "lanes",
        }
    }

    /// The threads it uses, which may be adjusted meanwhile. `None` for candle's own operations,
    /// which use a fixed number.
    pub fn threads(&self) -> Option<Threads> {
        match self {
            Self::Stock(_) => None,
            Self::Lanes(lanes) => Some(lanes.threads()),
        }
    }
}
