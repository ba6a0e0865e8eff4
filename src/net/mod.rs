//! The network: a U-Net with a ResNet-18 encoder whose instance norms are expert-specific.
//!
//! The rule: the network is written once, over an [`crate::engine::Engine`]'s operations, and names its
//! parameters as segmentation_models_pytorch does. It knows nothing of data or grids.

mod checkpoint;
mod init;
mod parameters;
mod unet;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use parameters::{Parameter, Part, Values};
pub use unet::UNet;
