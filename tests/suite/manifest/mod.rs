//! What a manifest may say, and what it does.

mod manifests;
mod layers;
mod schema;
mod selection;
mod sweep;
pub mod options;
mod words;
mod effects;
