//! `expertgrid worker`: stages for a parent process.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{Done, Failure, WorkerDevice, made_by};
use crate::{
    exec,
    stage::{Bench, Library},
    store::Store,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(long)]
    dataset: PathBuf,
    #[arg(long)]
    results: PathBuf,
    #[arg(long)]
    import: Vec<PathBuf>,
    #[command(flatten)]
    device: WorkerDevice,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let dataset = crate::data::open(&arguments.dataset).map_err(Failure::input)?;
    let WorkerDevice {
        device,
        threads,
        compute,
    } = arguments.device;
    let (engine, name) = compute.open(device, threads).map_err(Failure::Input)?;
    let store = Store::within(&arguments.results);
    let scratch = store
        .scratch()
        .map_err(|error| Failure::Work(error.to_string()))?;
    let bench = Bench {
        library: Library::new(Arc::new(dataset), arguments.import.clone()),
        store,
        scratch,
        made_by: made_by(device, name),
        engine,
    };
    exec::serve(bench, &mut std::io::stdout());
    Ok(Done::Whole)
}
