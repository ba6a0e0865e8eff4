//! The engines: their operations, their gradients, and the kernels of two.

mod lanes;
mod operations;
mod engines;
mod gradients;
mod cuda;
