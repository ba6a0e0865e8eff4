//! `expertgrid plan`: what would be run, and what that would take.

use std::{collections::HashSet, fmt::Write as _, path::Path, time::Duration};

use clap::Args;
use itertools::Itertools;
use serde::Serialize;

use super::{
    Done, Failure, Picked, Selection,
    cluster::ClusterArguments,
    output::{print, size},
    run,
    run_list::{self, ListedRun},
};
use crate::{
    artefact::is_whole,
    estimate::{self, Basis, Devices, Estimate, Known, Measured, Time, TimeRange},
    exec::{DeviceName, DeviceRequest, Slots},
    key::Digest,
    manifest::Experiment,
    pilots::digest_of,
    plan::{Size, Summary, grouped},
    progress::duration,
    store::Store,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Times are those of stages that have run here, by the journals under results/.

Example: expertgrid plan experiments/table2.toml --profile phantom --only 'n<=10'"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    only: Picked,
    #[command(flatten)]
    cluster: ClusterArguments,
    /// List the runs, each with its state: done, with its network but no scores, or left.
    #[arg(short, long)]
    list: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// What `run --dry-run` shows.
    pub(super) fn of_run(run: &run::Arguments) -> Self {
        Self {
            selection: run.selection.clone(),
            only: run.only.clone(),
            cluster: run.cluster.clone(),
            list: false,
            json: false,
        }
    }
}

/// What is printed as JSON.
#[derive(Serialize)]
struct PlanReport {
    #[serde(flatten)]
    summary: Summary,
    estimate: Estimate,
    /// What profiles, extending files and overrides changed.
    changes: Vec<String>,
    /// The runs, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Vec<ListedRun>>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let selection = &arguments.selection;
    let plan = selection.plan()?;
    let store = Store::within(&selection.results);
    let listed: HashSet<Digest> = store.list().into_iter().map(|(_, digest)| digest).collect();
    let cached = plan.stages.iter().filter(|stage| {
        // A run that keeps no weights may have made it.
        listed.contains(&stage.digest) && is_whole(&store, stage)
    });
    let there: HashSet<Digest> = cached.map(|stage| stage.digest).collect();
    let picking = arguments.only.of(&plan)?;
    let wanted = |run: &_| picking.wants(run, &plan);
    let measured = Measured::read(&selection.results_dir());
    let devices = devices()?;
    let (summary, estimate) = rayon::join(
        || Summary::of(&plan, wanted, |stage| there.contains(&stage.digest)),
        || estimate::of(&plan, wanted, &store, &there, &measured, devices),
    );
    let list = arguments
        .list
        .then(|| run_list::listed(&plan, &picking, &there));
    match arguments.json {
        true => {
            let told = PlanReport {
                summary,
                estimate,
                changes: changes(&plan.experiments),
                list,
            };
            print(serde_json::to_string_pretty(&told).expect("a plan's numbers are plain data"));
        }
        false => {
            for line in list.iter().flat_map(|runs| run_list::lines(runs)) {
                print(line);
            }
            print(&summary);
            for line in at_most(MOST_CHANGES, changes(&plan.experiments)) {
                print(line);
            }
            print(text(&estimate, &selection.results).trim_end());
            if let Some(name) = &arguments.cluster.name {
                let time = estimate.time.as_ref();
                let hours = time.map(|time| time.device_seconds.expected / 3600.0);
                let (digest, left) = (digest_of(&plan, wanted), estimate.stages);
                let told = arguments
                    .cluster
                    .planned(name, selection, &digest, left, hours)?;
                print(told);
            }
            if let Some(why) = estimate::shortage(&store, estimate.disk_bytes) {
                eprintln!("warning: {why}");
            }
        }
    }
    // Dropping millions of stages takes time, and the program ends here.
    std::mem::forget(plan);
    Ok(Done::Whole)
}

/// Most lines about changes.
const MOST_CHANGES: usize = 25;

/// What profiles, extending files and overrides changed, a line each; what all experiments have
/// in common is listed once.
fn changes(experiments: &[Experiment]) -> Vec<String> {
    let several = experiments.len() > 1;
    let named = experiments.iter().flat_map(|experiment| {
        let changes = experiment.changes.iter();
        changes.map(|change| (change.to_string(), experiment.name.as_str()))
    });
    let by_line = named.into_group_map();
    let lines = experiments
        .iter()
        .flat_map(|experiment| &experiment.changes);
    let lines = lines.map(ToString::to_string).unique().map(|line| {
        let names = &by_line[&line];
        match several && names.len() < experiments.len() {
            true => format!("{}: {line}", names.iter().format(", ")),
            false => line,
        }
    });
    lines.collect()
}

