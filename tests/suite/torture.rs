//! A sweep under fire: the scheduler or a worker is killed with SIGKILL at random moments, over and over, and at the end
//! everything is as if nothing had been.
//!
//! What is promised, and asserted here:
//!
//! - A stage is published exactly once: its artefact is renamed into its place once, and never moved, removed or
//!   replaced. A kill before the rename lets the stage be computed again; a kill after it never does.
//! - Whoever is killed, no process of the sweep outlives the scheduler for long, and nobody need wait for that: the next
//!   run starts at once.
//! - The artefacts and tables are, byte for byte, those of a run that nobody disturbed.
//!
//! `EXPERTGRID_TORTURE_KILLS` sets the number of kills, `EXPERTGRID_TORTURE_SEED` the choices (moments depend on the
//! machine too); `make torture` runs the long form.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::{common::*, faults::*};

/// What `make test` has time for.
const KILLS: usize = 20;

/// Two workers, and progress saved all the time, so that kills hit that too.
const SWEEP: [&str; 6] = ["--jobs", "2", "--save-every", "20ms", "--retries", "1"];

/// How a run is killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// The scheduler, after so long.
    Scheduler(Duration),
    /// One of its workers, after so long.
    Worker(Duration),
    /// Whoever of this role is the first to come to this step in the store.
    At(&'static str, usize),
}

impl Kill {
    fn draw(chance: &mut ChaCha8Rng) -> Self {
        // The first milliseconds are as likely as the later hundreds.
        let moment = Duration::from_secs_f64(10_f64.powf(chance.random_range(-3.0..-0.2)));
        match chance.random_range(0..4) {
            0 => Self::Scheduler(moment),
            1 => Self::Worker(moment),
            2 => Self::At("run", chance.random_range(1..40)),
            _ => Self::At("worker", chance.random_range(1..80)),
        }
    }
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "processes are watched on Linux only"
)]
fn a_sweep_under_fire_ends_as_if_nothing_had_been() {
    let number = |name: &str| Some(std::env::var(name).ok()?.parse::<u64>().expect("a number"));
    let seed = number("EXPERTGRID_TORTURE_SEED").unwrap_or_else(now);
    let kills = number("EXPERTGRID_TORTURE_KILLS").map_or(KILLS, |kills| kills as usize);
    println!("EXPERTGRID_TORTURE_SEED={seed} EXPERTGRID_TORTURE_KILLS={kills}");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let undisturbed = small();
    run(undisturbed.path(), &small_run(&SWEEP), 0);

    let mut tally = Tally::default();
    while tally.kills() < kills {
        let folder = small();
        let mut sweep = Sweep::new(folder.path());
        while tally.kills() < kills && !sweep.complete {
            sweep.disturb(Kill::draw(&mut chance), &mut chance, &mut tally);
        }
        sweep.finish();
        assert_same_work(
            &folder.path().join("results"),
            &undisturbed.path().join("results"),
            &format!("{tally:?}"),
        );
        sweep.assert_published_once();
        tally.sweeps += 1;
    }
    println!("{tally:?}");
}

/// A seed that no run before had.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_micros() as u64
}

/// What was done to how many.
#[derive(Debug, Default)]
struct Tally {
    sweeps: usize,
    schedulers: usize,
    workers: usize,
    /// Of both: at a step in the store.
    at_a_step: usize,
    /// Runs that came to their end before they were to be killed.
    escaped: usize,
}

impl Tally {
    fn kills(&self) -> usize {
        self.schedulers + self.workers
    }
}

/// A store, and the runs on it.
struct Sweep {
    folder: PathBuf,
    /// The steps of all runs.
    watched: Watched,
    complete: bool,
}

impl Sweep {
    fn new(folder: &Path) -> Self {
        let folder = folder.canonicalize().unwrap();
        Self {
            watched: Watched::new(&folder.join("results/store"), &folder.join("steps")),
            folder,
            complete: false,
        }
    }

