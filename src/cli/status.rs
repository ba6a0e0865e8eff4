//! `expertgrid status`: the state of sweeps, from another terminal or after a crash.

use std::{fmt::Write as _, thread, time::Duration};

use clap::Args;
use itertools::Itertools;

use super::{
    Done, Failure, Picked, Selection,
    cluster::{self, SubmittedSweep},
    output::print,
    terminals::takes_escapes,
};
use crate::{
    event::{Ended, now},
    exec::Slurm,
    host,
    pilots::digest_of,
    plan::{Kind, Plan, grouped},
    progress::duration,
    status::{self, Life, StageTally, Status, SweepState},
    store::Store,
};

#[derive(Debug, Args)]
#[command(after_help = "It only reads: nothing is run, locked or written.

Example: expertgrid status experiments/table2.toml --profile phantom --watch")]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    only: Picked,
    /// Show the state every second, until nothing runs or waits in a cluster's queue any more.
    #[arg(long)]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Time between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let selection = &arguments.selection;
    let (plan, folders) = selection.plan_and_folders()?;
    let store = Store::within(&selection.results);
    let picking = arguments.only.of(&plan)?;
    let digest = digest_of(&plan, |run: &_| picking.wants(run, &plan));
    let (slurm, job) = (Slurm::new(), cluster::job_of(&digest));
    let mut submitted = SubmittedSweep::find(&selection.results_dir(), &digest, &slurm, &job);
    loop {
        let wanted = |run: &_| picking.wants(run, &plan);
        let status = status::look(&plan, &store, &folders, wanted);
        if let Some(submitted) = &mut submitted {
            submitted.look();
        }
        let text = match arguments.json {
            true => serde_json::to_string_pretty(&status).expect("a status is plain data"),
            false => {
                let pilots = submitted.as_ref().map(SubmittedSweep::told);
                text(&plan, &status, now()) + &pilots.unwrap_or_default()
            }
        };
        // On a terminal, each look replaces the one before.
        if arguments.watch && !arguments.json && takes_escapes() {
            print("\x1b[2J\x1b[H");
        }
        print(text.trim_end());
        let running = status
            .sweeps
            .iter()
            .any(|sweep| sweep.life == Life::Running)
            || submitted.as_ref().is_some_and(SubmittedSweep::is_queued);
        if !arguments.watch || !running {
            return Ok(match status.failures.is_empty() {
                true => Done::Whole,
                false => Done::WithFailures,
            });
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

fn text(plan: &Plan, status: &Status, now: f64) -> String {
    let mut text = String::new();
    let tables = plan.experiments.iter();
    let tables = tables.map(|experiment| format!("{} ({})", experiment.name, experiment.profile));
    let Status {
        runs,
        stages,
        kinds,
        failures,
        sweeps,
    } = status;
    let _ = writeln!(
        text,
        "{}: {} of {} runs have their scores",
        tables.format(", "),
        grouped(runs.done),
        grouped(runs.of)
    );
    let _ = writeln!(
        text,
        "{:<10} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "stage", "needed", "done", "running", "failed", "left"
    );
    for (kind, tally) in kinds {
        let StageTally {
            needed,
            done,
            running,
            failed,
            left,
        } = *tally;
        let cells = [needed, done, running, failed, left].map(grouped);
        let cells = cells.iter().map(|cell| format!("{cell:>9}"));
        let _ = writeln!(text, "{:<10} {}", Kind::word(*kind), cells.format(" "));
    }
    for sweep in sweeps {
        text.push('\n');
        text.push_str(&told(sweep, stages.done == stages.of, now));
    }
    if !failures.is_empty() {
        text.push_str("\nfailed when tried last:\n");
    }
    for failure in failures {
        let digest = failure.stage.short();
        let _ = writeln!(text, "  {} [{digest}]: {}", failure.name, failure.reason);
    }
    text
}

/// What a sweep does, or how it ended.
fn told(sweep: &SweepState, whole: bool, now: f64) -> String {
    let board = &sweep.board;
    let ago = |at: f64| {
        let time = Duration::try_from_secs_f64(now - at).unwrap_or_default();
        format!("{} ago", duration(time))
    };
    let mut text = String::new();
    match sweep.life {
        Life::Running => {
            let _ = writeln!(
                text,
                "running since {} (process {}{}, last event {})",
                ago(board.began).trim_end_matches(" ago"),
                board.process,
                match board.host == host::name() || board.host.is_empty() {
                    true => String::new(),
                    false => format!(" on {}", board.host),
                },
                ago(board.heard)
            );
            let percent = 100.0 * board.share_done();
            let _ = writeln!(text, "{percent:5.1} %  {}", board.line(now));
            for (i, slot) in board.slots.iter().enumerate() {
                let _ = writeln!(text, "  {i} {:<7} {}", slot.device, board.slot(i));
            }
            return text;
        }
        Life::Ended(Ended::Done | Ended::Idle) => {
            let _ = writeln!(text, "ended {}: {}", ago(board.heard), board.outcome());
        }
        Life::Ended(how) => {
            let how = match how {
                Ended::Interrupted => "interrupted",
                Ended::DiskFull => "stopped by a full disk",
                Ended::GaveUp | Ended::Done | Ended::Idle => "given up after failures",
            };
            let _ = writeln!(text, "{how} {}: {}", ago(board.heard), board.outcome());
        }
        Life::Gone => {
            let _ = writeln!(
                text,
                "ended unexpectedly (killed, the machine went down, or the disk was full), last \
                 event {}: {}",
                ago(board.heard),
                board.outcome()
            );
        }
    }
    if !whole {
        let _ = writeln!(
            text,
            "this command goes on from there:\n  {}",
            board.command
        );
    }
    text
}
