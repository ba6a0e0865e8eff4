//! The sources themselves.

mod graph;
pub mod layers;
mod type_names;
