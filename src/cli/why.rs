//! `expertgrid why`: whether stages are in the store, and where their inputs differ from those of
//! the nearest that is there.

use anyhow::anyhow;
use clap::Args;
use itertools::Itertools;
use serde::Serialize;

use super::{Done, Failure, Selection, output::print};
use crate::{
    grid::Only,
    key::{Digest, Keyed},
    plan::{Fields, Names, Plan, Stage, StageId},
    status::{self, Life, Status},
    store::Store,
    why::{self, Answer, Difference, KeyField},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  expertgrid why experiments/table2.toml --only 'expert=6 n=10 start=1 method=w/ annotators=1+2+3'
  expertgrid why experiments/table2.toml --stage 4f0c2a91d07b --inputs")]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    asked: StageChoice,
    /// List every input of every stage.
    #[arg(short, long)]
    inputs: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which stages are asked about.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct StageChoice {
    /// The stages of the run that an expression picks, by table, expert, method, experts,
    /// annotators, samples, start and swept keys.
    #[arg(long, value_name = "EXPRESSION")]
    pub(super) only: Option<Only>,
    /// A stage by the first digits of its digest, and what it needs.
    #[arg(long, value_name = "DIGEST", value_parser = digits)]
    pub(super) stage: Option<String>,
}

/// The first digits of a digest, as it is printed everywhere.
fn digits(text: &str) -> Result<String, String> {
    let hexadecimal = text.chars().all(|c| c.is_ascii_hexdigit());
    match hexadecimal && (4..=64).contains(&text.len()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("a digest is 4 to 64 hexadecimal digits, as runs.csv has them".to_owned()),
    }
}

/// The answer on one stage.
#[derive(Serialize)]
struct StageExplanation {
    name: String,
    digest: Digest,
    answer: Answer,
    inputs: Vec<KeyField>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let selection = &arguments.selection;
    let (plan, folders) = selection.plan_and_folders()?;
    let stages = stages(&plan, &arguments.asked)?;
    let store = Store::within(&selection.results);
    let names = Names::of(&plan);
    let told: Vec<StageExplanation> = stages
        .into_iter()
        .map(|id| {
            let Stage { digest, spec, .. } = plan.stage(id);
            StageExplanation {
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
    let wanted = |digest: &Digest| told.iter().any(|stage| stage.digest == *digest);
    let outlook = Outlook {
        leased: store.leased(wanted),
        status: status::look(&plan, &store, &folders, |_| true),
    };
    print(outlook.answer(&told));
    for told in &told {
        say(told, arguments.inputs);
    }
    if !arguments.inputs {
        print("--inputs lists what makes the key of each");
    }
    Ok(Done::Whole)
}

/// What processes do about stages that are missing.
struct Outlook {
    leased: Vec<Digest>,
    status: Status,
}

impl Outlook {
    /// The answer in a line: whether everything is there; if not, what will become of the first
    /// stage that is missing.
    fn answer(&self, told: &[StageExplanation]) -> String {
        let missing = told
            .iter()
            .filter(|stage| !matches!(stage.answer, Answer::Cached));
        let missing = missing.collect_vec();
        let of = told.len();
        let damaged = told
            .iter()
            .filter(|stage| matches!(stage.answer, Answer::Damaged(_)));
        let damaged = match damaged.count() {
            0 => String::new(),
            count => format!(" ({count} damaged)"),
        };
        let Some(first) = missing.first() else {
            return match of {
                1 => "in the store".to_owned(),
                of => format!("all {of} stages are in the store"),
            };
        };
        let count = match (missing.len(), of) {
            (_, 1) => format!("not in the store{damaged}"),
            (missing, of) if missing == of => {
                format!("none of its {of} stages is in the store{damaged}")
            }
            (1, of) => format!("1 of its {of} stages is not in the store{damaged}"),
            (missing, of) => format!("{missing} of its {of} stages are not in the store{damaged}"),
        };
        let mut running = self.status.sweeps.iter();
        let running = running.find(|sweep| sweep.life == Life::Running);
        let mut failures = self.status.failures.iter();
        let failure = failures.find(|failure| failure.stage == first.digest);
        let outlook = if self.leased.contains(&first.digest) {
            format!("{} is being run now", first.name)
        } else if let Some(failure) = failure {
            format!(
                "{} failed when it was tried last: {}",
                first.name, failure.reason
            )
        } else if let Some(sweep) = running {
            format!(
                "a sweep of these manifests is running (process {})",
                sweep.board.process
            )
        } else {
            match missing.len() {
                1 => "nothing runs now that would make it".to_owned(),
                _ => "nothing runs now that would make them".to_owned(),
            }
        };
        format!("{count}; {outlook}")
    }
}

/// The stages of the run that is asked for; or the stage itself, after those that it needs.
pub(super) fn stages(plan: &Plan, asked: &StageChoice) -> Result<Vec<StageId>, Failure> {
    if let Some(digits) = &asked.stage {
        let found = plan
            .ids()
            .filter(|(_, stage)| stage.digest.to_string().starts_with(digits));
        let found: Vec<StageId> = found.map(|(id, _)| id).collect();
        return match found.as_slice() {
            [one] => Ok(plan.chain(*one)),
            [] => Err(Failure::Input(anyhow!(
                "no stage of these manifests begins with {digits}; runs.csv of a table holds the \
                 digests of all its runs, and another profile or `--set` gives other digests"
            ))),
            more => Err(Failure::Input(anyhow!(
                "{} stages begin with {digits}; write more digits",
                more.len()
            ))),
        };
    }
    let picking = asked.only.as_ref().map(|only| plan.pick(only)).transpose();
    let picking = picking.map_err(Failure::refused)?.unwrap_or_default();
    let runs = plan.runs.iter().filter(|run| picking.wants(run, plan));
    let runs: Vec<_> = runs.collect();
    match runs.as_slice() {
        [one] => Ok(plan.chain(one.evaluation)),
        more => {
            let names = Names::of(plan);
            let some = more.iter().take(3).map(|run| names.name(run.evaluation));
            let fields = Fields::of(plan);
            let fields = fields.list().iter().map(|field| field.name.as_str());
            Err(Failure::Input(anyhow!(
                "{} runs match; narrow the expression down to one run ({}): {}, ...",
                more.len(),
                fields.format(", "),
                some.format("; ")
            )))
        }
    }
}

fn say(told: &StageExplanation, inputs: bool) {
    print(format_args!("{} [{}]", told.name, told.digest.short()));
    match &told.answer {
        Answer::Cached => print("  in the store"),
        Answer::Damaged(why) => print(format_args!(
            "  in the store, but damaged; it will be computed again: {why}"
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
    if !inputs {
        return;
    }
    print("  inputs");
    for (field, given) in &told.inputs {
        print(format_args!("    {field} = {}", values(given)));
    }
}

/// The value; of several, how many, the first and the last.
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
