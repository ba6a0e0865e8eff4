//! The engine of NVIDIA cards: samples as lanes, on tensor cores.
//!
//! Activations are `[G, C, H, W, 16]` f32, as the lanes engine has them: a pixel's sixteen samples
//! are the sixteen rows of a tensor core's tile. Every operation is one launch or a few of kernels
//! of this project, which the program carries in compiled form (`kernels/`); of NVIDIA's software
//! it needs the driver alone, loaded where it is there.
//!
//! The rule: the same inputs give the same bytes on the same kind of card. How sums are split
//! depends on the shape alone, nothing is added in the order in which it happens to be done, and
//! nothing is chosen by time.
//!
//! Operations are recorded as launches, and done when a number is read. A training records its
//! step once as a [`StepPlan`]; its parameters stay on the card, where the thread of a
//! [`Conductor`] does the steps of all trainings with equal plans in one launch. `machine` is the
//! lower layer. To add an operation, write its kernel in `kernels/`, its operands in
//! `machine/launch.rs` and its launches, with those of its gradient, in `operations/`; then
//! `make kernels`.
//!
//! `tests/device/emulator` runs the kernels on a processor, as a driver that emulates a card. They
//! have not met a GPU yet.

mod shapes;
mod machine;
mod arena;
mod record;
mod forms;
mod plan;
mod card_thread;
mod conductor;
mod held;
mod card_engine;
mod moments;
mod holding;
mod tape;
mod parameters;
mod operations;
mod step;
mod feeder;
mod engine_trait;

pub use card_engine::{Cuda, Precision};
pub use conductor::{Conductor, Seat, SeatPlan};
pub use feeder::Feeder;
pub use holding::CardMoments;
pub use machine::{Card, Cards, CudaError, Device, NoDriver, launch::MOST_NETWORKS};
pub use operations::norm::CardRoute;
pub use plan::StepPlan;
pub use step::{CardOptimiser, Recording, StepRate, with_rates};
pub use tape::CudaTensor;