    fn start(&self, fault: Option<Fault>) -> Child {
        // Once for each run.
        let _ = fs::remove_file(self.folder.join("steps.killed"));
        let mut command = expertgrid(&self.folder, &small_run(&SWEEP));
        self.watched.watch(&mut command, fault);
        let said = fs::File::create(self.folder.join("said")).unwrap();
        command.stdout(Stdio::null()).stderr(said).spawn().unwrap()
    }

    /// One run, with one kill on its way.
    fn disturb(&mut self, kill: Kill, chance: &mut ChaCha8Rng, tally: &mut Tally) {
        let fault = match kill {
            Kill::At(role, step) => Some(Fault::at(role, step, Fate::Kill)),
            Kill::Scheduler(_) | Kill::Worker(_) => None,
        };
        let mut child = self.start(fault);
        let mut shot = 0;
        match kill {
            Kill::Scheduler(moment) => {
                thread::sleep(moment);
                let _ = child.kill();
            }
            Kill::Worker(moment) => {
                thread::sleep(moment);
                if let Some(worker) = workers(child.id()).choose(chance) {
                    shot = usize::from(shoot(*worker));
                }
            }
            Kill::At(..) => {}
        }
        let status = child.wait().unwrap();
        if matches!(kill, Kill::At(..)) && self.folder.join("steps.killed").exists() {
            tally.at_a_step += 1;
            shot = 1;
        }
        // The next run, after a killed one, comes while workers of this one may still be ending.
        match status.code() {
            None => tally.schedulers += 1,
            Some(code) => {
                let said = fs::read_to_string(self.folder.join("said")).unwrap();
                assert_eq!(
                    code, 0,
                    "a killed worker's stage is tried again ({kill:?}): {said}"
                );
                self.complete = true;
                tally.workers += shot;
                tally.escaped += 1 - shot;
            }
        }
    }

    /// Lets it end undisturbed. Nobody of it is left, neither of the runs that were killed.
    fn finish(&mut self) {
        let mut child = self.start(None);
        let code = child.wait().unwrap().code();
        let said = fs::read_to_string(self.folder.join("said")).unwrap();
        assert_eq!(code, Some(0), "{said}");
        until("the end of every process", || {
            processes(&self.folder).is_empty()
        });
        // What a process left on its way is not in anybody's.
        let claims = self.folder.join("results/store/claims");
        assert_eq!(files(&claims).len(), 0, "claims of processes that are gone");
    }

    /// Every artefact has come to its place by one rename, the only one that could have succeeded, and has stayed there.
    fn assert_published_once(&self) {
        let steps = self.watched.steps();
        let mut attempts: BTreeMap<&Path, Vec<&Step>> = BTreeMap::new();
        for step in &steps {
            assert_eq!(
                step.moves_away(),
                None,
                "nothing that was published is moved: {step:?}"
            );
            if let Some(stage) = step.publishes() {
                attempts.entry(stage).or_default().push(step);
            }
        }
        // One pretraining, two fine-tunings, two trainings from scratch, four evaluations.
        assert_eq!(attempts.len(), 9);
        for (stage, attempts) in attempts {
            // Written down before it is made: an attempt that was followed by another found nothing in the place, so
            // none before had been made. Two that were made at once cannot both succeed: the place is not empty then.
            let killed_before = attempts
                .iter()
                .take(attempts.len() - 1)
                .all(|step| !step.there);
            assert!(killed_before, "{stage:?}: {attempts:#?}");
            assert!(
                self.folder.join("results/store").join(stage).exists(),
                "{stage:?}"
            );
        }
    }
}

/// Kills a process; whether it was still there.
fn shoot(process: u32) -> bool {
    let mut kill = std::process::Command::new("kill");
    kill.args(["-9", &process.to_string()])
        .stderr(Stdio::null());
    kill.status().unwrap().success()
}

/// The processes that work in a folder.
fn processes(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.map(|entry| entry.path())
        .filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder))
        .collect()
}
