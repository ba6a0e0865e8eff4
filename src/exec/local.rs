//! Worker processes on this machine.
//!
//! A slot of the processor has a worker of its own; the slots of a card share one, so that their
//! trainings can be done in the same launches. A worker is started for the first stage of its
//! slots and reused from stage to stage, so that the data set is read once.
//!
//! The rule: where a worker ends, one of its stages fails, with the last lines of its log and the
//! log's path: the one that was the reason, took too long, or was begun last. The others have
//! nothing wrong and only stop, and the next stage gets a new worker.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    num::NonZeroUsize,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    devices::{DeviceName, Slots},
    logs::{Log, Logs},
    pause::pause,
    worker::{Reply, Request, StageReply},
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
    /// By the first of their slots.
    workers: Vec<Option<Worker>>,
    /// The slots that have a stage, and since when.
    busy: Vec<Option<Instant>>,
    /// The slots of cards whose training may still wait for memory.
    waits: Vec<bool>,
    /// How long a stage may take.
    timeout: Option<Duration>,
    /// The logs of stages.
    logs: Logs,
    /// The number of workers started so far. It tells a worker's messages from those of the one
    /// before it in the same slots.
    started: u64,
    /// What is still to be told.
    pending: VecDeque<Message>,
    sender: Sender<Signal>,
    receiver: Receiver<Signal>,
}

struct Worker {
    number: u64,
    child: Child,
    requests: ChildStdin,
    /// The logs of its present stages, by their slots.
    logs: Arc<Mutex<BTreeMap<usize, Log>>>,
    /// The number of threads it uses.
    threads: NonZeroUsize,
    /// The slot and the failure because of which it ends.
    last: Option<(usize, StageFailure)>,
    /// The slot that got a stage last.
    latest: usize,
}

