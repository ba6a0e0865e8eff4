//! `expertgrid plan`: what would be run.

use clap::Args;

use super::{Done, Failure, Picked, Selection, output::print};
use crate::{artefact::is_whole, plan::Summary, store::Store};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    only: Picked,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let selection = &arguments.selection;
    let plan = selection.plan()?;
    let store = Store::within(&selection.results);
    let summary = Summary::of(
        &plan,
        |run| arguments.only.wants(run, &plan),
        |stage| store.contains(stage.spec.kind(), &stage.digest) && is_whole(&store, stage),
    );
    match arguments.json {
        true => print(serde_json::to_string_pretty(&summary).expect("a summary is plain data")),
        false => print(&summary),
    }
    Ok(Done::Whole)
}
