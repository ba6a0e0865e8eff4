//! Methods, built in and of a manifest.

mod methods;
mod vectors;
