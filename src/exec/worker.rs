//! A worker: reads requests, runs stages, writes replies, one JSON value a line.
//!
//! The rule: a worker ends as soon as its standard input closes, however its parent ended. Nothing
//! is lost by it: an artefact is published whole or not at all.

use std::{
    io::{BufRead, Write},
    num::NonZeroUsize,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
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
    /// Run this stage, after those asked for before.
    Stage(Box<Spec>),
    /// Use so many threads from now on, in the middle of a stage too.
    Threads(NonZeroUsize),
    /// End the stage at its next step, its progress saved.
    Stop,
}

/// A line from a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The stage goes on from progress that was saved after so many steps.
    Resumed(usize),
    /// A step of the stage is done.
    Step(Step),
    /// The stage's artefact is published.
    Finished,
    /// There is no artefact.
    Failed(StageFailure),
    /// The stage was asked to stop, and did.
    Stopped,
}

/// The shortest time between two reports of a step.
const BETWEEN_STEPS: Duration = Duration::from_millis(500);

/// Serves requests until standard input closes. A training's progress is saved every `keep_every`.
pub fn serve(mut bench: Bench, work: &dyn StageWork, keep_every: Duration, out: &mut dyn Write) {
    let (sender, requests) = mpsc::channel();
    let busy = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let (seen, asked_to_stop) = (busy.clone(), stop.clone());
    let threads = bench.engine.threads();
    // Read apart from the work, so that the end of the parent is noticed in the middle of a stage.
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            // A parent that is killed while it writes leaves half a line.
            let Ok(request) = serde_json::from_str(&line) else {
                break;
            };
            match request {
                Request::Stage(spec) => {
                    if sender.send(spec).is_err() {
                        break;
                    }
                }
                Request::Threads(count) => {
                    if let Some(threads) = &threads {
                        threads.adjust(count);
                    }
                }
                Request::Stop => asked_to_stop.store(true, Ordering::SeqCst),
            }
        }
        drop(sender);
        loop {
            if seen.load(Ordering::SeqCst) {
                // The stage may be writing: the next run removes what is half-written.
                process::exit(0);
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    let mut reply = |reply: &Reply| {
        let mut line = serde_json::to_vec(reply).expect("replies are plain data");
        line.push(b'\n');
        // A parent that has stopped reading is about to close standard input.
        let _ = out.write_all(&line).and_then(|()| out.flush());
    };
    for spec in requests {
        busy.store(true, Ordering::SeqCst);
        let mut watching = Watching {
            store: bench.store.clone(),
            scratch: bench.scratch.clone(),
            stage: spec.digest(),
            computes: match bench.made_by.device.as_str() {
                "cpu" => bench.made_by.engine.to_string(),
                card => format!("{card}, {}", bench.made_by.engine),
            },
            stop: &stop,
            keep_every,
            kept: Instant::now(),
            told: None,
            full: None,
            reply: &mut reply,
        };
        let outcome = stage::run(&spec, work, &mut bench, &mut watching);
        let full = watching.full.take();
        // Before the reply: after the last one the parent closes standard input at once.
        busy.store(false, Ordering::SeqCst);
        match outcome {
            Ok(digest) => {
                bench.store.forget_progress(&digest);
                reply(&Reply::Finished);
            }
            Err(StageError::Train(TrainError::Stopped(_))) => reply(&match full {
                None => Reply::Stopped,
                Some(reason) => Reply::Failed(StageFailure {
                    reason,
                    nature: Nature::NoSpace,
                }),
            }),
            Err(error) => {
                let failure = failure(&error);
                if failure.nature == Nature::Accident && bench.engine.errors_stay() {
                    end_with(&failure);
                }
                reply(&Reply::Failed(failure));
            }
        }
    }
}

/// Ends the worker; the last lines of its log are the stage's failure.
#[expect(
    clippy::print_stderr,
    reason = "a worker's error stream is the log of its stage"
)]
fn end_with(failure: &StageFailure) -> ! {
    eprintln!("error: {}", failure.reason);
    process::exit(1);
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

/// Reports that no stage can run, since the store cannot be written to.
pub fn refuse(error: StoreError, out: &mut dyn Write) {
    let reply = Reply::Failed(failure(&StageError::Store(error)));
    let line = serde_json::to_string(&reply).expect("replies are plain data");
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Reports a training's steps to the parent, and saves its progress in the store.
struct Watching<'a> {
    store: Store,
    scratch: Arc<Scratch>,
    stage: Digest,
    /// The engine and its card. On another one, a training would continue with other bits.
    computes: String,
    stop: &'a AtomicBool,
    keep_every: Duration,
    kept: Instant,
    /// When a step was reported last.
    told: Option<Instant>,
    /// Why progress cannot be saved, where the disk is full.
    full: Option<String>,
    reply: &'a mut dyn FnMut(&Reply),
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
                if step.step > 1 {
                    (self.reply)(&Reply::Resumed(step.step - 1));
                }
            }
            Some(told) if told.elapsed() >= BETWEEN_STEPS => {
                self.told = Some(Instant::now());
                (self.reply)(&Reply::Step(step));
            }
            Some(_) => {}
        }
        // Hours of work could not be published later.
        if self.stop.load(Ordering::SeqCst) || self.full.is_some() {
            return Next::Stop;
        }
        if self.kept.elapsed() >= self.keep_every {
            self.kept = Instant::now();
            return Next::Keep;
        }
        Next::GoOn
    }

    #[expect(
        clippy::print_stderr,
        reason = "a worker's error stream is the log of its stage"
    )]
    fn keep(&mut self, state: Vec<u8>) {
        let progress = [self.mark(), state].concat();
        if let Err(error) = self
            .store
            .keep_progress(&self.scratch, &self.stage, &progress)
        {
            match error.is_no_space() {
                true => self.full = Some(error.to_string()),
                false => {
                    eprintln!("warning: the progress of this training is not saved: {error}");
                }
            }
        }
    }
}
