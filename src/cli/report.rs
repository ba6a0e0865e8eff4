//! `expertgrid report`: tables from what has been run.

use std::path::Path;

use clap::Args;

use super::{Done, Failure, Selection, imports, output::print};
use crate::{
    data::Dataset,
    plan::{self, Inventory, StageId},
    report::{self, Provenance, Sources},
    results::{self, Results},
    store::Store,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let selection = &arguments.selection;
    let experiments = selection.experiments()?;
    let dataset = selection.open_dataset(&experiments)?;
    let inventory = Inventory {
        imports: imports(&experiments)?,
        ..Inventory::of(&dataset)
    };
    let plan = plan::build(experiments, &inventory);
    let store = Store::within(&selection.results);
    let results = results::collect(&plan, &store, &|_: StageId| None);
    let missing: usize = (0..plan.experiments.len())
        .map(|i| results.tally(i).missing)
        .sum();
    if missing == plan.runs.len() {
        return Err(Failure::Input(format!(
            "none of the {missing} runs has results in {} for this data set and profile; `expertgrid run` \
             makes them",
            selection.results.display()
        )));
    }
    write_tables(&results, &store, &dataset, &selection.results)?;
    match missing {
        0 => Ok(Done::Whole),
        _ => {
            eprintln!(
                "note: {missing} of {} runs have not been run yet",
                plan.runs.len()
            );
            Ok(Done::WithFailures)
        }
    }
}

/// Writes and prints the tables of all experiments, and writes their pages.
pub(super) fn write_tables(
    results: &Results<'_>,
    store: &Store,
    dataset: &Dataset,
    to: &Path,
) -> Result<(), Failure> {
    for damaged in &results.damaged {
        eprintln!("warning: damaged, counted as missing: {damaged}");
    }
    let provenance = provenance(dataset);
    for experiment in 0..results.plan.experiments.len() {
        let written = report::write(results, experiment, &provenance, to)
            .map_err(|error| Failure::Work(error.to_string()))?;
        print(&written.text);
        eprintln!("written to {}", written.path.display());
    }
    let sources = Sources {
        results,
        store,
        dataset,
        provenance: &provenance,
    };
    let pages =
        report::write_pages(&sources, to).map_err(|error| Failure::Work(error.to_string()))?;
    for page in pages {
        eprintln!("page: {}", page.display());
    }
    Ok(())
}

/// What tables and pages say of a data set.
pub(super) fn provenance(dataset: &Dataset) -> Provenance {
    Provenance {
        dataset: dataset.label.clone(),
        origin: dataset.provenance,
    }
}
