//! The sources themselves.

mod graph;
mod layers;
