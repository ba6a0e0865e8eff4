//! All integration tests in one program: linking candle once is enough.
//!
//! What they share comes first, then folders by subject in the order of the modules in
//! `src/lib.rs`, then what looks at all of it.

mod support;

mod metric;
mod method;
mod grid;
mod manifest;
mod data;
mod fusion;
mod choosing;
mod plan;
mod store;
mod stats;
mod engine;
mod net;
mod train;
mod stage;
mod estimate;
mod schedule;
mod figure;
mod report;
mod paper;
mod sweep;
mod cli;

mod fidelity;
mod source;
