//! Commands beside the grid.

mod benchmark;
mod one_network;
