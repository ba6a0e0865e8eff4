//! Sweeps on a cluster: submitting and showing them, their pilots, ending them.

mod cancel;
mod check;
mod node;
mod pilot;
mod planned;
mod shown;
pub(super) mod submit;

use std::{num::NonZeroUsize, path::Path, time::Duration};

use clap::{Args, Subcommand};

use super::{Done, Failure, Picked, Selection, at_least_one, inventory};
use crate::{
    cluster::{self, ClusterOptions, ClusterSettings},
    key::Digest,
    pilots,
    plan::{self, Plan},
};

pub(super) use check::Arguments as CheckArguments;
pub(super) use node::Arguments as NodeArguments;

pub(super) use cancel::{Arguments as CancelArguments, run as cancel};
pub(super) use pilot::{Arguments as PilotArguments, run as pilot};
pub(super) use shown::SubmittedSweep;
pub(super) use submit::Submission;

/// Commands on clusters themselves.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check that a cluster can run sweeps, with a job of two nodes.
    Check(CheckArguments),
    /// Take part in a check, on a node.
    #[command(hide = true)]
    Node(NodeArguments),
}

pub(super) fn run(command: &Command) -> Result<Done, Failure> {
    match command {
        Command::Check(arguments) => check::run(arguments),
        Command::Node(arguments) => node::run(arguments),
    }
}

/// Where a sweep runs, if not here.
#[derive(Clone, Debug, Args)]
pub(super) struct ClusterArguments {
    /// Submit the sweep to a cluster of this name in clusters.toml, and show it. The same command
    /// finds it again.
    #[arg(long = "cluster", value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Submit and return at once.
    #[arg(long, requires = "name")]
    pub(super) detach: bool,
    /// Pilots at once, at most.
    #[arg(long, requires = "name", value_name = "N", value_parser = at_least_one)]
    pilots: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(super) options: OfAPilot,
}

/// What a pilot asks for, in place of what the cluster's settings say.
#[derive(Clone, Debug, Args)]
pub(super) struct OfAPilot {
    /// How long a pilot may run, for example `8h`; a sweep may take longer.
    #[arg(long, requires = "name", value_name = "TIME", value_parser = cluster::parse_time)]
    time: Option<Duration>,
    /// Slurm's partition.
    #[arg(long, requires = "name", value_name = "NAME")]
    partition: Option<String>,
    /// Slurm's account.
    #[arg(long, requires = "name", value_name = "NAME")]
    account: Option<String>,
    /// Slurm's quality of service.
    #[arg(long, requires = "name", value_name = "NAME")]
    qos: Option<String>,
    /// GPUs of a pilot.
    #[arg(long, requires = "name", value_name = "N")]
    gpus: Option<usize>,
    /// Cores of a pilot.
    #[arg(long, requires = "name", value_name = "N", value_parser = at_least_one)]
    cpus: Option<NonZeroUsize>,
    /// Memory of a pilot, for example `16G`.
    #[arg(long, requires = "name", value_name = "SIZE")]
    memory: Option<String>,
    /// A further word for `sbatch`, for example `--sbatch=--exclude=n7`; may be repeated.
    #[arg(
        long,
        requires = "name",
        value_name = "WORD",
        allow_hyphen_values = true
    )]
    sbatch: Vec<String>,
}

impl ClusterArguments {
    /// The settings of the cluster, with the options laid over them.
    fn settings(&self, name: &str, manifest: &Path) -> Result<ClusterSettings, Failure> {
        self.options.over(name, manifest, self.pilots)
    }
}

impl OfAPilot {
    /// The settings of a cluster whose file is looked for beside a manifest, with the options laid
    /// over them.
    fn over(
        &self,
        name: &str,
        manifest: &Path,
        pilots: Option<NonZeroUsize>,
    ) -> Result<ClusterSettings, Failure> {
        let settings = cluster::find(name, manifest).map_err(Failure::input)?;
        let options = self.clone();
        let options = ClusterOptions {
            pilots,
            time: options.time,
            partition: options.partition,
            account: options.account,
            qos: options.qos,
            gpus: options.gpus,
            cpus: options.cpus,
            memory: options.memory,
            sbatch: options.sbatch,
        };
        options.over(settings).map_err(Failure::input)
    }
}

/// What some runs of a plan are, and by which name their sweep is found.
struct PickedSweep {
    plan: Plan,
    digest: Digest,
}

impl PickedSweep {
    /// The runs that are picked alone.
    fn of(selection: &Selection, only: &Picked) -> Result<Self, Failure> {
        let experiments = selection.experiments()?;
        let dataset = selection.open_dataset(&experiments)?;
        let inventory = inventory(&experiments, &dataset)?;
        let mut plan = plan::build(experiments, &inventory);
        only.narrow(&mut plan)?;
        let digest = pilots::digest_of(&plan, |_| true);
        Ok(Self { plan, digest })
    }

    /// The name of the jobs.
    fn job(&self) -> String {
        job_of(&self.digest)
    }
}

/// The name of a sweep's jobs.
pub(super) fn job_of(digest: &Digest) -> String {
    format!("eg-{}", pilots::name_of(digest))
}
