//! Commands beside the grid.

mod benchmark;
mod headers;
mod inputs;
mod one_network;
