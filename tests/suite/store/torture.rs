//! A sweep under fire: the scheduler or a worker is killed with SIGKILL at random moments, over and
//! over, and at the end everything is as if nothing had been.
//!
//! What is promised, and asserted here:
//!
//! - A stage is published exactly once: its artefact is renamed into its place once, and never
//!   moved, removed or replaced. A kill before the rename lets the stage be computed again; a kill
//!   after it never does.
//! - Whoever is killed, no worker outlives the scheduler for long, and the next run starts at once.
//!   Where a worker of the run before is just publishing, the second of the two finds the place
//!   taken.
//! - The artefacts and tables are, byte for byte, those of a run that nobody disturbed.
//!
//! `EXPERTGRID_TORTURE_KILLS` sets the number of kills, `EXPERTGRID_TORTURE_SEED` the choices
//! (moments depend on the machine too); `make torture` runs the long form.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::support::{common::*, faults::*};

/// What `make test` has time for.
const KILLS: usize = 20;

/// Trainings of a good second, two at a time, with progress saved all the while, so that kills hit
/// that too.
const SWEEP: [&str; 13] = [
    "chosen.toml",
    "--jobs",
    "2",
    "--save-every",
    "20ms",
    "--retries",
    "9",
    "--set",
    "pretrain.steps=200",
    "--set",
    "finetune.steps=100",
    "--set",
    "scratch.steps=300",
];

/// How a run is disturbed.
#[derive(Clone, Copy, Debug)]
struct Fire {
    /// When one of its workers is killed, if any.
    worker: Option<Duration>,
    /// How long after that the scheduler is killed.
    scheduler: Duration,
    /// A step in the store at which the first of a role to come to it is killed.
    step: Option<Fault>,
}

impl Fire {
    fn draw(chance: &mut ChaCha8Rng) -> Self {
        // From a hundredth of a second to two, the short times as likely as the long ones.
        let mut moment = || Duration::from_secs_f64(10_f64.powf(chance.random_range(-2.0..0.3)));
        let (worker, scheduler) = (moment(), moment());
        Self {
            worker: chance.random_bool(0.7).then_some(worker),
            scheduler,
            step: match chance.random_range(0..3) {
                0 => Some(Fault::at("run", chance.random_range(1..60), Fate::Kill)),
                1 => Some(Fault::at("worker", chance.random_range(1..100), Fate::Kill)),
                _ => None,
            },
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
    let undisturbed = every_form();
    run(undisturbed.path(), &small_run(&SWEEP), 0);

    let mut tally = Tally::default();
    while tally.kills() < kills {
        let folder = every_form();
        let mut sweep = Sweep::new(folder.path());
        while tally.kills() < kills && !sweep.complete {
            let fire = Fire::draw(&mut chance);
            sweep.disturb(fire, &mut chance, &mut tally);
            // Else the next run comes while workers of this one may still be ending.
            if chance.random_bool(0.5) {
                until("the end of every worker", || {
                    processes(&sweep.folder).is_empty()
                });
            }
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

#[test]
fn a_run_with_nothing_to_do_removes_what_a_killed_one_left() {
    let folder = small();
    let again = || {
        run(folder.path(), &small_run(&[]), 0);
        files(&folder.path().join("results/store/claims"))
    };
    again();
    let left = folder
        .path()
        .join("results/store/claims")
        .join("ab".repeat(32));
    fs::write(&left, "").unwrap();
    assert!(again().keys().eq(["in-use"]));
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

    /// One run under fire.
    fn disturb(&mut self, fire: Fire, chance: &mut ChaCha8Rng, tally: &mut Tally) {
        let mut child = self.start(fire.step);
        if let Some(moment) = fire.worker {
            thread::sleep(moment);
            if let Some(worker) = workers(child.id()).choose(chance) {
                tally.workers += usize::from(shoot(*worker));
            }
        }
        thread::sleep(fire.scheduler);
        let _ = child.kill();
        let status = child.wait().unwrap();
        let at_a_step = fire
            .step
            .filter(|_| self.folder.join("steps.killed").exists());
        if let Some(fault) = at_a_step {
            tally.at_a_step += 1;
            tally.workers += usize::from(fault.role == "worker");
        }
        match status.code() {
            None => tally.schedulers += 1,
            Some(code) => {
                let said = fs::read_to_string(self.folder.join("said")).unwrap();
                assert_eq!(
                    code, 0,
                    "a killed worker's stage is tried again ({fire:?}): {said}"
                );
                self.complete = true;
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
        let left = files(&claims);
        assert!(
            left.keys().eq(["in-use"]),
            "claims of processes that are gone: {:?}",
            left.keys()
        );
    }

    /// Every artefact is in the place that it was renamed into. It has come there once, since the
    /// operating system renames no folder onto another that holds something, and nothing was ever
    /// moved away.
    fn assert_published_once(&self) {
        let steps = self.watched.steps();
        // When each process began and was last seen.
        let mut lives: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            lives.entry(step.process).or_insert((at, at)).1 = at;
            assert_eq!(
                step.moves_away(),
                None,
                "nothing that was published is moved: {step:?}"
            );
        }
        let mut stages = BTreeSet::new();
        for (at, step) in steps.iter().enumerate() {
            let Some(stage) = step.publishes() else {
                continue;
            };
            stages.insert(stage);
            assert!(
                self.folder.join("results/store").join(stage).exists(),
                "{stage:?}"
            );
            if lives[&step.process].1 == at {
                // Perhaps killed before it was made.
                continue;
            }
            let again = steps[at..].iter().find(|later| {
                later.prepares().is_some_and(|name| name == short(stage))
                    && lives[&later.process].0 > at
            });
            assert!(
                again.is_none(),
                "published by {step:?}, computed once more by {again:?}"
            );
        }
        // Ten pretrainings, nine fine-tunings and a training from scratch, eleven served networks,
        // a comparison of masks, twenty-one evaluations.
        assert_eq!(stages.len(), 53);
    }
}

/// As the folder for a stage's artefact is called: `kind-digits`.
fn short(stage: &Path) -> String {
    let mut parts = stage.iter().map(|part| part.to_str().unwrap());
    let (kind, digest) = (parts.next().unwrap(), parts.next_back().unwrap());
    format!("{kind}-{}", &digest[..12])
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
