//! Data sets and the files they are made of.

mod layout;
mod nifti;
mod odd_files;
mod folders;
mod headers;
mod masks;
mod own;
mod training_geometry;
mod background;
mod check;
mod phantom;
mod fetal;
