//! `expertgrid store export`: writes a stage's weights as a checkpoint.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;

use super::super::{Done, Failure, output::print};
use crate::{
    artefact::WEIGHTS,
    key::Digest,
    net::{About, Checkpoint, NetworkOrigin, StageRecord},
    plan::Kind,
    store::{Description, Found, Store, create_file},
};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The stage's digest, or its first digits, as in runs.csv and in the names of the store's
    /// folders.
    #[arg(value_name = "DIGEST")]
    digest: String,
    /// File to write; it must not exist yet.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Folder of the tables and of the store.
    #[arg(long, default_value = "results", value_name = "DIR")]
    results: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<Done, Failure> {
    if arguments.out.exists() {
        return Err(Failure::Input(anyhow!(
            "{} exists already; choose another name",
            arguments.out.display()
        )));
    }
    let store = Store::within(&arguments.results);
    let (kind, digest) = find(&store, &arguments.digest)?;
    let artefact = match store.read(kind, &digest, &[]) {
        Found::Intact(artefact) if !artefact.description.files.contains_key(WEIGHTS) => {
            return Err(Failure::Input(anyhow!(
                "the {kind} stage {} keeps no weights, only pretrainings do unless a manifest says \
                 `keep = \"all\"`; running it with `--set 'keep=\"all\"'` makes them, or \
                 `expertgrid adapt` makes a network for an expert from a pretraining",
                digest.short()
            )));
        }
        Found::Intact(_) => store.read(kind, &digest, &[WEIGHTS]),
        other => other,
    };
    let mut artefact = match artefact {
        Found::Intact(artefact) => artefact,
        Found::Missing => {
            return Err(Failure::Input(anyhow!(
                "{digest} has been removed meanwhile"
            )));
        }
        Found::Damaged(why) => {
            return Err(Failure::Work(anyhow!(
                "{why}; running its manifest again repairs it"
            )));
        }
    };
    let bytes = artefact.files.remove(WEIGHTS).unwrap_or_default();
    let checkpoint = Checkpoint::read(&bytes)
        .with_context(|| format!("reading the weights of {}", digest.short()))
        .map_err(Failure::Work)?;
    let Some(about) = checkpoint.about().cloned() else {
        return Err(Failure::Work(anyhow!(
            "the weights of {} have no description of their network",
            digest.short()
        )));
    };
    let Description {
        inputs,
        dataset,
        geometry,
        made_by,
        ..
    } = *artefact.description;
    print(format_args!(
        "{kind} {}: width {}, {}, trained on {dataset}{}",
        digest.short(),
        about.recipe.network.width,
        about.whose(),
        match &geometry {
            Some(geometry) => format!(" ({geometry})"),
            None => String::new(),
        }
    ));
    let about = About {
        geometry,
        provenance: NetworkOrigin::Stage {
            kind,
            digest,
            record: Some(StageRecord {
                dataset: Some(dataset),
                made_by,
                inputs,
            }),
        },
        ..about
    };
    create_file(&arguments.out, &checkpoint.with_about(about).to_bytes()).map_err(Failure::work)?;
    print(format_args!("written to {}", arguments.out.display()));
    Ok(Done::Whole)
}

/// The only artefact whose digest begins with a prefix.
fn find(store: &Store, prefix: &str) -> Result<(Kind, Digest), Failure> {
    let prefix = prefix.to_lowercase();
    let all = store.list();
    let found: Vec<&(Kind, Digest)> = all
        .iter()
        .filter(|(_, digest)| digest.to_string().starts_with(&prefix))
        .collect();
    match found[..] {
        [one] => Ok(*one),
        [] => Err(Failure::Input(anyhow!(
            "no stage in the store begins with `{prefix}`; `pretraining` in a table's runs.csv \
             lists the digests of pretrainings"
        ))),
        [a, b, ..] => Err(Failure::Input(anyhow!(
            "{} stages begin with `{prefix}`, for example {} and {}; write more of the digest",
            found.len(),
            a.1.short(),
            b.1.short()
        ))),
    }
}
