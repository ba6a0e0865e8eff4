//! The lower layer: NVIDIA's driver, a card with its memory, compiled kernels, and launches of them
//! as data.

mod driver;
mod images;
pub(super) mod launch;
mod device;

pub use device::{Card, Cards, CudaError, Device};
pub(super) use device::{Graph, Memory, Pinned};
pub use driver::NoDriver;
