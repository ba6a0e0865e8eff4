//! The sources themselves.

mod graph;
pub mod layers;
mod messages;
mod type_names;
