//! The tensor operations a network is made of, behind one trait with several implementations.
//!
//! The rule: an engine knows operations and layouts, never networks. [`Stock`] is candle's own
//! operations on any device and in single or double precision: the reference for every other
//! engine. [`Lanes`] is the processor's, [`Cuda`] that of NVIDIA cards.

mod operations;
mod tensor_error;
mod stock;
pub mod lanes;
pub mod cuda;
mod any_engine;

pub use any_engine::AnyEngine;
pub use cuda::Cuda;
pub use lanes::Lanes;
pub use operations::{Activation, Added, Affine, DiceOver, Engine, LOG_DEVIATION};
pub use stock::Stock;
pub use tensor_error::plain;
