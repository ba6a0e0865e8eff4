//! `expertgrid cluster check`: whether a cluster can run sweeps, found by a job of two nodes.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;

use super::{
    super::{Done, Failure, output::print},
    OfAPilot,
    shown::Pilots,
    submit::copy_program,
};
use crate::{
    cluster::{self, CLUSTERS_FILE},
    event::now,
    exec::{JobsMeant, Slurm},
    host,
    key::Digest,
    pilots::own_name,
    results_dir::ResultsDir,
    site_check::{Judged, Queuing, SiteCheck, SiteFolder, of_nodes, of_queuing},
};

#[derive(Debug, Args)]
#[command(
    after_help = "A job of two nodes runs for less than a minute and is queued again once, for \
    which Slurm takes two minutes by default. It writes to results/cluster/ alone, and removes \
    that where nothing is wrong. Exit code: 0 nothing is wrong, 1 something is.

Example: expertgrid cluster check mycluster"
)]
pub(in super::super) struct Arguments {
    /// The cluster's name in clusters.toml.
    name: String,
    /// The folder of results that sweeps would have.
    #[arg(long, default_value = "results", value_name = "DIR")]
    results: PathBuf,
    #[command(flatten)]
    options: OfAPilot,
}

/// The longest time of the job.
const TIME: Duration = Duration::from_secs(15 * 60);

/// Between two looks at the folder.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// How long findings may take to be seen here after the job has left the queue.
const SEEN_AFTER: Duration = Duration::from_secs(70);

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let name = &arguments.name;
    let settings = arguments
        .options
        .over(name, Path::new(CLUSTERS_FILE), None)?;
    let directory = std::env::current_dir()
        .context("the working folder")
        .map_err(Failure::Input)?;
    let results = ResultsDir::new(&arguments.results).cluster();
    let process = std::process::id();
    let this = format!("{} {process} {} {}", host::name(), own_name(), now());
    let name_of_this = &Digest::of_bytes(this.as_bytes()).to_string()[..8];
    let path = directory
        .join(results)
        .join(format!("check-{name_of_this}"));
    cluster::check_folder(&path).map_err(Failure::input)?;
    let check = SiteCheck {
        settings,
        directory,
    };
    let folder = SiteFolder::at(&path);
    folder.prepare(&check).map_err(Failure::input)?;
    copy_program(&folder.program()).map_err(Failure::Input)?;

    let slurm = Slurm::new();
    let job = format!("eg-check-{name_of_this}");
    let words = cluster::words_of_two_nodes(&check.settings, &folder.log(), &job, TIME);
    let script = cluster::script_of_two_nodes(&check.settings, &path);
    let submitted = slurm.submit(&words, &script, &job, &[]);
    let submitted = submitted.inspect_err(|_| drop(fs::remove_dir_all(&path)));
    let number = submitted.map_err(Failure::input)?;
    eprintln!("submitted job {number} ({job}) of two nodes; Ctrl-C leaves it to end by itself");

    let wrong = watch(&check, &folder, &slurm, &job);
    for wrong in &wrong {
        eprintln!("wrong: {wrong}");
    }
    // A job that is queued again and not wanted any more.
    let _ = slurm.cancel(JobsMeant::Named(&job), None);
    Ok(match wrong.is_empty() {
        true => {
            let _ = fs::remove_dir_all(&path);
            print(format_args!("sweeps can run on cluster {name}"));
            Done::Whole
        }
        false => {
            eprintln!("what the job printed is in {}", folder.log().display());
            Done::WithFailures
        }
    })
}

/// Shows what the nodes find as it comes, until the job has ended; what is wrong.
fn watch(check: &SiteCheck, folder: &SiteFolder, slurm: &Slurm, job: &str) -> Vec<String> {
    let mut queue = Pilots::new(slurm, job);
    let (mut wrong, mut waits, mut over) = (Vec::new(), None, None::<Instant>);
    let mut told = |judged: Judged| {
        judged.lines.iter().for_each(print);
        wrong.extend(judged.wrong);
    };
    let mut found = false;
    let queuing = loop {
        if !found && let (Some(one), Some(other)) = (folder.findings(0), folder.findings(1)) {
            found = true;
            told(of_nodes(check, folder.path(), &[one, other]));
        }
        let queuing = folder.queuing();
        let waited = over.is_some_and(|since| since.elapsed() > SEEN_AFTER);
        if waited || matches!(queuing, Some(Queuing::BeganAgain(_) | Queuing::Refused(_))) {
            break queuing;
        }
        queue.look(Instant::now());
        let why = queue.why();
        if let Some(why) = why.as_ref().filter(|_| why != waits) {
            eprintln!("the job waits: {why}");
        }
        waits = why;
        match queue.is_over() {
            true => drop(over.get_or_insert_with(Instant::now)),
            false => over = None,
        }
        thread::sleep(BETWEEN_LOOKS);
    };
    if !found && let (Some(one), Some(other)) = (folder.findings(0), folder.findings(1)) {
        found = true;
        told(of_nodes(check, folder.path(), &[one, other]));
    }
    told(of_queuing(queuing.as_ref()));
    if found && queuing.is_none() {
        wrong.push("the job ended before it had asked to be queued again; try again".to_owned());
    }
    if !found {
        let log = fs::read_to_string(folder.log()).unwrap_or_default();
        let said: Vec<&str> = log.lines().rev().take(5).collect();
        let said: Vec<&str> = said.into_iter().rev().collect();
        wrong.push(match said.is_empty() {
            true => "the job has ended without findings and printed nothing".to_owned(),
            false => format!("the nodes found nothing; they say: {}", said.join("; ")),
        });
    }
    wrong
}
