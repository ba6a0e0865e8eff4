//! `expertgrid store ls | du | verify`: the store as a tree on disk.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use rayon::prelude::*;
use serde::Serialize;

use super::super::{
    Done, Failure,
    output::{print, size},
};
use crate::{
    key::Digest,
    plan::Kind,
    store::{Found, Store},
};

#[derive(Debug, Args)]
pub struct StoreArguments {
    /// Folder of the tables and of the store.
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub results: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl StoreArguments {
    /// The store in the results folder, which must be there.
    fn store(&self) -> Result<Store, Failure> {
        let store = Store::within(&self.results);
        match store.root().exists() {
            true => Ok(store),
            false => Err(Failure::refused(format!(
                "there is no store in {}; `--results DIR` names the folder of the tables, and \
                 `expertgrid run` makes its store",
                self.results.display()
            ))),
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: expertgrid store ls --kind pretrain")]
pub struct Ls {
    /// Only this kind: pretrain, finetune, scratch or evaluate.
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    kind: Option<Kind>,
    #[command(flatten)]
    place: StoreArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: expertgrid store du")]
pub struct Du {
    #[command(flatten)]
    place: StoreArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: expertgrid store verify")]
pub struct Verify {
    #[command(flatten)]
    place: StoreArguments,
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.word() == text);
    found.ok_or_else(|| "the kinds are pretrain, finetune, scratch and evaluate".to_owned())
}

/// A stage in the store.
#[derive(Serialize)]
struct StoredStage {
    kind: Kind,
    digest: Digest,
    bytes: u64,
    dataset: Option<String>,
    engine: Option<String>,
    /// What is wrong with it, where it is damaged.
    damage: Option<String>,
}

/// Every stage with what its description says.
fn rows(store: &Store) -> Vec<StoredStage> {
    let row = |(kind, digest): (Kind, Digest)| {
        let row = StoredStage {
            kind,
            digest,
            bytes: store.size(kind, &digest),
            dataset: None,
            engine: None,
            damage: None,
        };
        match store.read(kind, &digest, &[]) {
            Found::Intact(artefact) => StoredStage {
                dataset: Some(artefact.description.dataset),
                engine: Some(artefact.description.made_by.engine.to_string()),
                ..row
            },
            Found::Missing => StoredStage {
                damage: Some("it has been removed meanwhile".into()),
                ..row
            },
            Found::Damaged(why) => StoredStage {
                damage: Some(why),
                ..row
            },
        }
    };
    store.list().into_par_iter().map(row).collect()
}

pub fn ls(arguments: &Ls) -> Result<Done, Failure> {
    let mut rows = rows(&arguments.place.store()?);
    rows.retain(|row| arguments.kind.is_none_or(|kind| kind == row.kind));
    if arguments.place.json {
        print(serde_json::to_string_pretty(&rows).expect("rows are plain data"));
        return Ok(Done::Whole);
    }
    for row in &rows {
        let about = match (&row.damage, &row.engine, &row.dataset) {
            (Some(why), ..) => format!("damaged: {why}"),
            (None, Some(engine), Some(dataset)) => format!("{engine}; {dataset}"),
            (None, ..) => String::new(),
        };
        print(format_args!(
            "{:<9} {} {:>10}  {about}",
            row.kind.word(),
            row.digest,
            size(row.bytes)
        ));
    }
    Ok(Done::Whole)
}

pub fn du(arguments: &Du) -> Result<Done, Failure> {
    let store = arguments.place.store()?;
    let mut kinds: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for (kind, digest) in store.list() {
        let (count, bytes) = kinds.entry(kind.word()).or_default();
        *count += 1;
        *bytes += store.size(kind, &digest);
    }
    if arguments.place.json {
        let kinds: BTreeMap<&str, _> = kinds
            .iter()
            .map(|(kind, (stages, bytes))| {
                (*kind, serde_json::json!({"stages": stages, "bytes": bytes}))
            })
            .collect();
        print(serde_json::to_string_pretty(&kinds).expect("counts are plain data"));
        return Ok(Done::Whole);
    }
    let all = kinds
        .values()
        .fold((0, 0), |sum, kind| (sum.0 + kind.0, sum.1 + kind.1));
    for (kind, (stages, bytes)) in kinds.into_iter().chain([("all", all)]) {
        print(format_args!(
            "{kind:<9} {stages:>8} stages {:>10}",
            size(bytes)
        ));
    }
    Ok(Done::Whole)
}

pub fn verify(arguments: &Verify) -> Result<Done, Failure> {
    let store = arguments.place.store()?;
    let all = store.list();
    let damaged: Vec<(Kind, Digest, String)> = all
        .par_iter()
        .filter_map(|(kind, digest)| match store.verify(*kind, digest) {
            Found::Intact(_) => None,
            Found::Missing => Some((*kind, *digest, "it has been removed meanwhile".to_owned())),
            Found::Damaged(why) => Some((*kind, *digest, why)),
        })
        .collect();
    if arguments.place.json {
        print(serde_json::to_string_pretty(&damaged).expect("rows are plain data"));
    } else {
        for (kind, digest, why) in &damaged {
            print(format_args!("damaged: {kind} {}: {why}", digest.short()));
        }
        print(format_args!(
            "{} of {} stages are intact{}",
            all.len() - damaged.len(),
            all.len(),
            match damaged.is_empty() {
                true => "",
                false => "; running their manifests again repairs the others",
            }
        ));
    }
    match damaged.is_empty() {
        true => Ok(Done::Whole),
        false => Ok(Done::WithFailures),
    }
}
