//! `expertgrid store`: what is in the store, whether it is right, and what leaves it.

mod audit;
mod export;
mod upkeep;

use clap::Subcommand;

use super::{Done, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the stages that are done.
    Ls(upkeep::Ls),
    /// Say how much space each kind of stage takes.
    Du(upkeep::Du),
    /// Read everything and compare it with its digests.
    Verify(upkeep::Verify),
    /// Remove the stages that no manifest reaches any more.
    Gc(upkeep::Gc),
    /// Write a stage's weights as a safetensors checkpoint, under segmentation_models_pytorch's
    /// names.
    Export(export::Arguments),
    /// Compute stages again and compare what comes out, byte for byte, with what the store holds.
    Audit(audit::Arguments),
}

pub(super) fn run(command: &Command) -> Result<Done, Failure> {
    match command {
        Command::Ls(arguments) => upkeep::ls(arguments),
        Command::Du(arguments) => upkeep::du(arguments),
        Command::Verify(arguments) => upkeep::verify(arguments),
        Command::Gc(arguments) => upkeep::gc(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Audit(arguments) => audit::run(arguments),
    }
}
