//! Data sets and the files they are made of.

mod layout;
mod nifti;
mod folders;
mod headers;
mod masks;
mod check;
mod phantom;
mod fetal;
