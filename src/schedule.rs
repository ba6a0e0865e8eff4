//! Which stage runs next: the states of all stages and the loop that moves them on.
//!
//! The rule: a stage's state changes in one place (`Schedule::set`), where the counts change with
//! it. The schedule knows no tensors, no processes and no disk: an [`Executor`] does the work, and
//! [`Claims`] say what others who share the store are at.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    event::{Event, Step},
    plan::{Kind, Plan, Run, Spec, Stage, StageId},
};

/// Where stages run: a fixed number of slots, one stage at a time in each.
pub trait Executor {
    /// How many stages can run at once.
    fn slots(&self) -> usize;

    /// Begins a stage in a free slot; what becomes of it is told by [`Executor::wait`].
    fn start(&mut self, slot: usize, stage: StageId, spec: &Spec);

    /// Waits until something happens, but no longer than this.
    fn wait(&mut self, at_most: Option<Duration>) -> Option<Heard>;

    /// Lets every running stage end at its next step, its progress saved.
    fn stop(&mut self);
}

/// What an executor hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Something of a slot.
    Stage(Message),
    /// The user wants to end.
    Interrupt,
}

/// Who runs what, among all processes that share a store.
pub trait Claims {
    /// Claims a stage, so that nobody else runs it until it is released.
    fn claim(&mut self, stage: &Stage) -> Claim;

    /// Gives a claim back.
    fn release(&mut self, stage: &Stage);
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Granted.
    Ours,
    /// Another process runs it.
    Theirs,
    /// Its artefact is there: another process has made it meanwhile.
    Made,
}

/// What becomes of a run whose stages fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How often a stage is tried again after an accident.
    pub retries: usize,
    /// After how many failed stages no other is started; `None` to go on with what can be done.
    pub most_failures: Option<usize>,
}

/// Why a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything that could be done is done.
    Done,
    /// The user wanted it.
    Interrupted,
    /// Too many stages failed.
    GaveUp,
}

/// What an executor tells of a slot.
#[derive(Clone, Debug)]
pub struct Message {
    /// The slot.
    pub slot: usize,
    /// What happened to the stage in it.
    pub news: News,
}

/// What can happen to a running stage.
#[derive(Clone, Debug)]
pub enum News {
    /// It got on.
    Progress(Step),
    /// Its artefact is published.
    Finished,
    /// There is no artefact.
    Failed(Failure),
    /// It was asked to stop, and did.
    Stopped,
}

/// Why a stage has no artefact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In words.
    pub reason: String,
    /// Whether another attempt would end the same way.
    pub nature: Nature,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nature {
    /// The stage itself said so: the same inputs would fail again.
    Deterministic,
    /// A worker died, hung, or could not write.
    Accident,
}

/// Where a stage stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No run needs it: what depends on it is there already.
    Unneeded,
    /// Its artefact was there before, or another process has made it.
    Cached,
    /// Another process runs it.
    Elsewhere,
    /// A stage it needs is not there yet.
    Waiting,
    /// It can begin.
    Ready,
    /// A slot works on it.
    Running(usize),
    /// Its artefact was published.
    Finished,
    /// It has none, and why.
    Failed(String),
    /// It cannot run: a stage it needs has failed.
    Blocked(StageId),
}

/// How many stages are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// There before.
    pub cached: usize,
    /// Waiting or ready.
    pub waiting: usize,
    /// Being worked on.
    pub running: usize,
    /// Being worked on by another process.
    pub elsewhere: usize,
    /// Published now.
    pub finished: usize,
    /// Without artefact, of their own fault.
    pub failed: usize,
    /// Without artefact, because of another.
    pub blocked: usize,
}

impl Counts {
    fn of(&mut self, state: &State) -> Option<&mut usize> {
        Some(match state {
            State::Unneeded => return None,
            State::Cached => &mut self.cached,
            State::Waiting | State::Ready => &mut self.waiting,
            State::Running(_) => &mut self.running,
            State::Elsewhere => &mut self.elsewhere,
            State::Finished => &mut self.finished,
            State::Failed(_) => &mut self.failed,
            State::Blocked(_) => &mut self.blocked,
        })
    }

