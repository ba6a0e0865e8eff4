//! `expertgrid plan`: what would be run.

use clap::Args;

use super::{Done, Failure, Picked, Selection, imports, output::print};
use crate::{
    manifest::Cohort,
    plan::{self, Inventory, Summary},
    store::Store,
};

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
    let experiments = selection.experiments()?;
    // The default data set need not be there for counting; one that was named must be.
    let absent = selection.dataset.is_none() && !selection.dataset_path().exists();
    let inventory = match absent {
        true => {
            eprintln!(
                "note: no data set at {}: counted for the size the manifests expect, and nothing can be cached",
                selection.dataset_path().display()
            );
            let cohorts = experiments.iter().map(|experiment| experiment.cohort);
            let cohort = cohorts.reduce(|a, b| Cohort {
                training: a.training.max(b.training),
                test: a.test.max(b.test),
                experts: a.experts.max(b.experts),
            });
            Inventory::assumed(&cohort.ok_or_else(|| Failure::input("no manifest"))?)
        }
        false => Inventory::of(&selection.open_dataset(&experiments)?),
    };
    let inventory = Inventory {
        imports: imports(&experiments)?,
        ..inventory
    };
    let plan = plan::build(experiments, &inventory);
    let store = Store::within(&selection.results);
    let summary = Summary::of(
        &plan,
        |run| arguments.only.wants(run, &plan),
        |stage| store.contains(stage.spec.kind(), &stage.digest),
    );
    match arguments.json {
        true => print(serde_json::to_string_pretty(&summary).expect("a summary is plain data")),
        false => print(&summary),
    }
    Ok(Done::Whole)
}
