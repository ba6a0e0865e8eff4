//! The network: a U-Net with a ResNet-18 encoder. Each expert has instance norms or a head of their
//! own in it, or all share it; or it decodes a latent, which stands for how a mask was drawn.
//!
//! The rule: the network is written once, over an [`crate::engine::Engine`]'s operations, and names
//! its parameters as segmentation_models_pytorch does. It knows nothing of data or grids.

mod about;
mod branches;
mod checkpoint;
mod file_kind;
mod import;
mod init;
mod latent;
mod parameters;
mod prefix;
mod read;
mod unet;

pub use about::{About, Adaptation, NetworkOrigin, NetworkSize, StageRecord};
pub use branches::{Branches, ExpertLayers};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use import::Import;
pub use init::Initialiser;
pub use parameters::{Declaration, Parameter, Part, ValueSource};
pub use unet::{UNet, count};
