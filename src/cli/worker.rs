//! `expertgrid worker`: runs stages for a parent process.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use super::{Done, Failure, WorkerDevice, made_by};
use crate::{
    exec::{self, Workshop},
    manifest::DataSpec,
    stage::{Bench, Library, StageWork},
    store::Store,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(long)]
    dataset: PathBuf,
    /// How its files are found and read, as JSON.
    #[arg(long)]
    described: Option<String>,
    #[arg(long)]
    results: PathBuf,
    #[arg(long)]
    import: Vec<PathBuf>,
    /// Seconds between two savings of a training's progress.
    #[arg(long)]
    keep_every: f64,
    #[command(flatten)]
    device: WorkerDevice,
}

pub(super) fn run(arguments: &Arguments, work: &dyn StageWork) -> Result<Done, Failure> {
    leave_requests_to_the_parent();
    exec::continue_when_the_parent_dies();
    let described: DataSpec = match &arguments.described {
        Some(json) => serde_json::from_str(json).map_err(Failure::input)?,
        None => DataSpec::default(),
    };
    let dataset = crate::data::open_as(&arguments.dataset, &described).map_err(Failure::input)?;
    let dataset = Arc::new(dataset);
    let engines = arguments.device.engines();
    let store = Store::within(&arguments.results);
    let scratch = match store.scratch() {
        Ok(scratch) => scratch,
        Err(error) if error.is_no_space() => {
            exec::refuse(error, &mut std::io::stdout());
            return Ok(Done::WithFailures);
        }
        Err(error) => return Err(Failure::work(error)),
    };
    let scratch = Arc::new(scratch);
    let open = || {
        let engine = engines.open()?;
        Ok(Bench {
            library: Library::new(dataset.clone(), arguments.import.clone()),
            store: store.clone(),
            scratch: scratch.clone(),
            made_by: made_by(arguments.device.device, &engine)?,
            engine,
        })
    };
    let workshop = Workshop {
        open: &open,
        work,
        set_threads: &|count| engines.set_threads(count),
        keep_every: Duration::try_from_secs_f64(arguments.keep_every).unwrap_or(Duration::MAX),
    };
    exec::serve(&workshop, Box::new(std::io::stdout()));
    Ok(Done::Whole)
}

/// Service managers and schedulers of clusters ask all processes to end at once. The parent then
/// lets the workers save their progress, and they end with it.
fn leave_requests_to_the_parent() {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
        for signal in [SIGHUP, SIGINT, SIGTERM, SIGUSR1] {
            // Nobody reads it: what counts is that the signal does not end the process.
            let _ = signal_hook::flag::register(signal, Arc::default());
        }
    }
}
