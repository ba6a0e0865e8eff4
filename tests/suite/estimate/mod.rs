//! Estimates of time and space.

mod estimates;
