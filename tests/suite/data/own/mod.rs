//! Data of one's own, as a manifest describes it under `[dataset]`.

mod labels;
mod layouts;
mod mistakes;
mod pictures;
mod planes;
mod resampling;
mod end_to_end;
mod new_manifest;
mod public_sets;
