//! Stages: those that adapt, and what stages share.

mod adaptations;
mod forms;
mod inputs;
mod latents;
mod serving;
