//! `expertgrid logs`: what happened to a stage, and its log.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use anyhow::anyhow;
use clap::Args;
use itertools::Itertools;

use super::{
    Done, Failure, Selection,
    output::print,
    why::{StageChoice, stages},
};
use crate::{
    artefact::{CURVE, parse_curve},
    event::{Event, Record, now},
    journal,
    key::Digest,
    plan::Kind,
    progress::duration,
    results_dir::ResultsDir,
    store::{Found, Store},
};

#[derive(Debug, Args)]
#[command(
    mut_arg("manifests", |manifests| manifests.required(false)),
    after_help = "A digest alone is enough; failures and runs.csv name it. An expression needs the
manifests as well.

Examples:
  expertgrid logs --stage 4f0c2a91d07b
  expertgrid logs experiments/table2.toml --only 'expert=6 n=10 start=1 method=w/o'"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    asked: StageChoice,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let Arguments { selection, asked } = arguments;
    let results = selection.results_dir();
    let records = records(&results);
    let digests = match (selection.manifests.as_slice(), &asked.stage) {
        ([], Some(digits)) => heard_of(&records, &results, digits)?,
        ([], None) => {
            return Err(Failure::refused(
                "an expression picks among the runs of manifests; name one, for example \
                 `expertgrid logs experiments/table2.toml --only 'n=10'`",
            ));
        }
        _ => {
            let plan = selection.plan()?;
            let stages = stages(&plan, asked)?;
            stages.into_iter().map(|id| plan.stage(id).digest).collect()
        }
    };
    let store = Store::within(results.path());
    for digest in &digests {
        tell(digest, &records, &results);
        if let Some(course) = course(&store, digest) {
            print(format_args!("  loss by step: {course}"));
        }
    }
    Ok(Done::Whole)
}

/// All records in the journals of a results folder, without the steps of trainings.
fn records(results: &ResultsDir) -> Vec<Record> {
    let mut records = Vec::new();
    for path in results.journals() {
        journal::read(&path, &mut |record| {
            if !matches!(record.event, Event::Progress { .. }) {
                records.push(record);
            }
        });
    }
    // One process writes into the journals of all its experiments.
    records.sort_by(|a: &Record, b| a.at.total_cmp(&b.at).then_with(|| a.run.cmp(&b.run)));
    records.dedup();
    records
}

/// The stage with these first digits in journals or logs, after the one whose failure blocked it.
fn heard_of(records: &[Record], results: &ResultsDir, asked: &str) -> Result<Vec<Digest>, Failure> {
    let mut found: Vec<Digest> = records
        .iter()
        .filter_map(|record| record.event.stage())
        .chain(results.logged())
        .filter(|digest| digest.to_string().starts_with(asked))
        .collect();
    found.sort();
    found.dedup();
    match found.as_slice() {
        [] => Err(Failure::Input(anyhow!(
            "no journal or log in {} has a stage {asked}; a stage that was in the store before has \
             no history there",
            results.path().display()
        ))),
        [one] => {
            let cause = records.iter().rev().find_map(|record| match record.event {
                Event::Blocked { stage, upstream } if stage == *one => Some(upstream),
                _ => None,
            });
            Ok(cause.into_iter().chain([*one]).collect())
        }
        more => Err(Failure::Input(anyhow!(
            "{} stages begin with {asked}; write more digits",
            more.len()
        ))),
    }
}

fn tell(digest: &Digest, records: &[Record], results: &ResultsDir) {
    let of_stage = || {
        records
            .iter()
            .filter(|record| record.event.stage() == Some(*digest))
    };
    let name = of_stage().find_map(|record| match &record.event {
        Event::Started { subject, .. }
        | Event::Failed { subject, .. }
        | Event::FailedElsewhere { subject, .. } => Some(subject.name.clone()),
        _ => None,
    });
    print(format_args!(
        "{} [{}]",
        name.unwrap_or("stage".into()),
        digest.short()
    ));
    let now = now();
    for record in of_stage() {
        let ago = Duration::try_from_secs_f64(now - record.at).unwrap_or_default();
        if let Some(what) = said(&record.event) {
            print(format_args!("  {:>14} ago  {what}", duration(ago)));
        }
    }
    if of_stage().next().is_none() {
        print("  no journal has it");
    }
    for log in pilots_logs(of_stage().map(|record| record.run.as_str()), records) {
        print(format_args!("  its pilot's log: {}", log.display()));
    }
    let path = results.log(digest);
    match fs::read_to_string(&path) {
        Ok(text) => {
            print(format_args!("{}:", path.display()));
            print(text.trim_end());
        }
        Err(_) => print("  no log: a stage has one when it prints something or fails"),
    }
}

/// Some steps of a training in the store, evenly chosen, with their losses.
fn course(store: &Store, digest: &Digest) -> Option<String> {
    const SHOWN: usize = 6;
    let trainings = Kind::ALL.into_iter().filter(|kind| kind.is_training());
    let curve = trainings
        .into_iter()
        .find_map(|kind| match store.read(kind, digest, &[CURVE]) {
            Found::Intact(mut artefact) => artefact.files.remove(CURVE),
            Found::Missing | Found::Damaged(_) => None,
        });
    let steps = parse_curve(&curve?).ok()?;
    let last = steps.len().checked_sub(1)?;
    let shown = (0..=SHOWN).map(|i| i * last / SHOWN).dedup();
    let shown = shown.map(|i| format!("{} {:.4}", steps[i].step, steps[i].loss));
    Some(shown.format(", ").to_string())
}

/// The logs that a cluster keeps of these runs of stages, each once.
fn pilots_logs<'a>(runs: impl Iterator<Item = &'a str>, records: &'a [Record]) -> Vec<&'a Path> {
    let runs: HashSet<&str> = runs.collect();
    let logs = records.iter().filter_map(|record| match &record.event {
        Event::Began { log, .. } if runs.contains(record.run.as_str()) => log.as_deref(),
        _ => None,
    });
    logs.unique().collect()
}

/// What happened, in words.
fn said(event: &Event) -> Option<String> {
    Some(match event {
        Event::Started { slot, .. } => format!("started in slot {slot}"),
        Event::Resumed { steps, .. } => format!("goes on after {steps} steps that were saved"),
        Event::Finished { seconds, .. } => format!("finished after {seconds:.1} s"),
        Event::Found { .. } => "found: another process has made it".to_owned(),
        Event::Elsewhere { .. } => "another process runs it".to_owned(),
        Event::Retried {
            attempt, reason, ..
        } => format!("to be tried again (attempt {attempt}): {reason}"),
        Event::Stopped { .. } => "stopped, its progress saved".to_owned(),
        Event::Failed { reason, .. } => format!("failed: {reason}"),
        Event::FailedElsewhere { reason, .. } => {
            format!("given up by another process: {reason}")
        }
        Event::Blocked { upstream, .. } => {
            format!(
                "cannot run: it needs {}, which has failed",
                upstream.short()
            )
        }
        Event::Began { .. }
        | Event::Progress { .. }
        | Event::Interrupted
        | Event::Continued { .. }
        | Event::Ended { .. } => return None,
    })
}