/// The first lines, and how many more there are.
fn at_most(most: usize, mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > most {
        let more = lines.len() - (most - 1);
        lines.truncate(most - 1);
        lines.push(format!("and {more} more changes; `--json` lists all"));
    }
    lines
}

/// The devices that a run takes by default.
fn devices() -> Result<Devices, Failure> {
    let slots = Slots::share(&DeviceRequest::Auto, None, 1).map_err(Failure::input)?;
    let devices = slots.slots.iter().map(|slot| slot.device);
    let cuda = devices.filter(|device| *device != DeviceName::Cpu);
    Ok(match cuda.unique_by(|d| d.to_string()).count() {
        0 => Devices {
            device: "cpu".into(),
            count: 1,
        },
        count => Devices {
            device: "cuda".into(),
            count,
        },
    })
}

fn text(estimate: &Estimate, results: &Path) -> String {
    let Estimate {
        devices,
        stages,
        time,
        basis,
        disk_bytes,
        spent_device_seconds,
    } = estimate;
    let mut text = String::new();
    let device = match devices.device.as_str() {
        "cpu" => "the processor".to_owned(),
        device => format!("{} {device}", devices.count),
    };
    if *spent_device_seconds > 0.0 {
        let spent = hours(*spent_device_seconds);
        let _ = writeln!(text, "spent so far: {spent} device-hours");
    }
    if *stages == 0 {
        text.push_str("nothing is left to do\n");
        return text;
    }
    let disk = size(*disk_bytes);
    match time {
        Some(Time {
            wall_seconds,
            device_seconds,
        }) => {
            let _ = writeln!(
                text,
                "left: about {} on {device}, {} device-hours, {disk} of disk",
                span(wall_seconds, seconds),
                span(device_seconds, hours),
            );
        }
        None => {
            let _ = writeln!(
                text,
                "left: {disk} of disk; the time is not known, since no journal in {} has a \
                 training on {device}",
                results.display()
            );
        }
    }
    for basis in basis {
        let _ = writeln!(text, "  {}", stands_on(basis));
    }
    text
}

/// What is known of one size, and how to measure it.
fn stands_on(basis: &Basis) -> String {
    let Basis {
        size,
        batches,
        seconds_per_batch,
        known,
    } = basis;
    let left = usize::try_from(*batches).unwrap_or(usize::MAX);
    let left = format!("{} batches of {}", grouped(left), named(*size));
    let pace = seconds_per_batch.map_or_else(String::new, |pace| span(&pace, seconds));
    let Size { width, side, batch } = size;
    let bench = format!("`expertgrid bench {width}:{side}:{batch}` times a step");
    match known {
        Known::Measured { trainings } => {
            let trainings = match trainings {
                1 => "1 training".to_owned(),
                many => format!("{} trainings", grouped(*many)),
            };
            format!("{left}: {pace} each, measured in {trainings}")
        }
        Known::Guessed { from } => format!(
            "{left}: {pace} each, a GUESS from batches of {}; {bench}",
            named(*from)
        ),
        Known::Not => format!("{left}: not measured; {bench}"),
    }
}

fn named(Size { width, side, batch }: Size) -> String {
    format!("{batch} images of {side} x {side} at width {width}")
}

/// A value, with its range where low and high differ.
fn span(range: &TimeRange, show: fn(f64) -> String) -> String {
    let [low, expected, high] = [range.low, range.expected, range.high].map(show);
    match low == high {
        true => expected,
        false => format!("{expected} ({low} to {high})"),
    }
}

fn seconds(seconds: f64) -> String {
    match seconds {
        0.0..1.0 => format!("{:.1} ms", 1e3 * seconds),
        1.0..10.0 => format!("{seconds:.1} s"),
        _ => duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
    }
}

fn hours(seconds: f64) -> String {
    let hours = seconds / 3600.0;
    match hours {
        0.0..0.1 => format!("{hours:.4}"),
        0.1..10.0 => format!("{hours:.2}"),
        _ => grouped(hours.round() as usize),
    }
}
