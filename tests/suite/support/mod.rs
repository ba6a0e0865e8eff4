//! What the tests share.

pub mod common;
pub mod emulated_card;
pub mod made_up;
pub mod nifti_file;
pub mod own_sets;
pub mod faults;
