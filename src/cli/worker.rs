//! `expertgrid worker`: stages for a parent process.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{Done, Failure, WorkerDevice};
use crate::{
    engine::Stock,
    exec,
    stage::{Bench, Library},
    store::{MadeBy, Store},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(long)]
    dataset: PathBuf,
    #[arg(long)]
    results: PathBuf,
    #[command(flatten)]
    device: WorkerDevice,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let dataset = crate::data::open(&arguments.dataset).map_err(Failure::input)?;
    let device = arguments.device.device.open().map_err(Failure::Input)?;
    let store = Store::within(&arguments.results);
    let scratch = store.scratch().map_err(|error| Failure::Work(error.to_string()))?;
    let bench = Bench {
        library: Library::new(Arc::new(dataset)),
        store,
        scratch,
        made_by: MadeBy {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: match device.is_cpu() {
                true => "cpu".to_owned(),
                false => "cuda".to_owned(),
            },
            engine: "stock".to_owned(),
        },
        engine: Box::new(Stock::new(device)),
    };
    exec::serve(bench, &mut std::io::stdout());
    Ok(Done::Whole)
}
