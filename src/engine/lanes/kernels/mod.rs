//! The middle layer: functions on slices of floats, each an operation of a network or its gradient.
//!
//! Rules that hold in every file: results depend on shapes, never on the instruction set or the
//! number of threads; bounds are asserted before the inner loops; a lane of zeros yields no NaN.

#![expect(
    clippy::needless_range_loop,
    reason = "register tiles are indexed in several loops at once"
)]

pub mod conv;
pub mod cross_entropy;
pub mod dice;
mod features;
pub mod gate;
pub mod gaussian;
pub mod joint;
pub mod layout;
pub mod logistic;
pub mod mean;
pub mod norm;
mod operand;
pub mod pool;

pub use features::Features;
pub use operand::{Onto, check};
