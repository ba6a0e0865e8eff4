//! `expertgrid why`: what stands behind a key, and what is different where it is not in the store.

use clap::Args;
use itertools::Itertools;
use serde::Serialize;

use super::{Done, Failure, Selection, output::print};
use crate::{
    key::{Digest, Keyed},
    plan::{Names, Only, Plan, Stage, StageId},
    store::Store,
    why::{self, Answer, Difference, Field},
};

#[derive(Debug, Args)]
#[command(
    after_help = "The run or the stage comes last: an expression that picks one run, or the first digits of a digest.

Example: expertgrid why experiments/table2.toml 'expert=6 n=10 start=1 arm=w/ combination=1+2'"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is said of a stage.
#[derive(Serialize)]
struct Told {
    name: String,
    digest: Digest,
    answer: Answer,
    inputs: Vec<Field>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let mut selection = arguments.selection.clone();
    let (Some(asked), false) = (selection.manifests.pop(), selection.manifests.is_empty()) else {
        return Err(Failure::input(
            "name a manifest and then a run or a stage, for example `expertgrid why experiments/table2.toml \
             'expert=6 n=10 start=1 arm=w/o'`",
        ));
    };
    let asked = asked.to_string_lossy().into_owned();
    let plan = selection.plan()?;
    let stages = stages(&plan, &asked)?;
    let store = Store::within(&selection.results);
    let names = Names::of(&plan);
    let told: Vec<Told> = stages
        .into_iter()
        .map(|id| {
            let Stage { digest, spec, .. } = plan.stage(id);
            Told {
                name: names.name(id),
                digest: *digest,
                answer: why::ask(&store, plan.stage(id)),
                inputs: why::fields(&spec.explain()),
            }
        })
        .collect();
    if arguments.json {
        print(serde_json::to_string_pretty(&told).expect("what is told is plain data"));
        return Ok(Done::Whole);
    }
    for told in &told {
        say(told);
    }
    Ok(Done::Whole)
}

/// The stages of the run that is asked for, or the stage itself, behind what it needs.
pub(super) fn stages(plan: &Plan, asked: &str) -> Result<Vec<StageId>, Failure> {
    if is_digest(asked) {
        let found = plan
            .ids()
            .filter(|(_, stage)| stage.digest.to_string().starts_with(asked));
        let found: Vec<StageId> = found.map(|(id, _)| id).collect();
        return match found.as_slice() {
            [one] => Ok(plan.chain(*one)),
            [] => Err(Failure::Input(format!(
                "no stage of these manifests begins with {asked}; `results/<name>/<profile>/runs.csv` holds the digests of \
                 all runs, and another profile or `--set` gives other digests"
            ))),
            more => Err(Failure::Input(format!(
                "{} stages begin with {asked}; write more digits",
                more.len()
            ))),
        };
    }
    let only: Only = asked.parse().map_err(Failure::Input)?;
    let runs = plan.runs.iter().filter(|run| only.matches(run, plan));
    let runs: Vec<_> = runs.collect();
    match runs.as_slice() {
        [one] => Ok(plan.chain(one.evaluation)),
        [] => Err(Failure::Input(format!(
            "no run of these manifests is `{asked}`"
        ))),
        more => {
            let names = Names::of(plan);
            let some = more.iter().take(3).map(|run| names.name(run.evaluation));
            Err(Failure::Input(format!(
                "{} runs are `{asked}`; narrow it down to one (table, arm, expert, combination, n, start): {}, ...",
                more.len(),
                some.format("; ")
            )))
        }
    }
}

/// Whether a text is the beginning of a digest, as it is printed everywhere.
pub(super) fn is_digest(text: &str) -> bool {
    (4..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit())
}

fn say(told: &Told) {
    print(format_args!("{} [{}]", told.name, told.digest.short()));
    match &told.answer {
        Answer::Cached => print("  in the store"),
        Answer::Damaged(why) => print(format_args!(
            "  in the store, but damaged; it will be made again: {why}"
        )),
        Answer::NothingAlike => print("  not in the store, nor is any other of its kind"),
        Answer::Nearest(neighbour) => {
            print(format_args!(
                "  not in the store; nearest there is [{}], which differs in",
                neighbour.digest.short()
            ));
            for Difference {
                field,
                theirs,
                ours,
            } in &neighbour.differences
            {
                print(format_args!(
                    "    {field}: {} -> {}",
                    values(theirs),
                    values(ours)
                ));
            }
        }
    }
    print("  inputs");
    for (field, given) in &told.inputs {
        print(format_args!("    {field} = {}", values(given)));
    }
}

/// A value, or how many and which is the first.
fn values(values: &[String]) -> String {
    let short = |value: &String| match value.parse::<Digest>() {
        Ok(digest) => digest.short(),
        Err(_) => value.clone(),
    };
    match values {
        [] => "(not there)".to_owned(),
        [one] => short(one),
        [first, .., last] => format!(
            "{} values, {} to {}",
            values.len(),
            short(first),
            short(last)
        ),
    }
}
