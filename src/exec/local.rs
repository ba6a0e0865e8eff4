//! Worker processes on this machine.
//!
//! The rule: a worker is started when its slot gets its first stage and reused from stage to stage,
//! so that the data set is read once per slot. Where it ends, or its stage takes too long, the
//! stage fails, with the last lines of its log and the log's path. The slot's next stage gets a new
//! worker.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    num::NonZeroUsize,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    devices::{DeviceName, Slots},
    logs::{Log, Logs},
    pause::pause,
    worker::{Reply, Request},
};
use crate::{
    plan::{Kind, Spec},
    results_dir::ResultsDir,
    schedule::{Executor, Heard, Message, Nature, News, StageFailure},
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
    /// The slots that have a stage, and since when.
    busy: Vec<Option<Instant>>,
    /// How long a stage may take.
    timeout: Option<Duration>,
    /// The logs of stages.
    logs: Logs,
    /// The number of workers started so far. It tells a worker's messages from those of the one
    /// before it in the same slot.
    started: u64,
    sender: Sender<Signal>,
    receiver: Receiver<Signal>,
}

struct Worker {
    number: u64,
    child: Child,
    requests: ChildStdin,
    /// The log of its present stage.
    log: Arc<Mutex<Log>>,
    /// The number of threads it uses.
    threads: NonZeroUsize,
}

impl Worker {
    /// Sends a request. A failed write means that the worker has ended, which is reported by
    /// [`WorkerSignal::Ended`].
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

/// What the run waits for.
enum Signal {
    /// From a worker.
    Worker {
        slot: usize,
        worker: u64,
        what: WorkerSignal,
    },
    /// The user interrupts the run.
    Interrupt,
    /// The user pauses it.
    Pause,
}

/// Interrupts or pauses a run, from any thread.
pub struct RunControl(Sender<Signal>);

impl RunControl {
    /// Lets the run end at the next steps of its stages.
    pub fn interrupt(&self) {
        // The receiver is gone where the run is over.
        let _ = self.0.send(Signal::Interrupt);
    }

    /// Stops the workers and this process until it is continued.
    pub fn pause(&self) {
        let _ = self.0.send(Signal::Pause);
    }
}

/// A message from a worker.
enum WorkerSignal {
    News(News),
    /// It ended.
    Ended,
}

impl Local {
    /// With these slots; no worker is started yet.
    pub fn new(
        command: WorkerCommand,
        slots: Slots,
        timeout: Option<Duration>,
        results: ResultsDir,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            command,
            workers: slots.slots.iter().map(|_| None).collect(),
            busy: vec![None; slots.slots.len()],
            slots,
            timeout,
            logs: Logs::new(results),
            started: 0,
            sender,
            receiver,
        }
    }

    /// The cores, divided among the stages that run on them: one thread each where there are many
    /// stages, more where there are few.
    fn threads(&self) -> NonZeroUsize {
        let on_cores = |slot: &usize| {
            self.busy[*slot].is_some() && self.slots.slots[*slot].device == DeviceName::Cpu
        };
        let running = (0..self.busy.len()).filter(on_cores).count();
        NonZeroUsize::new(self.slots.cores / running.max(1)).unwrap_or(NonZeroUsize::MIN)
    }

    /// Interrupts or pauses the run, from any thread.
    pub fn control(&self) -> RunControl {
        RunControl(self.sender.clone())
    }

    /// Stops the workers and this process until it is continued. The time does not count for
    /// timeouts.
    fn pause(&mut self) -> Duration {
        let workers = self.workers.iter().flatten();
        let paused = pause(workers.map(|worker| &worker.child));
        for since in self.busy.iter_mut().flatten() {
            *since += paused;
        }
        paused
    }

    fn spawn(&mut self, slot: usize) -> io::Result<Worker> {
        let device = self.slots.slots[slot].device;
        let started_with = self.threads();
        let threads = started_with.to_string();
        let mut command = Command::new(&self.command.program);
        // Ctrl-C in a terminal ends all processes of its foreground group. Workers are in another
        // group, and the parent stops them, so that they can save their progress.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .args(&self.command.arguments)
            .args(["--device", &device.to_string(), "--threads", &threads])
            // The threads of candle's own operations; their number is fixed.
            .env("RAYON_NUM_THREADS", self.slots.threads_each().to_string())
            // Candle's own pool spins while it waits, and takes cores from the other workers.
            .env("CANDLE_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take().expect("piped");
        let replies = child.stdout.take().expect("piped");
        let errors = child.stderr.take().expect("piped");
        self.started += 1;
        let number = self.started;
        let sender = self.sender.clone();
        let log = Arc::new(Mutex::new(Log::default()));
        let listened = log.clone();
        thread::spawn(move || {
            let listener = thread::spawn(move || {
                for line in BufReader::new(errors).lines().map_while(Result::ok) {
                    listened
                        .lock()
                        .expect("no holder of the lock panics")
                        .add(&line);
                }
            });
            let tell = |what| {
                let worker = number;
                // The receiver is gone where the run is over.
                let _ = sender.send(Signal::Worker { slot, worker, what });
            };
            for line in BufReader::new(replies).lines().map_while(Result::ok) {
                match serde_json::from_str(&line) {
                    Ok(Reply::Resumed(steps)) => tell(WorkerSignal::News(News::Resumed(steps))),
                    Ok(Reply::Step(step)) => tell(WorkerSignal::News(News::Progress(step))),
                    Ok(Reply::Finished) => tell(WorkerSignal::News(News::Finished)),
                    Ok(Reply::Failed(failure)) => tell(WorkerSignal::News(News::Failed(failure))),
                    Ok(Reply::Stopped) => tell(WorkerSignal::News(News::Stopped)),
                    // The output of a library.
                    Err(_) => {}
                }
            }
            let _ = listener.join();
            tell(WorkerSignal::Ended);
        });
        Ok(Worker {
            number,
            child,
            requests,
            log,
            threads: started_with,
        })
    }
}

impl Executor for Local {
    fn slots(&self) -> usize {
        self.slots.slots.len()
    }

