//! `expertgrid plan`: what would be run.

use clap::Args;

use super::{Done, Failure, Selection, imports, output::print};
use crate::{
    plan::{self, Inventory, Summary},
    store::Store,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let selection = &arguments.selection;
    let experiments = selection.experiments()?;
    // The default data set need not be there for counting; one that was named must be.
    let absent = selection.dataset.is_none() && !selection.dataset_path().exists();
    let inventories: Vec<Inventory> = match absent {
        true => {
            eprintln!(
                "note: no data set at {}: counted for the size the manifests expect, and nothing can be cached",
                selection.dataset_path().display()
            );
            experiments
                .iter()
                .map(|experiment| Inventory::assumed(&experiment.cohort))
                .collect()
        }
        false => vec![Inventory::of(&selection.open_dataset(&experiments)?)],
    };
    let largest = inventories
        .into_iter()
        .max_by_key(|inventory| (inventory.training.len(), inventory.test.len()))
        .ok_or_else(|| Failure::input("no manifest"))?;
    let inventory = Inventory {
        imports: imports(&experiments)?,
        ..largest
    };
    let plan = plan::build(experiments, &inventory);
    let store = Store::within(&selection.results);
    let summary = Summary::of(&plan, |stage| {
        store.contains(stage.spec.kind(), &stage.digest)
    });
    match arguments.json {
        true => print(serde_json::to_string_pretty(&summary).expect("a summary is plain data")),
        false => print(&summary),
    }
    Ok(Done::Whole)
}
