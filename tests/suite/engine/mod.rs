//! Both engines: their operations, their gradients, and the kernels of one.

mod lanes;
mod operations;
mod engines;
mod gradients;