    fn takes(&self, slot: usize, kind: Kind) -> bool {
        self.slots.slots[slot].takes.includes(kind)
    }

    fn start(&mut self, slot: usize, spec: &Spec) {
        self.busy[slot] = Some(Instant::now());
        if self.workers[slot].is_none() {
            match self.spawn(slot) {
                Ok(worker) => self.workers[slot] = Some(worker),
                Err(error) => {
                    let failure = StageFailure {
                        reason: format!("a worker could not be started: {error}"),
                        nature: Nature::Accident,
                    };
                    // The receiver lives as long as this.
                    let _ = self.sender.send(Signal::Worker {
                        slot,
                        worker: 0,
                        what: WorkerSignal::News(News::Failed(failure)),
                    });
                    return;
                }
            }
        }
        let threads = self.threads();
        let worker = self.workers[slot].as_mut().expect("there is one by now");
        self.logs.begin(&worker.log, spec);
        worker.ask_threads(threads);
        worker.ask(&Request::Stage(Box::new(spec.clone())));
    }

    fn wait(&mut self, at_most: Option<Duration>) -> Option<Heard> {
        // Threads are divided after free slots have been filled again.
        let threads = self.threads();
        for (worker, _) in self
            .workers
            .iter_mut()
            .zip(&self.busy)
            .filter(|(_, busy)| busy.is_some())
        {
            if let Some(worker) = worker {
                worker.ask_threads(threads);
            }
        }
        let give_up = at_most.map(|at_most| Instant::now() + at_most);
        loop {
            let overdue = self.next_timeout();
            let wake = give_up.into_iter().chain(overdue.map(|(_, at)| at)).min();
            let signal = match wake {
                None => self.receiver.recv().ok(),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    self.receiver.recv_timeout(left).ok()
                }
            };
            let (slot, worker, what) = match signal {
                Some(Signal::Interrupt) => return Some(Heard::Interrupt),
                Some(Signal::Pause) => return Some(Heard::Continued(self.pause())),
                Some(Signal::Worker { slot, worker, what }) => (slot, worker, what),
                None => match overdue.filter(|(_, at)| *at <= Instant::now()) {
                    Some((slot, _)) => return Some(self.kill(slot)),
                    None => return None,
                },
            };
            let current = self.workers[slot]
                .as_ref()
                .map_or(0, |worker| worker.number);
            if worker != current {
                continue;
            }
            let news = match what {
                WorkerSignal::News(News::Failed(failure)) => {
                    News::Failed(self.with_log(slot, failure))
                }
                WorkerSignal::News(news) => news,
                WorkerSignal::Ended => {
                    let how = self.ended(slot);
                    News::Failed(how)
                }
            };
            if !matches!(news, News::Progress(_) | News::Resumed(_)) {
                self.busy[slot] = None;
            }
            return Some(Heard::Stage(Message { slot, news }));
        }
    }

    fn stop(&mut self) {
        for (worker, busy) in self.workers.iter_mut().zip(&self.busy) {
            if let (Some(worker), Some(_)) = (worker, busy) {
                worker.ask(&Request::Stop);
            }
        }
    }
}

impl Local {
    /// The slot whose stage reaches the timeout first, and when.
    fn next_timeout(&self) -> Option<(usize, Instant)> {
        let timeout = self.timeout?;
        let since = self.busy.iter().enumerate();
        since
            .filter_map(|(slot, since)| Some((slot, (*since)? + timeout)))
            .min_by_key(|(_, at)| *at)
    }

    /// Ends a worker whose stage has taken too long.
    fn kill(&mut self, slot: usize) -> Heard {
        let timeout = self.timeout.unwrap_or_default();
        if let Some(worker) = &mut self.workers[slot] {
            let _ = worker.child.kill();
        }
        let StageFailure { reason, nature } = self.ended(slot);
        self.busy[slot] = None;
        let reason = format!("not finished after {} s: {reason}", timeout.as_secs_f64());
        Heard::Stage(Message {
            slot,
            news: News::Failed(StageFailure { reason, nature }),
        })
    }

    /// The failure of a stage whose worker has ended, with the last lines of its log.
    fn ended(&mut self, slot: usize) -> StageFailure {
        let worker = self.workers[slot].take();
        let (how, log) = match worker {
            Some(mut worker) => (worker.child.wait().ok(), Some(worker.log)),
            None => (None, None),
        };
        let how = how.map_or_else(
            || "exit status unknown".to_owned(),
            |status| status.to_string(),
        );
        let reason = format!("the worker ended ({how})");
        StageFailure {
            reason: match log {
                Some(log) => log
                    .lock()
                    .expect("no holder of the lock panics")
                    .report(reason),
                None => reason,
            },
            nature: Nature::Accident,
        }
    }

    fn with_log(&self, slot: usize, failure: StageFailure) -> StageFailure {
        let Some(worker) = &self.workers[slot] else {
            return failure;
        };
        let mut log = worker.log.lock().expect("no holder of the lock panics");
        StageFailure {
            reason: log.report(failure.reason),
            ..failure
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
