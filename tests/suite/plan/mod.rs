//! Plans and the keys of their stages.

mod cohort;
mod plans;
mod shipped;
