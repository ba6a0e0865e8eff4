//! `expertgrid store export`: writes a stage's weights as a checkpoint.

use std::{path::PathBuf, str::FromStr};

use anyhow::{Context, anyhow};
use clap::Args;
use itertools::Itertools;

use super::super::{Done, Failure, Selection, output::print};
use crate::{
    artefact::WEIGHTS,
    grid::Only,
    key::Digest,
    manifest,
    net::{About, Checkpoint, NetworkOrigin, StageRecord},
    plan::{Kind, Names, Picking, Plan, Spec, StageId},
    store::{Description, Found, Store, create_file},
};

#[derive(Debug, Args)]
#[command(
    mut_arg("manifests", |manifests| {
        manifests
            .value_name("DIGEST | MANIFEST")
            .help("A stage's digest, or its first digits, as in runs.csv; or manifests")
    }),
    after_help = "Examples:
  expertgrid store export 4f0c2a91d07b -o network.safetensors
  expertgrid store export experiments/table2.toml --profile phantom --annotators 1+2+3 \\
    -o pretrained.safetensors
  expertgrid store export experiments/table2.toml --profile phantom \\
    --run 'expert=6 n=10 start=1 annotators=1+2+3 method=w/' -o expert6.safetensors"
)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The network of the run that an expression picks, by table, expert, method, experts,
    /// annotators, samples, start and swept keys.
    #[arg(long, value_name = "EXPRESSION")]
    run: Option<Only>,
    /// The pretrained network of a combination of annotation experts, for example `1+2+3`; with
    /// `--run`, that of the runs picked.
    #[arg(long, value_name = "EXPERTS")]
    annotators: Option<PretrainedOn>,
    /// File to write; it must not exist yet.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// Annotation experts, as the expression that picks their runs.
#[derive(Clone, Debug)]
struct PretrainedOn(Only);

impl FromStr for PretrainedOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(format!("annotators=\"{text}\"").parse()?))
    }
}

/// The stage whose weights are asked for.
fn asked(arguments: &Arguments, store: &Store) -> Result<(Kind, Digest), Failure> {
    let Arguments {
        selection,
        run,
        annotators,
        out: _,
    } = arguments;
    match (selection.manifests.as_slice(), run, annotators) {
        ([digest], None, None) if !manifest::found(digest).exists() => {
            find(store, &digest.to_string_lossy())
        }
        (_, None, None) => Err(Failure::refused(
            "say which network of these manifests: `--run EXPRESSION` for that of a run, \
             `--annotators 1+2+3` for a pretrained one",
        )),
        _ => {
            let plan = selection.plan()?;
            let stages = networks(&plan, run.as_ref(), annotators.as_ref())?;
            let names = Names::of(&plan);
            match stages.as_slice() {
                [one] => {
                    let stage = plan.stage(*one);
                    Ok((stage.spec.kind(), stage.digest))
                }
                [] => Err(Failure::refused(
                    "these runs have no network that is pretrained; leave `--annotators` out",
                )),
                several => Err(Failure::refused(format!(
                    "{} networks are picked, for example {} and {}; narrow it with `--run`, for \
                     example `--run 'expert=6 n=10 start=1 method=w/'`",
                    several.len(),
                    names.name(several[0]),
                    names.name(several[1])
                ))),
            }
        }
    }
}

/// The networks of the runs that an expression picks, or the pretrained ones behind them.
fn networks(
    plan: &Plan,
    run: Option<&Only>,
    annotators: Option<&PretrainedOn>,
) -> Result<Vec<StageId>, Failure> {
    let asked = run.into_iter().chain(annotators.map(|asked| &asked.0));
    let picked = asked.map(|only| plan.pick(only).map_err(Failure::refused));
    let picked: Vec<Picking> = picked.collect::<Result<_, _>>()?;
    let runs = plan.runs.iter();
    let runs = runs.filter(|run| picked.iter().all(|picking| picking.wants(run, plan)));
    if annotators.is_none() {
        return Ok(runs.map(|run| run.network).unique().collect());
    }
    let chains = runs.flat_map(|run| plan.chain(run.network));
    let pretrained = chains.filter(|id| plan.stage(*id).spec.kind() == Kind::Pretrain);
    Ok(pretrained.unique().collect())
}

pub fn run(arguments: &Arguments) -> Result<Done, Failure> {
    if arguments.out.exists() {
        return Err(Failure::Input(anyhow!(
            "{} exists already; choose another name",
            arguments.out.display()
        )));
    }
    let store = Store::within(&arguments.selection.results);
    let (kind, digest) = asked(arguments, &store)?;
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
                "the {kind} stage {} is not in the store; `expertgrid run` makes it",
                digest.short()
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
        spec,
        ..
    } = *artefact.description;
    let target = match serde_json::from_str(spec.get()) {
        Ok(Spec::Train(train)) => train.target(),
        Ok(_) => None,
        Err(error) => {
            eprintln!(
                "note: the specification of {} cannot be read ({error}); whether its masks were \
                 fused is not said in the file",
                digest.short()
            );
            None
        }
    };
    let shown = geometry.as_ref().map(|geometry| format!(" ({geometry})"));
    let trained_on = format!("{dataset}{}", shown.unwrap_or_default());
    let about = About {
        geometry,
        provenance: NetworkOrigin::Stage {
            kind,
            digest,
            record: Some(StageRecord {
                dataset: Some(dataset),
                made_by,
                inputs,
                target,
            }),
        },
        ..about
    };
    print(format_args!(
        "{kind} {}: width {}, {}, trained on {trained_on}",
        digest.short(),
        about.recipe.network.width,
        about.whose()
    ));
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
