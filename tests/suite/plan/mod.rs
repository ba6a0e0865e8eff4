//! Plans and the keys of their stages.

mod plans;