impl Worker {
    /// The log of a stage, which is over.
    fn take_log(&self, slot: usize) -> Option<Log> {
        self.logs().remove(&slot)
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<usize, Log>> {
        self.logs.lock().expect("no holder of the lock panics")
    }

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
        /// Its place among the workers.
        place: usize,
        number: u64,
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

/// How many times longer a training may take until its first step where it may have to wait for the
/// memory of a card, until others have ended.
const WAITING_FOR_A_CARD: u32 = 10;

/// A message from a worker.
enum WorkerSignal {
    Reply(Reply),
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
            waits: vec![false; slots.slots.len()],
            slots,
            timeout,
            logs: Logs::new(results),
            started: 0,
            pending: VecDeque::new(),
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

    fn spawn(&mut self, place: usize) -> io::Result<Worker> {
        let device = self.slots.slots[place].device;
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
        let logs: Arc<Mutex<BTreeMap<usize, Log>>> = Arc::default();
        let listened = logs.clone();
        thread::spawn(move || {
            let listener = thread::spawn(move || {
                for line in BufReader::new(errors).lines().map_while(Result::ok) {
                    // It may be about any of its stages.
                    let mut logs = listened.lock().expect("no holder of the lock panics");
                    logs.values_mut().for_each(|log| log.add(&line));
                }
            });
            let tell = |what| {
                // The receiver is gone where the run is over.
                let _ = sender.send(Signal::Worker {
                    place,
                    number,
                    what,
                });
            };
            for line in BufReader::new(replies).lines().map_while(Result::ok) {
                // What is no reply is the output of a library.
                if let Ok(reply) = serde_json::from_str(&line) {
                    tell(WorkerSignal::Reply(reply));
                }
            }
            let _ = listener.join();
            tell(WorkerSignal::Ended);
        });
        Ok(Worker {
            number,
            child,
            requests,
            logs,
            threads: started_with,
            last: None,
            latest: place,
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
        self.waits[slot] =
            self.slots.slots[slot].device != DeviceName::Cpu && spec.kind().is_training();
        let place = self.slots.worker_of(slot);
        if self.workers[place].is_none() {
            match self.spawn(place) {
                Ok(worker) => self.workers[place] = Some(worker),
                Err(error) => {
                    let failure = StageFailure {
                        reason: format!("a worker could not be started: {error}"),
                        nature: Nature::Accident,
                    };
                    self.over(slot, News::Failed(failure));
                    return;
                }
            }
        }
        let threads = self.threads();
        let worker = self.workers[place].as_mut().expect("there is one by now");
        worker.latest = slot;
        let log = self.logs.of(spec);
        worker.logs().insert(slot, log);
        worker.ask_threads(threads);
        worker.ask(&Request::Stage {
            slot,
            spec: Box::new(spec.clone()),
        });
    }

    fn wait(&mut self, at_most: Option<Duration>) -> Option<Heard> {
        // Threads are divided after free slots have been filled again.
        let threads = self.threads();
        for place in self.busy_workers() {
            if let Some(worker) = &mut self.workers[place] {
                worker.ask_threads(threads);
            }
        }
        let give_up = at_most.map(|at_most| Instant::now() + at_most);
        loop {
            if let Some(message) = self.pending.pop_front() {
                return Some(Heard::Stage(message));
            }
            let overdue = self.next_timeout();
            let wake = give_up.into_iter().chain(overdue.map(|(_, at)| at)).min();
            let signal = match wake {
                None => self.receiver.recv().ok(),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    self.receiver.recv_timeout(left).ok()
                }
            };
            match signal {
                Some(Signal::Interrupt) => return Some(Heard::Interrupt),
                Some(Signal::Pause) => return Some(Heard::Continued(self.pause())),
                Some(Signal::Worker {
                    place,
                    number,
                    what,
                }) => self.heard(place, number, what),
                None => match overdue.filter(|(_, at)| *at <= Instant::now()) {
                    Some((slot, _)) => self.kill(slot),
                    None => return None,
                },
            }
        }
    }

    fn stop(&mut self) {
        for place in self.busy_workers() {
            if let Some(worker) = &mut self.workers[place] {
                worker.ask(&Request::Stop);
            }
        }
    }
}

impl Local {
    /// The places of the workers that have stages.
    fn busy_workers(&self) -> BTreeSet<usize> {
        let busy = self.busy.iter().enumerate();
        let busy = busy.filter(|(_, since)| since.is_some());
        busy.map(|(slot, _)| self.slots.worker_of(slot)).collect()
    }

    /// The slots of a worker that have stages.
    fn busy_slots(&self, place: usize) -> Vec<usize> {
        let of_worker =
            |slot: &usize| self.busy[*slot].is_some() && self.slots.worker_of(*slot) == place;
        (0..self.busy.len()).filter(of_worker).collect()
    }

    /// Notes that a training is about to do its first step. On a card, the time that it has waited
    /// for memory does not count for its timeout.
    fn steps_begin(&mut self, slot: usize) {
        if self.slots.slots[slot].device != DeviceName::Cpu && self.busy[slot].is_some() {
            self.busy[slot] = Some(Instant::now());
            self.waits[slot] = false;
        }
    }

    /// Tells how a stage ended; its slot is free.
    fn over(&mut self, slot: usize, news: News) {
        self.busy[slot] = None;
        self.pending.push_back(Message { slot, news });
    }

    /// Handles what a worker sends.
    fn heard(&mut self, place: usize, number: u64, what: WorkerSignal) {
        let current = self.workers[place].as_mut();
        // The one before it may still be heard.
        let Some(worker) = current.filter(|worker| worker.number == number) else {
            return;
        };
        let Reply { slot, what } = match what {
            WorkerSignal::Reply(reply) => reply,
            WorkerSignal::Ended => return self.ended(place),
        };
        match what {
            StageReply::Begun => self.steps_begin(slot),
            StageReply::Resumed(steps) => {
                let news = News::Resumed(steps);
                self.pending.push_back(Message { slot, news });
            }
            StageReply::Step(step) => {
                let news = News::Progress(step);
                self.pending.push_back(Message { slot, news });
            }
            StageReply::Log(line) => {
                if let Some(log) = worker.logs().get_mut(&slot) {
                    log.add(&line);
                }
            }
            StageReply::Finished => {
                worker.take_log(slot);
                self.over(slot, News::Finished);
            }
            StageReply::Stopped => {
                worker.take_log(slot);
                self.over(slot, News::Stopped);
            }
            StageReply::Failed(failure) => {
                let failure = with_log(worker.take_log(slot), failure);
                self.over(slot, News::Failed(failure));
            }
            StageReply::Last(failure) => {
                worker.last = Some((slot, failure));
                // It ends by itself, unless the driver holds it up.
                let _ = worker.child.kill();
            }
        }
    }

    /// The slot whose stage reaches the timeout first, and when.
    fn next_timeout(&self) -> Option<(usize, Instant)> {
        let timeout = self.timeout?;
        let since = self.busy.iter().zip(&self.waits).enumerate();
        since
            .filter_map(|(slot, (since, waits))| {
                let timeout = match waits {
                    true => timeout * WAITING_FOR_A_CARD,
                    false => timeout,
                };
                Some((slot, (*since)? + timeout))
            })
            .min_by_key(|(_, at)| *at)
    }

    /// Ends a worker with a stage that has taken too long.
    fn kill(&mut self, slot: usize) {
        let timeout = self.timeout.unwrap_or_default().as_secs_f64();
        let place = self.slots.worker_of(slot);
        let Some(mut worker) = self.workers[place].take() else {
            return;
        };
        let _ = worker.child.kill();
        let how = how_it_ended(&mut worker.child);
        let how = with_log(worker.take_log(slot), how);
        let failure = StageFailure {
            reason: format!("not finished after {timeout} s: {}", how.reason),
            ..how
        };
        self.over(slot, News::Failed(failure));
        for other in self.busy_slots(place) {
            self.over(other, News::Stopped);
        }
    }

    /// Tells of the stages of a worker that has ended.
    fn ended(&mut self, place: usize) {
        let Some(mut worker) = self.workers[place].take() else {
            return;
        };
        let how = how_it_ended(&mut worker.child);
        // Where nothing is told, the stage that was begun last is taken for the reason.
        let (reason, failure) = match worker.last.take() {
            Some(last) => last,
            None => (worker.latest, how),
        };
        let busy = self.busy_slots(place);
        let reason = match busy.contains(&reason) {
            true => Some(reason),
            false => busy.last().copied(),
        };
        for slot in busy {
            match Some(slot) == reason {
                true => {
                    let failure = with_log(worker.take_log(slot), failure.clone());
                    self.over(slot, News::Failed(failure));
                }
                false => self.over(slot, News::Stopped),
            }
        }
    }
}

/// The failure of a stage whose worker has ended.
fn how_it_ended(child: &mut Child) -> StageFailure {
    let how = match child.wait() {
        Ok(status) => status.to_string(),
        Err(_) => "exit status unknown".to_owned(),
    };
    StageFailure {
        reason: format!("the worker ended ({how})"),
        nature: Nature::Accident,
    }
}

/// A failure with the last lines of the stage's log.
fn with_log(log: Option<Log>, failure: StageFailure) -> StageFailure {
    match log {
        Some(mut log) => StageFailure {
            reason: log.report(failure.reason),
            ..failure
        },
        None => failure,
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
