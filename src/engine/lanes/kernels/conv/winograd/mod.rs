//! 3x3 convolutions, stride 1 and padding 1, by Winograd's transforms.

mod line_transforms;
mod plane_tiles;
mod point_products;
mod tile_transforms;
mod tiled_correlation;
mod tiled_weight_gradient;
mod tiling;
mod transformed_weights;

pub use plane_tiles::{Outputs, PixelFinish, Planes};
pub use tiled_correlation::correlate;
pub use tiled_weight_gradient::{weight_cost, weight_gradient, weight_tiling};
pub use tiling::Tiling;
