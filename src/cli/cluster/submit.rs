//! `expertgrid run --cluster`: freezes a sweep, submits its pilots, and shows it.

use std::{
    collections::HashSet,
    fs, iter,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};

use super::{
    super::{Done, Failure, Selection, report, run},
    PickedSweep, shown,
};
use crate::{
    artefact::is_whole,
    cluster::{self, ArrayElement, ClusterSettings, parts},
    exec::Slurm,
    key::Digest,
    manifest,
    pilots::{self, FrozenSweep, SweepFolder, given_up, living, pilot_errors},
    plan::{Names, Plan, Stage, grouped},
    schedule::{Schedule, Share},
    store::Store,
};

/// What became of a submission.
pub(in super::super) enum Submission {
    /// It is in the cluster's hands, or has been shown to its end.
    Left(Done),
    /// Nothing is left to run.
    NothingToDo,
}

pub(in super::super) fn run(arguments: &run::Arguments, name: &str) -> Result<Submission, Failure> {
    let selection = &arguments.selection;
    let files = selection.manifest_files();
    let settings = arguments.cluster.settings(name, &files[0])?;
    let picking = PickedSweep::of(selection, &arguments.only)?;
    let results = selection.results_dir();
    let store = Store::within(results.path());
    let left = left(&picking.plan, &store);
    if left.is_empty() {
        return Ok(Submission::NothingToDo);
    }
    let sweep = Submitted {
        folder: sweep_folder(selection, &picking)?,
        job: picking.job(),
        slurm: Slurm::new(),
    };
    // Missing commands are noticed before anything is written.
    let queue = sweep.slurm.queue(&sweep.job).map_err(Failure::input)?;
    let alive: Vec<&ArrayElement> = queue.iter().filter(|each| each.state.is_alive()).collect();
    let pilots = settings.pilots.get().min(left.len());
    if alive.len() < pilots {
        let began = alive.is_empty() && living(&sweep.folder).is_empty();
        if began {
            sweep.folder.prepare().map_err(Failure::input)?;
            store.make_folders(&left).map_err(Failure::input)?;
            freeze(
                arguments,
                &settings,
                &files,
                &picking.digest,
                pilots,
                &sweep.folder,
            )?;
        }
        submit(&sweep, &settings, &alive, pilots, &queue)?;
        eprintln!(
            "{} stages are left; their results and the pilots' logs: {}",
            grouped(left.len()),
            sweep.folder.path().display()
        );
    } else {
        eprintln!(
            "{} pilots of this sweep ({}) are in the queue already; none was submitted",
            alive.len(),
            sweep.job
        );
    }
    drop(store);
    if arguments.cluster.detach {
        eprintln!("`expertgrid status` with the same arguments shows it, `cancel` ends it");
        return Ok(Submission::Left(Done::Whole));
    }
    show(&sweep, selection, &picking.plan)?;
    let failed = given_up(&sweep.folder);
    if failed.is_empty() {
        let told = report::of_sweep(selection, &arguments.only)?;
        return Ok(Submission::Left(told));
    }
    // The last pilot has written the tables, with the reasons of what is missing.
    let names = Names::of(&picking.plan);
    for (id, stage) in picking.plan.ids() {
        if let Some(reason) = failed.get(&stage.digest) {
            let digest = stage.digest.short();
            eprintln!("failed: {} [{digest}]: {reason}", names.name(id));
        }
    }
    eprintln!("the tables are in {}", selection.results.display());
    Ok(Submission::Left(Done::WithFailures))
}

/// A sweep that is submitted, or about to be.
pub(super) struct Submitted {
    pub(super) folder: SweepFolder,
    pub(super) job: String,
    pub(super) slurm: Slurm,
}

/// The folder of a sweep, absolute and where every node can see it.
pub(super) fn sweep_folder(
    selection: &Selection,
    picking: &PickedSweep,
) -> Result<SweepFolder, Failure> {
    let results = selection.results_dir();
    fs::create_dir_all(results.path())
        .with_context(|| format!("creating {}", results.path().display()))
        .map_err(Failure::Input)?;
    let folder = SweepFolder::of(&results, &pilots::name_of(&picking.digest));
    let absolute = std::path::absolute(folder.path())
        .with_context(|| format!("the path of {}", folder.path().display()))
        .map_err(Failure::Input)?;
    cluster::check_folder(&absolute).map_err(Failure::input)?;
    Ok(SweepFolder::at(absolute))
}

/// The stages of a plan that are not in the store, by listing.
fn left<'a>(plan: &'a Plan, store: &Store) -> Vec<&'a Stage> {
    let there: HashSet<Digest> = store.list().into_iter().map(|(_, digest)| digest).collect();
    let is_there = |stage: &Stage| there.contains(&stage.digest) && is_whole(store, stage);
    let schedule = Schedule::new(plan, |_| true, &mut |stage| is_there(stage), Share::ALL);
    schedule.outstanding().map(|id| plan.stage(id)).collect()
}

