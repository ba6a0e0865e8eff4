//! Whole sweeps with the real program: on their way, their results, and what they survive.

mod committed;
mod end_to_end;
mod golden;
mod variants;
mod display;
mod seeing;
mod long_runs;
mod signals;
mod survival;
#[cfg(unix)]
mod pilots;
mod tracing;