    /// Whether every needed stage has its artefact.
    pub fn complete(&self) -> bool {
        self.waiting + self.running + self.elsewhere + self.failed + self.blocked == 0
    }
}

/// The states of all stages of a plan.
pub struct Schedule<'a> {
    plan: &'a Plan,
    states: Vec<State>,
    counts: Counts,
    ready: BinaryHeap<Reverse<(u8, StageId)>>,
    dependants: HashMap<StageId, Vec<StageId>>,
    /// How often each stage has failed by accident.
    accidents: HashMap<StageId, usize>,
}

/// Between two looks at what other processes are at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

impl<'a> Schedule<'a> {
    /// Finds what is to be done: the stages that `wanted` runs need and that `intact` does not vouch
    /// for. What stands behind an artefact that is there is not even looked at.
    pub fn new(
        plan: &'a Plan,
        wanted: impl Fn(&Run) -> bool,
        intact: &mut dyn FnMut(&Stage) -> bool,
    ) -> Self {
        let mut schedule = Self {
            plan,
            states: vec![State::Unneeded; plan.stages.len()],
            counts: Counts::default(),
            ready: BinaryHeap::new(),
            dependants: HashMap::new(),
            accidents: HashMap::new(),
        };
        for run in plan.runs.iter().filter(|run| wanted(run)) {
            schedule.need(run.evaluation, intact);
        }
        schedule
    }

    /// The state of a stage.
    pub fn state(&self, id: StageId) -> &State {
        &self.states[id.index()]
    }