/// Writes what the pilots run.
fn freeze(
    arguments: &run::Arguments,
    settings: &ClusterSettings,
    files: &[PathBuf],
    digest: &Digest,
    pilots: usize,
    folder: &SweepFolder,
) -> Result<(), Failure> {
    let directory = std::env::current_dir()
        .context("the working folder")
        .map_err(Failure::Input)?;
    let words = std::env::args_os().skip(1).map(|word| {
        word.into_string().map_err(|word| {
            Failure::refused(format!(
                "{} is not UTF-8, and pilots are told by a text; rename it",
                Path::new(&word).display()
            ))
        })
    });
    let frozen = FrozenSweep {
        words: words.collect::<Result<_, _>>()?,
        directory,
        manifests: files.to_vec(),
        texts: manifest::texts(files).map_err(Failure::input)?,
        digest: *digest,
        pilots,
        retries: arguments.failing.retries,
        settings: settings.clone(),
    };
    frozen.write(folder).map_err(Failure::input)?;
    copy_program(&folder.program()).map_err(Failure::Input)
}

/// Copies this program, whole or not at all.
pub(super) fn copy_program(to: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("the program's own file cannot be found")?;
    let aside = to.with_extension("new");
    let doing = || format!("copying the program to {}", to.display());
    fs::copy(&program, &aside).with_context(doing)?;
    fs::rename(&aside, to).with_context(doing)
}

/// Submits the pilots that are missing.
fn submit(
    sweep: &Submitted,
    settings: &ClusterSettings,
    alive: &[&ArrayElement],
    pilots: usize,
    known: &[ArrayElement],
) -> Result<(), Failure> {
    let limits = sweep.slurm.limits(settings.partition.as_deref());
    let limits = limits.map_err(Failure::input)?;
    if let Some(longest) = limits.longest
        && settings.time > longest
    {
        return Err(Failure::Input(anyhow!(
            "a pilot asks for {}, and the partition gives {} at most; give a shorter `--time`: a \
             sweep may take longer than a pilot",
            cluster::in_words(settings.time),
            cluster::in_words(longest)
        )));
    }
    // The numbers of pilots that live stay theirs.
    let taken: HashSet<usize> = alive.iter().filter_map(|each| each.index).collect();
    let missing = (0..pilots).filter(|number| !taken.contains(number));
    let mut known: Vec<u64> = known.iter().map(|each| each.array).collect();
    let missing: Vec<usize> = missing.take(pilots - alive.len().min(pilots)).collect();
    for part in parts(missing, limits.max_array_size) {
        let first = ["--first".to_owned(), part.first.to_string()];
        let path = sweep.folder.path();
        let words = cluster::words(settings, path, &sweep.job, &part.elements);
        let script = cluster::script(settings, path, &first);
        let submitted = sweep.slurm.submit(&words, &script, &sweep.job, &known);
        let job = submitted.map_err(Failure::input)?;
        known.push(job.number);
        eprintln!(
            "submitted job {job} ({}): pilots {}",
            sweep.job, part.elements
        );
    }
    Ok(())
}

/// Time between two looks at the store, at first; it grows with the time that nothing changes.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// The longest such time.
const LONGEST: Duration = Duration::from_secs(30);

/// Shows a sweep until its tables are written, or no pilot is left.
fn show(sweep: &Submitted, selection: &Selection, plan: &Plan) -> Result<(), Failure> {
    eprintln!("Ctrl-C ends this display only; the pilots go on");
    let store = Store::within(&selection.results);
    let mut pilots = shown::Pilots::new(&sweep.slurm, &sweep.job);
    let (mut last, mut told) = (String::new(), Vec::new());
    let mut pause = BETWEEN_LOOKS;
    loop {
        let given_up = given_up(&sweep.folder).len();
        let living = living(&sweep.folder).len();
        let left = left(plan, &store).len();
        pilots.look(Instant::now());
        let line = iter::once(format!(
            "{} stages are left, {living} pilots run",
            grouped(left)
        ))
        .chain((given_up > 0).then(|| format!("{given_up} failed")))
        .chain(pilots.waiting())
        .collect::<Vec<_>>()
        .join(", ");
        if line != last {
            eprintln!("{line}");
            last = line;
            pause = BETWEEN_LOOKS;
        } else {
            pause = (pause * 5 / 4).min(LONGEST);
        }
        let mut wrong = shown::ended_with_errors(pilot_errors(&sweep.folder));
        wrong.extend(pilots.lost());
        for line in wrong.iter().filter(|line| !told.contains(*line)) {
            eprintln!("{line}");
        }
        told = wrong;
        if sweep.folder.is_reported() {
            return Ok(());
        }
        if living == 0 && pilots.is_over() {
            eprintln!(
                "warning: no pilot is left, and {} stages are not done; the logs are in {}, and \
                 this command submits pilots again",
                grouped(left),
                sweep.folder.pilots().display()
            );
            return Ok(());
        }
        std::thread::sleep(pause);
    }
}
