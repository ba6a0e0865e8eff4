//! The fast CPU engine: samples as lanes.
//!
//! Activations are `[G, C, H, W, 16]` f32, sixteen samples innermost. One AVX-512 register (two
//! AVX2, four NEON) holds one pixel of sixteen samples, so every size, stride and channel count
//! vectorises fully. A batch that sixteen does not divide is padded with lanes of zeros.
//!
//! There are three layers. `machine` has instruction sets, threads and memory. `kernels` has the
//! operations, as functions on slices and on [`Features`], which may be yet to be computed. `tape`
//! has [`Lanes`], which records operations and computes gradients. A file uses its own layer and
//! those listed before it. `unsafe` occurs in the first two. Tests hold both.

mod machine;
mod kernels;
mod tape;

pub use kernels::{
    Features, Onto, conv, cross_entropy, dice, gate, gaussian, joint, layout, logistic, mean, norm,
    pool,
};
pub use machine::{ConvMethod, Isa, Kernels, LANES, Threads, Unsupported, peak};
pub use tape::{LaneTensor, Lanes};
