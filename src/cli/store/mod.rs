//! `expertgrid store`: lists, checks, cleans and exports what is in the store.

mod audit;
mod export;
mod gc;
mod upkeep;

use clap::Subcommand;

use super::{Done, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the stages in the store.
    Ls(upkeep::Ls),
    /// Show how much space each kind of stage takes.
    Du(upkeep::Du),
    /// Read everything and compare it with its digests.
    Verify(upkeep::Verify),
    /// Remove the stages that none of the given manifests needs.
    Gc(gc::Arguments),
    /// Write a stage's weights as a safetensors checkpoint, under segmentation_models_pytorch's
    /// names.
    Export(Box<export::Arguments>),
    /// Compute stages again and compare the result, byte for byte, with the store.
    Audit(audit::Arguments),
}

pub(super) fn run(command: &Command) -> Result<Done, Failure> {
    match command {
        Command::Ls(arguments) => upkeep::ls(arguments),
        Command::Du(arguments) => upkeep::du(arguments),
        Command::Verify(arguments) => upkeep::verify(arguments),
        Command::Gc(arguments) => gc::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Audit(arguments) => audit::run(arguments),
    }
}
