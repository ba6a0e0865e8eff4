//! Every kernel on every instruction set of this machine, against plain f64 loops.

mod conv;
mod features;
mod joint;
mod latent;
mod layers;
mod norm;
mod plain;
mod steps;
