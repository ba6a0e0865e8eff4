//! Data sets and the files they are made of.

mod layout;
mod nifti;
mod check;
mod phantom;
mod fetal;
