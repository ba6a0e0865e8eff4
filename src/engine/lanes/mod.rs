//! The fast CPU engine: samples as lanes. Activations are `[G, C, H, W, 16]` f32, sixteen samples innermost, so one
//! AVX-512 register (two AVX2, four NEON) holds one pixel of sixteen samples and every size, stride and channel
//! count vectorises fully. A batch that sixteen does not divide is padded with lanes of zeros.
//!
//! The kernels are functions on slices, and on [`Features`], which may be yet to be computed. [`Lanes`] strings them together:
//! `graph` remembers what a value was computed from, `backward` finds the way back from a loss, `buffers` keeps the memory from step
//! to step. Candle's autograd is not used here: it starts every gradient as a tensor of zeros and adds to it, which cost a quarter
//! of a step.
//! Rules that hold in every file: results depend on shapes and on the instruction set, never on the number of threads;
//! bounds are asserted before the inner loops, which are the only place for `unsafe`; a lane of zeros yields no NaN.

#![expect(
    unsafe_code,
    reason = "register intrinsics, and slices shared by threads"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "register tiles are indexed in several loops at once"
)]

mod backward;
mod buffers;
pub mod conv;
pub mod dice;
mod engine;
mod features;
mod graph;
mod isa;
pub mod layout;
pub mod norm;
mod pages;
pub mod peak;
pub mod pool;
mod threads;
mod vector;

pub use engine::Lanes;
pub use features::Features;
pub use graph::Value;
pub use isa::{Isa, Kernels, Method, Unsupported};
pub use threads::Threads;

/// Samples in a group: the innermost dimension of every activation.
pub const LANES: usize = 16;

/// What a kernel does to what its output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// It is overwritten.
    Nothing,
    /// It is added to.
    Sums,
}

/// Panics, naming the operand, unless its length is the shape's.
fn check(operand: &str, len: usize, expected: usize) {
    assert_eq!(len, expected, "floats in {operand}");
}
