//! A worker: reads requests, runs stages, writes replies, one JSON value a line.
//!
//! Each slot that it is asked to run stages in has a thread of its own, with its own engine and
//! data.
//!
//! The rule: a worker ends as soon as its standard input closes, however its parent ended. Nothing
//! is lost by it: an artefact is published whole or not at all.

use std::{
    collections::HashMap,
    io::{BufRead, Write},
    num::NonZeroUsize,
    panic::{self, AssertUnwindSafe},
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    event::Step,
    key::{Digest, Keyed},
    plan::Spec,
    schedule::{Nature, StageFailure},
    stage::{self, Bench, StageError, StageWork},
    store::{Scratch, Store, StoreError},
    train::{Next, TrainError, Watch},
};

/// A line to a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// Run a stage.
    Stage {
        /// In this slot, after those asked for there before.
        slot: usize,
        /// The stage.
        spec: Box<Spec>,
    },
    /// Use so many threads from now on, in the middle of a stage too.
    Threads(NonZeroUsize),
    /// End all stages at their next steps, their progress saved.
    Stop,
}

/// A line from a worker.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The slot whose stage it is about.
    pub slot: usize,
    /// What happened to the stage.
    pub what: StageReply,
}

/// What a worker reports of a stage.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageReply {
    /// Its first step is about to be done.
    Begun,
    /// It goes on from progress that was saved after so many steps.
    Resumed(usize),
    /// A step is done.
    Step(Step),
    /// A line for its log.
    Log(String),
    /// Its artefact is published.
    Finished,
    /// There is no artefact.
    Failed(StageFailure),
    /// There is no artefact, and the worker ends: it could run no other stage.
    Last(StageFailure),
    /// It was asked to stop, and did.
    Stopped,
}

/// The shortest time between two reports of a step.
const BETWEEN_STEPS: Duration = Duration::from_millis(500);

/// The exit code after [`StageReply::Last`].
const BROKEN: i32 = 1;

/// What the threads of a worker share.
pub struct Workshop<'a> {
    /// Opens an engine and the data for one thread.
    pub open: &'a (dyn Fn() -> anyhow::Result<Bench> + Sync),
    /// What is computed for a stage.
    pub work: &'a dyn StageWork,
    /// The processor's threads, where their number can be changed.
    pub set_threads: &'a dyn Fn(NonZeroUsize),
    /// How often a training's progress is saved.
    pub keep_every: Duration,
}

/// Serves requests until standard input closes.
pub fn serve(workshop: &Workshop<'_>, out: Box<dyn Write + Send>) {
    let shared = SlotThreads {
        open: workshop.open,
        work: workshop.work,
        keep_every: workshop.keep_every,
        busy: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        out: Mutex::new(out),
    };
    thread::scope(|scope| {
        let mut slots: HashMap<usize, Sender<Box<Spec>>> = HashMap::new();
        // Read apart from the work, so that the end of the parent is noticed in the middle of a
        // stage.
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            // A parent that is killed while it writes leaves half a line.
            let Ok(request) = serde_json::from_str(&line) else {
                break;
            };
            match request {
                Request::Stage { slot, spec } => {
                    shared.busy.fetch_add(1, Ordering::SeqCst);
                    let thread = slots.entry(slot).or_insert_with(|| {
                        let (sender, specs) = mpsc::channel();
                        let shared = &shared;
                        thread::Builder::new()
                            .stack_size(STACK)
                            .spawn_scoped(scope, move || shared.serve_slot(slot, &specs))
                            .expect("a thread can be started");
                        sender
                    });
                    // A thread ends with its process alone.
                    let _ = thread.send(spec);
                }
                Request::Threads(count) => (workshop.set_threads)(count),
                Request::Stop => shared.stop.store(true, Ordering::SeqCst),
            }
        }
        if shared.busy.load(Ordering::SeqCst) > 0 {
            // A stage may be writing: the next run removes what is half-written.
            process::exit(0);
        }
    });
}

/// Bytes of a thread's stack, as many as a program's first thread has.
const STACK: usize = 8 << 20;

/// What the threads of slots share.
struct SlotThreads<'a> {
    open: &'a (dyn Fn() -> anyhow::Result<Bench> + Sync),
    work: &'a dyn StageWork,
    keep_every: Duration,
    /// Stages that were asked for and are not done.
    busy: AtomicUsize,
    stop: AtomicBool,
    out: Mutex<Box<dyn Write + Send>>,
}