    /// How many stages are in which state.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Every stage that is to be done and not done yet.
    pub fn outstanding(&self) -> impl Iterator<Item = StageId> + '_ {
        self.plan.ids().map(|(id, _)| id).filter(|id| {
            matches!(
                self.state(*id),
                State::Waiting | State::Ready | State::Running(_) | State::Elsewhere
            )
        })
    }

    fn need(&mut self, id: StageId, intact: &mut dyn FnMut(&Stage) -> bool) {
        if *self.state(id) != State::Unneeded {
            return;
        }
        let stage = self.plan.stage(id);
        if intact(stage) {
            return self.set(id, State::Cached);
        }
        let Some(upstream) = stage.upstream else {
            return self.set(id, State::Ready);
        };
        self.need(upstream, intact);
        match self.state(upstream) {
            State::Cached => self.set(id, State::Ready),
            _ => {
                self.dependants.entry(upstream).or_default().push(id);
                self.set(id, State::Waiting);
            }
        }
    }

    /// The only place where a state or a count changes.
    fn set(&mut self, id: StageId, to: State) {
        let from = std::mem::replace(&mut self.states[id.index()], to.clone());
        if let Some(count) = self.counts.of(&from) {
            *count -= 1;
        }
        if let Some(count) = self.counts.of(&to) {
            *count += 1;
        }
        if to == State::Ready {
            let rank = rank(self.plan.stage(id).spec.kind());
            self.ready.push(Reverse((rank, id)));
        }
    }

    fn finish(&mut self, id: StageId, state: State) {
        self.set(id, state);
        for dependant in self.dependants.remove(&id).unwrap_or_default() {
            self.set(dependant, State::Ready);
        }
    }

    fn fail(&mut self, id: StageId, reason: String, listen: &mut dyn FnMut(&Counts, &Event)) {
        self.set(id, State::Failed(reason.clone()));
        listen(&self.counts, &Event::Failed { stage: id, reason });
        let mut upstream = vec![id];
        while let Some(lost) = upstream.pop() {
            for dependant in self.dependants.remove(&lost).unwrap_or_default() {
                self.set(dependant, State::Blocked(id));
                let event = Event::Blocked {
                    stage: dependant,
                    upstream: id,
                };
                listen(&self.counts, &event);
                upstream.push(dependant);
            }
        }
    }

    /// Runs everything that can run. A failure takes down what depends on it; the rest goes on as
    /// far as the policy has it.
    pub fn run(
        &mut self,
        executor: &mut dyn Executor,
        claims: &mut dyn Claims,
        policy: Policy,
        listen: &mut dyn FnMut(&Counts, &Event),
    ) -> Ended {
        let mut free: Vec<usize> = (0..executor.slots()).rev().collect();
        let mut running: BTreeMap<usize, StageId> = BTreeMap::new();
        let mut elsewhere: Vec<StageId> = Vec::new();
        let mut looked = Instant::now();
        let mut ending = None;
        loop {
            if ending.is_none() {
                if !elsewhere.is_empty() && looked.elapsed() >= BETWEEN_LOOKS {
                    looked = Instant::now();
                    elsewhere
                        .drain(..)
                        .for_each(|id| self.set(id, State::Ready));
                }
                while let (Some(slot), Some(Reverse((_, id)))) =
                    (free.last().copied(), self.ready.peek().copied())
                {
                    self.ready.pop();
                    match claims.claim(self.plan.stage(id)) {
                        Claim::Ours => {
                            free.pop();
                            self.set(id, State::Running(slot));
                            running.insert(slot, id);
                            listen(&self.counts, &Event::Started { stage: id, slot });
                            executor.start(slot, id, &self.plan.stage(id).spec);
                        }
                        Claim::Theirs => {
                            self.set(id, State::Elsewhere);
                            elsewhere.push(id);
                        }
                        Claim::Made => {
                            self.finish(id, State::Cached);
                            listen(&self.counts, &Event::Found { stage: id });
                        }
                    }
                }
            }
            if running.is_empty() && (ending.is_some() || elsewhere.is_empty()) {
                return ending.unwrap_or(Ended::Done);
            }
            let at_most = (!elsewhere.is_empty()).then_some(BETWEEN_LOOKS);
            let Message { slot, news } = match executor.wait(at_most) {
                None => continue,
                Some(Heard::Interrupt) => {
                    ending = Some(Ended::Interrupted);
                    executor.stop();
                    listen(&self.counts, &Event::Interrupted);
                    continue;
                }
                Some(Heard::Stage(message)) => message,
            };
            let Some(stage) = running.get(&slot).copied() else {
                continue;
            };
            match news {
                News::Progress(step) => {
                    listen(&self.counts, &Event::Progress { stage, slot, step });
                    continue;
                }
                News::Finished => {
                    self.finish(stage, State::Finished);
                    listen(&self.counts, &Event::Finished { stage, slot });
                }
                News::Stopped => {
                    self.set(stage, State::Ready);
                    listen(&self.counts, &Event::Stopped { stage, slot });
                }
                News::Failed(failure) => {
                    self.failed(stage, slot, failure, policy, listen);
                    let failures = self.counts.failed;
                    if policy.most_failures.is_some_and(|most| failures >= most) {
                        ending.get_or_insert(Ended::GaveUp);
                    }
                }
            }
            claims.release(self.plan.stage(stage));
            running.remove(&slot);
            free.push(slot);
        }
    }

    /// Another attempt after an accident, as long as there are any; then it is a failure.
    fn failed(
        &mut self,
        stage: StageId,
        slot: usize,
        failure: Failure,
        policy: Policy,
        listen: &mut dyn FnMut(&Counts, &Event),
    ) {
        let Failure { reason, nature } = failure;
        let accidents = self.accidents.entry(stage).or_default();
        if nature == Nature::Accident && *accidents < policy.retries {
            *accidents += 1;
            let attempt = *accidents + 1;
            self.set(stage, State::Ready);
            let event = Event::Retried {
                stage,
                slot,
                attempt,
                reason,
            };
            listen(&self.counts, &event);
        } else {
            self.fail(stage, reason, listen);
        }
    }
}

/// What goes first: scores, which are quick and wanted; then what others wait for; then what takes
/// long, so that no long stage is left for the end.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Evaluate => 0,
        Kind::Pretrain => 1,
        Kind::Scratch => 2,
        Kind::Finetune => 3,
    }
}
