//! Trainings.

pub mod course;
