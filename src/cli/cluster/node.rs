//! `expertgrid cluster node`: one of the two nodes of a site check.

use std::{env, path::PathBuf, thread, time::Duration};

use anyhow::anyhow;
use clap::Args;

use super::super::{Done, Failure};
use crate::{
    engine::lanes::Isa,
    exec::{Slurm, cards, cores},
    host,
    site_check::{Meeting, NodeFindings, NodePatience, Queuing, SiteFolder},
};

#[derive(Debug, Args)]
pub(in super::super) struct Arguments {
    /// The check's folder.
    folder: PathBuf,
    /// Ask that the job is queued again, or note that it was.
    #[arg(long)]
    queue_again: bool,
}

/// How long a job that asks to be queued again waits for its end, which Slurm makes.
const AFTER_REQUEUE: Duration = Duration::from_secs(120);

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let folder = SiteFolder::at(&arguments.folder);
    match arguments.queue_again {
        true => queue_again(&folder),
        false => find(&folder),
    }
}

fn find(folder: &SiteFolder) -> Result<Done, Failure> {
    let check = folder.check().map_err(|why| Failure::work(anyhow!(why)))?;
    let node = variable("SLURM_NODEID")?;
    let own: usize = node.parse().map_err(Failure::work)?;
    if own > 1 {
        return Ok(Done::Whole);
    }
    let meeting = Meeting::new(
        &folder.meeting(),
        own,
        host::name(),
        NodePatience::default(),
    );
    let found = NodeFindings {
        host: host::name(),
        cores: cores(),
        isa: Isa::detect().name().to_owned(),
        cards: cards(),
        sees_directory: check.directory.is_dir(),
        met: meeting.run(),
    };
    folder.note_findings(own, &found).map_err(Failure::work)?;
    Ok(Done::Whole)
}

fn queue_again(folder: &SiteFolder) -> Result<Done, Failure> {
    let begun = variable("SLURM_RESTART_COUNT").unwrap_or_default();
    if !["", "0"].contains(&begun.as_str()) {
        let again = Queuing::BeganAgain(host::name());
        folder.note_queuing(&again).map_err(Failure::work)?;
        return Ok(Done::Whole);
    }
    folder
        .note_queuing(&Queuing::Asked)
        .map_err(Failure::work)?;
    match Slurm::new().requeue(&variable("SLURM_JOB_ID")?) {
        Ok(()) => thread::sleep(AFTER_REQUEUE),
        Err(error) => {
            let refused = Queuing::Refused(error.to_string());
            folder.note_queuing(&refused).map_err(Failure::work)?;
        }
    }
    Ok(Done::Whole)
}

fn variable(name: &str) -> Result<String, Failure> {
    env::var(name).map_err(|error| {
        Failure::work(anyhow!(
            "{name}: {error}; this command is for the jobs of `expertgrid cluster check`"
        ))
    })
}
