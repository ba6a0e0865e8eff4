//! All integration tests in one program: linking candle once is enough.

mod common;
mod faults;

mod artefacts;
mod course;
mod data_check;
mod data_fetal;
mod data_layout;
mod data_nifti;
mod data_phantom;
mod disks;
mod end_to_end;
mod engines;
mod estimates;
mod fidelity;
mod inputs;
mod lanes;
mod layers;
mod manifests;
mod metric_properties;
mod metric_reference;
mod network;
mod one_network;
mod operations;
mod plans;
mod publication;
mod stats_properties;
mod stats_reference;
mod survival;
mod tables;
mod torture;
mod upkeep;
