//! Worker processes on this machine.
//!
//! The rule: a worker is started when its slot gets its first stage and reused from stage to
//! stage, so that the data set is read once per slot; one that ends takes its stage down, with the
//! last lines it wrote, and the slot's next stage gets a new one.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    num::NonZeroUsize,
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use super::{
    devices::{DeviceName, Slots},
    worker::{Reply, Request},
};
use crate::{
    plan::{Spec, StageId},
    schedule::{Executor, Message, News},
};

/// How a worker is started.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program: this one.
    pub program: PathBuf,
    /// What comes before `--device` and `--threads`.
    pub arguments: Vec<OsString>,
}

/// The executor of this machine.
pub struct Local {
    command: WorkerCommand,
    slots: Slots,
    workers: Vec<Option<Worker>>,
    /// Which slots have a stage.
    busy: Vec<bool>,
    /// How many workers were started: tells the words of a worker from those of the one before it.
    started: u64,
    sender: Sender<Heard>,
    receiver: Receiver<Heard>,
}

struct Worker {
    number: u64,
    child: Child,
    requests: ChildStdin,
    /// On how many threads it works.
    threads: NonZeroUsize,
}

impl Worker {
    /// A worker that cannot be written to has ended, which is heard in its own way.
    fn ask(&mut self, request: &Request) {
        let mut line = serde_json::to_vec(request).expect("requests are plain data");
        line.push(b'\n');
        let _ = self
            .requests
            .write_all(&line)
            .and_then(|()| self.requests.flush());
    }

    fn ask_threads(&mut self, threads: NonZeroUsize) {
        if self.threads != threads {
            self.threads = threads;
            self.ask(&Request::Threads(threads));
        }
    }
}

/// What was heard of a worker.
struct Heard {
    slot: usize,
    worker: u64,
    what: What,
}

enum What {
    News(News),
    /// It ended; its last words.
    Ended(String),
}

/// How many of a worker's last words are reported when it ends.
const LAST_LINES: usize = 12;

impl Local {
    /// With these slots; no worker is started yet.
    pub fn new(command: WorkerCommand, slots: Slots) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            command,
            workers: slots.devices.iter().map(|_| None).collect(),
            busy: vec![false; slots.devices.len()],
            slots,
            started: 0,
            sender,
            receiver,
        }
    }

    /// The cores, shared out to the stages that run on them: one thread each where stages are many, more where they are few.
    fn threads(&self) -> NonZeroUsize {
        let on_cores =
            |slot: &usize| self.busy[*slot] && self.slots.devices[*slot] == DeviceName::Cpu;
        let running = (0..self.busy.len()).filter(on_cores).count();
        NonZeroUsize::new(self.slots.cores / running.max(1)).unwrap_or(NonZeroUsize::MIN)
    }

    fn spawn(&mut self, slot: usize) -> io::Result<Worker> {
        let device: DeviceName = self.slots.devices[slot];
        let started_with = self.threads();
        let threads = started_with.to_string();
        let mut child = Command::new(&self.command.program)
            .args(&self.command.arguments)
            .args(["--device", &device.to_string(), "--threads", &threads])
            // Candle's, where it computes; it cannot be adjusted.
            .env("RAYON_NUM_THREADS", self.slots.threads_each().to_string())
            // Candle's own pool spins while it waits, on the cores of the other workers.
            .env("CANDLE_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take().expect("piped");
        let replies = child.stdout.take().expect("piped");
        let words = child.stderr.take().expect("piped");
        self.started += 1;
        let number = self.started;
        let sender = self.sender.clone();
        thread::spawn(move || {
            let listener = thread::spawn(move || last_lines(words));
            let tell = |what| {
                let worker = number;
                // Nobody listens any more where the run is over.
                let _ = sender.send(Heard { slot, worker, what });
            };
            for line in BufReader::new(replies).lines().map_while(Result::ok) {
                match serde_json::from_str(&line) {
                    Ok(Reply::Step(step)) => tell(What::News(News::Progress(step))),
                    Ok(Reply::Finished) => tell(What::News(News::Finished)),
                    Ok(Reply::Failed(reason)) => tell(What::News(News::Failed(reason))),
                    // A library printed something.
                    Err(_) => {}
                }
            }
            tell(What::Ended(listener.join().unwrap_or_default()));
        });
        Ok(Worker {
            number,
            child,
            requests,
            threads: started_with,
        })
    }
}

impl Executor for Local {
    fn slots(&self) -> usize {
        self.slots.devices.len()
    }

    fn start(&mut self, slot: usize, _stage: StageId, spec: &Spec) {
        self.busy[slot] = true;
        if self.workers[slot].is_none() {
            match self.spawn(slot) {
                Ok(worker) => self.workers[slot] = Some(worker),
                Err(error) => {
                    let reason = format!("a worker could not be started: {error}");
                    let heard = Heard {
                        slot,
                        worker: 0,
                        what: What::News(News::Failed(reason)),
                    };
                    // The receiver lives as long as this.
                    let _ = self.sender.send(heard);
                    return;
                }
            }
        }
        let threads = self.threads();
        let worker = self.workers[slot].as_mut().expect("there is one by now");
        worker.ask_threads(threads);
        worker.ask(&Request::Stage(Box::new(spec.clone())));
    }

    fn wait(&mut self) -> Message {
        // Here, when free slots have been filled again.
        let threads = self.threads();
        for (worker, _) in self
            .workers
            .iter_mut()
            .zip(&self.busy)
            .filter(|(_, busy)| **busy)
        {
            if let Some(worker) = worker {
                worker.ask_threads(threads);
            }
        }
        loop {
            let Heard { slot, worker, what } = self
                .receiver
                .recv()
                .expect("a sender lives as long as this");
            let current = self.workers[slot]
                .as_ref()
                .map_or(0, |worker| worker.number);
            if worker != current {
                continue;
            }
            let news = match what {
                What::News(news) => news,
                What::Ended(words) => {
                    let status = self.workers[slot]
                        .take()
                        .map(|mut worker| worker.child.wait());
                    let how = match status {
                        Some(Ok(status)) => status.to_string(),
                        _ => "nobody knows how".into(),
                    };
                    News::Failed(format!("the worker ended ({how}){words}"))
                }
            };
            if !matches!(news, News::Progress(_)) {
                self.busy[slot] = false;
            }
            return Message { slot, news };
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // A worker ends when its standard input closes: at once, or it is stuck.
        let ending = self
            .workers
            .iter_mut()
            .filter_map(Option::take)
            .map(|worker| worker.child);
        let deadline = Instant::now() + Duration::from_secs(5);
        for mut child in ending.collect::<Vec<_>>() {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The last lines of a worker's standard error, each behind a line break.
fn last_lines(words: ChildStderr) -> String {
    let mut last = VecDeque::new();
    for line in BufReader::new(words).lines().map_while(Result::ok) {
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(format!("\n    {line}"));
    }
    last.into_iter().collect()
}