impl SlotThreads<'_> {
    fn reply(&self, slot: usize, what: StageReply) {
        let mut line = serde_json::to_vec(&Reply { slot, what }).expect("replies are plain data");
        line.push(b'\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A parent that has stopped reading is about to close standard input.
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }

    /// Runs the stages of one slot.
    fn serve_slot(&self, slot: usize, specs: &Receiver<Box<Spec>>) {
        let mut bench = None;
        for spec in specs {
            let run = AssertUnwindSafe(|| self.run(slot, &spec, &mut bench));
            let what = panic::catch_unwind(run).unwrap_or_else(|_| {
                // What it left behind is not to be relied on.
                StageReply::Last(StageFailure {
                    reason: "the worker panicked".to_owned(),
                    nature: Nature::Accident,
                })
            });
            let is_last = matches!(what, StageReply::Last(_));
            // Before the reply: after the last one the parent closes standard input at once.
            self.busy.fetch_sub(1, Ordering::SeqCst);
            self.reply(slot, what);
            if is_last {
                process::exit(BROKEN);
            }
        }
    }

    /// Runs a stage; how it ended.
    fn run(&self, slot: usize, spec: &Spec, bench: &mut Option<Bench>) -> StageReply {
        if bench.is_none() {
            match (self.open)() {
                Ok(opened) => *bench = Some(opened),
                Err(error) => {
                    let failure = StageFailure {
                        reason: format!("{error:#}"),
                        nature: Nature::Accident,
                    };
                    // Where nothing else runs here, another process may do better.
                    return match self.busy.load(Ordering::SeqCst) {
                        0 | 1 => StageReply::Last(failure),
                        _ => StageReply::Failed(failure),
                    };
                }
            }
        }
        let bench = bench.as_mut().expect("it is open");
        let mut watching = Watching {
            store: bench.store.clone(),
            scratch: bench.scratch.clone(),
            stage: spec.digest(),
            computes: match bench.made_by.device.as_str() {
                "cpu" => bench.made_by.engine.to_string(),
                card => format!("{card}, {}", bench.made_by.engine),
            },
            shared: self,
            slot,
            kept: Instant::now(),
            told: None,
            full: None,
        };
        let outcome = stage::run(spec, self.work, bench, &mut watching);
        let full = watching.full.take();
        bench.engine.release_memory();
        match outcome {
            Ok(digest) => {
                bench.store.forget_progress(&digest);
                StageReply::Finished
            }
            Err(StageError::Train(TrainError::Stopped(_))) => match full {
                None => StageReply::Stopped,
                Some(reason) => StageReply::Failed(StageFailure {
                    reason,
                    nature: Nature::NoSpace,
                }),
            },
            Err(error) => {
                let failure = failure(&error);
                match failure.nature == Nature::Accident && bench.engine.is_broken() {
                    true => StageReply::Last(failure),
                    false => StageReply::Failed(failure),
                }
            }
        }
    }
}

fn failure(error: &StageError) -> StageFailure {
    StageFailure {
        nature: match error {
            StageError::Store(error) if error.is_no_space() => Nature::NoSpace,
            error if error.is_deterministic() => Nature::Deterministic,
            _ => Nature::Accident,
        },
        reason: error.to_string(),
    }
}

/// Reports of every stage that it cannot run, since the store cannot be written to.
pub fn refuse(error: StoreError, out: &mut dyn Write) {
    let failure = failure(&StageError::Store(error));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(Request::Stage { slot, .. }) => {
                let what = StageReply::Failed(failure.clone());
                let reply = serde_json::to_string(&Reply { slot, what });
                let reply = reply.expect("replies are plain data");
                let _ = writeln!(out, "{reply}").and_then(|()| out.flush());
            }
            Ok(Request::Threads(_) | Request::Stop) => {}
            Err(_) => return,
        }
    }
}

/// Reports a training's steps to the parent, and saves its progress in the store.
struct Watching<'a> {
    store: Store,
    scratch: Arc<Scratch>,
    stage: Digest,
    /// The engine and its card. On another one, a training would continue with other bits.
    computes: String,
    shared: &'a SlotThreads<'a>,
    slot: usize,
    kept: Instant,
    /// When a step was reported last.
    told: Option<Instant>,
    /// Why progress cannot be saved, where the disk is full.
    full: Option<String>,
}

impl Watching<'_> {
    /// The prefix of a saved state, by which another engine's is told apart.
    fn mark(&self) -> Vec<u8> {
        format!("{}\n", self.computes).into_bytes()
    }
}

impl Watch for Watching<'_> {
    fn kept(&mut self) -> Option<Vec<u8>> {
        let progress = self.store.progress(&self.stage)?;
        progress.strip_prefix(&self.mark()[..]).map(<[u8]>::to_vec)
    }

    fn step(&mut self, step: Step) -> Next {
        match self.told {
            None => {
                self.told = Some(Instant::now());
                self.shared.reply(self.slot, StageReply::Begun);
                if step.step > 1 {
                    let resumed = StageReply::Resumed(step.step - 1);
                    self.shared.reply(self.slot, resumed);
                }
            }
            Some(told) if told.elapsed() >= BETWEEN_STEPS => {
                self.told = Some(Instant::now());
                self.shared.reply(self.slot, StageReply::Step(step));
            }
            Some(_) => {}
        }
        // Hours of work could not be published later.
        if self.shared.stop.load(Ordering::SeqCst) || self.full.is_some() {
            return Next::Stop;
        }
        if self.kept.elapsed() >= self.shared.keep_every {
            self.kept = Instant::now();
            return Next::Keep;
        }
        Next::GoOn
    }

    fn keep(&mut self, state: Vec<u8>) {
        let progress = [self.mark(), state].concat();
        if let Err(error) = self
            .store
            .keep_progress(&self.scratch, &self.stage, &progress)
        {
            match error.is_no_space() {
                true => self.full = Some(error.to_string()),
                false => {
                    let line =
                        format!("warning: the progress of this training is not saved: {error}");
                    self.shared.reply(self.slot, StageReply::Log(line));
                }
            }
        }
    }
}
