//! The lowest layer: what the processor and the system offer. Instruction sets and their registers,
//! threads, and memory. It knows no operation of a network.

mod buffers;
mod dispatch;
mod isa;
mod pages;
pub mod peak;
mod sample_group;
mod scratch;
mod shared;
mod threads;
mod vector;
#[cfg(target_arch = "aarch64")]
mod vector_arm;
mod vector_portable;
#[cfg(target_arch = "x86_64")]
mod vector_x86;

pub use buffers::{Buffer, Buffers};
pub(in crate::engine::lanes) use dispatch::multiversion;
pub use dispatch::{ConvMethod, Kernels};
pub use isa::{Isa, Unsupported};
pub use sample_group::{LANES, lane_sum, odd_lines};
pub use scratch::scratch;
pub use shared::Shared;
pub use threads::Threads;
pub use vector::Vector;
#[cfg(target_arch = "aarch64")]
pub use vector_arm::Neon;
pub use vector_portable::Portable;
#[cfg(target_arch = "x86_64")]
pub use vector_x86::{Avx2, Avx512};
