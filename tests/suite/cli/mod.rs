//! Commands beside the grid.

mod benchmark;
mod cards;
mod conveniences;
mod documented;
mod headers;
mod inputs;
mod one_network;
