//! Two-dimensional convolution and its gradients.

mod conv_shape;
mod convolve;
pub(super) mod direct;
pub(super) mod outer_products;
pub(super) mod packed_weights;
pub(super) mod winograd;

pub use conv_shape::Conv;
pub use convolve::{forward, grad_bias, grad_input, grad_weight};
pub use direct::pixel_layers;
