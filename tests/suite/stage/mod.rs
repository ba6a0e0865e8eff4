//! Stages: those that adapt, and what stages share.

mod adaptations;
mod inputs;
