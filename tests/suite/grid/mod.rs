//! Grids of runs.

mod picking;
