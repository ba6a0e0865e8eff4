//! `expertgrid data`: make the phantom, check a data set.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Subcommand;

use super::{Done, Failure, output::print};
use crate::data::{check, phantom};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Draw the synthetic phantom: 39 cases with the masks of seven experts, as NIfTI files.
    Phantom {
        /// Folder to write; it must be empty or not exist yet.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Seed; another one draws other brains.
        #[arg(long, default_value_t = phantom::DEFAULT_SEED)]
        seed: u64,
    },
    /// Check a data set: what it holds, and what is wrong with it.
    Check {
        /// Folder of the data set.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> Result<Done, Failure> {
    match command {
        Command::Phantom { out, seed } => {
            phantom::write(out, *seed).map_err(Failure::refused)?;
            print(format_args!(
                "phantom of seed {seed} written to {}",
                out.display()
            ));
            Ok(Done::Whole)
        }
        Command::Check { dir } => {
            let check = check::check(dir);
            print(check.to_string().trim_end());
            match check.usable() {
                true => Ok(Done::Whole),
                false => Err(Failure::Input(anyhow!(
                    "{}: not usable as a data set",
                    dir.display()
                ))),
            }
        }
    }
}
