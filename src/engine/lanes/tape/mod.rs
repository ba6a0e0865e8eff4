//! The upper layer: an engine that runs the kernels, records what each value was computed from, and
//! computes the gradients of a loss.
//!
//! Candle's autograd is not used: it starts every gradient as a tensor of zeros and adds to it,
//! which took a quarter of a step.

#![forbid(unsafe_code)]

mod backward;
mod graph;
mod lanes_engine;

pub use graph::LaneTensor;
pub use lanes_engine::Lanes;
