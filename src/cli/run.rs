//! `expertgrid run`: what is missing is run, then the tables are written.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use clap::Args;

use super::{Done, Execution, Failure, Selection, imports, report::write_tables};
use crate::{
    exec::{Local, Slots, WorkerCommand},
    key::Digest,
    plan::{self, Inventory, Stage, StageId},
    progress::Progress,
    results,
    schedule::{Schedule, State},
    store::{Found, Store},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    execution: Execution,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let selection = &arguments.selection;
    let experiments = selection.experiments()?;
    let dataset = selection.open_dataset(&experiments)?;
    let slots = Slots::share(&arguments.execution.device, arguments.execution.jobs)
        .map_err(Failure::Input)?;
    // Workers would find out one by one.
    arguments
        .execution
        .compute
        .check()
        .map_err(Failure::Input)?;
    let imports = imports(&experiments)?;
    let plan = plan::build(
        experiments,
        &Inventory {
            imports: imports.clone(),
            ..Inventory::of(&dataset)
        },
    );
    let store = Store::within(&selection.results);
    // Held to the end: whether the folder can be written is known before hours are spent.
    let _scratch = store.scratch().map_err(|error| {
        Failure::Input(format!(
            "{error}; the results folder must be writable, choose another with `--results DIR`"
        ))
    })?;

    let mut intact = |stage: &Stage| match store.verify(stage.spec.kind(), &stage.digest) {
        Found::Intact(_) => true,
        Found::Missing => false,
        Found::Damaged(why) => {
            eprintln!("warning: damaged, will be made again: {why}");
            false
        }
    };
    let mut schedule = Schedule::new(&plan, &mut intact);
    if !schedule.counts().complete() {
        let command = worker_command(arguments, &imports)?;
        let mut progress = Progress::new(&plan, &schedule, slots.devices.len());
        let mut executor = Local::new(command, slots);
        schedule.run(&mut executor, &mut |counts, event| {
            progress.on(counts, event)
        });
        progress.finish(&schedule.counts());
    }

    let failure = |id: StageId| match schedule.state(id) {
        State::Failed(reason) => Some(reason.clone()),
        State::Blocked(upstream) => match schedule.state(*upstream) {
            State::Failed(reason) => Some(reason.clone()),
            _ => Some("a stage it needs failed".to_owned()),
        },
        _ => None,
    };
    let results = results::collect(&plan, &store, &failure);
    write_tables(&results, &dataset, &selection.results)?;
    match schedule.counts().complete() {
        true => Ok(Done::Whole),
        false => Ok(Done::WithFailures),
    }
}

fn worker_command(
    arguments: &Arguments,
    imports: &BTreeMap<PathBuf, Digest>,
) -> Result<WorkerCommand, Failure> {
    let selection = &arguments.selection;
    let program = std::env::current_exe().map_err(|error| {
        Failure::Work(format!("the program's own file cannot be found: {error}"))
    })?;
    let paths: [OsString; 5] = [
        "worker".into(),
        "--dataset".into(),
        selection.dataset_path().into(),
        "--results".into(),
        selection.results.clone().into(),
    ];
    Ok(WorkerCommand {
        program,
        arguments: paths
            .into_iter()
            .chain(arguments.execution.compute.arguments())
            .chain(
                imports
                    .keys()
                    .flat_map(|path| ["--import".into(), path.into()]),
            )
            .collect(),
    })
}
