//! The whole program against PyTorch, SciPy, MedPy, nibabel and SimpleITK, on what
//! tests/reference/generate.py computed.

mod adaptation;
mod metrics;
mod network;
mod nifti;
mod probabilistic;
mod reader;
mod statistics;
mod steps;
mod uncertainty;
