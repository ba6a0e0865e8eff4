//! `expertgrid cancel`: ends a sweep on a cluster.

use clap::Args;

use super::{
    super::{Done, Failure, Picked, Selection},
    PickedSweep,
};
use crate::{
    cluster::{ArrayElement, ElementState},
    exec::{JobSignal, JobsMeant, Slurm},
};

#[derive(Debug, Args)]
#[command(
    after_help = "Pilots stop at the next step and save their progress; those that wait are \
    taken out of the queue. The command that submitted the sweep goes on from there.

Example: expertgrid cancel experiments/table2.toml --profile phantom"
)]
pub(in super::super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    only: Picked,
    /// End pilots at once; what they have not saved is done again.
    #[arg(long)]
    now: bool,
}

pub(in super::super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let picking = PickedSweep::of(&arguments.selection, &arguments.only)?;
    let (job, slurm) = (picking.job(), Slurm::new());
    let queue = slurm.queue(&job).map_err(Failure::input)?;
    let alive = queue.iter().filter(|element| element.is_alive());
    let (waiting, running): (Vec<&ArrayElement>, Vec<&ArrayElement>) =
        alive.partition(|element| element.state == ElementState::Pending);
    let alive = waiting.len() + running.len();
    if alive == 0 {
        eprintln!("no pilot of this sweep ({job}) is in the queue");
        return Ok(Done::Whole);
    }
    let jobs = |elements: &[&ArrayElement]| -> Vec<String> {
        elements.iter().map(|element| element.job()).collect()
    };
    let cancelled = match arguments.now {
        true => slurm.cancel(JobsMeant::Named(&job), None),
        false => slurm
            .cancel(JobsMeant::Listed(&jobs(&waiting)), None)
            .and_then(|()| slurm.cancel(JobsMeant::Listed(&jobs(&running)), Some(JobSignal::Term))),
    };
    cancelled.map_err(Failure::work)?;
    eprintln!("{alive} pilots of this sweep ({job}) are asked to end");
    Ok(Done::Whole)
}
