//! Conditional instance norm with residual and ReLU, and its gradients.

mod affine_map;
mod moments;
mod norm_gradient;
mod norm_operands;
mod normalise;

pub use affine_map::apply;
pub(super) use affine_map::{Map, plane_apply};
pub use moments::statistics;
pub use norm_gradient::{Gate, Gradients, backward};
pub use norm_operands::{AffineTables, Norm, PlaneStatistics, Saved};
pub use normalise::forward;
