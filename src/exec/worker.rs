//! A worker: reads requests, runs stages, writes replies, one JSON value a line.
//!
//! The rule: a worker lives as long as whoever started it holds its standard input open; when that
//! closes, however the parent ended, the worker ends at once. Nothing is lost by it: an artefact is
//! published whole or not at all.

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
    plan::Spec,
    stage::{self, Bench},
};

/// A line to a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// Run this stage, after those asked for before.
    Stage(Box<Spec>),
    /// Work on so many threads, from now on, in the middle of a stage too.
    Threads(NonZeroUsize),
}

/// A line from a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The stage got on.
    Step(Step),
    /// The stage's artefact is published.
    Finished,
    /// There is no artefact, and why.
    Failed(String),
}

/// How often a worker tells how far it is.
const BETWEEN_STEPS: Duration = Duration::from_millis(200);

/// Serves requests until standard input closes.
pub fn serve(mut bench: Bench, out: &mut dyn Write) {
    let (sender, requests) = mpsc::channel();
    let busy = Arc::new(AtomicBool::new(false));
    let seen = busy.clone();
    let threads = bench.engine.threads();
    // Read apart from the work, so that the end of the parent is noticed in the middle of a stage.
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match serde_json::from_str(&line).expect("the parent sends requests") {
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
            }
        }
        drop(sender);
        loop {
            if seen.load(Ordering::SeqCst) {
                // What is half-written stays for the next run to sweep: the stage is still writing.
                process::exit(0);
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    let mut reply = |reply: &Reply| {
        let mut line = serde_json::to_vec(reply).expect("replies are plain data");
        line.push(b'\n');
        // A parent that does not listen any more is about to close standard input.
        let _ = out.write_all(&line).and_then(|()| out.flush());
    };
    for spec in requests {
        busy.store(true, Ordering::SeqCst);
        let mut told = Instant::now();
        let outcome = stage::run(&spec, &mut bench, &mut |step| {
            if told.elapsed() >= BETWEEN_STEPS {
                told = Instant::now();
                reply(&Reply::Step(step));
            }
        });
        // Before the reply: on the last one the parent closes standard input at once.
        busy.store(false, Ordering::SeqCst);
        match outcome {
            Ok(_) => reply(&Reply::Finished),
            Err(error) => reply(&Reply::Failed(error.to_string())),
        }
    }
}
