//! Convolutions and their gradients by straight sums.

pub mod direct_correlation;
pub mod pixel_layers;
mod pixel_window;
mod row_tiles;
pub mod weight_sums;

pub use row_tiles::{Finish, InitialSums, SumEnds};
