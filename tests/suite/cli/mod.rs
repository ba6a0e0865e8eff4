//! Commands beside the grid.

mod benchmark;
mod inputs;
mod one_network;
