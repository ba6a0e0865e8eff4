//! Trainings.

pub mod course;
mod card;
