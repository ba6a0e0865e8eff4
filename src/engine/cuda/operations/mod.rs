//! The engine's operations: each with its launches, and those of its gradients.

mod convolution;
mod joint;
pub(super) mod losses;
pub(super) mod norm;
mod pooling;
mod weight_gradient;
