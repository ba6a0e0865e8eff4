//! `expertgrid store audit`: computes stages again and compares them with the store.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::super::{
    DEFAULT_DATASET, DescribedSet, Done, Failure, OwnDevice, at_least_one, output::print,
};
use crate::{
    event::Step,
    key::{Digest, Keyed},
    plan::{Kind, Spec},
    progress::Bar,
    results_dir::ResultsDir,
    stage::{self, Bench, Library},
    store::{Found, Store},
};

#[derive(Debug, Args)]
#[command(after_help = "Example: expertgrid store audit --sample 20")]
pub struct Arguments {
    /// Number of stages, drawn at random from all.
    #[arg(long, default_value = "10", value_name = "N", value_parser = at_least_one)]
    sample: NonZeroUsize,
    /// Seed; another one draws other stages.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Folder of the data set that the stages were computed on, or a manifest that describes it.
    #[arg(long, default_value = DEFAULT_DATASET, value_name = "DIR|MANIFEST")]
    dataset: PathBuf,
    /// Weights that pretrainings have started from, if any.
    #[arg(long, value_name = "FILE")]
    import: Vec<PathBuf>,
    /// Folder of the tables and of the store.
    #[arg(long, default_value = "results", value_name = "DIR")]
    results: PathBuf,
    #[command(flatten)]
    device: OwnDevice,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The result for one audited stage.
#[derive(Serialize)]
struct Audited {
    kind: Kind,
    digest: Digest,
    outcome: AuditOutcome,
    /// The files that differ, or why there was nothing to compare.
    detail: Option<String>,
}

#[derive(Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum AuditOutcome {
    /// Every file came out with the same bytes.
    Same,
    /// A file came out different.
    Different,
    /// It could not be computed again here.
    NotComparable,
}

pub fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let store = Store::within(&arguments.results);
    let chosen = draw(&store, arguments);
    if chosen.is_empty() {
        return Err(Failure::Input(anyhow!(
            "{} holds no stages; `expertgrid run` computes them",
            ResultsDir::new(&arguments.results).store().display()
        )));
    }
    let dataset = DescribedSet::of(&arguments.dataset, None)?.open()?;
    let scratch = store.scratch().map_err(Failure::work)?;
    let (engine, made_by) = arguments.device.open()?;
    let mut bench = Bench {
        library: Library::new(Arc::new(dataset), arguments.import.clone()),
        store,
        scratch: Arc::new(scratch),
        engine,
        made_by,
    };
    let mut rows = Vec::new();
    let mut bar = Bar::new("stage", chosen.len());
    for (kind, digest) in chosen {
        let row = audit_one(kind, digest, &mut bench);
        bar.at(rows.len() + 1, kind.word());
        rows.push(row);
    }
    let took = bar.finish();
    let count = |outcome| rows.iter().filter(|row| row.outcome == outcome).count();
    let (same, different) = (count(AuditOutcome::Same), count(AuditOutcome::Different));
    if arguments.json {
        print(serde_json::to_string_pretty(&rows).expect("rows are plain data"));
    } else {
        for row in rows.iter().filter(|row| row.outcome != AuditOutcome::Same) {
            let what = match row.outcome {
                AuditOutcome::Different => "different",
                AuditOutcome::Same | AuditOutcome::NotComparable => "not comparable",
            };
            print(format_args!(
                "{what}: {} {}: {}",
                row.kind,
                row.digest.short(),
                row.detail.as_deref().unwrap_or("")
            ));
        }
        print(format_args!(
            "{same} of {} stages came out with the same bytes, {different} different, {} not \
             comparable, in {took}",
            rows.len(),
            rows.len() - same - different
        ));
    }
    match same == rows.len() {
        true => Ok(Done::Whole),
        false => Ok(Done::WithFailures),
    }
}

/// The stages to audit, drawn at random by the seed.
fn draw(store: &Store, arguments: &Arguments) -> Vec<(Kind, Digest)> {
    let mut all = store.list();
    all.sort_by_cached_key(|(_, digest)| {
        let salted = [arguments.seed.to_le_bytes().as_slice(), digest.as_bytes()].concat();
        Digest::of_bytes(&salted)
    });
    all.truncate(arguments.sample.get());
    all
}

fn audit_one(kind: Kind, digest: Digest, bench: &mut Bench) -> Audited {
    let row = |outcome, detail| Audited {
        kind,
        digest,
        outcome,
        detail,
    };
    let description = match bench.store.verify(kind, &digest) {
        Found::Intact(artefact) => artefact.description,
        Found::Missing => {
            return row(
                AuditOutcome::NotComparable,
                Some("it has been removed meanwhile".into()),
            );
        }
        Found::Damaged(why) => {
            return row(AuditOutcome::Different, Some(format!("damaged: {why}")));
        }
    };
    let (there, here) = (&description.made_by, &bench.made_by);
    let other = (&there.device, &there.engine) != (&here.device, &here.engine);
    if other && kind.depends_on_engine() {
        let why = format!(
            "it was computed on {} ({}), this command computes on {} ({})",
            there.device, there.engine, here.device, here.engine
        );
        return row(AuditOutcome::NotComparable, Some(why));
    }
    let spec: Spec = match serde_json::from_str(description.spec.get()) {
        Ok(spec) => spec,
        Err(error) => return row(AuditOutcome::NotComparable, Some(error.to_string())),
    };
    if spec.digest() != digest {
        let why = "this version of the program gives its specification another key";
        return row(AuditOutcome::NotComparable, Some(why.into()));
    }
    let files = match stage::compute(&spec, bench, &mut |_: Step| {}) {
        Ok(files) => files,
        Err(error) => return row(AuditOutcome::NotComparable, Some(error.to_string())),
    };
    let names = description.files.keys().chain(files.keys());
    let mut differing: Vec<&str> = names
        .filter(|name| {
            let before = description.files.get(*name).map(|file| file.digest);
            before != files.get(*name).map(|bytes| Digest::of_bytes(bytes))
        })
        .map(String::as_str)
        .collect();
    differing.sort_unstable();
    differing.dedup();
    match differing.is_empty() {
        true => row(AuditOutcome::Same, None),
        false => row(AuditOutcome::Different, Some(differing.join(", "))),
    }
}
